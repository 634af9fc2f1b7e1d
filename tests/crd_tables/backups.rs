//! Backups: what is accepted and refused.

/// Kind, manifest, and a part of the refusal; empty: accepted.
pub const MANIFESTS: &[(&str, &str, &str)] = &[
    ("OrchestraBackup", "spec: {orchestraRef: {name: acme}}", ""),
    (
        "OrchestraBackup",
        "spec: {orchestraRef: {name: acme}, deletionPolicy: Delete}",
        "",
    ),
    ("OrchestraBackup", "spec: {}", "spec.orchestraRef: Required value"),
    (
        "OrchestraBackup",
        "spec: {orchestraRef: {name: ../acme}}",
        "spec.orchestraRef.name: Invalid value",
    ),
    (
        "OrchestraBackup",
        "spec: {orchestraRef: {name: acme}, deletionPolicy: Keep}",
        "spec.deletionPolicy: Unsupported value",
    ),
    (
        "Orchestra",
        "spec: {backup: {schedule: 0 2 * * *, timeZone: Europe/Stockholm, retention: {keepLast: 7, daily: 30}}}",
        "",
    ),
    ("Orchestra", "spec: {backup: {suspend: true}}", ""),
    (
        "Orchestra",
        "spec: {backup: {timeZone: Europe/Stockholm}}",
        "timeZone belongs to a schedule",
    ),
    (
        "Orchestra",
        "spec: {backup: {schedule: \"@daily;rm\"}}",
        "spec.backup.schedule: Invalid value",
    ),
    (
        "Orchestra",
        "spec: {backup: {retention: {}}}",
        "set at least one of keepLast, keepWithin, daily, weekly and monthly",
    ),
    (
        "Orchestra",
        "spec: {backup: {retention: {keepWithin: 30m}}}",
        "keepWithin must be from 1h to 87600h",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {destination: {s3: {bucket: backups, credentialsSecretRef: {name: a}}}}}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {destination: {persistentVolumeClaim: {claimName: a, prefix: eu/one}}, \
         schedule: 0 2 * * *, retention: {keepLast: 7, keepWithin: 168h, daily: 7, weekly: 4, monthly: 12}, \
         maxConcurrent: 8, maxConcurrentPerServer: 2, deadline: 2h, image: registry.example/backup:1, \
         encryption: {recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]}}}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {}}",
        "spec.backup.destination: Required value",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {destination: {}}}",
        "set either s3 or persistentVolumeClaim",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {destination: {persistentVolumeClaim: {claimName: a, prefix: a/../b}}}}",
        "prefix: Invalid value",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {destination: {s3: {bucket: backups, endpoint: \"http://store:9000\", \
         credentialsSecretRef: {name: a}}}}}",
        "use https, or set insecure: true",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {destination: {s3: {bucket: backups, endpoint: \"http://store:9000\", \
         insecure: true, credentialsSecretRef: {name: a}}}}}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {destination: {s3: {bucket: backups, endpoint: \"https://me:word@store\", \
         credentialsSecretRef: {name: a}}}}}",
        "endpoint: Invalid value",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {destination: {persistentVolumeClaim: {claimName: a}}, \
         encryption: {recipients: [AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ]}}}",
        "recipients[0]: Invalid value",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {destination: {persistentVolumeClaim: {claimName: a}}, maxConcurrent: 0}}",
        "maxConcurrent: Invalid value",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {destination: {persistentVolumeClaim: {claimName: a}}, deadline: 1s}}",
        "deadline must be from 1m to 168h",
    ),
];

/// Kind, manifest before and after, and a part of the refusal; empty: accepted.
pub const CHANGES: &[(&str, &str, &str, &str)] = &[
    (
        "OrchestraBackup",
        "spec: {orchestraRef: {name: acme}}",
        "spec: {orchestraRef: {name: other}}",
        "orchestraRef is immutable",
    ),
    (
        "OrchestraBackup",
        "spec: {orchestraRef: {name: acme}}",
        "spec: {orchestraRef: {name: acme}, deletionPolicy: Delete}",
        "",
    ),
];
