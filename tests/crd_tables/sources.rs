//! Where scripts are: what the API server must accept, and what it must refuse.

const ONE: &str = "exactly one of configMapRef, configMapRefs, inline, oci and folder must be set";
const FOLDER: &str = "spec.migrations.source.folder: Invalid value";
const PATH: &str = "spec.migrations.source.path: Invalid value";
const INSECURE: &str = "an Orchestra may set oci.insecure only for a registry at a loopback address";
const IMAGE: &str = "spec.migrations.source.oci.image: Invalid value";

/// As the other tables.
pub const SOURCES: &[(&str, &str, &str)] = &[
    // Sources: one of five.
    (
        "Orchestra",
        "spec: {migrations: {source: {configMapRef: {name: a}, configMapRefs: null}}}",
        "",
    ),
    (
        "Orchestra",
        "spec: {migrations: {source: {configMapRef: {name: a}, configMapRefs: [{name: b}]}}}",
        "exactly one of configMapRef, configMapRefs, inline, oci and folder must be set",
    ),
    (
        "Orchestra",
        "spec: {migrations: {source: {}}}",
        "exactly one of configMapRef, configMapRefs, inline, oci and folder must be set",
    ),
    (
        "Orchestra",
        "spec: {migrations: {source: {configMapRefs: []}}}",
        "spec.migrations.source.configMapRefs: Invalid value",
    ),
    (
        "Orchestra",
        "spec: {migrations: {source: {inline: {1_a.sql: SELECT 1, 2_b/migration.sql: ''}}}}",
        "",
    ),
    (
        "Orchestra",
        "spec: {migrations: {source: {inline: {}}}}",
        "spec.migrations.source.inline",
    ),
    (
        "Orchestra",
        "spec: {migrations: {source: {oci: {image: oci://ghcr.io/acme/migrations, tag: v1.2}, path: db/migrations}}}",
        "",
    ),
    (
        "Orchestra",
        "spec: {migrations: {source: {oci: {image: 127.0.0.1:5000/a_b/c.d, insecure: true, pullSecretRef: {name: pull}, \
         digest: 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'}}}}",
        "",
    ),
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, migrations: {source: {oci: {image: registry.local/a, tag: a}}}}",
        "",
    ),
    // Without TLS: a class from anywhere, an Orchestra from the same machine.
    (
        "OrchestraClass",
        "spec: {pools: {names: [a]}, migrations: {source: {oci: {image: registry.local/a, tag: a, insecure: true}}}}",
        "",
    ),
    (
        "Orchestra",
        "spec: {migrations: {source: {oci: {image: 'oci://localhost:5000/a', tag: a, insecure: true}}}}",
        "",
    ),
    (
        "Orchestra",
        "spec: {seed: {oci: {image: 127.0.0.2/a, tag: a, insecure: true}}}",
        "",
    ),
    (
        "Orchestra",
        "spec: {seed: {oci: {image: ghcr.io/a, tag: a, insecure: false}}}",
        "",
    ),
    (
        "Orchestra",
        "spec: {migrations: {source: {oci: {image: ghcr.io/a, tag: a, insecure: true}}}}",
        INSECURE,
    ),
    (
        "Orchestra",
        "spec: {seed: {oci: {image: 'registry.tenants.svc:5000/a', tag: a, insecure: true}}}",
        INSECURE,
    ),
    (
        "Orchestra",
        "spec: {seed: {oci: {image: 'localhost.evil.example/a', tag: a, insecure: true}}}",
        INSECURE,
    ),
    (
        "Orchestra",
        "spec: {migrations: {source: {oci: {image: '127.0.0.1.evil.example:80/a', tag: a, insecure: true}}}}",
        INSECURE,
    ),
    ("Orchestra", "spec: {migrations: {source: {folder: app/prisma}}}", ""),
    ("Orchestra", "spec: {migrations: {source: {folder: .hidden/a..b}}}", ""),
    ("Orchestra", "spec: {seed: {configMapRefs: [{name: a}, {name: b}]}}", ""),
    (
        "Orchestra",
        "spec: {seed: {inline: {a.sql: SELECT 1}, policy: Once}}",
        "",
    ),
    (
        "Orchestra",
        "spec: {seed: {oci: {image: ghcr.io/a, tag: b}, path: supabase/seed.sql}}",
        "",
    ),
    ("Orchestra", "spec: {seed: {folder: a}}", ""),
    // Exactly one.
    ("Orchestra", "spec: {seed: {folder: a, inline: {a.sql: SELECT 1}}}", ONE),
    (
        "Orchestra",
        "spec: {migrations: {source: {folder: a, oci: {image: ghcr.io/a, tag: b}}}}",
        ONE,
    ),
    ("Orchestra", "spec: {migrations: {source: {path: a}}}", ONE),
    (
        "Orchestra",
        "spec: {migrations: {source: {oci: {image: ghcr.io/a}}}}",
        "exactly one of tag and digest must be set",
    ),
    (
        "Orchestra",
        "spec: {seed: {oci: {image: ghcr.io/a, tag: b, \
         digest: 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'}}}",
        "exactly one of tag and digest must be set",
    ),
    // Nothing that leads elsewhere.
    ("Orchestra", "spec: {migrations: {source: {folder: /etc}}}", FOLDER),
    ("Orchestra", "spec: {migrations: {source: {folder: ..}}}", FOLDER),
    ("Orchestra", "spec: {migrations: {source: {folder: .}}}", FOLDER),
    (
        "Orchestra",
        "spec: {migrations: {source: {folder: a/../../etc}}}",
        FOLDER,
    ),
    ("Orchestra", "spec: {migrations: {source: {folder: a/..data}}}", FOLDER),
    ("Orchestra", "spec: {migrations: {source: {folder: a//b}}}", FOLDER),
    ("Orchestra", "spec: {migrations: {source: {folder: a/}}}", FOLDER),
    ("Orchestra", r"spec: {migrations: {source: {folder: 'a\b'}}}", FOLDER),
    (
        "Orchestra",
        "spec: {migrations: {source: {folder: a, path: ../b}}}",
        PATH,
    ),
    ("Orchestra", "spec: {migrations: {source: {folder: a, path: ''}}}", PATH),
    (
        "Orchestra",
        "spec: {migrations: {source: {oci: {image: ghcr.io, tag: a}}}}",
        IMAGE,
    ),
    (
        "Orchestra",
        "spec: {migrations: {source: {oci: {image: 'ghcr.io/a:v1', tag: a}}}}",
        IMAGE,
    ),
    (
        "Orchestra",
        "spec: {migrations: {source: {oci: {image: 'https://ghcr.io/a', tag: a}}}}",
        IMAGE,
    ),
    (
        "Orchestra",
        "spec: {migrations: {source: {oci: {image: 'user:pass@ghcr.io/a', tag: a}}}}",
        IMAGE,
    ),
    (
        "Orchestra",
        "spec: {migrations: {source: {oci: {image: 'ghcr.io/../a', tag: a}}}}",
        IMAGE,
    ),
    (
        "Orchestra",
        "spec: {migrations: {source: {oci: {image: 'ghcr.io/a?b', tag: a}}}}",
        IMAGE,
    ),
    (
        "Orchestra",
        "spec: {migrations: {source: {oci: {image: ghcr.io/a, tag: ../../a}}}}",
        "spec.migrations.source.oci.tag: Invalid value",
    ),
    (
        "Orchestra",
        "spec: {migrations: {source: {oci: {image: ghcr.io/a, digest: 'sha256:abc'}}}}",
        "spec.migrations.source.oci.digest: Invalid value",
    ),
];
