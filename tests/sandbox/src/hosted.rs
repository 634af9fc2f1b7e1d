//! Databases of hosted projects: one PostgreSQL cluster for each, as on the platform, so that the database and its
//! owner are both named `postgres`, and a role made in one project is unknown in the others.
//!
//! A cluster is a copy of a [`Template`], which is made once and kept in the sandbox's cache. What is in it is in
//! `hosted/sql`. A copy costs about 30 MB of disk, 20 MB of memory and a fifth of a second.

mod clusters;
pub(crate) mod copy;
mod pooler;
mod projects;
mod server;
mod template;

pub(crate) use clusters::Clusters;
pub use projects::Projects;
pub(crate) use server::find as find_server;
pub(crate) use template::Template;

/// Whether projects have a transaction pooler.
pub(crate) fn has_pooler() -> bool {
    pooler::is_installed()
}

/// The superuser of a project's cluster, which no user of the platform has.
pub const SUPERUSER: &str = "supabase_admin";

/// What differs between projects from their beginning.
#[derive(Clone, Copy, Debug, Default)]
pub struct Switches {
    /// Whether new tables of `public` are open to the Data API, as before the platform's change of 2026.
    pub expose_new_tables: bool,
    /// Whether an event trigger enables row level security on new tables of `public`.
    pub ensure_rls: bool,
}
