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
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {destination: {s3: {bucket: backups, credentialsSecretRef: {name: a}}}}}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {destination: {persistentVolumeClaim: {claimName: a, prefix: eu/one}}, \
         maxConcurrent: 8, maxConcurrentPerServer: 2, deadline: 2h, image: registry.example/backup:1, \
         encryption: {recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p], identitySecretRef: {name: a}}}}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, deletion: {finalBackup: Required}}",
        "set backup.destination as well",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, deletion: {finalBackup: Required}, backup: {destination: {persistentVolumeClaim: {claimName: a}}}}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, deletion: {finalBackup: None}}",
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
    // Backups that are stored already.
    (
        "OrchestraBackup",
        "spec: {orchestraRef: {name: acme}, stored: {className: standard, \
         path: 7d1f0c2e93ab/tenants/acme-0f3c6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f/20261129T020000Z-5c0f6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f, \
         manifestDigest: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef}}",
        "",
    ),
    (
        "OrchestraBackup",
        "spec: {orchestraRef: {name: acme}, stored: {className: standard, path: 7d1f0c2e93ab/../acme-0f3c6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f/20261129T020000Z-5c0f6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f}}",
        "spec.stored.path: Invalid value",
    ),
    (
        "OrchestraBackup",
        "spec: {orchestraRef: {name: acme}, stored: {className: standard, path: 7d1f0c2e93ab/tenants/acme-0f3c6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f/20261129T020000Z-5c0f6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f, manifestDigest: sha256}}",
        "spec.stored.manifestDigest: Invalid value",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {destination: {persistentVolumeClaim: {claimName: a}}, recoverFrom: [7d1f0c2e93ab]}}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {destination: {persistentVolumeClaim: {claimName: a}}, recoverFrom: [\"*\"]}}",
        "recoverFrom[0]: Invalid value",
    ),
    (
        "Orchestra",
        "spec: {source: {backupRef: {manifest: \"persistentvolumeclaim://backups/7d1f0c2e93ab/tenants/acme-0f3c6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f/20261129T020000Z-5c0f6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f/manifest.json\"}}}",
        "",
    ),
    (
        "Orchestra",
        "spec: {source: {backupRef: {name: last, manifest: \"s3://backups/eu/7d1f0c2e93ab/tenants/acme-0f3c6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f/20261129T020000Z-5c0f6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f/manifest.json\"}}}",
        "set either name or manifest",
    ),
    (
        "Orchestra",
        "spec: {source: {backupRef: {}}}",
        "set either name or manifest",
    ),
    (
        "Orchestra",
        "spec: {source: {backupRef: {manifest: \"https://backups/7d1f0c2e93ab/tenants/acme-0f3c6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f/20261129T020000Z-5c0f6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f/manifest.json\"}}}",
        "backupRef.manifest: Invalid value",
    ),
    // Schedules.
    ("Orchestra", "spec: {backup: {}}", ""),
    (
        "Orchestra",
        "spec: {backup: {schedule: \"0 2 * * *\", timeZone: Europe/Stockholm, suspend: true, deletionPolicy: Retain, \
         retention: {maxAge: 2160h, last: 7, daily: 30, weekly: 8, monthly: 12}}}",
        "",
    ),
    ("Orchestra", "spec: {backup: {retention: {last: 7}}}", ""),
    (
        "Orchestra",
        "spec: {backup: {timeZone: Europe/Stockholm}}",
        "timeZone belongs to a schedule",
    ),
    (
        "Orchestra",
        "spec: {backup: {schedule: \"@daily; rm\"}}",
        "spec.backup.schedule: Invalid value",
    ),
    (
        "Orchestra",
        "spec: {backup: {schedule: \"0 2 * * *\", timeZone: ../etc/passwd}}",
        "spec.backup.timeZone: Invalid value",
    ),
    (
        "Orchestra",
        "spec: {backup: {retention: {}}}",
        "set maxAge, last, daily, weekly or monthly",
    ),
    (
        "Orchestra",
        "spec: {backup: {retention: {maxAge: 30m}}}",
        "maxAge must be from 1h to 87600h",
    ),
    (
        "Orchestra",
        "spec: {backup: {retention: {last: 0}}}",
        "spec.backup.retention.last: Invalid value",
    ),
    (
        "Orchestra",
        "spec: {backup: {retention: {daily: 1001}}}",
        "spec.backup.retention.daily: Invalid value",
    ),
    (
        "Orchestra",
        "spec: {backup: {deletionPolicy: Keep}}",
        "spec.backup.deletionPolicy: Unsupported value",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {destination: {persistentVolumeClaim: {claimName: a}}, \
         schedule: \"0 2 * * *\", timeZone: Europe/Stockholm, suspend: true, retention: {weekly: 4}}}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {destination: {persistentVolumeClaim: {claimName: a}}, timeZone: UTC}}",
        "timeZone belongs to a schedule",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {destination: {persistentVolumeClaim: {claimName: a}}, retention: {}}}",
        "set maxAge, last, daily, weekly or monthly",
    ),
    // Bounds of what is kept, and prices.
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {destination: {persistentVolumeClaim: {claimName: a}}, retentionLimits: {minAge: 72h, minCount: 3, maxAge: 2160h, maxCount: 60}, prices: {storedGigabyte: '0.023', sentGigabyte: '0.09'}}}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {destination: {persistentVolumeClaim: {claimName: a}}, retentionLimits: {maxAge: 72h, minCount: 1}}}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {destination: {persistentVolumeClaim: {claimName: a}}, retentionLimits: {}}}",
        "set minAge, maxAge, minCount or maxCount",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {destination: {persistentVolumeClaim: {claimName: a}}, retentionLimits: {minAge: 48h, maxAge: 24h}}}",
        "minAge must not be longer than maxAge",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {destination: {persistentVolumeClaim: {claimName: a}}, retentionLimits: {minCount: 8, maxCount: 7}}}",
        "minCount must not be more than maxCount",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {destination: {persistentVolumeClaim: {claimName: a}}, retentionLimits: {minAge: 1m}}}",
        "minAge must be from 1h to 87600h",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {destination: {persistentVolumeClaim: {claimName: a}}, retentionLimits: {maxAge: 90000h}}}",
        "maxAge must be from 1h to 87600h",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {destination: {persistentVolumeClaim: {claimName: a}}, retentionLimits: {maxCount: 0}}}",
        "spec.backup.retentionLimits.maxCount: Invalid value",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {destination: {persistentVolumeClaim: {claimName: a}}, prices: {storedGigabyte: free}}}",
        "spec.backup.prices.storedGigabyte: Invalid value",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {destination: {persistentVolumeClaim: {claimName: a}}, prices: {sentGigabyte: '-1'}}}",
        "spec.backup.prices.sentGigabyte: Invalid value",
    ),
    // Drills.
    ("Orchestra", "spec: {backup: {verify: {target: ScratchDatabase}}}", ""),
    (
        "Orchestra",
        "spec: {backup: {verify: {schedule: \"0 4 * * 0\", timeZone: Europe/Stockholm, target: ScratchDatabase, \
         assertions: {configMapRef: {name: checks, key: members.sql}}}}}",
        "",
    ),
    ("Orchestra", "spec: {backup: {verify: {}}}", "target: Required value"),
    (
        "Orchestra",
        "spec: {backup: {verify: {target: PoolMember}}}",
        "spec.backup.verify.target: Unsupported value",
    ),
    (
        "Orchestra",
        "spec: {backup: {verify: {target: ScratchDatabase, timeZone: UTC}}}",
        "timeZone belongs to a schedule",
    ),
    (
        "Orchestra",
        "spec: {backup: {verify: {target: ScratchDatabase, schedule: \"@daily; rm\"}}}",
        "spec.backup.verify.schedule: Invalid value",
    ),
    (
        "Orchestra",
        "spec: {backup: {verify: {target: ScratchDatabase, assertions: {}}}}",
        "configMapRef: Required value",
    ),
    (
        "Orchestra",
        "spec: {backup: {verify: {target: ScratchDatabase, assertions: {configMapRef: {name: checks, key: ../x}}}}}",
        "key: Invalid value",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {destination: {persistentVolumeClaim: {claimName: a}}, scratchPoolName: trial, \
         verify: {schedule: \"0 4 * * 0\", target: ScratchDatabase}}}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {destination: {persistentVolumeClaim: {claimName: a}}, scratchPoolName: Trial}}",
        "scratchPoolName: Invalid value",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, backup: {schedule: \"0 2 * * *\"}}",
        "spec.backup.destination: Required value",
    ),
];

/// Kind, manifest before and after, and a part of the refusal; empty: accepted.
pub const CHANGES: &[(&str, &str, &str, &str)] = &[
    (
        "OrchestraBackup",
        "spec: {orchestraRef: {name: acme}}",
        "spec: {orchestraRef: {name: acme}, stored: {className: standard, path: 7d1f0c2e93ab/tenants/acme-0f3c6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f/20261129T020000Z-5c0f6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f}}",
        "stored is immutable",
    ),
    (
        "OrchestraBackup",
        "spec: {orchestraRef: {name: acme}, stored: {className: standard, path: 7d1f0c2e93ab/tenants/acme-0f3c6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f/20261129T020000Z-5c0f6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f}}",
        "spec: {orchestraRef: {name: acme}, stored: {className: standard, path: 7d1f0c2e93ab/tenants/acme-0f3c6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f/20261129T030000Z-5c0f6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f}}",
        "stored is immutable",
    ),
    (
        "OrchestraBackup",
        "spec: {orchestraRef: {name: acme}, stored: {className: standard, path: 7d1f0c2e93ab/tenants/acme-0f3c6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f/20261129T020000Z-5c0f6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f}}",
        "spec: {deletionPolicy: Delete, orchestraRef: {name: acme}, stored: {className: standard, path: 7d1f0c2e93ab/tenants/acme-0f3c6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f/20261129T020000Z-5c0f6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f}}",
        "",
    ),
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
