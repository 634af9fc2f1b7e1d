//! Keys of the connection Secret whose text a tenant gives, as templates of `minijinja`.
//!
//! What a template may do is bounded before it runs: it has conditions and expressions, and no loops, repetitions or
//! assignments, so that its output grows only with its own length. The number of its instructions is limited as well. An
//! error never contains a value.

use std::collections::BTreeMap;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value};
use percent_encoding::utf8_percent_encode;

use crate::postgres::RESERVED;

/// Longest text of one key in bytes.
const LONGEST: usize = 64 * 1024;

/// Longest texts of all keys together in bytes: a Secret may have 1 MiB.
const ALTOGETHER: usize = 512 * 1024;

/// Instructions of one template.
const FUEL: u64 = 20_000;

/// The tags that a template may have.
const TAGS: [&str; 4] = ["if", "elif", "else", "endif"];

/// Most tags of a template. A chain of `elif` is parsed by recursion.
const MOST_TAGS: usize = 64;

/// Most words and signs of an expression. Signs such as `-` and `not` are parsed and compiled by recursion.
const MOST_PARTS: usize = 64;

/// The characters that an expression may have outside of its strings, beside letters and digits.
const EXPRESSION: &str = "_.|(),~+-=!<> \t\r\n";

/// The variables of a template, by name. One without a value is empty.
pub type TemplateVariables = BTreeMap<&'static str, String>;

/// The names of the variables, in the order of the documentation.
pub const NAMES: [&str; 17] = [
    "name",
    "namespace",
    "display_name",
    "mode",
    "host",
    "port",
    "database",
    "user",
    "password",
    "url",
    "session_url",
    "transaction_url",
    "direct_url",
    "ca_certificate",
    "supabase_url",
    "supabase_anon_key",
    "supabase_service_role_key",
];

/// Renders the templates of a Secret by key.
///
/// # Errors
/// What is wrong, with the key and, where it is one, the variable; without any value.
pub fn render(
    templates: &BTreeMap<String, String>,
    variables: &TemplateVariables,
) -> Result<BTreeMap<String, String>, String> {
    let environment = environment();
    let mut left = ALTOGETHER;
    let mut rendered = BTreeMap::new();
    for (key, text) in templates {
        let value = one(&environment, text, variables, left.min(LONGEST))
            .map_err(|wrong| format!("spec.connection.template, key {key}: {wrong}"))?;
        left -= value.len();
        rendered.insert(key.clone(), value);
    }
    Ok(rendered)
}

/// Checks the templates before the values are known.
///
/// # Errors
/// As [`render`].
pub fn check(templates: &BTreeMap<String, String>) -> Result<(), String> {
    let samples = NAMES.map(|name| (name, "x".to_owned())).into();
    render(templates, &samples).map(drop)
}

/// The templates of a Secret that is to be restored while those of the spec are invalid: the ones published last, if known,
/// or else the valid ones of the spec.
pub fn last_valid(
    templates: &BTreeMap<String, String>,
    last: Option<&BTreeMap<String, String>>,
) -> Option<BTreeMap<String, String>> {
    if check(templates).is_ok() {
        return Some(templates.clone());
    }
    let right = |(key, text): &(&String, &String)| check(&[((*key).clone(), (*text).clone())].into()).is_ok();
    let own = || templates.iter().filter(right);
    let own = || own().map(|(key, text)| (key.clone(), text.clone())).collect();
    Some(last.cloned().unwrap_or_else(own))
}

fn one(
    environment: &Environment<'_>,
    text: &str,
    variables: &TemplateVariables,
    limit: usize,
) -> Result<String, String> {
    guard(text)?;
    let template = environment.template_from_str(text).map_err(|error| told(&error))?;
    let mut unknown: Vec<_> = template
        .undeclared_variables(false)
        .into_iter()
        .filter(|name| !variables.contains_key(name.as_str()))
        .collect();
    unknown.sort();
    if let Some(first) = unknown.first() {
        return Err(format!(
            "the variable {first} does not exist; there are {}",
            NAMES.join(", ")
        ));
    }
    let values = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str())));
    let values = Value::from(values.collect::<BTreeMap<_, _>>());
    let mut output = RenderedTemplate {
        text: Vec::new(),
        limit,
    };
    match template.render_captured_to(values, &mut output) {
        Ok(_) => String::from_utf8(output.text).map_err(|_| "its text is not UTF-8".into()),
        Err(error) if error.kind() == ErrorKind::WriteFailure => Err(format!(
            "its text is longer than {LONGEST} bytes, or all texts together than {ALTOGETHER}"
        )),
        Err(error) => Err(told(&error)),
    }
}

/// A text that cannot grow beyond its limit.
struct RenderedTemplate {
    text: Vec<u8>,
    limit: usize,
}

impl io::Write for RenderedTemplate {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if self.text.len() + more.len() > self.limit {
            return Err(io::Error::other("too long"));
        }
        self.text.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The kind of an error and its line. Details are only given of errors in the template itself, before it has values.
fn told(error: &Error) -> String {
    let line = error.line().map(|line| format!(" in line {line}")).unwrap_or_default();
    let what = match error.kind() {
        ErrorKind::SyntaxError => return format!("syntax error{line}: {}", error.detail().unwrap_or_default()),
        ErrorKind::UnknownFilter => {
            "there is no such filter; there are urlencode, parameter, b64encode, tojson, upper, \
                                     lower and trim"
        }
        ErrorKind::UnknownFunction => "there are no functions",
        ErrorKind::UnknownMethod => "variables are texts and have no methods",
        ErrorKind::UndefinedError => "a variable has no fields: variables are texts",
        ErrorKind::OutOfFuel => "it takes too many steps",
        ErrorKind::MissingArgument | ErrorKind::TooManyArguments => "a filter has too few or too many arguments",
        _ => "unsupported operation",
    };
    format!("{what}{line}")
}

/// Refuses constructs with which the output or the run time of a template grows more than its own length.
fn guard(text: &str) -> Result<(), String> {
    let mut rest = text;
    let mut tags = 0;
    while let Some(at) = rest.find('{') {
        rest = &rest[at + 1..];
        match rest.chars().next() {
            Some('{') => rest = expression(&rest[1..], "}}")?,
            Some('%') => {
                rest = &rest[1..];
                let inner = rest.strip_prefix(['-', '+']).unwrap_or(rest).trim_start();
                let end = inner.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
                let tag = &inner[..end.unwrap_or(inner.len())];
                if !TAGS.contains(&tag) {
                    return Err(format!(
                        "the tag {} is not supported: there are conditions (if, elif, else, endif), and no loops",
                        crate::text::line(tag, 40)
                    ));
                }
                tags += 1;
                if tags > MOST_TAGS {
                    return Err(format!("it has more than {MOST_TAGS} tags"));
                }
                rest = expression(rest, "%}")?;
            }
            Some('#') => rest = rest.split_once("#}").ok_or("syntax error: a comment has no end")?.1,
            _ => {}
        }
    }
    Ok(())
}

/// The text after an expression.
fn expression<'a>(text: &'a str, end: &str) -> Result<&'a str, String> {
    let mut letters = text.char_indices();
    let (mut parts, mut goes_on) = (0, false);
    while let Some((at, letter)) = letters.next() {
        if text[at..].starts_with(end) {
            return Ok(&text[at + end.len()..]);
        }
        let of_word = letter.is_ascii_alphanumeric() || letter == '_';
        parts += usize::from(!(letter.is_whitespace() || of_word && goes_on));
        goes_on = of_word;
        if parts > MOST_PARTS {
            return Err(format!("an expression has more than {MOST_PARTS} words and signs"));
        }
        if matches!(letter, '"' | '\'') {
            let mut escaped = false;
            let closed = letters.any(|(_, next)| {
                let closes = next == letter && !escaped;
                escaped = next == '\\' && !escaped;
                closes
            });
            if !closed {
                return Err("syntax error: a string has no end".into());
            }
        } else if !letter.is_ascii_alphanumeric() && !EXPRESSION.contains(letter) {
            return Err(format!(
                "{letter:?} is not supported in an expression: there are variables, strings, numbers, filters, \
                 comparisons and ~, which joins texts"
            ));
        }
    }
    Err(format!("syntax error: an expression has no end ({end})"))
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.add_filter("urlencode", |text: &str| bounded(encoded(text)));
    environment.add_filter("parameter", |url: &str, name: &str, value: &str| {
        let mark = if url.contains('?') { '&' } else { '?' };
        bounded(format!("{url}{mark}{}={}", encoded(name), encoded(value)))
    });
    environment.add_filter("b64encode", |text: &str| bounded(STANDARD.encode(text)));
    environment.add_filter("tojson", |text: &str| {
        bounded(serde_json::Value::from(text).to_string())
    });
    environment.add_filter("upper", |text: &str| bounded(text.to_uppercase()));
    environment.add_filter("lower", |text: &str| bounded(text.to_lowercase()));
    environment.add_filter("trim", |text: &str| bounded(text.trim().to_owned()));
    environment
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

fn bounded(text: String) -> Result<String, Error> {
    if text.len() > LONGEST {
        return Err(Error::new(ErrorKind::WriteFailure, "too long"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const HUSH: &str = "Hu-sh.of~the_night/@?";

    fn variables() -> TemplateVariables {
        let mut all: TemplateVariables = NAMES.map(|name| (name, String::new())).into();
        all.insert("password", HUSH.into());
        all.insert("session_url", "postgresql://u:p@h:5432/d?sslmode=verify-full".into());
        all.insert("url", "postgresql://u:p@h:5432/d".into());
        all.insert("host", "h".into());
        all
    }

    fn of(text: &str) -> Result<String, String> {
        let templates = [("KEY".to_string(), text.to_string())].into();
        let before = check(&templates);
        let rendered = render(&templates, &variables()).map(|all| all["KEY"].clone());
        assert!(rendered.is_err() || before.is_ok(), "{text}: {before:?}");
        rendered
    }

    #[test]
    fn variables_filters_and_conditions() {
        for (text, is) in [
            ("plain { } * 100 %", "plain { } * 100 %"),
            ("{{ host }}:{{port}}", "h:"),
            ("{{ password | urlencode }}", "Hu-sh.of~the_night%2F%40%3F"),
            (
                "{{ session_url | parameter('a b', \"1&2\") }}",
                "postgresql://u:p@h:5432/d?sslmode=verify-full&a%20b=1%262",
            ),
            ("{{ url|parameter('x','1') }}", "postgresql://u:p@h:5432/d?x=1"),
            ("{{ host | b64encode }}{{ 'a\"b' | tojson }}", "aA==\"a\\\"b\""),
            (
                "{% if supabase_url %}yes{% elif host == 'h' -%} no {%- endif %}{# a }} * #}",
                "no",
            ),
            ("{{ 'it\\'s }} * ' ~ host }}", "it's }} * h"),
            ("{{ (host ~ '-x') | upper | lower | trim }}", "h-x"),
        ] {
            assert_eq!(of(text).as_deref(), Ok(is), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_names_the_key_and_the_variable_and_no_value() {
        for (text, says) in [
            ("{{ pasword }}", "the variable pasword does not exist; there are name, "),
            ("{{ password", "syntax error: an expression has no end"),
            ("{{ password | }}", "syntax error in line 1"),
            ("{{ 'a }}", "a string has no end"),
            ("{# a", "a comment has no end"),
            ("\n{{ password | nothing }}", "there is no such filter"),
            ("{{ password.length }}", "a variable has no fields"),
            ("{{ password.upper() }}", "no methods"),
            ("{{ password | urlencode(1, 2) }}", "arguments"),
            ("{{ password - 1 }}", "unsupported operation"),
            ("{% if host %}", "syntax error"),
            ("{% for i in host %}x{% endfor %}", "the tag for is not supported"),
            ("{%- while true %}", "no loops"),
            ("{% set x = host %}", "the tag set is not supported"),
            ("{% raw %}{{ x }}{% endraw %}", "the tag raw"),
            ("{{ 'x' * 100000000 }}", "'*' is not supported"),
            ("{{ '}}' ~ 'x' * 9 }}", "'*' is not supported"),
            ("{{ [host] }}", "'[' is not supported"),
            ("{{ {'a': 1} }}", "'{' is not supported"),
            ("{{ range(10) }}", "the variable range does not exist"),
        ] {
            let told = of(text).unwrap_err();
            assert!(
                told.starts_with("spec.connection.template, key KEY: ") && told.contains(says),
                "{text}: {told}"
            );
            assert!(!told.contains("Hu-sh"), "{told}");
        }
    }

    #[test]
    fn a_template_ends_soon_and_its_text_is_bounded() {
        let deep = format!("{{{{ {}host{} }}}}", "(".repeat(8000), ")".repeat(8000));
        let chain = format!("{{{{ host{} }}}}", " | b64encode".repeat(1300));
        let many = "{{ host }}".repeat(1600);
        let long = "x".repeat(LONGEST + 1);
        let began = std::time::Instant::now();
        // The parser and the compiler call themselves for each of these: an overflow of the stack ends the process.
        for part in [
            "-",
            "not ",
            "host ~ ",
            "host + ",
            "host if host else ",
            "host.",
            "host == ",
            "host and ",
        ] {
            let text = format!("{{{{ {}host }}}}", part.repeat(16_000 / part.len()));
            let told = of(&text).unwrap_err();
            assert!(told.contains("words and signs"), "{part}: {told}");
            let text = format!("{{% if {}host %}}{{% endif %}}", part.repeat(16_000 / part.len()));
            assert!(of(&text).is_err(), "{part}");
        }
        for tag in [
            "{% if host %}",
            "{% if host %}{% elif host %}",
            "{% elif host %}",
            "{%if 1%}",
        ] {
            let text = format!("{{% if host %}}{}", tag.repeat(16_000 / tag.len()));
            assert!(of(&text).unwrap_err().contains("tags"), "{tag}");
        }
        for (text, ends) in [(&deep, false), (&chain, false), (&many, true), (&long, false)] {
            assert_eq!(of(text).is_ok(), ends, "{}", &text[..20]);
        }
        let much = "y".repeat(LONGEST);
        let all: BTreeMap<_, _> = (0..9).map(|n| (format!("K{n}"), much.clone())).collect();
        assert!(render(&all, &variables()).unwrap_err().contains("longer than"));
        assert!(began.elapsed() < std::time::Duration::from_secs(5));
    }
}
