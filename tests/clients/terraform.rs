//! The Terraform provider, where its program can be had: it is built of its Go module once, and kept.

use std::path::{Path, PathBuf};
use std::process::Command;

use orchestra_sandbox::StandIn;

use super::{left_out, npm, output, stand_in};

const MODULE: &str = "github.com/supabase/terraform-provider-supabase";
const VERSION: &str = "v1.9.1";

/// The longest that the build of the provider may take, in seconds.
const BUILD: &str = "300";

/// The provider's program: the one that `SUPABASE_TERRAFORM_PROVIDER` names, or one that is built of its Go module.
fn provider() -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os("SUPABASE_TERRAFORM_PROVIDER") {
        return Ok(PathBuf::from(named));
    }
    let folder = npm::cache().join(format!("terraform-provider-supabase-{VERSION}"));
    let program = folder.join("terraform-provider-supabase");
    if program.exists() {
        return Ok(program);
    }
    std::fs::create_dir_all(&folder).unwrap();
    let fresh = tempfile::tempdir_in(&folder).unwrap();
    let built = Command::new("timeout")
        .args([
            "--kill-after=10",
            BUILD,
            "go",
            "install",
            &format!("{MODULE}@{VERSION}"),
        ])
        .env("GOBIN", fresh.path())
        .output()
        .map_err(|error| format!("go install of the provider was not started: {error}"))?;
    match built.status.code() {
        Some(0) => {}
        Some(124 | 137) => return Err(format!("the provider was not built within {BUILD} s")),
        Some(127) => return Err("go is not installed, and SUPABASE_TERRAFORM_PROVIDER names no provider".into()),
        _ => {
            let said = String::from_utf8_lossy(&built.stderr);
            let said: Vec<_> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            return Err(format!("go install {MODULE}@{VERSION}: {}", said.join(" ")));
        }
    }
    std::fs::rename(fresh.path().join("terraform-provider-supabase"), &program).unwrap();
    Ok(program)
}

/// The folder of a configuration, and the provider's program.
struct Terraform {
    dir: tempfile::TempDir,
    plan: Vec<String>,
}

impl Terraform {
    /// None where Terraform is not there, or the provider cannot be had.
    fn new() -> Option<Self> {
        if Command::new("terraform").arg("version").output().is_err() {
            return left_out("terraform is not in PATH");
        }
        let provider = match provider() {
            Ok(provider) => provider,
            Err(why) => return left_out(&format!("{why} (tests/clients/README.md)")),
        };
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
