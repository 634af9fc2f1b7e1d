//! Where the commands of the docs run: nothing is changed, and programs of others do nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use orchestra_sandbox::control_plane::ControlPlane;

use super::judged::judged;
use super::project;

/// Programs that the docs name and that no test needs. They take what they are given.
const OTHERS: [&str; 15] = [
    "docker",
    "flux",
    "oras",
    "psql",
    "pg_dump",
    "pg_restore",
    "curl",
    "cargo",
    "helm",
    "supabase",
    "npx",
    "mdbook",
    "promtool",
    "git",
    "jq",
];

/// A folder that looks like the repository, and the programs that a block finds there.
pub struct Place {
    folder: PathBuf,
    programs: PathBuf,
    kubeconfig: PathBuf,
}

/// kubectl, except that nothing is changed or waited for.
const KUBECTL: &str = r#"#!/usr/bin/env bash
verb= what= skip= dry=
for word in "$@"; do
    if [ -n "$skip" ]; then skip=; continue; fi
    case $word in
        --dry-run*) dry=1 ;;
        -n|--namespace) skip=1 ;;
        -*) ;;
        *) if [ -z "$verb" ]; then verb=$word; elif [ -z "$what" ]; then what=$word; fi ;;
    esac
done
{ printf '%s\0' kubectl "$verb"; printf '\n'; } >> "$CALLS/$$"
case $verb in
    create)
        [ -z "$dry" ] && [ "$what" != token ] || exec "$KUBECTL" "$@"
        said=$("$KUBECTL" "$@" --dry-run=server 2>&1) || [[ $said == *"already exists"* ]] || { echo "$said" >&2; exit 1; } ;;
    annotate|apply|delete|label|patch|replace|scale)
        [ -n "$dry" ] || set -- "$@" --dry-run=server
        exec "$KUBECTL" "$@" ;;
    wait)
        said=$("$KUBECTL" "$@" --timeout=0s 2>&1) && exit
        [[ $said == *"timed out waiting"* || $said == *"condition not met"* ]] || { echo "$said" >&2; exit 1; } ;;
    describe|events|explain|get|kustomize|version) exec timeout 20 "$KUBECTL" "$@" ;;
    diff) "$KUBECTL" "$@" || [ $? = 1 ] ;;
    exec|logs|port-forward|rollout|top) ;;
    orchestra)
        while [ "$1" != orchestra ]; do set -- "${@:2}" "$1"; done
        exec kubectl-orchestra "${@:2}" ;;
    *) echo "kubectl $verb is not known to tests/docs/place.rs" >&2; exit 64 ;;
esac
"#;

/// Another program: it notes what it was called with.
const OTHER: &str = r#"#!/usr/bin/env bash
{ printf '%s\0' "${0##*/}" "$@"; printf '\n'; } >> "$CALLS/$$"
[ -t 0 ] || cat > /dev/null
"#;

/// Ours: what needs no cluster is printed.
const OURS: &str = r#"#!/usr/bin/env bash
{ printf '%s\0' "${0##*/}" "$@"; printf '\n'; } >> "$CALLS/$$"
case $1 in
    crd|rbac) exec "$OPERATOR" "$@" ;;
    rebuild) printf 'apiVersion: stagesub.io/v1alpha1\nkind: Orchestra\nmetadata: {name: rebuilt, namespace: tenants}\n' ;;
esac
"#;

impl Place {
    /// Makes the folder and the programs.
    pub fn make(plane: &ControlPlane, dir: &Path) -> Self {
        let (folder, programs) = (dir.join("repository"), dir.join("programs"));
        for folder in [&folder, &programs] {
            fs::create_dir(folder).unwrap();
        }
        for (path, text) in [
            ("prisma/migrations/20260101000000_a/migration.sql", "SELECT 1;"),
            ("supabase/migrations/20260101000000_a.sql", "SELECT 1;"),
            ("migrations/1_a.sql", "SELECT 1;"),
            ("10_settings.sql", "SELECT 1;"),
            ("20_Member.csv", "id\n1\n"),
            ("token", "t"),
            (".env.local", "SUPABASE_MANAGEMENT_TOKEN=t\n"),
            (
                "class.yaml",
                "apiVersion: stagesub.io/v1alpha1\nkind: OrchestraClass\nmetadata: {name: a}\nspec: {pools: {names: [house]}}\n",
            ),
            (
                "rebuilt.yaml",
                "apiVersion: stagesub.io/v1alpha1\nkind: Orchestra\nmetadata: {name: a, namespace: tenants}\n",
            ),
        ] {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        for from in ["deploy", "crds"] {
            let copied = Command::new("cp")
                .arg("-r")
                .arg(project().join(from))
                .arg(&folder)
                .status()
                .unwrap();
            assert!(copied.success());
        }
        let programs_of_ours = [
            ("kubectl", KUBECTL),
            ("orchestra-operator", OURS),
            ("kubectl-orchestra", OTHER),
            ("make", OTHER),
        ];
        for (name, text) in OTHERS.map(|name| (name, OTHER)).into_iter().chain(programs_of_ours) {
            let path = programs.join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let real = plane.kubectl([""; 0]).get_program().to_owned();
        let link = programs.join("real-kubectl");
        std::os::unix::fs::symlink(real, &link).unwrap();
        Self {
            folder,
            programs,
            kubeconfig: plane.admin_kubeconfig(),
        }
    }

    /// The folder that looks like the repository.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// kubectl itself.
    pub fn kubectl(&self) -> Command {
        Command::new(self.programs.join("real-kubectl"))
    }

    /// Runs a block's commands, or only has bash parse them.
    pub fn run(&self, number: usize, script: &str, is_run: bool) -> Result<(), String> {
        let calls = self.programs.join(format!("calls-{number}"));
        // A file for each process: those of a pipeline would write between each other's words.
        fs::create_dir(&calls).unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut bash = Command::new("bash");
        bash.args(if is_run {
            ["-euo", "pipefail"].as_slice()
        } else {
            &["-n"]
        });
        let output = bash
            .arg("-c")
            .arg(script)
            .env("CALLS", &calls)
            .env("OPERATOR", env!("CARGO_BIN_EXE_orchestra-operator"))
            .env("KUBECTL", self.programs.join("real-kubectl"))
            .env("HOME", &self.folder)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", self.programs.join("cache"))
            .env("PATH", format!("{}:{path}", self.programs.display()))
            .stdin(std::process::Stdio::null())
            .current_dir(&self.folder)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(format!("{script}\n{} {said}", output.status));
        }
        if !is_run {
            return Ok(());
        }
        let noted = fs::read_dir(calls).unwrap();
        let calls: String = noted
            .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
            .collect();
        let mut is_looked_at = false;
        for call in calls.split("\0\n").filter(|call| !call.is_empty()) {
            let words: Vec<_> = call.split('\0').map(str::to_owned).collect();
            match judged(&words) {
                None => {}
                Some(Ok(())) => is_looked_at = true,
                Some(Err(why)) => return Err(format!("{script}\n{why}")),
            }
        }
        if is_looked_at {
            Ok(())
        } else {
            Err(format!(
                "{script}\nnothing of this block runs in a test: mark it with `not-run`"
            ))
        }
    }
}
