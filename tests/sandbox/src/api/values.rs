//! What can be changed of a project, as it is read back.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The settings of one project.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Selected add-ons by kind, without the compute size.
    pub(super) addons: BTreeMap<String, String>,
    pub(super) pool_size: Option<u64>,
    pub(super) pool_mode: String,
    /// The secret that signs the legacy keys.
    pub(super) jwt_secret: String,
    pub(super) postgrest: Value,
    /// Secrets in it are hashes.
    pub(super) auth: Value,
    pub(super) storage: Value,
    pub(super) realtime: Value,
    pub(super) postgres: Map<String, Value>,
    pub(super) restrictions: Restrictions,
    pub(super) ssl: bool,
    /// Until when the read-only mode is overridden.
    pub(super) writable_until: Option<Timestamp>,
    /// The secrets of functions: their hashes, and when they were set.
    pub(super) secrets: BTreeMap<String, (String, Timestamp)>,
}

/// Who may reach the database.
#[derive(Clone, Debug)]
pub(super) struct Restrictions {
    pub(super) v4: Vec<String>,
    pub(super) v6: Vec<String>,
    pub(super) changed: Option<Timestamp>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            addons: BTreeMap::new(),
            pool_size: None,
            pool_mode: "transaction".to_owned(),
            jwt_secret: crate::random::alphanumeric(88),
            postgrest: json!({
                "db_schema": "public,graphql_public", "max_rows": 1000,
                "db_extra_search_path": "public, extensions", "db_pool": null,
            }),
            auth: serde_json::from_str(include_str!("auth.json")).unwrap_or_default(),
            storage: storage(),
            realtime: realtime(),
            postgres: Map::new(),
            restrictions: Restrictions {
                v4: vec!["0.0.0.0/0".to_owned()],
                v6: vec!["::/0".to_owned()],
                changed: None,
            },
            ssl: false,
            writable_until: None,
            secrets: BTreeMap::new(),
        }
    }
}

fn storage() -> Value {
    json!({
        "fileSizeLimit": 52_428_800,
        "features": {
            "imageTransformation": {"enabled": true},
            "s3Protocol": {"enabled": true},
            "icebergCatalog": {"enabled": false, "maxNamespaces": 10, "maxTables": 10, "maxCatalogs": 2},
            "vectorBuckets": {"enabled": false, "maxBuckets": 10, "maxIndexes": 5},
        },
        "capabilities": {"list_v2": true, "iceberg_catalog": true},
        "external": {"upstreamTarget": "main"},
        "migrationVersion": "optimize-existing-functions",
        "databasePoolMode": "single_use",
    })
}

fn realtime() -> Value {
    json!({
        "private_only": false, "connection_pool": 2, "max_concurrent_users": 200, "max_events_per_second": 100,
        "max_bytes_per_second": 100_000, "max_channels_per_client": 100, "max_joins_per_second": 100,
        "max_presence_events_per_second": 100, "max_payload_size_in_kb": 100, "suspend": false,
        "presence_enabled": true,
    })
}
