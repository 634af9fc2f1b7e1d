//! What a restore leaves out, so that it runs no code of other roles with the rights of the role that restores, which owns
//! all restored objects.
//!
//! That is what tenants' logins own; of other roles than the owner and superusers the functions, the rules, the materialized
//! views, and what evaluates more than immutable functions of PostgreSQL's own while rows are copied and indexes are made;
//! the default privileges of other roles than the owner, which the restoring role may not set; and what depends on any of
//! it, as the server's own table of dependencies says. Immutable functions read no table, and what was valid for them in the
//! source is valid in the copy.

use std::collections::HashSet;

use sqlx::PgConnection;

use super::error::Result;
use super::manifest::{LeftOut, LeftOutCause};
use crate::postgres::{self, is_tenants};
use crate::text;

const LEFT_OUT: &str = include_str!("left_out.sql");

/// The catalogs of objects, by their oids, which are the same in every database (`pg_class.dat` and others of PostgreSQL).
pub(super) mod catalog {
    /// `pg_default_acl`.
    pub const DEFAULT_PRIVILEGES: u32 = 826;
    /// `pg_type`.
    pub const TYPES: u32 = 1247;
    /// `pg_proc`.
    pub const ROUTINES: u32 = 1255;
    /// `pg_class`.
    pub const RELATIONS: u32 = 1259;
    /// `pg_constraint`.
    pub const CONSTRAINTS: u32 = 2606;
    /// `pg_trigger`.
    pub const TRIGGERS: u32 = 2620;
    /// `pg_policy`.
    pub const POLICIES: u32 = 3256;
}

/// Reads what a restore leaves out of the database, whose roles are these.
///
/// # Errors
/// When the database returns an error.
pub(super) async fn read(
    conn: &mut PgConnection,
    schemas: &[String],
    me: &str,
    roles: &[String],
) -> Result<Vec<LeftOut>> {
    let tenants: Vec<_> = roles.iter().filter(|role| is_tenants(role)).collect();
    let query = sqlx::query(LEFT_OUT).bind(schemas).bind(me).bind(tenants);
    let found: Vec<(i64, i64, i32, String)> = postgres::all(conn, "objects that a restore leaves out", query).await?;
    let oid = |number: i64| u32::try_from(number).unwrap_or_default();
    let objects = found.into_iter().map(|(catalog, object, cause, name)| LeftOut {
        catalog: oid(catalog),
        oid: oid(object),
        cause: match cause {
            0 => LeftOutCause::Part,
            1 => LeftOutCause::Tenant,
            2 => LeftOutCause::OtherRole,
            _ => LeftOutCause::Depends,
        },
        name,
    });
    Ok(objects.collect())
}

/// The sentences that say what is left out.
pub(super) fn told(objects: &[LeftOut]) -> Vec<String> {
    let causes = [
        (LeftOutCause::Tenant, false, "objects that the tenant's login owns"),
        (
            LeftOutCause::OtherRole,
            false,
            "functions, rules, materialized views and expressions of other roles, which would run as the owner",
        ),
        (
            LeftOutCause::OtherRole,
            true,
            "default privileges of other roles, which nobody else may set",
        ),
        (
            LeftOutCause::Depends,
            false,
            "objects that depend on what is not restored",
        ),
    ];
    let is_default =
        |object: &LeftOut| object.cause == LeftOutCause::OtherRole && object.catalog == catalog::DEFAULT_PRIVILEGES;
    let of = |(cause, defaults, what): (LeftOutCause, bool, &str)| {
        let names: Vec<_> = objects
            .iter()
            .filter(|object| object.cause == cause && is_default(object) == defaults)
            .map(|object| &object.name)
            .collect();
        let told = format!(
            "{what} ({}): they are in the archive, but are not restored",
            text::names(&names, 3, names.len())
        );
        (!names.is_empty()).then_some(told)
    };
    causes.into_iter().filter_map(of).collect()
}

/// What is left out, to be looked up.
pub(super) struct LeftOutSet(HashSet<(u32, u32)>);

impl LeftOutSet {
    /// Of these objects.
    pub fn of(objects: &[LeftOut]) -> Self {
        Self(objects.iter().map(|object| (object.catalog, object.oid)).collect())
    }

    /// Whether an entry of an archive with this catalog and oid is one of them. The rows of a table, and a type before it is
    /// defined, have no catalog there.
    pub fn holds(&self, catalog: u32, oid: u32) -> bool {
        let is = |catalog| self.0.contains(&(catalog, oid));
        match catalog {
            0 => oid != 0 && (is(catalog::RELATIONS) || is(catalog::TYPES)),
            _ => is(catalog),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(catalog: u32, oid: u32, cause: LeftOutCause, name: &str) -> LeftOut {
        LeftOut {
            catalog,
            oid,
            cause,
            name: name.into(),
        }
    }

    #[test]
    fn what_is_left_out_is_told_by_its_cause_and_without_parts() {
        assert_eq!(told(&[]), [""; 0]);
        let told = told(&[
            object(catalog::RELATIONS, 1, LeftOutCause::Tenant, "public.t"),
            object(catalog::CONSTRAINTS, 2, LeftOutCause::Part, "t_pkey on public.t"),
            object(2605, 3, LeftOutCause::Depends, "cast (public.mine AS integer)"),
            object(
                catalog::DEFAULT_PRIVILEGES,
                4,
                LeftOutCause::OtherRole,
                "default acl for role eve",
            ),
        ]);
        assert_eq!(
            told,
            [
                "objects that the tenant's login owns (public.t): they are in the archive, but are not restored",
                "default privileges of other roles, which nobody else may set (default acl for role eve): they are in the archive, \
                 but are not restored",
                "objects that depend on what is not restored (cast (public.mine AS integer)): they are in the archive, but are not \
                 restored"
            ]
        );
    }

    #[test]
    fn an_entry_is_found_by_catalog_and_oid() {
        let set = LeftOutSet::of(&[object(catalog::RELATIONS, 1, LeftOutCause::Tenant, "public.t")]);
        assert!(set.holds(catalog::RELATIONS, 1) && set.holds(0, 1));
        assert!(!set.holds(catalog::ROUTINES, 1) && !set.holds(0, 0) && !set.holds(0, 2));
    }
}
