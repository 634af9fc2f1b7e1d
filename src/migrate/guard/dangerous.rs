//! Functions of PostgreSQL that do more than they say: they run a text, remove something, or reach the server's files.
//! Those of extensions are in [`extension_table`](super::extension_table).

/// Functions that run a text, a part of which can be computed, or that remove what they are told to.
const OPAQUE: [&str; 12] = [
    "lo_from_bytea",
    "lo_put",
    "lo_truncate",
    "lo_truncate64",
    "lo_unlink",
    "lowrite",
    "pg_cancel_backend",
    "pg_drop_replication_slot",
    "pg_replication_slot_advance",
    "pg_terminate_backend",
    "ts_rewrite",
    "ts_stat",
];

/// The beginnings of names of such functions.
const OPAQUE_FAMILIES: [&str; 5] = [
    "cursor_to_xml",
    "database_to_xml",
    "query_to_xml",
    "schema_to_xml",
    "table_to_xml",
];

/// Functions that reach the server's files.
const REACHES_FILES: [&str; 12] = [
    "lo_export",
    "lo_import",
    "pg_file_read",
    "pg_file_rename",
    "pg_file_sync",
    "pg_file_unlink",
    "pg_file_write",
    "pg_read_binary_file",
    "pg_read_file",
    "pg_reload_conf",
    "pg_rotate_logfile",
    "pg_stat_file",
];

/// Whether nothing tells what a function of PostgreSQL with this name does.
pub fn is_opaque(name: &str) -> bool {
    OPAQUE.contains(&name) || OPAQUE_FAMILIES.iter().any(|begin| name.starts_with(begin))
}

/// Whether a function of PostgreSQL reaches the server's files.
pub fn reaches_files(name: &str) -> bool {
    REACHES_FILES.contains(&name) || name.starts_with("pg_ls_")
}
