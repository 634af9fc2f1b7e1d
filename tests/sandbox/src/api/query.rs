//! SQL through the API.

use std::fmt::Write as _;

use futures::TryStreamExt;
use serde_json::{Value, json};
use sqlx::postgres::{PgDatabaseError, PgErrorPosition};
use sqlx::{AssertSqlSafe, Either, Executor, PgConnection};

use super::reply::{Call, Reply};
use super::rows;
use super::session;
use super::state::Inner;

pub(super) async fn run(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut session = if call.body["read_only"] == true {
        session::reader(inner, call).await?
    } else {
        session::owner(inner, call).await?
    };
    answer(&mut session, call).await
}

pub(super) async fn read(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut session = session::reader(inner, call).await?;
    answer(&mut session, call).await
}

async fn answer(session: &mut PgConnection, call: &Call) -> Result<Reply, Reply> {
    let query = call.text("query").unwrap_or_default();
    let parameters = call.body["parameters"].as_array().filter(|all| !all.is_empty());
    let script = parameters.map_or_else(|| query.to_owned(), |all| prepared(query, all));
    let rows = results(session, &script)
        .await
        .map_err(|error| refusal(query, &error))?;
    Ok(Reply::json(201, json!(rows)))
}

/// The rows of the last statement that has some.
async fn results(session: &mut PgConnection, script: &str) -> sqlx::Result<Vec<Value>> {
    let mut answers = session.fetch_many(sqlx::raw_sql(AssertSqlSafe(script)));
    let (mut last, mut current) = (Vec::new(), Vec::new());
    while let Some(answer) = answers.try_next().await? {
        match answer {
            Either::Right(row) => current.push(rows::json(&row)?),
            Either::Left(_) if current.is_empty() => {}
            Either::Left(_) => last = std::mem::take(&mut current),
        }
    }
    Ok(last)
}

/// A statement with parameters, whose types are the server's to choose. It may end in a comment.
fn prepared(query: &str, parameters: &[Value]) -> String {
    let query = query.trim_end().trim_end_matches(';');
    let values: Vec<String> = parameters.iter().map(literal).collect();
    format!(
        "PREPARE parameters AS {query}\n;\nEXECUTE parameters ({})",
        values.join(", ")
    )
}

fn literal(value: &Value) -> String {
    let text = match value {
        Value::Null => return "NULL".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => rows::array(items),
        other => other.to_string(),
    };
    let quoted = text.replace('\\', "\\\\").replace('\'', "''");
    format!("E'{quoted}'")
}

/// The refusal of a script, in the words of the API.
pub(super) fn refusal(script: &str, error: &sqlx::Error) -> Reply {
    let Some(error) = error
        .as_database_error()
        .and_then(|it| it.try_downcast_ref::<PgDatabaseError>())
    else {
        return Reply::internal(error);
    };
    let mut words = format!(
        "Failed to run sql query: {:?}:  {}: {}\n",
        error.severity(),
        error.code(),
        error.message()
    );
    words = words.replacen(
        &format!("{:?}", error.severity()),
        &format!("{:?}", error.severity()).to_uppercase(),
        1,
    );
    if let Some(PgErrorPosition::Original(at)) = error.position() {
        words.push_str(&place(script, at));
    }
    for (title, more) in [
        ("DETAIL", error.detail()),
        ("HINT", error.hint()),
        ("CONTEXT", error.r#where()),
    ] {
        if let Some(more) = more {
            let _ = writeln!(words, "{title}:  {more}");
        }
    }
    Reply::message(400, &words)
}

/// The line of the script that is meant, with a mark under the place.
fn place(script: &str, at: usize) -> String {
    let before: String = script.chars().take(at.saturating_sub(1)).collect();
    let number = before.matches('\n').count();
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
    let head = format!("LINE {}: ", number + 1);
    let line = script.lines().nth(number).unwrap_or_default();
    format!("{head}{line}\n{}^\n", " ".repeat(head.len() + column))
}
