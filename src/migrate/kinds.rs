//! How a statement relates to transactions, by PostgreSQL's grammar. The first words of a statement decide only where the
//! grammar cannot read it: when it is too long, or in the syntax of another version.

use pg_query::protobuf::{
    AlterSubscriptionStmt, AlterSubscriptionType, AlterTableStmt, DiscardMode, DoStmt, ReindexObjectType, ReindexStmt,
    TransactionStmt, TransactionStmtKind,
};
use pg_query::{Node, NodeEnum, ParserOptions};
use serde_json::Value;

use super::guard::names::{inner, is_on, language};
use super::lexer::{self, FROM_STDIN, LexError, Piece, StatementKind as Kind, TO_STDOUT};
use super::parse;

const BUILD_INDEX: &str = "CREATE INDEX CONCURRENTLY";
const DROP_INDEX: &str = "DROP INDEX CONCURRENTLY";
const REINDEX: &str = "REINDEX CONCURRENTLY";
const DETACH: &str = "DETACH PARTITION CONCURRENTLY";

/// A `DO` block with `COMMIT` or `ROLLBACK`, which PostgreSQL refuses inside a transaction. What it has committed before
/// a failure stays.
const COMMITTING: Kind = Kind::Outside("a DO block with COMMIT or ROLLBACK");

/// Statements with one of these first words are ordinary ones: no other statement begins so.
const ORDINARY: [&str; 15] = [
    "COMMENT", "DECLARE", "DELETE", "EXPLAIN", "FETCH", "GRANT", "INSERT", "MERGE", "REVOKE", "SELECT", "SET", "SHOW",
    "UPDATE", "VALUES", "WITH",
];

/// The pieces of a script, with their kinds by the grammar.
///
/// # Errors
/// As [`lexer::split`], and a piece that PostgreSQL reads as several statements: one of them could end the transaction.
pub(super) fn pieces(script: &str) -> Result<Vec<Piece>, LexError> {
    let mut pieces = lexer::split(script)?;
    for piece in &mut pieces {
        piece.kind = single(script, piece).ok_or(LexError {
            at: piece.start,
            what: SEVERAL,
        })?;
    }
    Ok(pieces)
}

const SEVERAL: &str = "PostgreSQL reads several statements here, and the operator cannot tell where each of them ends; \
    put the function into a script of its own";

/// The kind of one piece of a script that [`pieces`] has accepted.
pub(super) fn kind(script: &str, piece: &Piece) -> Kind {
    single(script, piece).unwrap_or(piece.kind)
}

/// The kind of one piece; none if it holds several statements.
fn single(script: &str, piece: &Piece) -> Option<Kind> {
    let text = &script[piece.start..piece.span.end.max(piece.start)];
    let word = text
        .split(|c: char| !c.is_ascii_alphabetic())
        .next()
        .unwrap_or_default();
    if piece.kind == Kind::Empty || ORDINARY.iter().any(|ordinary| word.eq_ignore_ascii_case(ordinary)) {
        return Some(piece.kind);
    }
    match parse::tree(text, ParserOptions::DEFAULT).as_deref() {
        Some([tree]) => Some(of(tree, text)),
        Some([_, ..]) => None,
        _ => Some(piece.kind),
    }
}

/// Whether parts of a statement of this kind can stay after it has failed: a detachment that is pending, invalid indexes
/// beside those that are built anew. The operator itself drops what a failed `CREATE INDEX CONCURRENTLY` leaves.
pub(super) fn keeps_parts(kind: Kind) -> bool {
    kind == COMMITTING || matches!(kind, Kind::Unsure | Kind::Outside(DETACH | REINDEX))
}

/// Whether no session waits for a statement of this kind while it waits for others: it takes SHARE UPDATE EXCLUSIVE, beside
/// which tables are read and written. `DETACH PARTITION CONCURRENTLY` takes ACCESS EXCLUSIVE on the partition in the end
/// (PostgreSQL manual, "ALTER TABLE").
pub(super) fn holds_nobody_back(kind: Kind) -> bool {
    matches!(kind, Kind::Outside(BUILD_INDEX | DROP_INDEX | REINDEX))
}

/// As [`holds_nobody_back`], of a script of one statement.
pub(super) fn is_one_that_holds_nobody_back(script: &str) -> bool {
    let pieces = lexer::split(script).unwrap_or_default();
    let mut statements = pieces.iter().filter(|piece| piece.kind != Kind::Empty);
    match (statements.next(), statements.next()) {
        (Some(only), None) => holds_nobody_back(kind(script, only)),
        _ => false,
    }
}

fn of(tree: &NodeEnum, text: &str) -> Kind {
    match tree {
        NodeEnum::TransactionStmt(it) => transaction(it),
        NodeEnum::CopyStmt(it) if it.filename.is_empty() && !it.is_program => {
            Kind::CopyClient(if it.is_from { FROM_STDIN } else { TO_STDOUT })
        }
        NodeEnum::DoStmt(it) => block(it, text),
        // Outside if the procedure commits; while the subscription has a slot.
        NodeEnum::CallStmt(_) | NodeEnum::DropSubscriptionStmt(_) => Kind::Unsure,
        NodeEnum::ReindexStmt(it) => reindex(it),
        // Outside for a partitioned table only.
        NodeEnum::ClusterStmt(it) if it.relation.is_some() => Kind::Unsure,
        NodeEnum::AlterSubscriptionStmt(it) => alter_subscription(it),
        tree => outside(tree).map_or(Kind::Other, Kind::Outside),
    }
}

fn transaction(it: &TransactionStmt) -> Kind {
    use TransactionStmtKind as Is;
    match it.kind() {
        Is::TransStmtBegin | Is::TransStmtStart => Kind::Begin,
        Is::TransStmtCommit | Is::TransStmtRollback if it.chain => Kind::Chain,
        Is::TransStmtCommit | Is::TransStmtRollback => Kind::End,
        Is::TransStmtPrepare => Kind::Prepare,
        Is::TransStmtCommitPrepared | Is::TransStmtRollbackPrepared => Kind::Outside("COMMIT or ROLLBACK PREPARED"),
        _ => Kind::Other,
    }
}

/// Statements that call `PreventInTransactionBlock` in PostgreSQL's source (15 to 18).
fn outside(tree: &NodeEnum) -> Option<&'static str> {
    Some(match tree {
        NodeEnum::IndexStmt(it) if it.concurrent => BUILD_INDEX,
        NodeEnum::DropStmt(it) if it.concurrent => DROP_INDEX,
        NodeEnum::VacuumStmt(it) if it.is_vacuumcmd => "VACUUM",
        NodeEnum::ClusterStmt(_) => "CLUSTER of all tables",
        NodeEnum::CreatedbStmt(_) => "CREATE DATABASE",
        NodeEnum::DropdbStmt(_) => "DROP DATABASE",
        NodeEnum::CreateTableSpaceStmt(_) => "CREATE TABLESPACE",
        NodeEnum::DropTableSpaceStmt(_) => "DROP TABLESPACE",
        NodeEnum::AlterSystemStmt(_) => "ALTER SYSTEM",
        NodeEnum::AlterDatabaseStmt(it) if named(&it.options, "tablespace").is_some() => {
            "ALTER DATABASE SET TABLESPACE"
        }
        NodeEnum::AlterTableStmt(it) if detaches_concurrently(it) => DETACH,
        NodeEnum::CreateSubscriptionStmt(it) if is_default(&it.options, &["connect", "create_slot"]) => {
            "CREATE SUBSCRIPTION"
        }
        NodeEnum::DiscardStmt(it) if it.target() == DiscardMode::DiscardAll => "DISCARD ALL",
        _ => return None,
    })
}

fn reindex(it: &ReindexStmt) -> Kind {
    use ReindexObjectType as Is;
    match it.kind() {
        _ if is_on(&it.params, "concurrently") => Kind::Outside(REINDEX),
        // Outside for a partitioned table only.
        Is::ReindexObjectIndex | Is::ReindexObjectTable => Kind::Unsure,
        _ => Kind::Outside("REINDEX DATABASE, SCHEMA or SYSTEM"),
    }
}

fn alter_subscription(it: &AlterSubscriptionStmt) -> Kind {
    use AlterSubscriptionType as Is;
    match it.kind() {
        Is::AlterSubscriptionRefresh => Kind::Outside("ALTER SUBSCRIPTION with a refresh"),
        Is::AlterSubscriptionSetPublication
        | Is::AlterSubscriptionAddPublication
        | Is::AlterSubscriptionDropPublication
            if is_default(&it.options, &["refresh"]) =>
        {
            Kind::Outside("ALTER SUBSCRIPTION with a refresh")
        }
        // `two_phase` and `failover`, from version 17 on, if the subscription has a slot.
        Is::AlterSubscriptionOptions => Kind::Unsure,
        _ => Kind::Other,
    }
}

fn detaches_concurrently(it: &AlterTableStmt) -> bool {
    it.cmds.iter().any(|node| match &node.node {
        Some(NodeEnum::AlterTableCmd(command)) => {
            matches!(inner(command.def.as_deref()), Some(NodeEnum::PartitionCmd(partition)) if partition.concurrent)
        }
        _ => false,
    })
}

fn named<'a>(options: &'a [Node], name: &str) -> Option<&'a Node> {
    options
        .iter()
        .find(|option| matches!(&option.node, Some(NodeEnum::DefElem(element)) if element.defname == name))
}

/// Whether options that are on by default are not switched off.
fn is_default(options: &[Node], names: &[&str]) -> bool {
    names
        .iter()
        .all(|name| named(options, name).is_none() || is_on(options, name))
}

/// A `DO` block, by the statements of its code.
fn block(it: &DoStmt, text: &str) -> Kind {
    if !matches!(language(&it.args).as_str(), "" | "plpgsql") {
        return Kind::Unsure;
    }
    match parse::plpgsql(text) {
        Some(code) if has(&code, &["PLpgSQL_stmt_commit", "PLpgSQL_stmt_rollback"]) => COMMITTING,
        Some(code) if !has(&code, &["PLpgSQL_stmt_call"]) => Kind::Other,
        _ => Kind::Unsure,
    }
}

/// Whether one of the keys is anywhere in a value.
fn has(value: &Value, keys: &[&str]) -> bool {
    match value {
        Value::Array(values) => values.iter().any(|value| has(value, keys)),
        Value::Object(fields) => fields
            .iter()
            .any(|(key, value)| keys.contains(&key.as_str()) || has(value, keys)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_piece_is_one_statement() {
        let body = "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1";
        for (script, count) in [
            (
                "CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM a; DELETE FROM b); SELECT 1;".to_owned(),
                2,
            ),
            (format!("{body} AS case; END; SELECT 2;"), 2),
            (
                "CREATE SCHEMA s CREATE TABLE a (i int) CREATE VIEW b AS SELECT 1; SELECT 2".to_owned(),
                2,
            ),
            (";; SELECT 1;; -- end".to_owned(), 5),
        ] {
            assert_eq!(pieces(&script).unwrap().len(), count, "{script}");
        }
        // A label without AS, which cannot be distinguished from the beginning of a CASE by its words.
        let hidden = format!("SELECT 1;\n{body} case; END; COMMIT; SELECT 2;");
        let refused = pieces(&hidden).unwrap_err();
        assert!(
            refused.at == 10 && refused.what.contains("several statements"),
            "{refused:?}"
        );
    }

    const REINDEX: Kind = Kind::Outside(super::REINDEX);

    /// The kinds of statements, by PostgreSQL's grammar.
    const KINDS: &[(&str, Kind)] = &[
        (
            "DO $$ BEGIN LOOP UPDATE t SET a = 1; COMMIT; END LOOP; END $$",
            COMMITTING,
        ),
        (
            "DO LANGUAGE plpgsql 'BEGIN IF true THEN ROLLBACK; END IF; END'",
            COMMITTING,
        ),
        ("DO $$ BEGIN PERFORM 1; -- COMMIT\n END $$", Kind::Other),
        ("DO $$ BEGIN RAISE NOTICE 'COMMIT;'; END $$", Kind::Other),
        ("DO $$ BEGIN CALL p(); END $$", Kind::Unsure),
        ("DO LANGUAGE plpython3u $$ plpy.commit() $$", Kind::Unsure),
        ("/* x */ CALL s.p(1)", Kind::Unsure),
        ("REINDEX (VERBOSE, CONCURRENTLY) INDEX i", REINDEX),
        ("REINDEX (CONCURRENTLY TRUE) TABLE t", REINDEX),
        ("REINDEX (CONCURRENTLY 1, VERBOSE off) TABLE t", REINDEX),
        ("REINDEX TABLE CONCURRENTLY t", REINDEX),
        ("REINDEX (CONCURRENTLY FALSE) INDEX i", Kind::Unsure),
        ("REINDEX (CONCURRENTLY 'OFF') INDEX i", Kind::Unsure),
        ("REINDEX (CONCURRENTLY, CONCURRENTLY off) INDEX i", Kind::Unsure),
        ("REINDEX TABLE \"concurrently\"", Kind::Unsure),
        (
            "REINDEX (VERBOSE) SCHEMA s",
            Kind::Outside("REINDEX DATABASE, SCHEMA or SYSTEM"),
        ),
        ("VACUUM (FULL, ANALYZE) t", Kind::Outside("VACUUM")),
        ("ANALYZE t", Kind::Other),
        (
            "CREATE UNIQUE INDEX CONCURRENTLY ON t (a)",
            Kind::Outside("CREATE INDEX CONCURRENTLY"),
        ),
        ("CREATE INDEX concurrently_made ON t (a)", Kind::Other),
        (
            "DROP INDEX CONCURRENTLY IF EXISTS a",
            Kind::Outside("DROP INDEX CONCURRENTLY"),
        ),
        ("ALTER TYPE e ADD VALUE 'x'", Kind::Other),
        (
            "ALTER TABLE a DETACH PARTITION b CONCURRENTLY",
            Kind::Outside("DETACH PARTITION CONCURRENTLY"),
        ),
        ("ALTER TABLE a DETACH PARTITION b FINALIZE", Kind::Other),
        (
            "ALTER DATABASE d SET TABLESPACE s",
            Kind::Outside("ALTER DATABASE SET TABLESPACE"),
        ),
        ("ALTER DATABASE d SET work_mem = '1MB'", Kind::Other),
        ("ALTER SYSTEM RESET ALL", Kind::Outside("ALTER SYSTEM")),
        ("CLUSTER VERBOSE", Kind::Outside("CLUSTER of all tables")),
        ("CLUSTER t USING i", Kind::Unsure),
        (
            "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p",
            Kind::Outside("CREATE SUBSCRIPTION"),
        ),
        (
            "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p WITH (connect = false)",
            Kind::Other,
        ),
        (
            "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p WITH (create_slot = off)",
            Kind::Other,
        ),
        (
            "ALTER SUBSCRIPTION s REFRESH PUBLICATION",
            Kind::Outside("ALTER SUBSCRIPTION with a refresh"),
        ),
        (
            "ALTER SUBSCRIPTION s SET PUBLICATION p WITH (refresh = false)",
            Kind::Other,
        ),
        ("ALTER SUBSCRIPTION s DISABLE", Kind::Other),
        ("DISCARD ALL", Kind::Outside("DISCARD ALL")),
        ("DISCARD PLANS", Kind::Other),
        ("COPY t FROM STDIN", Kind::CopyClient(FROM_STDIN)),
        ("COPY t FROM STDOUT", Kind::CopyClient(FROM_STDIN)),
        ("COPY t TO STDOUT", Kind::CopyClient(TO_STDOUT)),
        (
            "COPY (SELECT 1) TO STDIN WITH (FORMAT csv)",
            Kind::CopyClient(TO_STDOUT),
        ),
        ("COPY BINARY t TO stdout", Kind::CopyClient(TO_STDOUT)),
        ("COPY t TO '/tmp/x'", Kind::Other),
        ("COPY t TO PROGRAM 'x'", Kind::Other),
        ("COPY t FROM PROGRAM 'x'", Kind::Other),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE", Kind::Begin),
        ("ABORT", Kind::End),
        ("ROLLBACK AND NO CHAIN", Kind::End),
        ("COMMIT AND CHAIN", Kind::Chain),
        ("ROLLBACK WORK TO a", Kind::Other),
        ("COMMIT PREPARED 'x'", Kind::Outside("COMMIT or ROLLBACK PREPARED")),
        // By its words: the grammar does not read it.
        ("VACUUM (UNHEARD OF THIS) t t t", Kind::Outside("VACUUM")),
    ];

    /// What stays of a statement after a failure, and whether others wait for it.
    #[test]
    fn statements_that_run_concurrently_differ_in_what_they_keep_and_hold_back() {
        for (sql, keeps, patient) in [
            ("CREATE INDEX CONCURRENTLY i ON t (a)", false, true),
            ("-- x\nDROP INDEX CONCURRENTLY i; -- y", false, true),
            ("REINDEX (CONCURRENTLY) TABLE t", true, true),
            ("REINDEX TABLE CONCURRENTLY t", true, true),
            ("ALTER TABLE a DETACH PARTITION b CONCURRENTLY", true, false),
            ("DO $$ BEGIN COMMIT; END $$", true, false),
            ("CALL p()", true, false),
            ("VACUUM t", false, false),
            ("CREATE INDEX i ON t (a)", false, false),
        ] {
            let first = pieces(sql).unwrap()[0].kind;
            assert_eq!(
                (keeps_parts(first), holds_nobody_back(first)),
                (keeps, patient),
                "{sql}"
            );
            assert_eq!(is_one_that_holds_nobody_back(sql), patient, "{sql}");
        }
        let two = "CREATE INDEX CONCURRENTLY i ON t (a); SELECT 1";
        assert!(!is_one_that_holds_nobody_back(two) && !is_one_that_holds_nobody_back(""));
    }

    #[test]
    fn the_grammar_says_what_a_statement_is() {
        for (sql, kind) in KINDS {
            let found = pieces(sql).unwrap();
            assert_eq!(
                found.iter().map(|piece| piece.kind).collect::<Vec<_>>(),
                [*kind],
                "{sql}"
            );
        }
    }
}
