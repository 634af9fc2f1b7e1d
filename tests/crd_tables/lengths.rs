//! Texts and lists at their limits.

use serde_json::json;

/// As the table's manifests: those at a limit, and those just past it.
pub fn lengths() -> Vec<(&'static str, String, &'static str)> {
    // Characters are counted, not bytes.
    let display = |length| json!({"spec": {"displayName": "é".repeat(length)}}).to_string();
    let sources = |count| {
        let references: Vec<_> = (0..count)
            .map(|number| json!({"name": format!("schema-{number}")}))
            .collect();
        json!({"spec": {"migrations": {"source": {"configMapRefs": references}}}}).to_string()
    };
    let inline = |files| {
        let files: serde_json::Map<_, _> = (0..files)
            .map(|number| (format!("{number}.sql"), json!("é".repeat(65_536))))
            .collect();
        json!({"spec": {"migrations": {"source": {"inline": files}}}}).to_string()
    };
    vec![
        ("Orchestra", inline(2), ""),
        (
            "Orchestra",
            inline(3),
            "inline holds more than 131072 characters: put the files into a ConfigMap",
        ),
        ("Orchestra", display(256), ""),
        (
            "Orchestra",
            display(257),
            "spec.displayName: Too long: may not be more than 256",
        ),
        ("Orchestra", sources(64), ""),
        (
            "Orchestra",
            sources(65),
            "configMapRefs: Too many: 65: must have at most 64 items",
        ),
    ]
}
