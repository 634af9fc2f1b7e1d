//! What kubectl makes of the kinds.

use std::{fs, path::Path, process::Command, time::Duration};

use orchestra_sandbox::control_plane::ControlPlane;

fn run(mut command: Command) -> Result<String, String> {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

/// Runs kubectl, which must succeed.
pub fn kubectl(plane: &ControlPlane, arguments: &[&str]) -> String {
    run(plane.kubectl(arguments)).unwrap_or_else(|error| panic!("kubectl {}: {error}", arguments.join(" ")))
}

/// Short names, the category, selectable fields and columns.
pub fn listings(plane: &ControlPlane) {
    let names = |arguments: &str| {
        let arguments: Vec<_> = arguments.split(' ').chain(["-o", "name"]).collect();
        let mut names: Vec<_> = kubectl(plane, &arguments).lines().map(str::to_owned).collect();
        names.sort();
        names
    };
    assert_eq!(names("get orchclass"), ["orchestraclass.stagesub.io/fresh"]);
    assert_eq!(names("get orchpool"), ["orchestrapool.stagesub.io/fresh"]);
    assert_eq!(names("get orchdb").len(), 3);
    assert_eq!(names("get orch").len(), 2);
    assert_eq!(names("get stagesub -A").len(), 7);
    assert_eq!(
        names("get orchdb --field-selector spec.claimRef.uid=project"),
        ["orchestradatabase.stagesub.io/project"]
    );
    assert_eq!(
        names("get orchdb --field-selector spec.className=a"),
        ["orchestradatabase.stagesub.io/project"]
    );
    assert_eq!(
        names("get orch --field-selector spec.className=fresh"),
        ["orchestra.stagesub.io/fresh"]
    );

    let columns = |arguments: &str| {
        let arguments: Vec<_> = arguments.split(' ').collect();
        let header = kubectl(plane, &arguments).lines().next().unwrap().to_owned();
        header
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let orchestra = "NAME READY PHASE CLASS REGION MIGRATION AGE";
    assert_eq!(columns("get orch"), orchestra);
    assert_eq!(
        columns("get orch -o wide"),
        format!("{orchestra} REASON MESSAGE PROJECT SECRET")
    );
    assert_eq!(columns("get orchclass"), "NAME READY PROVIDER TENANTS DEFAULT AGE");
    assert_eq!(columns("get orchdb"), "NAME PHASE CLAIM PROJECT REGION RECLAIM AGE");
    assert_eq!(columns("get orchpool"), "NAME READY DESIRED AVAILABLE BOUND AGE");
}

/// What `kubectl explain` shows. The API server publishes new kinds after a moment.
pub async fn explanations(plane: &ControlPlane) {
    let explain = || run(plane.kubectl(["explain", "orchestra.spec.migrations"]));
    let mut shown = explain();
    for _ in 0..60 {
        if shown.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
        shown = explain();
    }
    let shown = shown.unwrap();
    for part in [
        "source\t<Object> -required-",
        "Where the scripts are",
        "format\t<string>",
        "enum: Prisma",
        "Format of the scripts",
    ] {
        assert!(shown.contains(part), "{part:?} is not in:\n{shown}");
    }
    let policy = kubectl(plane, &["explain", "orchestra.spec.deletionPolicy"]);
    assert!(policy.contains("Omitted: the class's policy"), "{policy}");
}

/// The samples, as users apply them: unknown fields are refused, too.
pub fn samples(plane: &ControlPlane) {
    kubectl(plane, &["create", "namespace", "tenants"]);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/samples");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        kubectl(
            plane,
            &[
                "apply",
                "--dry-run=server",
                "--validate=strict",
                "-f",
                file.to_str().unwrap(),
            ],
        );
        count += 1;
    }
    assert!(count > 0, "no samples");
}
