//! The entries of an inventory as their Secrets or the operator's environment hold them, and the API of an entry that is a
//! hosted project.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use super::owner::{Address, DIGITS};
use super::project_keys::{self, LONGEST};
use crate::postgres::Login;
use crate::text;

/// Prefix of the keys of an inventory.
pub const KEY_PREFIX: &str = "DATABASE_URL_POOL_";

/// The key of an entry in a Secret that a selector selects, which may hold further entries by [`KEY_PREFIX`].
pub const SINGLE_KEY: &str = "DATABASE_URL";

/// The keys of a hosted project's API, without what follows `DATABASE_URL` in the entry's key.
pub(super) const PARTS: [&str; 3] = ["SUPABASE_URL", "SUPABASE_ANON_KEY", "SUPABASE_SERVICE_ROLE_KEY"];

/// The entries of an inventory: database URLs by key, and the APIs of those that are hosted projects.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    urls: BTreeMap<String, SecretString>,
    projects: BTreeMap<String, Result<ProjectApi, RefusedApi>>,
}

/// An API that cannot be used.
#[derive(Clone, Debug)]
struct RefusedApi {
    /// What is missing or wrong.
    wrong: String,
    /// What the entry gives; none where a part is missing.
    given: Option<ProjectApi>,
}

impl From<String> for RefusedApi {
    fn from(wrong: String) -> Self {
        Self { wrong, given: None }
    }
}

/// The API of a hosted project.
#[derive(Clone, Debug)]
pub struct ProjectApi {
    /// `https://<ref>.<domain>`.
    pub url: String,
    /// Key for browsers.
    pub anon_key: SecretString,
    /// Key for servers.
    pub service_role_key: SecretString,
    /// Digest of them: a connection Secret with others is written again. None while the provider has not changed the keys
    /// of a project that the operator made.
    pub digest: Option<String>,
}

impl From<&Address> for ProjectApi {
    fn from(address: &Address) -> Self {
        Self {
            url: address.project_url.clone(),
            anon_key: address.anon_key.clone(),
            service_role_key: address.service_role_key.clone(),
            digest: address.keys.clone(),
        }
    }
}

impl Deref for Inventory {
    type Target = BTreeMap<String, SecretString>;

    fn deref(&self) -> &Self::Target {
        &self.urls
    }
}

impl<const N: usize> From<[(String, SecretString); N]> for Inventory {
    fn from(values: [(String, SecretString); N]) -> Self {
        Self {
            urls: values.into(),
            projects: BTreeMap::new(),
        }
    }
}

/// Whether an inventory reads a key, or tells that it differs from one that it reads.
pub fn is_meant(key: &str) -> bool {
    is_read(key) || close_to(key).is_some()
}

/// Whether an inventory reads a key.
fn is_read(key: &str) -> bool {
    parts(key).is_some_and(|(_, number)| number.starts_with("_POOL_"))
}

/// The prefix of an entry's key that differs from this key, which is not an entry's, only by its case and signs.
fn close_to(key: &str) -> Option<String> {
    let plain = |key: &str| {
        let letters = key.chars().filter(char::is_ascii_alphanumeric);
        letters.map(|letter| letter.to_ascii_uppercase()).collect::<String>()
    };
    let (all, given) = (PARTS.into_iter().chain([SINGLE_KEY]), plain(key));
    let mut all = all.map(|part| format!("{part}_POOL_"));
    all.find(|begin| !is_read(key) && given.starts_with(&plain(begin)))
}

/// The part that a key is, by its place in [`PARTS`] or none for the database, and what follows it.
fn parts(key: &str) -> Option<(Option<usize>, &str)> {
    if let Some(number) = key.strip_prefix(SINGLE_KEY) {
        return Some((None, number));
    }
    let of = |(place, part): (usize, &&str)| Some((Some(place), key.strip_prefix(*part)?));
    PARTS.iter().enumerate().find_map(of)
}

impl Inventory {
    /// Adds the values of a Secret by their keys. `selected` names one that a selector selects: its entries have its name
    /// in their keys, and `DATABASE_URL` is one of them.
    pub fn add(&mut self, selected: Option<&str>, values: impl IntoIterator<Item = (String, SecretString)>) {
        let wanted = |number: &str| number.starts_with("_POOL_") || selected.is_some() && number.is_empty();
        let (values, others): (BTreeMap<_, _>, BTreeMap<_, _>) = values
            .into_iter()
            .partition(|(key, _)| parts(key).is_some_and(|(_, number)| wanted(number)));
        let numbers: BTreeSet<_> = values.keys().filter_map(|key| Some(parts(key)?.1.to_owned())).collect();
        let own = |key: &str| selected.map_or_else(|| key.to_owned(), |name| format!("{name}/{key}"));
        for number in &numbers {
            let single = format!("{SINGLE_KEY}{number}");
            let (key, url) = (own(&single), values.get(&single));
            if let Some(project) = project(&values, number, url) {
                self.projects.insert(key.clone(), project);
            }
            if let Some(url) = url {
                self.urls.insert(key, url.clone());
            }
        }
        for (key, close) in others.keys().filter_map(|key| Some((key, close_to(key)?))) {
            let told = format!("no entry has this key: name it {close} and a number or a word, or remove it");
            self.projects.insert(own(key), Err(told.into()));
        }
        // Beside a first entry it belongs to something else, such as the application of an .env file.
        let follows = numbers.contains("_POOL_2") && !numbers.contains("_POOL_1");
        if selected.is_none() && follows && others.contains_key(SINGLE_KEY) {
            let told = format!(
                "no entry has this key, and the entries begin with {KEY_PREFIX}2: name it {KEY_PREFIX}1 if it is the first, or \
                 remove it"
            );
            self.projects.insert(SINGLE_KEY.to_owned(), Err(told.into()));
        }
        if !numbers.is_empty() {
            return;
        }
        match selected {
            Some(name) => {
                let told =
                    format!("Secret {name} is selected and has no key {SINGLE_KEY}: add the URL, or remove its label");
                self.projects.insert(own(SINGLE_KEY), Err(told.into()));
            }
            None if others.keys().all(|key| close_to(key).is_some()) => {}
            None => {
                let names: Vec<_> = others.keys().map(String::as_str).collect();
                let told = format!(
                    "the Secret has no key {KEY_PREFIX}1, {KEY_PREFIX}2, …, and so no entry; it has {}: name the keys of the \
                     entries so, or select the Secret with static.selector, where {SINGLE_KEY} is an entry",
                    text::names(&names, 5, names.len())
                );
                self.projects.insert(format!("{KEY_PREFIX}1"), Err(told.into()));
            }
        }
    }

    /// The API of an entry; none when the entry is not a hosted project, or has no keys.
    ///
    /// # Errors
    /// What is missing or wrong.
    pub fn project(&self, key: &str) -> Result<Option<&ProjectApi>, String> {
        let Some(project) = self.projects.get(key) else {
            return Ok(None);
        };
        let project = project.as_ref().map_err(|refused| refused.wrong.clone())?;
        self.shared_key(key, project).map_or(Ok(Some(project)), Err)
    }

    /// The API that an entry gives, also where it is refused.
    pub(super) fn given(&self, key: &str) -> Option<&ProjectApi> {
        let project = self.projects.get(key)?.as_ref();
        project.map_or_else(|refused| refused.given.as_ref(), Some)
    }

    /// What is wrong where the entry of another project has the same key for servers: one of the two has the keys of
    /// somebody else's project. Self-hosted projects may share a key, which names no project.
    fn shared_key(&self, key: &str, project: &ProjectApi) -> Option<String> {
        let service = project.service_role_key.expose_secret();
        let others = self.projects.iter();
        let mut others = others.filter_map(|(key, other)| Some((key, other.as_ref().ok()?)));
        let (other, _) =
            others.find(|(_, other)| other.url != project.url && other.service_role_key.expose_secret() == service)?;
        let name = |key: &str| key.replacen(SINGLE_KEY, PARTS[2], 1);
        project_keys::is_of_one_project(service).then(|| {
            format!(
                "{} and {} are the same key, of entries of two projects: give each entry the key of its own project",
                name(key),
                name(other)
            )
        })
    }

    /// What is wrong with the keys that belong to no entry, by the key that is missing.
    pub fn strays(&self) -> impl Iterator<Item = (&String, &String)> {
        let alone = self.projects.iter().filter(|(key, _)| !self.urls.contains_key(*key));
        alone.filter_map(|(key, project)| Some((key, &project.as_ref().err()?.wrong)))
    }

    /// A digest of all values of the entry of a key, and of what other entries make wrong with them.
    pub fn digest(&self, key: &str) -> Option<String> {
        let url = self.urls.get(key)?;
        let project = match self.projects.get(key) {
            None => String::new(),
            Some(Ok(project)) => {
                let shared = self.shared_key(key, project);
                [project.digest.clone(), shared].map(Option::unwrap_or_default).concat()
            }
            Some(Err(refused)) => refused.wrong.clone(),
        };
        let hash = Sha256::new_with_prefix(url.expose_secret())
            .chain_update([0])
            .chain_update(project);
        Some(hex::encode(hash.finalize()))
    }
}

/// The API of the entry with this number; none when it has none of its parts.
fn project(
    values: &BTreeMap<String, SecretString>,
    number: &str,
    url: Option<&SecretString>,
) -> Option<Result<ProjectApi, RefusedApi>> {
    let names = PARTS.map(|part| format!("{part}{number}"));
    let given = names
        .clone()
        .map(|name| values.get(&name).filter(|value| !value.expose_secret().is_empty()));
    if given.iter().all(Option::is_none) {
        return None;
    }
    let missing: Vec<_> = names
        .iter()
        .zip(&given)
        .filter(|(_, given)| given.is_none())
        .map(|(name, _)| name.as_str())
        .collect();
    let [Some(address), Some(anon), Some(service)] = given else {
        return Some(Err(format!(
            "{} missing: an entry gives all of {}, or none of them",
            missing.join(" and "),
            names.join(", ")
        )
        .into()));
    };
    let Some(database) = url else {
        return Some(Err(format!(
            "{SINGLE_KEY}{number} is missing: it must hold the URL of the database of the project of {}",
            names[0]
        )
        .into()));
    };
    let project = ProjectApi {
        url: address.expose_secret().trim_end_matches('/').to_owned(),
        anon_key: anon.clone(),
        service_role_key: service.clone(),
        digest: Some(digest([address, anon, service])),
    };
    Some(match check(&project, &names, database) {
        None => Ok(project),
        Some(wrong) => Err(RefusedApi {
            wrong,
            given: Some(project),
        }),
    })
}

impl ProjectApi {
    /// The API with the URL, the key for browsers and the key for servers that a connection Secret holds, if they are those
    /// with this digest. The URL is published without the slash that an entry may give.
    pub(super) fn published([url, anon, service]: [String; 3], digest_of_all: &str) -> Option<Self> {
        let (anon_key, service_role_key) = (SecretString::from(anon), SecretString::from(service));
        let mut given = ["", "/"]
            .map(|end| SecretString::from(format!("{url}{end}")))
            .into_iter();
        let is_same = given.any(|url| digest([&url, &anon_key, &service_role_key]) == digest_of_all);
        is_same.then(|| Self {
            url,
            anon_key,
            service_role_key,
            digest: Some(digest_of_all.to_owned()),
        })
    }
}

fn digest(values: [&SecretString; 3]) -> String {
    let mut hash = Sha256::new();
    for value in values {
        hash.update(value.expose_secret());
        hash.update([0]);
    }
    hex::encode(hash.finalize()).chars().take(DIGITS).collect()
}

/// What is wrong with the API of an entry. The message contains no value.
fn check(project: &ProjectApi, names: &[String; 3], database: &SecretString) -> Option<String> {
    let [address, anon, service] = names;
    let parsed = url::Url::parse(&project.url).ok();
    let plain = |url: &url::Url| {
        url.scheme() == "https"
            && url.host_str().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && (url.path(), url.query(), url.fragment()) == ("/", None, None)
    };
    let Some(parsed) = parsed.filter(|url| project.url.len() <= LONGEST && plain(url)) else {
        return Some(format!(
            "{address} is no URL of a project: write https:// and the host's name, and nothing else"
        ));
    };
    let host = parsed.host_str().map(|host| host.trim_end_matches('.'));
    let of_api = host.and_then(|host| host.strip_suffix(".supabase.co"));
    let of_database = Login::parse(database).ok().and_then(|login| reference(&login));
    let of_database = of_database.as_deref();
    if of_api.zip(of_database).is_some_and(|(api, database)| api != database) {
        return Some(format!(
            "{address} is of another project than the database: its tenant would get the keys of somebody else's project"
        ));
    }
    let keys = [
        (anon.as_str(), &project.anon_key),
        (service.as_str(), &project.service_role_key),
    ];
    project_keys::check(keys, of_database.or(of_api)).err()
}

/// The reference of the project to whose database a login leads, if its user or its host contains it.
fn reference(login: &Login) -> Option<String> {
    let host = host(login);
    let of_host = host
        .strip_prefix("db.")
        .and_then(|host| host.strip_suffix(".supabase.co"));
    of_host.or_else(|| pooler_reference(login)).map(str::to_owned)
}

/// The project's reference in the user of a login at Supabase's pooler, `<role>.<ref>`. A role's name may hold dots.
fn pooler_reference(login: &Login) -> Option<&str> {
    let (_, reference) = login.user.rsplit_once('.')?;
    host(login).ends_with(".pooler.supabase.com").then_some(reference)
}

/// The host in lower case, without a final dot.
fn host(login: &Login) -> String {
    let host = login.host.to_ascii_lowercase();
    host.strip_suffix('.').unwrap_or(&host).to_owned()
}

#[cfg(test)]
#[path = "project_tests.rs"]
mod tests;
