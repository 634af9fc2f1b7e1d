//! A user of the cluster who runs `kubectl orchestra`.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use orchestra_sandbox::world::{TENANTS, World};

/// A user with the program.
pub struct User<'a> {
    pub world: &'a World,
    pub program: PathBuf,
    pub kubeconfig: PathBuf,
    /// Texts that no command shows.
    pub hidden: Vec<String>,
}

impl<'a> User<'a> {
    /// Ada may change Orchestras and read Secrets in the namespace of tenants, and look at the rest.
    pub async fn ada(world: &'a World) -> Self {
        world
            .apply(&format!(
                "
apiVersion: v1
kind: ServiceAccount
metadata: {{name: ada, namespace: {TENANTS}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: secrets, namespace: {TENANTS}}}
rules: [{{apiGroups: [''], resources: [secrets, configmaps, events], verbs: [get, list, watch]}}]
"
            ))
            .unwrap();
        let account = format!("--serviceaccount={TENANTS}:ada");
        for (name, role) in [
            ("ada", "--clusterrole=orchestra-editor"),
            ("ada-secrets", "--role=secrets"),
        ] {
            world
                .kubectl(["create", "rolebinding", name, "-n", TENANTS, role, &account])
                .unwrap();
        }
        let viewer = "--clusterrole=orchestra-viewer";
        world
            .kubectl(["create", "clusterrolebinding", "ada", viewer, &account])
            .unwrap();
        let program = world.dir().join("kubectl-orchestra");
        symlink(env!("CARGO_BIN_EXE_orchestra-operator"), &program).unwrap();
        std::fs::create_dir(world.dir().join("runtime")).unwrap();
        Self {
            world,
            program,
            kubeconfig: world
                .plane
                .kubeconfig_for_service_account(TENANTS, "ada")
                .await
                .unwrap(),
            hidden: Vec::new(),
        }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        let psql = self.world.api.postgres().map(|server| server.program("psql"));
        let psql = psql.and_then(|psql| psql.parent().map(|folder| folder.display().to_string()));
        command
            .env_clear()
            .env("KUBECONFIG", &self.kubeconfig)
            .env("PATH", format!("{}:/usr/bin:/bin", psql.unwrap_or_default()))
            .env("XDG_RUNTIME_DIR", self.world.dir().join("runtime"))
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end: its exit code, what it prints and its errors.
    pub fn ends(&self, arguments: &[&str]) -> (i32, String, String) {
        self.output(&mut self.command(arguments))
    }

    /// As [`User::ends`], of a command that was changed.
    pub fn output(&self, command: &mut Command) -> (i32, String, String) {
        let Output { status, stdout, stderr } = command.output().unwrap();
        let [out, error] = [stdout, stderr].map(|text| String::from_utf8(text).unwrap());
        for hidden in &self.hidden {
            assert!(
                !out.contains(hidden) && !error.contains(hidden),
                "{command:?} shows a secret"
            );
        }
        for value in ["ApiError", "Status {", "Some(", "Error("] {
            assert!(!error.contains(value), "{command:?}: {error}");
        }
        (status.code().unwrap(), out, error)
    }

    /// What a command prints that succeeds.
    pub fn says(&self, arguments: &[&str]) -> String {
        let (code, out, error) = self.ends(arguments);
        assert_eq!(code, 0, "{arguments:?}: {error}");
        out
    }

    /// As [`User::says`], in the namespace of the tenants.
    pub fn there(&self, arguments: &[&str]) -> String {
        self.says(&[arguments, &["-n", TENANTS]].concat())
    }

    /// A command that fails with this exit code: what it says of it.
    pub fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let (was, out, error) = self.ends(arguments);
        assert_eq!(was, code, "{arguments:?}: {out}{error}");
        error
    }
}
