//! Functions of well-known extensions, and what a call of each does. Sources: the documentation and the installation scripts
//! of the extensions named here.

use super::finding::FindingKind::Truncate;
use super::finding::FindingKind::{
    self, DeleteAll, DropColumn, DropOther, DropSchema, DropTable, Opaque, RewriteTable,
};

/// What a call of a function does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// It makes something, changes rows that it is told one by one, or only reads: nothing is lost.
    LosesNothing,
    /// It does what statements of this kind do.
    Is(FindingKind),
    /// It runs the SQL of its arguments that are texts.
    RunsTexts,
    /// It stores the SQL of its argument `command`, the last one, and runs it later.
    RunsLast,
}
use Does::{Is, LosesNothing, RunsLast, RunsTexts};

/// The functions of an extension.
type Functions = &'static [(&'static str, Does)];

/// By extension. No name occurs twice.
const TABLE: &[(&str, Functions)] = &[
    (
        "citus",
        &[
            ("create_distributed_table", LosesNothing),
            ("create_reference_table", LosesNothing),
        ],
    ),
    ("pageinspect", &[("get_raw_page", LosesNothing)]),
    (
        "pg_cron",
        &[
            ("alter_job", Is(Opaque)),
            ("schedule", RunsLast),
            ("schedule_in_database", Is(Opaque)),
            ("unschedule", Is(DropOther)),
        ],
    ),
    (
        "pg_partman",
        &[
            ("create_parent", LosesNothing),
            ("create_partition", LosesNothing),
            ("create_partition_id", LosesNothing),
            ("create_partition_time", LosesNothing),
            // They drop existing partitions with their rows where they are told so.
            ("create_sub_parent", Is(Opaque)),
            ("create_sub_partition", Is(Opaque)),
            ("drop_partition_id", Is(DropTable)),
            ("drop_partition_time", Is(DropTable)),
            // They drop what is older than the retention in `part_config`.
            ("run_maintenance", Is(Opaque)),
            ("run_maintenance_proc", Is(Opaque)),
            ("partition_data_id", LosesNothing),
            ("partition_data_proc", LosesNothing),
            ("partition_data_time", LosesNothing),
            ("undo_partition", Is(Opaque)),
            ("undo_partition_proc", Is(Opaque)),
        ],
    ),
    (
        "pg_surgery",
        &[("heap_force_freeze", Is(Opaque)), ("heap_force_kill", Is(DeleteAll))],
    ),
    (
        "pgmq",
        &[
            ("archive", LosesNothing),
            ("create", LosesNothing),
            ("create_non_partitioned", LosesNothing),
            // Its archive has a retention.
            ("create_partitioned", Is(Opaque)),
            ("create_unlogged", LosesNothing),
            ("delete", LosesNothing),
            ("detach_archive", LosesNothing),
            ("drop_queue", Is(DropTable)),
            ("enable_notify_insert", LosesNothing),
            ("list_queues", LosesNothing),
            ("metrics", LosesNothing),
            ("metrics_all", LosesNothing),
            ("pop", LosesNothing),
            ("purge_queue", Is(Truncate)),
            ("read", LosesNothing),
            ("read_with_poll", LosesNothing),
            ("send", LosesNothing),
            ("send_batch", LosesNothing),
            ("set_vt", LosesNothing),
        ],
    ),
    (
        "postgis",
        &[
            ("addgeometrycolumn", LosesNothing),
            ("dropgeometrycolumn", Is(DropColumn)),
            ("dropgeometrytable", Is(DropTable)),
            ("populate_geometry_columns", Is(RewriteTable)),
            ("updategeometrysrid", Is(RewriteTable)),
        ],
    ),
    (
        "postgis_raster",
        &[
            ("addoverviewconstraints", LosesNothing),
            ("addrasterconstraints", LosesNothing),
            ("dropoverviewconstraints", Is(FindingKind::DropConstraint)),
            ("droprasterconstraints", Is(FindingKind::DropConstraint)),
        ],
    ),
    (
        "postgis_topology",
        &[
            ("addtopogeometrycolumn", LosesNothing),
            ("createtopology", LosesNothing),
            ("droptopogeometrycolumn", Is(DropColumn)),
            ("droptopology", Is(DropSchema)),
        ],
    ),
    (
        "tablefunc",
        &[
            ("connectby", Is(Opaque)),
            ("crosstab", RunsTexts),
            ("crosstab2", RunsTexts),
            ("crosstab3", RunsTexts),
            ("crosstab4", RunsTexts),
            ("crosstab_hash", RunsTexts),
        ],
    ),
    (
        "timescaledb",
        &[
            ("add_columnstore_policy", LosesNothing),
            ("add_compression_policy", LosesNothing),
            ("add_continuous_aggregate_policy", LosesNothing),
            ("add_dimension", LosesNothing),
            ("add_job", Is(Opaque)),
            ("add_reorder_policy", LosesNothing),
            ("add_retention_policy", Is(DeleteAll)),
            ("create_hypertable", LosesNothing),
            ("delete_job", Is(DropOther)),
            ("drop_chunks", Is(DeleteAll)),
            ("refresh_continuous_aggregate", LosesNothing),
            ("run_job", Is(Opaque)),
            ("set_chunk_time_interval", LosesNothing),
        ],
    ),
    ("xml2", &[("xpath_table", Is(Opaque))]),
];

/// Extensions of which every other function runs a text, reaches another server, or runs at another time.
const OPAQUE: [&str; 12] = [
    "aws_lambda",
    "aws_s3",
    "dblink",
    "http",
    "pg_background",
    "pg_cron",
    "pg_net",
    "pg_repack",
    "pg_tle",
    "pgagent",
    "pglogical",
    "plproxy",
];

/// The schemas of these extensions, and beginnings of their functions' names, for a database that does not have them yet.
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
const OPAQUE_FAMILIES: [&str; 4] = ["dblink", "http_", "pg_background_", "run_command_on_"];

/// Extensions whose other functions compute values, read, or keep the columns of a changed row: none of them removes a row or
/// changes an object.
const COMPUTING: [&str; 57] = [
    "address_standardizer",
    "address_standardizer_data_us",
    "amcheck",
    "autoinc",
    "bloom",
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "dict_int",
    "dict_xsyn",
    "earthdistance",
    "fuzzystrmatch",
    "h3",
    "h3_postgis",
    "hll",
    "hstore",
    "hypopg",
    "index_advisor",
    "insert_username",
    "intarray",
    "ip4r",
    "isn",
    "ltree",
    "moddatetime",
    "pg_bigm",
    "pg_buffercache",
    "pg_freespacemap",
    "pg_hashids",
    "pg_jsonschema",
    "pg_prewarm",
    "pg_similarity",
    "pg_stat_monitor",
    "pg_stat_statements",
    "pg_trgm",
    "pg_uuidv7",
    "pgcrypto",
    "pgjwt",
    "pgrowlocks",
    "pgsodium",
    "pgstattuple",
    "plpgsql_check",
    "postgis",
    "postgis_raster",
    "postgis_sfcgal",
    "prefix",
    "rum",
    "seg",
    "semver",
    "sslinfo",
    "tablefunc",
    "tcn",
    "tsm_system_rows",
    "tsm_system_time",
    "unaccent",
    "uuid-ossp",
    "vector",
];

/// What a function of an extension does; none if the table does not have it.
pub fn does(extension: &str, function: &str) -> Option<Does> {
    let mut functions = TABLE
        .iter()
        .filter(|(name, _)| *name == extension)
        .flat_map(|(_, functions)| *functions);
    let found = functions.find(|(name, _)| *name == function).map(|(_, does)| *does);
    found.or_else(|| OPAQUE.contains(&extension).then_some(Is(Opaque)))
}

/// What a function does that the database does not have, if it is one of a well-known extension. `schema`: as the call says.
pub fn does_by_name(schema: Option<&str>, function: &str) -> Option<Does> {
    let mut all = TABLE.iter().flat_map(|(_, functions)| *functions);
    let named = all.find(|(name, _)| *name == function).map(|(_, does)| *does);
    let opaque = schema.is_some_and(|schema| OPAQUE_SCHEMAS.contains(&schema))
        || function == "http"
        || OPAQUE_FAMILIES.iter().any(|begin| function.starts_with(begin));
    named.or_else(|| opaque.then_some(Is(Opaque)))
}

/// Whether the functions of an extension that the table does not have lose nothing.
pub fn is_computing(extension: &str) -> bool {
    COMPUTING.contains(&extension)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_function_has_two_meanings() {
        let names: Vec<_> = TABLE
            .iter()
            .flat_map(|(_, functions)| *functions)
            .map(|(name, _)| name)
            .collect();
        let once: BTreeSet<_> = names.iter().collect();
        assert_eq!(once.len(), names.len());
        assert!(COMPUTING.is_sorted() && !COMPUTING.iter().any(|name| OPAQUE.contains(name)));
    }
}
