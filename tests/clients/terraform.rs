//! The Terraform provider, where its program is there: its Go module takes minutes to build.

use std::path::{Path, PathBuf};
use std::process::Command;

use orchestra_sandbox::StandIn;

use super::{left_out, output, stand_in};

/// The folder of a configuration, and the provider's program.
struct Terraform {
    dir: tempfile::TempDir,
    plan: Vec<String>,
}

impl Terraform {
    /// None where the provider or Terraform is not there.
    fn new() -> Option<Self> {
        let Some(provider) = std::env::var_os("SUPABASE_TERRAFORM_PROVIDER").map(PathBuf::from) else {
            return left_out(
                "SUPABASE_TERRAFORM_PROVIDER does not name the provider's program (tests/clients/README.md)",
            );
        };
        if Command::new("terraform").arg("version").output().is_err() {
            return left_out("terraform is not in PATH");
        }
        let folder = provider.parent().unwrap_or(Path::new("/")).display();
        let dir = tempfile::tempdir().unwrap();
        let config = format!(
            "provider_installation {{\n  dev_overrides {{ \"supabase/supabase\" = \"{folder}\" }}\n  direct {{}}\n}}\n"
        );
        std::fs::write(dir.path().join("terraformrc"), config).unwrap();
        std::fs::write(dir.path().join("main.tf"), include_str!("main.tf")).unwrap();
        let plan = Vec::new();
        Some(Self { dir, plan })
    }

    async fn run(&self, api: &StandIn, what: &[&str]) -> String {
        let mut command = Command::new("terraform");
        command
            .args(what)
            .args(&self.plan)
            .arg("-no-color")
            .current_dir(self.dir.path())
            .env("TF_CLI_CONFIG_FILE", self.dir.path().join("terraformrc"))
            .env("CHECKPOINT_DISABLE", "1")
            .env("SUPABASE_API_ENDPOINT", api.url())
            .env("SUPABASE_ACCESS_TOKEN", api.token());
        output(command).await
    }
}

#[tokio::test]
async fn terraform_finds_no_change_after_it_has_applied() {
    let Some(mut terraform) = Terraform::new() else { return };
    let api = stand_in("pro").await;
    for change in [&[][..], &["-var=size=small", "-var=rows=500"]] {
        terraform.plan = change.iter().map(|it| (*it).to_owned()).collect();
        terraform.run(&api, &["apply", "-auto-approve"]).await;
        let plan = terraform.run(&api, &["plan"]).await;
        assert!(plan.contains("No changes."), "{plan}");
    }
    let made = api.ledger().projects();
    assert_eq!(made.len(), 1);
    terraform.run(&api, &["destroy", "-auto-approve"]).await;
    assert!(api.ledger().projects()[0].deleted.is_some());
    assert!(api.violations().is_empty(), "{:#?}", api.violations());
}
