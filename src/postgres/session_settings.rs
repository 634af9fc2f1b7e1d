//! The settings in the `options` of a database URL.

use super::error::Error;

const PATH: &str = "search_path";

/// One setting, `-c name=value`, `-cname=value` or `--name=value`.
struct Setting<'a> {
    /// As it is written, in one or two words.
    written: String,
    /// In lower case.
    name: String,
    value: &'a str,
}

/// Other switches of the server, several of which can be written as one word, are refused.
fn read(options: &str) -> Result<Vec<Setting<'_>>, Error> {
    let mut settings = Vec::new();
    let mut words = options.split_whitespace();
    while let Some(word) = words.next() {
        let (written, setting) = match (word.strip_prefix("-c"), word.strip_prefix("--")) {
            (Some(""), _) => {
                let setting = words.next().unwrap_or_default();
                (format!("{word} {setting}"), setting)
            }
            (Some(setting), _) | (None, Some(setting)) => (word.to_owned(), setting),
            (None, None) => {
                return Err(Error::invalid_url(
                    "options must be settings only, each as -c name=value, without white space in a value",
                ));
            }
        };
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        settings.push(Setting {
            written,
            name: name.replace('-', "_").replace('\\', "").to_ascii_lowercase(),
            value,
        });
    }
    Ok(settings)
}

/// Checks `options`, and returns whether they set the `search_path`.
///
/// # Errors
/// [`Error::InvalidUrl`] where they set the role or hold other switches than settings.
pub(super) fn set_path(options: &str) -> Result<bool, Error> {
    let settings = read(options)?;
    let sets_role = |setting: &Setting<'_>| matches!(setting.name.as_str(), "role" | "session_authorization");
    if settings.iter().any(sets_role) {
        return Err(Error::invalid_url(
            "options must not set the role: name the owner as the URL's user",
        ));
    }
    Ok(settings.iter().any(|setting| setting.name == PATH))
}

/// Whether `options` set a `search_path` with the schema of the session's user, `$user`, which is another one for each user.
pub(super) fn names_user(options: &str) -> bool {
    let names = |setting: &Setting<'_>| {
        let path = setting.value.replace('\\', "").to_ascii_lowercase();
        setting.name == PATH && path.contains("$user")
    };
    read(options).is_ok_and(|settings| settings.iter().any(names))
}

/// The other settings than the `search_path`; none where there are none.
pub(super) fn without_path(options: &str) -> Option<String> {
    let settings = read(options).ok()?.into_iter();
    let others: Vec<_> = settings
        .filter(|setting| setting.name != PATH)
        .map(|setting| setting.written)
        .collect();
    (!others.is_empty()).then(|| others.join(" "))
}
