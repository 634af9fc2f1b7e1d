//! The console's words, in Swedish and English, from the Fluent files in `text/`.

use std::sync::LazyLock;

use axum::http::HeaderMap;
use axum::http::header::{ACCEPT_LANGUAGE, COOKIE};
use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use strum::{EnumIter, EnumString, IntoStaticStr};

use super::format;

/// The cookie of the visitor's choice.
pub const LANGUAGE_COOKIE: &str = "orchestra-language";

/// A language of the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, EnumString, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Lang {
    /// English.
    En,
    /// Swedish.
    Sv,
}

type Bundle = FluentBundle<FluentResource>;

static ENGLISH: LazyLock<Bundle> = LazyLock::new(|| bundle(Lang::En));
static SWEDISH: LazyLock<Bundle> = LazyLock::new(|| bundle(Lang::Sv));

fn bundle(lang: Lang) -> Bundle {
    // A test reads both files, so that nothing of them is wrong here.
    let (Ok(resource) | Err((resource, _))) = FluentResource::try_new(lang.source().into());
    let mut bundle = Bundle::new_concurrent(lang.tag().parse().into_iter().collect());
    // The marks of isolation would be shown as boxes where fonts have none.
    bundle.set_use_isolating(false);
    bundle.set_formatter(Some(match lang {
        Lang::En => english,
        Lang::Sv => swedish,
    }));
    bundle.add_resource_overriding(resource);
    bundle
}

fn english<M>(value: &FluentValue, _: &M) -> Option<String> {
    whole(Lang::En, value)
}

fn swedish<M>(value: &FluentValue, _: &M) -> Option<String> {
    whole(Lang::Sv, value)
}

/// A whole number in the language's own way.
fn whole(lang: Lang, value: &FluentValue) -> Option<String> {
    match value {
        #[allow(clippy::cast_possible_truncation, reason = "arguments are counts")]
        FluentValue::Number(number) => Some(format::number(lang, number.value as i64)),
        _ => None,
    }
}

impl Lang {
    /// The language of a visitor: the one chosen, or else the first that the browser asks for and the console speaks.
    pub fn of(headers: &HeaderMap) -> Self {
        let cookies = headers
            .get_all(COOKIE)
            .into_iter()
            .filter_map(|line| line.to_str().ok());
        let mut pairs = cookies
            .flat_map(|line| line.split("; "))
            .filter_map(|pair| pair.split_once('='));
        let chosen = pairs.find_map(|(name, value)| (name == LANGUAGE_COOKIE).then(|| value.parse().ok())?);
        let asked = headers
            .get(ACCEPT_LANGUAGE)
            .and_then(|asked| asked.to_str().ok())
            .unwrap_or_default();
        chosen.unwrap_or_else(|| Self::asked(asked))
    }

    fn asked(accepted: &str) -> Self {
        let weighed = accepted.split(',').filter_map(|range| {
            let (tag, rest) = range.split_once(';').unwrap_or((range, ""));
            let weight = rest
                .trim()
                .strip_prefix("q=")
                .map_or(Some(1.0), |weight| weight.parse::<f32>().ok())?;
            let language: Self = tag.trim().split('-').next()?.to_ascii_lowercase().parse().ok()?;
            (weight > 0.0).then_some((weight, language))
        });
        let best = weighed.reduce(|best, next| if next.0 > best.0 { next } else { best });
        best.map_or(Self::En, |(_, language)| language)
    }

    /// Its BCP 47 tag.
    pub fn tag(self) -> &'static str {
        self.into()
    }

    fn source(self) -> &'static str {
        match self {
            Self::En => include_str!("text/en.ftl"),
            Self::Sv => include_str!("text/sv.ftl"),
        }
    }

    fn bundle(self) -> &'static Bundle {
        match self {
            Self::En => &ENGLISH,
            Self::Sv => &SWEDISH,
        }
    }

    /// A message without arguments; its key where there is none.
    pub fn say(self, key: &str) -> String {
        self.with(key, &[])
    }

    /// A message with its arguments; its key where there is none.
    pub fn with(self, key: &str, arguments: &[(&str, FluentValue)]) -> String {
        self.find(key, arguments).unwrap_or_else(|| key.to_owned())
    }

    /// A message that may not exist, such as the word for a reason of a later operator.
    pub fn find(self, key: &str, arguments: &[(&str, FluentValue)]) -> Option<String> {
        let pattern = self.bundle().get_message(key)?.value()?;
        let arguments: FluentArgs = arguments.iter().cloned().collect();
        Some(
            self.bundle()
                .format_pattern(pattern, Some(&arguments), &mut Vec::new())
                .into_owned(),
        )
    }

    /// The word for a phase, state or reason: the word itself where the console has none.
    pub fn word(self, of: &str, word: &str) -> String {
        self.find(&format!("{of}-{word}"), &[])
            .unwrap_or_else(|| word.to_owned())
    }

    /// A message about a number of things.
    pub fn count(self, key: &str, count: usize) -> String {
        self.with(key, &[("count", count.into())])
    }

    /// A message about something that has a name.
    pub fn named(self, key: &str, name: &str) -> String {
        self.with(key, &[("name", name.into())])
    }
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
