//! The wanted contents of an Orchestra's database: migrations, seed, template and settings. The
//! scripts of a source are read once for each version and shared by all tenants that name it.

mod migrations;
mod scripts;
mod seed;

use std::sync::Arc;

use crate::api::{Orchestra, OrchestraClass, OrchestraDatabase, Seed, Template};
use crate::controller::Core;
use crate::source::Sources;

pub use migrations::{MigrationSpec, MigrationsOrigin, check_template, migrations_of, origin, template_of};
pub use scripts::{Scripts, migrations};
pub use seed::{SeedRows, SeedRun, before_claim as seed_before_claim, place as seed_place};

/// The context of a room that reads scripts.
pub struct Context {
    /// The part that every pass needs.
    pub core: Arc<Core>,
    /// Versions of sources, and files that were fetched a short time ago.
    pub sources: Sources,
    /// Migrations and seeds that were read, shared by all tenants that name their source.
    pub scripts: Scripts,
}

impl AsRef<Core> for Context {
    fn as_ref(&self) -> &Core {
        &self.core
    }
}

/// The Orchestra whose content it is, with its class and its database.
#[derive(Clone, Copy)]
pub struct TenantContext<'a> {
    /// The Orchestra.
    pub object: &'a Orchestra,
    /// The class that meets its claim.
    pub class: Option<&'a OrchestraClass>,
    /// The database that it claims.
    pub database: Option<&'a OrchestraDatabase>,
}

impl<'a> TenantContext<'a> {
    /// The template that it is made from: the one that it names, or the default one of its class.
    pub fn template(&self) -> Option<&'a Template> {
        template_of(self.object, self.class?)
    }

    /// The seed of that template. The rows of a class's default template are not inserted into a project that was adopted
    /// with its own data: only a template that the Orchestra names puts its rows there.
    pub fn template_seed(&self) -> Option<&'a Seed> {
        let adopted = self.database.is_some_and(|database| database.adopted().is_some());
        let asked = !adopted || self.object.spec.template().is_some();
        self.template().filter(|_| asked)?.seed.as_ref()
    }
}
