//! The variables of a seed, and how their values are inserted into its scripts: quoted, so that a value is always
//! one string or one identifier.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use postgres_protocol::escape::escape_literal;

use crate::migrate::lexer::{Quoting, Variable};
use crate::migrate::source_error::SourceError;
use crate::postgres::quote;

/// The maximum length of an identifier in bytes; PostgreSQL cuts longer ones (`NAMEDATALEN`).
const MAX_NAME: usize = 63;

/// The names and values of variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeedVariables(BTreeMap<String, Value>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Text(String),
    /// Two origins give the name a value; the text names the origins.
    Torn(String),
}

impl SeedVariables {
    /// Sets a value. `origin` names its source in messages. A second value for the same name makes the variable
    /// unusable.
    pub fn set(&mut self, name: &str, value: impl Into<String>, origin: &str) {
        let value = match self.0.get(name) {
            None => Value::Text(value.into()),
            Some(Value::Text(_)) => Value::Torn(format!("{origin} and another one with the same letters")),
            Some(Value::Torn(before)) => Value::Torn(before.clone()),
        };
        self.0.insert(name.to_owned(), value);
    }

    /// The value of a variable of a script.
    ///
    /// # Errors
    /// Where and why the variable has no usable value.
    pub(super) fn value(&self, file: &str, script: &str, variable: &Variable) -> Result<&str, SourceError> {
        let Variable { span, name, quoting } = variable;
        let refuse = |what: String| Err(SourceError::text(file, script, span.start, what));
        let value = match self.0.get(name) {
            Some(Value::Text(value)) => value,
            Some(Value::Torn(origins)) => {
                return refuse(format!("the variable {name} has two values: {origins}; keep one"));
            }
            None => {
                let known: Vec<_> = self.0.keys().map(String::as_str).collect();
                let known = known.join(", ");
                return refuse(format!("the variable {name} is not known; there are: {known}"));
            }
        };
        if value.contains('\0') {
            return refuse(format!(
                "the value of {name} holds a NUL character, which PostgreSQL cannot store"
            ));
        }
        if *quoting == Quoting::Identifier && !(1..=MAX_NAME).contains(&value.len()) {
            return refuse(format!(
                "the value of {name} is no name: it has {} bytes, and PostgreSQL accepts 1 to {MAX_NAME}",
                value.len()
            ));
        }
        Ok(value)
    }
}

/// A script with the values of its variables inserted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The text that is sent to the server.
    pub text: Arc<String>,
    /// The ranges of the values in the text, and of their variables in the script.
    replaced: Vec<(Range<usize>, Range<usize>)>,
}

impl Rendered {
    pub(super) fn new<'a>(script: &str, values: impl Iterator<Item = (&'a Variable, &'a str)>) -> Self {
        let (mut text, mut replaced, mut at) = (String::with_capacity(script.len()), Vec::new(), 0);
        for (variable, value) in values {
            text.push_str(&script[at..variable.span.start]);
            let start = text.len();
            // The space keeps the value apart from a word or name directly before the variable.
            text.push(' ');
            text.push_str(&match variable.quoting {
                Quoting::Literal => escape_literal(value),
                Quoting::Identifier => quote(value),
            });
            replaced.push((start..text.len(), variable.span.clone()));
            at = variable.span.end;
        }
        text.push_str(&script[at..]);
        Self {
            text: Arc::new(text),
            replaced,
        }
    }

    /// The position in the script that corresponds to a byte of the text.
    pub(super) fn origin(&self, at: usize) -> usize {
        let (mut text, mut script) = (0, 0);
        for (new, old) in &self.replaced {
            if at < new.start {
                break;
            }
            if at < new.end {
                return old.start;
            }
            (text, script) = (new.end, old.end);
        }
        script + (at - text)
    }
}
