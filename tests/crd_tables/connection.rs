//! The connection Secret and the rotation of its login.

/// Kind, manifest, and a part of the refusal; empty: accepted.
pub const CONNECTIONS: &[(&str, &str, &str)] = &[
    (
        "Orchestra",
        "spec: {connection: {mode: Direct, type: servicebinding.io/postgresql, \
         labels: {team: strings, example.com/tier: gold}, annotations: {example.com/note: any text}, \
         template: {DATABASE_URL: \"{{ session_url }}\", config.json: \"{}\"}, \
         rotation: {schedule: 0 3 1 * *, timeZone: Europe/Stockholm, overlap: 24h}}}",
        "",
    ),
    ("Orchestra", "spec: {connection: {rotation: {}}}", ""),
    ("Orchestra", "spec: {connection: {rotation: {overlap: 1h}}}", ""),
    (
        "Orchestra",
        "spec: {connection: {rotation: {also: [OwnerPassword]}}}",
        "",
    ),
    (
        "Orchestra",
        "spec: {connection: {rotation: {also: [OwnerPassword, APIKeys]}}}",
        "",
    ),
    (
        "Orchestra",
        "spec: {connection: {rotation: {also: [Everything]}}}",
        "Unsupported value",
    ),
    (
        "Orchestra",
        "spec: {connection: {rotation: {also: [OwnerPassword, OwnerPassword]}}}",
        "Duplicate value",
    ),
    (
        "Orchestra",
        "spec: {connection: {rotation: {also: [ApiKeys]}}}",
        "Unsupported value",
    ),
    (
        "Orchestra",
        "spec: {connection: {type: Opaque, labels: {}, template: {}}}",
        "",
    ),
    (
        "Orchestra",
        "spec: {connection: {type: kubernetes.io/tls}}",
        "spec.connection.type: Unsupported value",
    ),
    (
        "Orchestra",
        "spec: {connection: {labels: {app.kubernetes.io/name: x}}}",
        "a key must be that of a label",
    ),
    (
        "Orchestra",
        "spec: {connection: {labels: {stagesub.io/orchestra: other}}}",
        "a key must be that of a label",
    ),
    (
        "Orchestra",
        "spec: {connection: {annotations: {kubernetes.io/x: any}}}",
        "a key must be that of a label",
    ),
    (
        "Orchestra",
        "spec: {connection: {annotations: {a.k8s.io/x: any}}}",
        "a key must be that of a label",
    ),
    (
        "Orchestra",
        "spec: {connection: {labels: {notkubernetes.io/name: x}}}",
        "",
    ),
    (
        "Orchestra",
        "spec: {connection: {labels: {\"a b\": x}}}",
        "a key must be that of a label",
    ),
    (
        "Orchestra",
        "spec: {connection: {labels: {a: \"not a label\"}}}",
        "spec.connection.labels.a: Invalid value",
    ),
    (
        "Orchestra",
        "spec: {connection: {template: {\"a/b\": x}}}",
        "a key of a Secret has at most 253",
    ),
    (
        "Orchestra",
        "spec: {connection: {template: {..data: x}}}",
        "a key of a Secret has at most 253",
    ),
    (
        "Orchestra",
        "spec: {connection: {rotation: {timeZone: UTC}}}",
        "timeZone belongs to a schedule",
    ),
    (
        "Orchestra",
        "spec: {connection: {rotation: {overlap: 0s}}}",
        "overlap must be from 1s to 8760h",
    ),
    (
        "Orchestra",
        "spec: {connection: {rotation: {overlap: a day}}}",
        "spec.connection.rotation.overlap: Invalid value",
    ),
    (
        "Orchestra",
        "spec: {connection: {rotation: {schedule: \"\"}}}",
        "spec.connection.rotation.schedule: Invalid value",
    ),
    (
        "Orchestra",
        "spec: {connection: {rotation: {schedule: 0 3 1 * *; rm}}}",
        "spec.connection.rotation.schedule: Invalid value",
    ),
    (
        "Orchestra",
        "spec: {connection: {rotation: {schedule: 0 3 1 * *, timeZone: ../../etc/passwd}}}",
        "spec.connection.rotation.timeZone: Invalid value",
    ),
];
