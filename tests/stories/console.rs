//! The web console, over HTTP, before a real API server: whoever visits it can do there what their token can do, and no more.

mod browser;
mod classes;
mod issuer;

use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World};
use reqwest::StatusCode;

use crate::approval::{digest, waiting};
use crate::proof::soon;
use crate::support::{orchestra, ready, secret, standard_class, world};
use browser::{Browser, Running};

const VIEWER: &[&str] = &["orchestra-viewer"];
const EDITOR: &[&str] = &["orchestra-viewer", "orchestra-editor"];

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_can_do_in_the_console_what_their_token_can() {
    let mut world = world().await;
    standard_class(&world, "");
    let _operator = world.operator("operator", |_| {}).unwrap();
    let console = Running::start(&world).await;
    nobody_is_let_in(&console).await;
    let editor = console.signed_in(&world, "editor", EDITOR).await;
    a_database_is_created_by_its_form(&world, &editor).await;
    let viewer = console.signed_in(&world, "viewer", VIEWER).await;
    a_viewer_sees_and_changes_nothing(&world, &viewer).await;
    classes::a_class_of_a_repository_is_changed_there(&world, &viewer).await;
    who_may_not_read_changes_nothing_by_the_form(&world, &console).await;
    every_page_is_there_in_both_languages(&viewer).await;
    a_visitor_of_one_namespace_sees_what_is_in_it(&world, &console).await;
    a_plan_is_read_and_approved(&world, &console).await;
    let stranger = console.signed_in(&world, "stranger", &[]).await;
    let page = stranger.get("/").await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(
        page.text.contains("Choose a namespace") && !page.text.contains("acme"),
        "{}",
        page.text
    );

    world
        .kubectl(["delete", "serviceaccount", "viewer", "-n", SYSTEM])
        .unwrap();
    let ended = async || viewer.slowly("/").await.status == StatusCode::UNAUTHORIZED;
    soon("a token that has ended is refused", ended).await;
    assert!(
        viewer
            .get("/")
            .await
            .cookies
            .iter()
            .all(|cookie| cookie.contains("Max-Age=0"))
    );

    world.plane.stop_api_server();
    let page = editor.get("/").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.text.contains("The cluster does not answer"), "{}", page.text);
}

async fn nobody_is_let_in(console: &Running) {
    let nobody = console.visitor();
    let page = nobody.get("/tenants/tenants/acme?x=1").await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    assert_eq!(page.location, "/sign-in?to=%2Ftenants%2Ftenants%2Facme%3Fx%3D1");
    assert!(page.policy.starts_with("default-src 'none';") && page.policy.contains("frame-ancestors 'none'"));
    // A link on another site sends no cookie: the page that it leads to makes the browser ask once more.
    let from_elsewhere = console
        .http
        .get(format!("{}/cost", console.origin))
        .header("sec-fetch-site", "cross-site");
    let arrived = nobody.send(from_elsewhere).await;
    assert_eq!(arrived.status, StatusCode::OK);
    assert!(
        arrived.text.contains("http-equiv=\"refresh\" content=\"0; url=/cost\""),
        "{}",
        arrived.text
    );
    let form = nobody.get("/sign-in").await;
    let nonce = form.policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap();
    assert!(form.text.contains(&format!("nonce=\"{nonce}\"")), "{}", form.text);
    let token = [("token", "not.a.token")];
    let refused = nobody.post("/sign-in", &token).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert!(refused.cookies.is_empty() && refused.text.contains("does not accept this token"));
    for origin in [None, Some("https://evil.example"), Some("null")] {
        let refused = nobody.post_from("/sign-in", &token, origin).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{origin:?}");
    }
    let long = "t".repeat(100_000);
    let refused = nobody.post("/sign-in", &[("token", &long)]).await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(refused.text.contains("The form is too long"), "{}", refused.text);
}

async fn a_database_is_created_by_its_form(world: &World, editor: &Browser<'_>) {
    let form = [
        ("namespace", TENANTS),
        ("name", "acme"),
        ("display", "<script>alert(1)</script>\"'"),
        ("country", "se"),
    ];
    let preview = editor.post("/create", &form).await;
    assert_eq!(preview.status, StatusCode::OK, "{}", preview.text);
    assert!(
        preview.text.contains("near: SE") && preview.text.contains("eu-north-1"),
        "{}",
        preview.text
    );
    assert!(!preview.text.contains("<script>alert"), "{}", preview.text);
    assert!(
        preview
            .text
            .contains("name=\"to\" value=\"/create?namespace=tenants&#38;name=acme&#38;"),
        "another language keeps the form: {}",
        preview.text
    );
    let unknown = [form.as_slice(), &[("country", "xx")]].concat();
    let unknown = editor.post("/create", &unknown).await;
    assert_eq!(unknown.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        unknown.text.contains("role=\"alert\"") && unknown.text.contains("placement.near"),
        "{}",
        unknown.text
    );
    assert!(
        world.get(Kind::Orchestra, TENANTS, "acme").await.unwrap().is_none(),
        "a dry run"
    );
    let refused = editor
        .post("/create", &[("namespace", TENANTS), ("name", "acme"), ("ttl", "1s")])
        .await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("role=\"alert\""), "{}", refused.text);

    let agreed = [form.as_slice(), &[("agreed", "1")]].concat();
    it_is_followed_until_it_is_ready(world, editor, &agreed).await;
    kept_by_a_repository(world, editor).await;
}

async fn it_is_followed_until_it_is_ready(world: &World, editor: &Browser<'_>, agreed: &[(&str, &str)]) {
    let created = editor.post("/create", agreed).await;
    assert_eq!(
        created.location, "/tenants/tenants/acme?done=create",
        "{}",
        created.text
    );
    let path = "/tenants/tenants/acme";
    let ready = async || {
        editor
            .slowly(path)
            .await
            .text
            .contains("class=\"state big state-ready\"")
    };
    soon("the page says that it is ready", ready).await;
    let page = editor.get(path).await.text;
    assert!(
        page.contains("acme-connection") && page.contains("kubectl orchestra url acme -n tenants"),
        "{page}"
    );
    assert!(!page.contains("<script>alert"), "{page}");
    for value in secret(world, TENANTS, "acme-connection").await.into_values() {
        assert!(
            value.len() < 20 || !page.contains(&value),
            "a value of the Secret is shown"
        );
    }
    let object = world.get(Kind::Orchestra, TENANTS, "acme").await.unwrap().unwrap();
    let managers = object["metadata"]["managedFields"].as_array().unwrap();
    let ours = managers
        .iter()
        .find(|entry| entry["manager"] == "orchestra-console")
        .unwrap();
    assert_eq!(ours["operation"], "Apply");
    let again = editor.post("/create", agreed).await;
    assert_eq!(again.location, created.location, "the same form twice is one database");
    let other = [agreed, &[("display", "another")]].concat();
    let again = editor.post("/create", &other).await;
    assert!(again.text.contains("exists already"), "{}", again.text);

    let uid = object["metadata"]["uid"].as_str().unwrap();
    let of_another = [("uid", "f4a3f5a4-0000-0000-0000-000000000000"), ("typed", "acme")];
    for action in ["rotate", "delete"] {
        let refused = editor
            .post(&format!("/tenants/tenants/acme/{action}"), &of_another)
            .await;
        assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.text);
    }
    let rotated = editor.post("/tenants/tenants/acme/rotate", &[("uid", uid)]).await;
    assert_eq!(rotated.status, StatusCode::SEE_OTHER, "{}", rotated.text);
    let object = world.get(Kind::Orchestra, TENANTS, "acme").await.unwrap().unwrap();
    assert!(
        object["metadata"]["annotations"]["stagesub.io/rotate-requested-at"].is_string(),
        "{object}"
    );
    let misspelt = [("uid", uid), ("typed", "acm")];
    let typed = editor.post("/tenants/tenants/acme/delete", &misspelt).await;
    assert_eq!(typed.status, StatusCode::UNPROCESSABLE_ENTITY);
}

async fn kept_by_a_repository(world: &World, editor: &Browser<'_>) {
    orchestra(world, "kept", "");
    world
        .kubectl([
            "label",
            "orchestra",
            "kept",
            "-n",
            TENANTS,
            "kustomize.toolkit.fluxcd.io/name=shop",
        ])
        .unwrap();
    let page = editor.get("/tenants/tenants/kept").await.text;
    assert!(
        page.contains("Flux manages this tenant") && !page.contains("/kept/pause\""),
        "{page}"
    );
    let object = world.get(Kind::Orchestra, TENANTS, "kept").await.unwrap().unwrap();
    let uid = object["metadata"]["uid"].as_str().unwrap();
    let forged = editor.post("/tenants/tenants/kept/pause", &[("uid", uid)]).await;
    assert_eq!(forged.status, StatusCode::CONFLICT);
    assert!(forged.text.contains("repository"), "{}", forged.text);
}

/// The form of a new database is none to change one.
async fn who_may_not_read_changes_nothing_by_the_form(world: &World, console: &Running) {
    let role = "--resource=orchestras.stagesub.io";
    world
        .kubectl(["create", "clusterrole", "blind", "--verb=create,patch", role])
        .unwrap();
    let blind = console.signed_in_within(world, "blind", "blind", TENANTS).await;
    let before = world.get(Kind::Orchestra, TENANTS, "acme").await.unwrap().unwrap();
    for agreed in [&[][..], &[("agreed", "yes")][..]] {
        let form = [&[("namespace", TENANTS), ("name", "acme"), ("ttl", "72h")], agreed].concat();
        let page = blind.post("/create", &form).await;
        assert!(page.text.contains("exists already"), "{}", page.text);
    }
    let after = world.get(Kind::Orchestra, TENANTS, "acme").await.unwrap().unwrap();
    assert_eq!(after["spec"], before["spec"]);
}

async fn a_viewer_sees_and_changes_nothing(world: &World, viewer: &Browser<'_>) {
    let page = viewer.get("/tenants/tenants/acme").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(
        !page.text.contains("action=\"/tenants/"),
        "a viewer has no buttons: {}",
        page.text
    );
    assert!(
        page.text.contains("kubectl orchestra pause acme -n tenants"),
        "and the command: {}",
        page.text
    );
    let before = world.get(Kind::Orchestra, TENANTS, "acme").await.unwrap().unwrap();
    let uid = before["metadata"]["uid"].as_str().unwrap();
    for action in ["pause", "rotate", "back-up"] {
        let forged = viewer
            .post(&format!("/tenants/tenants/acme/{action}"), &[("uid", uid)])
            .await;
        assert_eq!(forged.status, StatusCode::FORBIDDEN, "{action}: {}", forged.text);
    }
    let typed = [("uid", uid), ("typed", "acme")];
    let deleted = viewer.post("/tenants/tenants/acme/delete", &typed).await;
    assert_eq!(deleted.status, StatusCode::FORBIDDEN);
    let paused = viewer.post("/classes/standard/rollout", &[("paused", "true")]).await;
    assert_eq!(paused.status, StatusCode::FORBIDDEN);
    let after = world.get(Kind::Orchestra, TENANTS, "acme").await.unwrap().unwrap();
    assert_eq!(before["spec"], after["spec"]);
}

async fn a_visitor_of_one_namespace_sees_what_is_in_it(world: &World, console: &Running) {
    let local = console
        .signed_in_within(world, "local", "orchestra-viewer", TENANTS)
        .await;
    for path in ["/", "/approvals", "/backups", "/cost"] {
        let asked = local.get(path).await;
        assert_eq!(asked.status, StatusCode::FORBIDDEN, "{path}: {}", asked.text);
        let form = format!("method=\"get\" action=\"{path}\"");
        assert!(
            asked.text.contains("Choose a namespace") && asked.text.contains(&form),
            "{}",
            asked.text
        );
        let other = local.get(&format!("{path}?namespace=default")).await;
        assert_eq!(other.status, StatusCode::FORBIDDEN, "{path}: {}", other.text);
        assert!(other.text.contains("You may not do this"), "{path}: {}", other.text);
    }
    for (path, text) in [
        ("/", ">acme</a>"),
        ("/approvals", "No migrations wait"),
        ("/backups", "There is no backup"),
        ("/cost", "USD\u{a0}9.81"),
    ] {
        let page = local.get(&format!("{path}?namespace={TENANTS}")).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text);
        assert!(page.text.contains(text), "{path} without {text}: {}", page.text);
        assert!(
            page.text.contains("href=\"/approvals?namespace=tenants\""),
            "the pages beside stay in the namespace: {}",
            page.text
        );
    }
    let cost = local.get("/cost?namespace=tenants").await.text;
    assert!(
        cost.contains("You may not list the databases") && cost.contains("unknown"),
        "{cost}"
    );
    // Events are read with the same role; nothing of the timeline is missing.
    let tenant = local.get("/tenants/tenants/acme").await.text;
    assert!(!tenant.contains("You may not read all events"), "{tenant}");
}

async fn a_plan_is_read_and_approved(world: &World, console: &Running) {
    let digest = digest(&waiting(world).await);
    let editor = console
        .signed_in_within(world, "approver", "orchestra-editor", TENANTS)
        .await;
    let viewer = console
        .signed_in_within(world, "reader", "orchestra-viewer", TENANTS)
        .await;
    let path = "/approvals/tenants/one";
    let listed = async || editor.slowly("/approvals?namespace=tenants").await.text.contains(path);
    soon("the plan is in the list", listed).await;
    for (visitor, allowed) in [(&viewer, false), (&editor, true)] {
        let page = visitor.get(path).await.text;
        assert!(
            page.contains("Destructive") && page.contains("20260104000000_tidy"),
            "{page}"
        );
        assert_eq!(page.contains("Approve this plan"), allowed, "{page}");
    }
    let form = [("digest", digest.as_str())];
    let forged = viewer.post(path, &form).await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN, "{}", forged.text);
    let other = editor.post(path, &[("digest", "0000")]).await;
    assert_eq!(other.status, StatusCode::CONFLICT, "{}", other.text);
    let approved = editor.post(path, &form).await;
    assert_eq!(
        approved.location, "/tenants/tenants/one?done=approve",
        "{}",
        approved.text
    );
    ready(world, "one").await;
}

async fn every_page_is_there_in_both_languages(viewer: &Browser<'_>) {
    let priced = async || viewer.slowly("/cost").await.text.contains("9.81");
    soon("the database has its price", priced).await;
    for (path, english, swedish) in [
        ("/", "Tenants", "Kunder"),
        ("/?class=standard&text=acm", "1 tenant", "1 kund"),
        ("/tenants/tenants/acme", "What has happened", "Vad som har hänt"),
        ("/create?name=demo", "value=\"demo\"", "Skapa en databas"),
        ("/approvals", "No migrations wait", "Inga migreringar väntar"),
        ("/classes", "standard", "Leverantör"),
        ("/pools", "There is no pool", "Det finns ingen pool"),
        ("/backups", "There is no backup", "Det finns ingen säkerhetskopia"),
        ("/cost", "USD\u{a0}9.81", "9,81\u{a0}USD"),
        ("/cost?label=team", "without the label", "utan etiketten"),
        ("/cost.csv", "tenants/acme", "tenants/acme"),
        (
            "/orphans",
            "Every database serves a tenant",
            "Varje databas betjänar en kund",
        ),
    ] {
        for (page, text) in [
            (viewer.get(path).await, english),
            (viewer.get_swedish(path).await, swedish),
        ] {
            assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text);
            assert!(page.text.contains(text), "{path} without {text}: {}", page.text);
        }
    }
    for path in [
        "/nowhere",
        "/tenants/tenants/acme/rotate",
        "/tenants/tenants/acme%3Fx=1",
        "/tenants/tenants/acme%2F",
        "/tenants/%FF/acme",
    ] {
        let page = viewer.get(path).await;
        let is_known = [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED].contains(&page.status);
        assert!(
            is_known && page.text.contains("There is no such page"),
            "{path}: {}",
            page.text
        );
    }
    assert_eq!(viewer.get("/tenants/tenants/none").await.status, StatusCode::NOT_FOUND);
}
