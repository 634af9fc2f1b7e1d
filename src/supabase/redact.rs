//! Removes what may be a secret from a text of the API before it is repeated.

/// The text in place of a secret.
const REDACTED: &str = "[redacted]";
/// A known secret is recognised by as many of its first bytes, because a server may cut what it repeats.
const BEGINNING: usize = 8;
/// The beginnings of the platform's tokens and keys, and how many characters follow at least.
const KEYS: [(&str, usize); 4] = [("sb_secret_", 4), ("sb_publishable_", 4), ("sbp_", 8), ("eyJ", 20)];
/// Names of fields whose values are not repeated.
const FIELDS: [&str; 8] = [
    "db_pass",
    "password",
    "pass",
    "secret",
    "token",
    "api_key",
    "apikey",
    "authorization",
];

/// The text without these secrets, and without anything that looks like a key, a password in a URL or the value of a field
/// for one.
pub(super) fn redact(text: &str, secrets: &[&str]) -> String {
    let known = secrets.iter().filter(|secret| !secret.is_empty());
    let text = known.fold(text.to_owned(), |text, secret| without(&text, secret));
    let text = without_keys(&text);
    let text = without_url_passwords(&text);
    without_fields(&text)
}

/// Without a secret, or the beginning of it.
fn without(text: &str, secret: &str) -> String {
    let beginning: String = secret.chars().take(BEGINNING).collect();
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, _)) = rest.split_once(&beginning) {
        out.push_str(before);
        out.push_str(REDACTED);
        let found = &rest[before.len()..];
        let same = found.bytes().zip(secret.bytes()).take_while(|(a, b)| a == b).count();
        let end = (0..=same).rev().find(|end| found.is_char_boundary(*end));
        rest = &found[end.unwrap_or(beginning.len())..];
    }
    out + rest
}

fn without_keys(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    loop {
        let next = KEYS
            .iter()
            .filter_map(|(start, least)| Some((rest.find(start)?, start.len(), *least)));
        let Some((at, start, least)) = next.min() else {
            return out + rest;
        };
        let body = &rest[at + start..];
        let length = body
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
            .unwrap_or(body.len());
        out.push_str(&rest[..at]);
        if length >= least {
            out.push_str(REDACTED);
        } else {
            out.push_str(&rest[at..at + start + length]);
        }
        rest = &body[length..];
    }
}

/// `scheme://user:password@host` without the password.
fn without_url_passwords(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let end = after
            .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\''))
            .unwrap_or(after.len());
        let address = &after[..end];
        match address
            .rsplit_once('@')
            .and_then(|(login, host)| Some((login.split_once(':')?.0, host)))
        {
            Some((user, host)) => out.extend([user, ":", REDACTED, "@", host]),
            None => out.push_str(address),
        }
        rest = &after[end..];
    }
    out + rest
}

/// `"db_pass": "value"` and `password=value` without the value.
fn without_fields(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let (mut out, mut from) = (String::new(), 0);
    while let Some((start, end)) = FIELDS
        .iter()
        .filter_map(|field| value_of(text, &lower, from, field))
        .min()
    {
        out.push_str(&text[from..start]);
        out.push_str(REDACTED);
        from = end;
    }
    out + &text[from..]
}

/// Where the value of the next such field begins and ends.
fn value_of(text: &str, lower: &str, from: usize, field: &str) -> Option<(usize, usize)> {
    let mut at = from;
    loop {
        at += lower[at..].find(field)? + field.len();
        let tail = &text[at..];
        let rest = tail.trim_start_matches(['"', '\'', '\\']).trim_start();
        let Some(rest) = rest.strip_prefix([':', '=']) else {
            continue;
        };
        let is_assigned = text[..text.len() - rest.len()].ends_with('=');
        let value = rest.trim_start();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\'' | '\\'));
        if quote.is_none() && !is_assigned {
            continue;
        }
        let value = value.trim_start_matches(['"', '\'', '\\']);
        let start = text.len() - value.len();
        let ends = |c: char| {
            matches!(c, '"' | '\'' | '\\') || (quote.is_none() && (c.is_whitespace() || matches!(c, '&' | ',')))
        };
        let length = value.find(ends).unwrap_or(value.len());
        if length > 0 && !value.starts_with(REDACTED) {
            return Some((start, start + length));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_repeated() {
        for (text, expected) in [
            (
                "your db_pass hunter2-hunter2 is weak",
                "your db_pass [redacted] is weak",
            ),
            ("cut: hunter2-hun...", "cut: [redacted]..."),
            ("twice hunter2-hunter2hunter2-hunter2", "twice [redacted][redacted]"),
            ("key sb_secret_AbC-12 and sb_secret_", "key [redacted] and sb_secret_"),
            ("jwt eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYW5vbiJ9.c2ln!", "jwt [redacted]!"),
            ("token sbp_0123456789abcdef", "token [redacted]"),
            (
                "at postgres://me:pa:ss@host/db now",
                "at postgres://me:[redacted]@host/db now",
            ),
            ("see https://supabase.com/docs?a=b", "see https://supabase.com/docs?a=b"),
            (
                r#"{"db_pass":"other one","name":"n"}"#,
                r#"{"db_pass":"[redacted]","name":"n"}"#,
            ),
            (r#"{\"db_pass\":\"other\"}"#, r#"{\"db_pass\":\"[redacted]\"}"#),
            ("PASSWORD=other&x=1", "PASSWORD=[redacted]&x=1"),
            ("password: must be longer", "password: must be longer"),
            ("db_pass must be longer", "db_pass must be longer"),
            ("the token é expired", "the token é expired"),
        ] {
            assert_eq!(redact(text, &["hunter2-hunter2"]), expected);
        }
        assert_eq!(redact("a short one: abc", &["abc", ""]), "a short one: [redacted]");
    }
}
