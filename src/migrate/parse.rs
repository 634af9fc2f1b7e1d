//! Parses scripts with PostgreSQL's own grammar, statement by statement.

use std::ops::Range;

use pg_query::NodeEnum;

use super::lexer::{self, StatementKind};

/// The longest statement that is parsed, in bytes: a parse tree takes about two hundred times the
/// memory of its text.
const LONGEST: usize = 256 << 10;

/// Words of statements that do more than add something. They are searched for in text that is not parsed, and
/// so they are also found in its strings and comments.
const ALARMING: [&str; 18] = [
    "ALTER", "CALL", "CLUSTER", "DELETE", "DETACH", "DISABLE", "DROP", "EXECUTE", "LOCK", "MERGE", "MOVE", "PERFORM",
    "REASSIGN", "REINDEX", "RENAME", "TRUNCATE", "UPDATE", "VACUUM",
];

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

/// The statements of a script without the first `skipped` ones. An INSERT that is too long to be parsed is left
/// out, because it only adds rows, unless it contains one of the words in [`ALARMING`].
pub fn statements(script: &str, skipped: usize) -> Vec<Statement> {
    let Ok(pieces) = lexer::split(script) else {
        return vec![Statement {
            line: 1,
            span: 0..script.len(),
            tree: None,
        }];
    };
    let (mut line, mut counted) = (1, 0);
    let mut statements = Vec::new();
    let pieces = pieces.iter().filter(|piece| piece.kind != StatementKind::Empty);
    for piece in pieces.skip(skipped) {
        line += script[counted..piece.start].matches('\n').count();
        counted = piece.start;
        let span = piece.start..piece.span.end;
        let text = &script[span.clone()];
        let mut add = |tree| {
            let span = span.clone();
            statements.push(Statement { line, span, tree });
        };
        if text.len() > LONGEST {
            let adds = text.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("INSERT"));
            if !adds || is_alarming(text) {
                add(None);
            }
            continue;
        }
        match parse(text) {
            Some(trees) => trees.into_iter().for_each(|tree| add(Some(tree))),
            None => add(None),
        }
    }
    statements
}

/// The parser's messages can contain values of the script, so none is passed on. A panic in the parser is caught,
/// because a user's script must not stop the operator.
fn parse(text: &str) -> Option<Vec<NodeEnum>> {
    let parsed = std::panic::catch_unwind(|| pg_query::parse(text, 0)).ok()?.ok()?;
    let trees = parsed.protobuf.stmts.into_iter();
    trees.map(|raw| raw.stmt.and_then(|node| node.node)).collect()
}

/// Whether a text contains one of the words in [`ALARMING`].
pub fn is_alarming(text: &str) -> bool {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .any(|word| ALARMING.iter().any(|alarming| word.eq_ignore_ascii_case(alarming)))
}
