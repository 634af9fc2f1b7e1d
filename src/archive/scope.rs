//! Which schemas of a database a backup holds.

use sqlx::PgConnection;

use super::error::Result;
use crate::postgres::{self, OPERATOR_SCHEMA, PROVIDER_SCHEMAS};

/// The schema of the Supabase CLI's history.
pub(super) const HISTORY: &str = "supabase_migrations";

/// The provider's schemas whose rows a backup holds.
pub(super) const MANAGED: [&str; 2] = ["auth", "storage"];

/// Tables of [`MANAGED`] that a backup leaves out: the services' own migrations, and what does not restore
/// (supabase/cli#1856, supabase/supabase#35298).
pub(super) const NOT_MANAGED: [&str; 4] = [
    "auth.schema_migrations",
    "storage.migrations",
    "storage.buckets_vectors",
    "storage.vector_indexes",
];

/// The schemas of a database, by who manages them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemaScope {
    /// Whether it is a hosted project with the provider's schemas.
    pub hosted: bool,
    /// The tenant's.
    pub included: Vec<String>,
    /// Those that a dump must leave out.
    pub excluded: Vec<String>,
    /// The provider's whose rows count.
    pub managed: Vec<String>,
    /// The role whose session this is.
    pub owner: String,
}

/// What is left out of the facts about a database.
#[derive(Clone, Copy, Debug, Default)]
pub struct Without<'a> {
    /// Whether the Supabase CLI's history in a hosted project is the tenant's.
    pub history_included: bool,
    /// Further schemas.
    pub schemas: &'a [String],
    /// The provider's schemas, also where they are copies on a server of one's own.
    pub provider: bool,
}

impl SchemaScope {
    /// Looks at the schemas of a database.
    ///
    /// # Errors
    /// When the database returns an error.
    pub async fn look(conn: &mut PgConnection, without: Without<'_>) -> Result<Self> {
        let found: Vec<(String, bool, String)> = postgres::all(
            conn,
            "schemas",
            sqlx::query(
                "SELECT nspname::text, EXISTS (SELECT FROM pg_namespace a WHERE a.nspname = 'auth' \
                    AND pg_get_userbyid(a.nspowner) = 'supabase_admin'), current_user::text \
                 FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY 1",
            ),
        )
        .await?;
        let hosted = found.first().is_some_and(|(_, hosted, _)| *hosted);
        let owner = found.first().map(|(.., owner)| owner.clone()).unwrap_or_default();
        let is_out = |name: &String| {
            let kept = without.history_included && name == HISTORY;
            let providers = (hosted || without.provider) && PROVIDER_SCHEMAS.contains(&name.as_str()) && !kept;
            providers || name == OPERATOR_SCHEMA || without.schemas.contains(name)
        };
        let (out, included): (Vec<_>, Vec<_>) = found.into_iter().map(|(name, ..)| name).partition(is_out);
        let managed = MANAGED.into_iter().filter(|name| out.iter().any(|out| out == name));
        let managed = managed.filter(|_| hosted || without.provider).map(ToOwned::to_owned);
        Ok(Self {
            hosted,
            managed: managed.collect(),
            included,
            excluded: out,
            owner,
        })
    }
}
