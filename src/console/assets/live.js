"use strict";
// Reads the page again and shows its live part, while nobody works in it. Without it the page is reloaded by hand.
const part = document.querySelector("[data-live]");
const old = document.querySelector("[data-old]");
const hold = document.querySelector("[data-hold]");
const controls = "a, button, input, select, textarea";
let read = Date.now();

function show(next) {
  if (next.innerHTML !== part.innerHTML) {
    const places = [...part.querySelectorAll("[data-keep]")].map((box) => [box.scrollLeft, box.scrollTop]);
    part.innerHTML = next.innerHTML;
    part.querySelectorAll("[data-keep]").forEach((box, at) => ([box.scrollLeft, box.scrollTop] = places[at] ?? [0, 0]));
  }
  part.dataset.live = next.dataset.live;
}

async function again() {
  const at = document.activeElement;
  const typed = [...part.querySelectorAll("input:not([type=hidden])")].some((field) => field.value !== field.defaultValue);
  const works = typed || (part.contains(at) && at.matches(controls));
  if (hold.ariaPressed !== "true" && !document.hidden && !works && document.getSelection().isCollapsed) {
    try {
      const answer = await fetch(location.href, { redirect: "manual" });
      // The sign-in has ended, or the tenant is gone.
      if (answer.type === "opaqueredirect" || [401, 403, 404].includes(answer.status)) return location.reload();
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const next = page.querySelector("[data-live]");
      if (answer.ok && next) {
        show(next);
        read = Date.now();
      }
    } catch {
      // The console or the network is away for a while.
    }
    old.hidden = Date.now() - read < 30_000;
  }
  setTimeout(again, part.dataset.live * 1000);
}

// What was done is told once, and not to whom the address is sent.
const here = new URL(location);
if (here.searchParams.has("done")) {
  here.searchParams.delete("done");
  history.replaceState(null, "", here);
}

// Whoever reads slowly stops the updates, on all pages of this tab (WCAG 2.2.2).
function held(is) {
  hold.ariaPressed = String(is);
  if (is) sessionStorage.setItem("hold", "1");
  else sessionStorage.removeItem("hold");
}

if (part) {
  hold.hidden = false;
  held(sessionStorage.getItem("hold") !== null);
  hold.addEventListener("click", () => held(hold.ariaPressed !== "true"));
  setTimeout(again, part.dataset.live * 1000);
}
