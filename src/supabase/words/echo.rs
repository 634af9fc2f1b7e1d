//! The words of a text, without what the API repeats in it of the request, and without e-mail addresses: people have
//! chosen those names, and a tenant that is called `invoices` says nothing about an invoice.

/// The values of a request that its answer may repeat.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo<'a> {
    /// Names and references: of the project, the organization, a key.
    pub names: &'a [&'a str],
    /// The region of a creation.
    pub region: Option<&'a str>,
}

/// The word in place of the request's region. No text has it, since a hyphen separates words.
pub(super) const THIS_REGION: &str = "this-region";

/// The fewest bytes by which a value is recognised that the API has cut.
const BEGINNING: usize = 4;

/// The words of a text, in lower case. A value of the request is taken out as a whole, before its parts count as words.
pub(super) fn words(text: &str, echo: Echo<'_>) -> Vec<String> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    let text = without_addresses(&text.to_lowercase());
    let (mut words, mut rest) = (Vec::new(), text.as_str());
    while let Some(start) = rest.find(is_part) {
        let token = &rest[start..];
        let end = token.find(|c| !is_part(c)).unwrap_or(token.len());
        let (token, after) = token.split_at(end);
        rest = after;
        let is_cut = after.starts_with("...") || after.starts_with('…');
        let repeats = |value: &str| is_value(token, is_cut, value);
        if echo.names.iter().any(|name| repeats(name)) {
            continue;
        }
        if echo.region.is_some_and(repeats) {
            words.push(THIS_REGION.to_owned());
            continue;
        }
        let parts = token.split(['-', '_']).filter(|part| !part.is_empty());
        words.extend(parts.map(str::to_owned));
    }
    words
}

/// Whether a part of a text is this value, or its beginning where the text is cut.
fn is_value(token: &str, is_cut: bool, value: &str) -> bool {
    let ends = ['-', '_'];
    let value = value.to_lowercase();
    let (token, value) = (token.trim_matches(ends), value.trim_matches(ends));
    let begins = || is_cut && token.len() >= BEGINNING && value.starts_with(token);
    !value.is_empty() && (token == value || begins())
}

/// The text without e-mail addresses.
fn without_addresses(text: &str) -> String {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('@') {
        out.push_str(before.trim_end_matches(is_part));
        rest = after.trim_start_matches(is_part);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_of_the_request_are_no_words() {
        let echo = Echo {
            names: &["tenants-invoices-0a1b-orchdb-9", "acme-limit", "", "-odd-"],
            region: Some("eu-central-1"),
        };
        for (text, expected) in [
            (
                "Project tenants-invoices-0a1b-orchdb-9 exists",
                &["project", "exists"][..],
            ),
            ("'Tenants-Invoices-0A1B-ORCHDB-9'!", &[]),
            (
                "at /organizations/acme-limit/projects",
                &["at", "organizations", "projects"],
            ),
            ("acme-limits, acme, odd", &["acme", "limits", "acme"]),
            ("tenants-invo... and tenants-inv", &["and", "tenants", "inv"]),
            ("tenants-invo… is taken", &["is", "taken"]),
            (
                "EU-Central-1 and eu-central-12",
                &[THIS_REGION, "and", "eu", "central", "12"],
            ),
            ("this-region", &["this", "region"]),
            ("free_project_limit", &["free", "project", "limit"]),
            ("of ada.rate+free@invoices.example, me @ home", &["of", "me", "home"]),
            ("@@ … --", &[]),
        ] {
            assert_eq!(words(text, echo), expected, "{text}");
        }
        assert_eq!(words("acme-limit", Echo::default()), ["acme", "limit"]);
    }
}
