"use strict";
// Reads the page again and shows its live part, while nobody works in it. Without it the page is reloaded by hand.
const part = document.querySelector("[data-live]");

async function again() {
  const busy = document.hidden || part.contains(document.activeElement) || !document.getSelection().isCollapsed;
  if (!busy) {
    try {
      const answer = await fetch(location.href, { redirect: "error" });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const next = page.querySelector("[data-live]");
      if (answer.ok && next) {
        if (next.innerHTML !== part.innerHTML) part.innerHTML = next.innerHTML;
        part.dataset.live = next.dataset.live;
      }
    } catch {
      // The console or the network is away for a while.
    }
  }
  setTimeout(again, part.dataset.live * 1000);
}

if (part) setTimeout(again, part.dataset.live * 1000);
