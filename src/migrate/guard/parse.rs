//! Scripts as PostgreSQL's own grammar reads them, statement by statement.

use pg_query::NodeEnum;

use crate::migrate::lexer::{self, Kind};

/// The longest statement that is parsed, in bytes: a parse tree takes about two hundred times the
/// memory of its text.
const LONGEST: usize = 256 << 10;

/// Words that tell of more than adding something. They are looked for where nothing better can be
/// done, in strings and comments too.
const ALARMING: [&str; 18] = [
    "ALTER", "CALL", "CLUSTER", "DELETE", "DETACH", "DISABLE", "DROP", "EXECUTE", "LOCK", "MERGE", "MOVE", "PERFORM",
    "REASSIGN", "REINDEX", "RENAME", "TRUNCATE", "UPDATE", "VACUUM",
];

/// One statement.
#[derive(Debug)]
pub struct Statement {
    /// Line where it begins, from 1.
    pub line: usize,
    /// Its parse tree; none when it could not be parsed.
    pub tree: Option<NodeEnum>,
}

/// The statements of a script. What is too long to be parsed and begins with INSERT only adds rows,
/// unless a word in it says otherwise.
pub fn statements(script: &str) -> Vec<Statement> {
    let Ok(pieces) = lexer::split(script) else {
        return vec![Statement { line: 1, tree: None }];
    };
    let (mut line, mut counted) = (1, 0);
    let mut statements = Vec::new();
    for piece in pieces.iter().filter(|piece| piece.kind != Kind::Empty) {
        line += script[counted..piece.start].matches('\n').count();
        counted = piece.start;
        let text = &script[piece.start..piece.span.end];
        if text.len() > LONGEST {
            let adds = text.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("INSERT"));
            if !adds || is_alarming(text) {
                statements.push(Statement { line, tree: None });
            }
            continue;
        }
        match parse(text) {
            Some(trees) => statements.extend(trees.into_iter().map(|tree| Statement { line, tree: Some(tree) })),
            None => statements.push(Statement { line, tree: None }),
        }
    }
    statements
}

/// The parser's messages may show values of the script; none is passed on. A panic in it is caught,
/// as everything that the scripts of a user might bring about.
fn parse(text: &str) -> Option<Vec<NodeEnum>> {
    let parsed = std::panic::catch_unwind(|| pg_query::parse(text, 0)).ok()?.ok()?;
    let trees = parsed.protobuf.stmts.into_iter();
    trees.map(|raw| raw.stmt.and_then(|node| node.node)).collect()
}

/// Whether a text holds a word that tells of more than adding something.
pub fn is_alarming(text: &str) -> bool {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .any(|word| ALARMING.iter().any(|alarming| word.eq_ignore_ascii_case(alarming)))
}
