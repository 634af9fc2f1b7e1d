//! What every page has around it.

use axum::http::request::Parts;

use super::Console;
use super::form::{Fields, link};
use super::guard::ScriptNonce;
use super::text::Lang;

/// A page of the navigation.
pub struct NavItem {
    /// Where it is. A list of tenants stays in the namespace that the visitor looks at.
    pub path: String,
    /// Its name.
    pub name: String,
    /// Whether the visitor is there, or below.
    pub here: bool,
}

/// The frame of a page.
#[derive(Clone)]
pub struct Frame {
    /// The language.
    pub t: Lang,
    /// The nonce of its scripts.
    pub nonce: String,
    /// The path and query of the page.
    pub here: String,
    /// The visitor; none on pages before the sign-in.
    pub user: Option<String>,
    /// Whether the visitor can sign out here, and not only at a proxy.
    pub can_leave: bool,
}

const PAGES: [(&str, &str); 8] = [
    ("/", "nav-fleet"),
    ("/create", "nav-create"),
    ("/approvals", "nav-approvals"),
    ("/classes", "nav-classes"),
    ("/pools", "nav-pools"),
    ("/backups", "nav-backups"),
    ("/cost", "nav-cost"),
    ("/orphans", "nav-orphans"),
];

/// Pages that can be limited to a namespace.
const LISTS: [&str; 4] = ["/", "/approvals", "/backups", "/cost"];

impl Frame {
    /// The frame of the answer to a request.
    pub fn of(parts: &Parts, console: &Console) -> Self {
        let nonce = parts.extensions.get::<ScriptNonce>();
        Self {
            t: Lang::of(&parts.headers),
            nonce: nonce.map_or_else(String::new, |nonce| nonce.0.clone()),
            here: parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            user: None,
            can_leave: !console.settings.modes.proxy,
        }
    }

    /// The language that the visitor can change to.
    pub fn other(&self) -> Lang {
        match self.t {
            Lang::En => Lang::Sv,
            Lang::Sv => Lang::En,
        }
    }

    /// The pages of the navigation.
    pub fn pages(&self) -> Vec<NavItem> {
        let (path, query) = self.here.split_once('?').unwrap_or((&self.here, ""));
        let query = Fields::of(query.as_bytes());
        let namespace = query.get("namespace");
        let below = |page: &str| match page {
            "/" => path == "/" || path.starts_with("/tenants/"),
            page => path == page || path.strip_prefix(page).is_some_and(|rest| rest.starts_with('/')),
        };
        let item = |(path, key): (&str, &str)| NavItem {
            path: if LISTS.contains(&path) {
                link(path, &[("namespace", namespace)])
            } else {
                path.to_owned()
            },
            name: self.t.say(key),
            here: below(path),
        };
        PAGES.map(item).into()
    }
}
