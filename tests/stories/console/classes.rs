//! Classes that a tool keeps as a repository has them.

use orchestra_sandbox::world::World;
use reqwest::StatusCode;

use super::browser::Browser;

pub async fn a_class_of_a_repository_is_changed_there(world: &World, viewer: &Browser<'_>) {
    let name = "argocd.argoproj.io/tracking-id";
    let mark = |value: &str| {
        let annotation = format!("{name}{value}");
        world
            .kubectl(["annotate", "orchclass", "standard", &annotation])
            .unwrap();
    };
    mark("=fleet:stagesub.io/OrchestraClass:standard");
    let page = viewer.get("/classes").await;
    assert!(
        page.text.contains("Argo CD") && page.text.contains("fleet"),
        "{}",
        page.text
    );
    let kept = viewer.post("/classes/standard/rollout", &[("paused", "true")]).await;
    assert_eq!(kept.status, StatusCode::CONFLICT, "{}", kept.text);
    mark("-");
    let page = viewer.get("/classes").await;
    assert!(!page.text.contains("Argo CD"), "{}", page.text);
}
