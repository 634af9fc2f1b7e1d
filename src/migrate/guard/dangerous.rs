//! Functions of PostgreSQL and of well-known extensions that do more than they say: they run a text, drop or remove something,
//! or reach the server's files.

use super::names::Name;

/// Functions that run a text, a part of which can be computed, or that remove what they are told to.
const OPAQUE: [&str; 43] = [
    "add_job",
    "add_retention_policy",
    "alter_job",
    "connectby",
    "crosstab",
    "crosstab2",
    "crosstab3",
    "crosstab4",
    "crosstab_hash",
    "delete_job",
    "detach_archive",
    "drop_chunks",
    "drop_partition_id",
    "drop_partition_time",
    "drop_queue",
    "dropgeometrycolumn",
    "dropgeometrytable",
    "droptopogeometrycolumn",
    "droptopology",
    "heap_force_freeze",
    "heap_force_kill",
    "http",
    "lo_from_bytea",
    "lo_put",
    "lo_truncate",
    "lo_truncate64",
    "lo_unlink",
    "lowrite",
    "pg_background_launch",
    "pg_cancel_backend",
    "pg_drop_replication_slot",
    "pg_terminate_backend",
    "purge_queue",
    "run_job",
    "run_maintenance",
    "run_maintenance_proc",
    "schedule",
    "schedule_in_database",
    "ts_rewrite",
    "ts_stat",
    "undo_partition",
    "unschedule",
    "xpath_table",
];

/// The beginnings of names of such functions.
const OPAQUE_FAMILIES: [&str; 8] = [
    "cursor_to_xml",
    "database_to_xml",
    "dblink",
    "http_",
    "query_to_xml",
    "run_command_on_",
    "schema_to_xml",
    "table_to_xml",
];

/// Schemas of extensions whose functions run texts, or work on tables that they are told by name.
const OPAQUE_SCHEMAS: [&str; 9] = [
    "aws_lambda",
    "aws_s3",
    "cron",
    "net",
    "partman",
    "pgagent",
    "pglogical",
    "pgtle",
    "repack",
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

/// Whether nothing tells what a function of this name does.
pub fn is_opaque(name: &Name) -> bool {
    let word = name.name.as_str();
    let schema = name.schema.as_deref().unwrap_or_default();
    OPAQUE.contains(&word)
        || OPAQUE_SCHEMAS.contains(&schema)
        || OPAQUE_FAMILIES.iter().any(|begin| word.starts_with(begin))
}

/// Whether a function of PostgreSQL reaches the server's files.
pub fn reaches_files(name: &str) -> bool {
    REACHES_FILES.contains(&name) || name.starts_with("pg_ls_")
}
