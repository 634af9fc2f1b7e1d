//! Where the databases of projects live: each in a cluster of its own, or all on one server.

use std::net::SocketAddr;

use sqlx::pool::PoolConnection;
use sqlx::{Connection, PgConnection, PgPool, Postgres};

use super::world::Project;
use crate::hosted::{Clusters, Switches};
use crate::postgres::{create_database, run_formatted};
use crate::router::Tenant;

/// The databases of all projects.
pub(super) enum Databases {
    /// A cluster for each, as on the platform.
    Clusters(Clusters),
    /// A plain database for each on one server, for measurements with many projects.
    Shared(Shared),
}

/// The one server of [`Databases::Shared`].
pub(super) struct Shared {
    /// Connections of the superuser.
    pub(super) server: PgPool,
    pub(super) address: SocketAddr,
    pub(super) version: String,
}

impl Databases {
    /// The version of the projects' PostgreSQL, such as `17.6`.
    pub(super) fn version(&self) -> &str {
        match self {
            Self::Clusters(clusters) => clusters.version(),
            Self::Shared(shared) => &shared.version,
        }
    }

    /// Creates a project's database, and says how the pooler reaches it; it does not let anybody in yet.
    pub(super) async fn create(&self, reference: &str, password: &str, switches: Switches) -> anyhow::Result<Tenant> {
        let (server, database, owner) = match self {
            Self::Clusters(clusters) => {
                let server = clusters.create(reference, password, switches).await?;
                (server, "postgres".to_owned(), "postgres".to_owned())
            }
            Self::Shared(shared) => {
                let mut admin = shared.server.acquire().await?;
                create(&mut admin, reference, password).await?;
                (shared.address, Project::database(reference), Project::owner(reference))
            }
        };
        Ok(Tenant {
            server,
            database,
            owner,
            usable_from: None,
        })
    }

    /// Sets the owner's password.
    pub(super) async fn set_password(&self, reference: &str, password: &str) -> anyhow::Result<()> {
        let owner = match self {
            Self::Clusters(_) => "postgres".to_owned(),
            Self::Shared(_) => Project::owner(reference),
        };
        let mut admin = self.admin(reference).await?;
        run_formatted(&mut admin, "ALTER ROLE %I PASSWORD %L", &[&owner, password]).await?;
        Ok(())
    }

    /// Ends every session in the project's database, and lets none begin until it is resumed.
    pub(super) async fn pause(&self, reference: &str) -> anyhow::Result<()> {
        match self {
            Self::Clusters(clusters) => clusters.stop(reference).await,
            Self::Shared(shared) => {
                sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1")
                    .bind(Project::database(reference))
                    .execute(&shared.server)
                    .await?;
            }
        }
        Ok(())
    }

    /// Undoes a pause.
    pub(super) async fn resume(&self, reference: &str) -> anyhow::Result<()> {
        match self {
            Self::Clusters(clusters) => clusters.start(reference).await,
            Self::Shared(_) => Ok(()),
        }
    }

    /// Restarts the servers of projects, where they are the projects' own.
    pub(super) async fn restart(&self) -> anyhow::Result<()> {
        match self {
            Self::Clusters(clusters) => clusters.restart().await,
            Self::Shared(_) => Ok(()),
        }
    }

    /// Drops the project's database and its roles.
    pub(super) async fn delete(&self, reference: &str) -> anyhow::Result<()> {
        match self {
            Self::Clusters(clusters) => clusters.delete(reference).await,
            Self::Shared(shared) => {
                let mut admin: PoolConnection<Postgres> = shared.server.acquire().await?;
                Ok(delete(&mut admin, reference).await?)
            }
        }
    }

    /// A session of the superuser in the project's database.
    pub(super) async fn admin(&self, reference: &str) -> anyhow::Result<PgConnection> {
        match self {
            Self::Clusters(clusters) => clusters.admin(reference).await,
            Self::Shared(shared) => {
                let options = (*shared.server.connect_options())
                    .clone()
                    .database(&Project::database(reference));
                Ok(PgConnection::connect_with(&options).await?)
            }
        }
    }
}

/// Creates the owner role and the project's database, closed to everyone else.
async fn create(admin: &mut PgConnection, reference: &str, password: &str) -> sqlx::Result<()> {
    let (database, owner) = (Project::database(reference), Project::owner(reference));
    create_database(admin, &database, &owner, password).await?;
    run_formatted(admin, "REVOKE CONNECT ON DATABASE %I FROM PUBLIC", &[&database]).await
}

/// Drops the project's database, and its roles: on the real platform they go with the server.
async fn delete(admin: &mut PgConnection, reference: &str) -> sqlx::Result<()> {
    let (database, owner) = (Project::database(reference), Project::owner(reference));
    let mut roles = roles_in(admin, &database).await?;
    run_formatted(admin, "DROP DATABASE %I WITH (FORCE)", &[&database]).await?;
    roles.push(owner);
    for role in roles {
        match run_formatted(admin, "DROP ROLE IF EXISTS %I", &[&role]).await {
            // The role owns or may do something elsewhere, so it was not the project's alone.
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("2BP01") => {}
            other => other?,
        }
    }
    Ok(())
}

/// The roles that own something in the database or were given a right on it or in it, other than
/// superusers, built-in roles and owners of projects.
async fn roles_in(admin: &mut PgConnection, database: &str) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT DISTINCT role.rolname::text
         FROM pg_shdepend AS link
         JOIN pg_database AS base ON base.datname = $1
         JOIN pg_roles AS role ON role.oid = link.refobjid
         WHERE link.refclassid = 'pg_authid'::regclass
           AND (link.dbid = base.oid
                OR (link.classid = 'pg_database'::regclass AND link.objid = base.oid))
           AND NOT role.rolsuper
           AND role.rolname !~ '^(pg|owner)_'",
    )
    .bind(database)
    .fetch_all(admin)
    .await
}
