//! What manifests would change, before they are applied.

use orchestra_sandbox::world::{Kind, TENANTS, World};

use super::holds;
use super::user::User;

/// The spec of [`orchestra`].
const ONE: &str = "{displayName: Test Orchestra AB, migrations: {source: {configMapRef: {name: schema}}}, seed: {configMapRef: {name: demo-seed}}}";

pub async fn plans(world: &World, ada: &User<'_>) {
    let file = world.dir().join("plan.yaml");
    let manifest = |spec: &str| {
        let text = format!(
            "apiVersion: stagesub.io/v1alpha1\nkind: Orchestra\nmetadata: {{name: two, namespace: {TENANTS}}}\nspec: {spec}\n---\n\
             apiVersion: stagesub.io/v1alpha1\nkind: Orchestra\nmetadata: {{name: one, namespace: {TENANTS}}}\nspec: {ONE}\n"
        );
        std::fs::write(&file, text).unwrap();
    };
    manifest("{migrations: {source: {configMapRef: {name: schema}}}}");
    let path = file.to_str().unwrap();
    let plan = ada.says(&["plan", "-f", path]);
    holds(
        &plan,
        &[
            "orchestra.stagesub.io/tenants/two is created",
            "creates a project in",
            "USD a month",
            "migrates:  20260102000000_concerts",
            "orchestra.stagesub.io/tenants/one stays as it is",
            "1 to create, 0 to change, 0 to delete, 0 refused. Nothing was changed.",
        ],
    );
    manifest("{ttl: 72h}");
    holds(
        &ada.says(&["plan", "-f", path]),
        &["is refused", "deletionPolicy: Delete", "1 refused"],
    );
    // A class that only the manifests have.
    manifest("{className: northern}");
    let without = ada.says(&["plan", "-f", path]);
    holds(&without, &["it waits: OrchestraClass northern does not exist"]);
    let class = world.dir().join("class.yaml");
    let text = "apiVersion: stagesub.io/v1alpha1\nkind: OrchestraClass\nmetadata: {name: northern}\n\
                spec: {provider: {supabase: {organization: acme-org, tokenSecretRef: {name: t}}}}\n";
    std::fs::write(&class, text).unwrap();
    let with = ada.says(&["plan", "-f", path, "-f", class.to_str().unwrap()]);
    let created = [
        "creates a project in a region of the class's choice",
        "class northern is not known",
    ];
    holds(&with, &created);
    manifest("{ttl: 72h}");
    let gone = ada.says(&["plan", "-f", path, "--delete"]);
    holds(
        &gone,
        &[
            "tenants/one is deleted",
            "Secret one-connection",
            "is kept with its data",
        ],
    );
    assert!(world.get(Kind::Orchestra, TENANTS, "two").await.unwrap().is_none());
    assert_eq!(ada.there(&["plan", "one"]), "none: no migrations wait for approval\n");
    let nothing = ada.fails(1, &["approve", "one", "--digest", "sha256:0", "-n", TENANTS]);
    holds(&nothing, &["error: no migrations of tenants/one wait for approval"]);
}
