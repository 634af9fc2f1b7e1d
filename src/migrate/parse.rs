//! Parses scripts with PostgreSQL's own grammar, statement by statement.

use std::ops::Range;

use parking_lot::Mutex;
use pg_query::{NodeEnum, ParserOptions};

use super::aside::in_place;
use super::lexer::{self, StatementKind};

/// The longest statement that is parsed, in bytes: a parse tree takes about two hundred times the
/// memory of its text.
const LONGEST: usize = 256 << 10;

/// Words of statements that do more than add something. They are searched for in text that is not parsed, and
/// so they are also found in its strings and comments.
const ALARMING: [&str; 19] = [
    "ALTER",
    "CALL",
    "CLUSTER",
    "DELETE",
    "DETACH",
    "DISABLE",
    "DROP",
    "EXECUTE",
    "LOCK",
    "MERGE",
    "MOVE",
    "PERFORM",
    "REASSIGN",
    "REINDEX",
    "RENAME",
    "SET_CONFIG",
    "TRUNCATE",
    "UPDATE",
    "VACUUM",
];

/// The beginning of a long INSERT that has its columns, in bytes.
const HEAD: usize = 16 << 10;

/// Words before a parenthesis that call no function of a user.
const PLAIN: [&str; 22] = [
    "array",
    "bit",
    "char",
    "conflict",
    "date",
    "decimal",
    "gen_random_uuid",
    "interval",
    "json_build_object",
    "jsonb_build_array",
    "jsonb_build_object",
    "nextval",
    "now",
    "numeric",
    "row",
    "time",
    "timestamp",
    "timestamptz",
    "to_timestamp",
    "uuid_generate_v4",
    "values",
    "varchar",
];

/// The parser redirects the standard error of the whole process while it reads a text. Two at once would leave it
/// redirected for good.
static PARSER: Mutex<()> = Mutex::new(());

/// One statement.
#[derive(Debug)]
pub struct Statement {
    /// Line of its first token, from 1.
    pub line: usize,
    /// Its bytes in the script.
    pub span: Range<usize>,
    /// Its parse tree; none if it could not be parsed.
    pub tree: Option<NodeEnum>,
}

impl Statement {
    /// The work of reading it: that of its bytes, of which one that is too long to be parsed takes little.
    pub fn work(&self) -> usize {
        match self.span.len() {
            long if long > LONGEST => long / 16,
            bytes => bytes,
        }
    }
}

/// The statements of a script without the first `skipped` ones, each parsed when it is asked for, so that one parse
/// tree is in memory at a time. For an INSERT that is too long to be parsed, only the table and the functions that it calls
/// are returned, if it adds rows of values and contains none of the words in [`ALARMING`].
pub fn statements(script: &str, skipped: usize) -> impl Iterator<Item = Statement> {
    let split = lexer::split(script).ok();
    let unreadable = split.is_none().then_some(Statement {
        line: 1,
        span: 0..script.len(),
        tree: None,
    });
    let pieces = split.unwrap_or_default().into_iter();
    let pieces = pieces.filter(|piece| piece.kind != StatementKind::Empty).skip(skipped);
    let (mut line, mut counted) = (1, 0);
    let parsed = pieces.flat_map(move |piece| {
        line += script[counted..piece.start].matches('\n').count();
        counted = piece.start;
        let span = piece.start..piece.span.end;
        let trees = trees(&script[span.clone()]);
        trees.into_iter().map(move |tree| Statement {
            line,
            span: span.clone(),
            tree,
        })
    });
    unreadable.into_iter().chain(parsed)
}

/// The parse trees of one statement. An unknown statement can hold several.
fn trees(text: &str) -> Vec<Option<NodeEnum>> {
    if text.len() > LONGEST {
        return vec![long_insert(text)];
    }
    match tree(text, ParserOptions::DEFAULT) {
        Some(trees) => trees.into_iter().map(Some).collect(),
        None => vec![None],
    }
}

/// An INSERT that is too long to be parsed, without its rows, if these are no more than values. The functions that it calls
/// replace the rows: a user may have defined functions of the same names.
fn long_insert(text: &str) -> Option<NodeEnum> {
    if is_alarming(text) {
        return None;
    }
    let rows = lexer::rows(text)?;
    if rows.dotted || !rows.words.iter().all(|word| PLAIN.contains(&word.as_str())) {
        return None;
    }
    // `INSERT INTO schema.table (a, b) VALUES`: what is before the rows is parsed.
    let head = text[..rows.start].trim_end();
    let head = head
        .get(..head.len().checked_sub("VALUES".len())?)
        .filter(|head| head.len() <= HEAD)?;
    let calls = rows.words.iter().map(|word| format!("\"{word}\"()"));
    let calls = calls.collect::<Vec<_>>().join(", ");
    let trees = tree(&format!("{head} SELECT {calls}"), ParserOptions::DEFAULT)?;
    let Ok([tree @ NodeEnum::InsertStmt(_)]) = <[NodeEnum; 1]>::try_from(trees) else {
        return None;
    };
    Some(tree)
}

/// The parse trees of a text that the given grammar reads; none if it cannot be parsed. The parser's messages can
/// contain values of the script, so none is passed on. A panic in the parser is caught, because a user's script must
/// not stop the operator.
pub fn tree(text: &str, grammar: ParserOptions) -> Option<Vec<NodeEnum>> {
    if text.len() > LONGEST {
        return None;
    }
    // However short the text is, that of another tenant may be before it.
    let parsed = in_place(LONGEST, || {
        let _one = PARSER.lock();
        std::panic::catch_unwind(|| pg_query::parse(text, grammar)).ok()?.ok()
    })?;
    let trees = parsed.protobuf.stmts.into_iter();
    trees.map(|raw| raw.stmt.and_then(|node| node.node)).collect()
}

/// The PL/pgSQL blocks of a text of `DO` and `CREATE FUNCTION` statements, as the parser's JSON.
pub fn plpgsql(text: &str) -> Option<serde_json::Value> {
    if text.len() > LONGEST {
        return None;
    }
    in_place(LONGEST, || {
        let _one = PARSER.lock();
        std::panic::catch_unwind(|| pg_query::parse_plpgsql(text)).ok()?.ok()
    })
}

/// Where the tokens of a text are, comments among them; none if it cannot be read.
pub fn tokens(text: &str) -> Option<Vec<Range<usize>>> {
    if text.len() > LONGEST {
        return None;
    }
    let tokens = in_place(LONGEST, || {
        let _one = PARSER.lock();
        std::panic::catch_unwind(|| pg_query::scan_tokens(text)).ok()?.ok()
    })?;
    let span = |start, end| Some(usize::try_from(start).ok()?..usize::try_from(end).ok()?);
    let spans = tokens.iter().map(|token| span(token.start, token.end));
    spans
        .map(|found| found.filter(|span| text.get(span.clone()).is_some()))
        .collect()
}

/// Whether a text contains one of the words in [`ALARMING`].
pub fn is_alarming(text: &str) -> bool {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .any(|word| ALARMING.iter().any(|alarming| word.eq_ignore_ascii_case(alarming)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_code_is_no_danger_to_the_stack_of_its_thread() {
        for (many, before, middle, after) in [
            (100_000, "1 + ", "1", ""),
            (100_000, "(", "1", ")"),
            (60_000, "NOT ", "true", ""),
            (100_000, "- ", "1", ""),
            (10_000, "CASE WHEN true THEN ", "1", " END"),
            (10_000, "(SELECT ", "1", ")"),
            (10_000, "1 UNION SELECT ", "1", ""),
            (20_000, "ARRAY[", "1", "]"),
        ] {
            let text = format!("SELECT {}{middle}{}", before.repeat(many), after.repeat(many));
            assert_eq!(statements(&text, 0).count(), 1, "{before}");
        }
        for (many, before, after) in [
            (15_000, "BEGIN ", "END; "),
            (10_000, "IF true THEN ", "END IF; "),
            (10_000, "LOOP ", "END LOOP; "),
            (2_000, "BEGIN ", "END; "),
            (2_000, "IF true THEN ", "END IF; "),
        ] {
            let text = format!("DO $$ BEGIN {}NULL; {}END $$", before.repeat(many), after.repeat(many));
            assert!(plpgsql(&text).is_none(), "{before}");
        }
    }
}
