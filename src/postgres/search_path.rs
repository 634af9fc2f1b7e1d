//! The `search_path` of a tenant's login: the owner's, so that both mean the same by a name, such as that of a function
//! or an operator of an extension.

use sqlx::{PgConnection, Row as _};

use super::error::Result;
use super::sql::{OWN_PATH, ask, first, literal, quote, run};

/// The settings that PostgreSQL applies to a session, by decreasing precedence: of the role in the database, of the
/// role, of the database, of all. The owner's own ones, those of everybody, what the role has in this database now, and
/// the schema that `"$user"` means to the owner.
fn settings(role: &str) -> String {
    let role = literal(role);
    format!(
        "WITH setting AS ( \
        SELECT setdatabase, setrole, substr(entry, 13) AS path FROM pg_db_role_setting, unnest(setconfig) AS entry \
        WHERE entry LIKE 'search\\_path=%'), \
    here AS (SELECT d.oid AS database, o.oid AS owner, t.oid AS tenant FROM pg_database d \
        JOIN pg_roles o ON o.rolname = current_user LEFT JOIN pg_roles t ON t.rolname::text = {role} \
        WHERE datname = current_database()) \
    SELECT coalesce( \
            (SELECT path FROM setting WHERE (setdatabase, setrole) = (database, owner)), \
            (SELECT path FROM setting WHERE (setdatabase, setrole) = (0::oid, owner))), \
        coalesce( \
            (SELECT path FROM setting WHERE (setdatabase, setrole) = (database, 0::oid)), \
            (SELECT path FROM setting WHERE (setdatabase, setrole) = (0::oid, 0::oid))), \
        (SELECT path FROM setting WHERE (setdatabase, setrole) = (database, tenant)), \
        (SELECT quote_ident(nspname) FROM pg_namespace WHERE nspname = current_user) \
    FROM here"
    )
}

/// The placeholder in `search_path` for the schema of the session's user, which is quoted only where `ALTER … SET` was
/// given it so: `options` keep it as it was written.
const USER: [&str; 2] = ["\"$user\"", "$user"];

/// Where the placeholder ends in a path, if it is one of the path's names. PostgreSQL reads a name without quotes in lower
/// case (`SplitIdentifierString`).
fn end_of_user(path: &str) -> Option<usize> {
    let (mut begin, mut quoted) = (0, false);
    for (at, sign) in path.char_indices().chain([(path.len(), ',')]) {
        match sign {
            '"' => quoted = !quoted,
            ',' if !quoted => {
                let name = path[begin..at].trim();
                if name == USER[0] || name.eq_ignore_ascii_case(USER[1]) {
                    return Some(path[..at].trim_end().len());
                }
                begin = at + 1;
            }
            _ => {}
        }
    }
    None
}

/// Whether the `options` of the owner's URL set the path: they come before the settings of roles and databases. A client
/// that uses the parts of a connection Secret, and not its URL, has no options. Also reads the path where nothing is set.
const OF_SESSION: &str = "SELECT source OPERATOR(pg_catalog.=) 'client', coalesce(reset_val, '') FROM pg_catalog.pg_settings \
     WHERE name OPERATOR(pg_catalog.=) 'search_path'";

/// The settings that were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Paths {
    /// The owner's own, also by the `options` of its URL.
    owners: Option<String>,
    /// Everybody's.
    common: Option<String>,
    /// The role's, in this database.
    theirs: Option<String>,
    /// The owner's schema, quoted.
    owners_schema: Option<String>,
    /// What a session has where nothing is set.
    default: String,
}

impl Paths {
    /// The role's own `search_path`; none where the general setting is right.
    fn wanted(&self) -> Option<String> {
        let path = self.owners.as_ref().or(self.common.as_ref()).unwrap_or(&self.default);
        match (&self.owners_schema, end_of_user(path)) {
            (Some(schema), Some(end)) => Some(format!("{}, {schema}{}", &path[..end], &path[end..])),
            _ => self
                .owners
                .clone()
                .filter(|owners| Some(owners) != self.common.as_ref()),
        }
    }

    fn is_right(&self) -> bool {
        self.wanted() == self.theirs
    }
}

async fn read(conn: &mut PgConnection, role: &str) -> Result<Paths> {
    let questions = [
        // A setting that is reset has the source of what it is reset to.
        "SET LOCAL search_path TO DEFAULT".to_owned(),
        OF_SESSION.to_owned(),
        format!("SET LOCAL {OWN_PATH}"),
        settings(role),
    ];
    let [_, session, _, rows] = ask(conn, questions).await?;
    let row = first(&rows)?;
    let session = first(&session)?;
    let (by_options, default): (bool, String) = (session.try_get(0)?, session.try_get(1)?);
    let owners: Option<String> = row.try_get(0)?;
    Ok(Paths {
        owners: if by_options { Some(default.clone()) } else { owners },
        common: row.try_get(1)?,
        theirs: row.try_get(2)?,
        owners_schema: row.try_get(3)?,
        default,
    })
}

/// Whether the role has the owner's `search_path`. The transaction must be one of [`super::sql::begin`].
pub(super) async fn is_copied(conn: &mut PgConnection, role: &str) -> Result<bool> {
    read(conn, role).await.map(|paths| paths.is_right())
}

/// Gives the role the owner's `search_path` in the current database, of this name. The transaction must be one of [`super::sql::begin`].
pub(super) async fn copy(conn: &mut PgConnection, role: &str, database: &str) -> Result<()> {
    let paths = read(conn, role).await?;
    if paths.is_right() {
        return Ok(());
    }
    let alter = format!("ALTER ROLE {} IN DATABASE {}", quote(role), quote(database));
    let Some(path) = paths.wanted() else {
        return run(conn, format!("{alter} RESET search_path")).await;
    };
    // The setting, quoted as it is.
    let path = literal(&path);
    let set = format!(
        "SELECT set_config('search_path', {path}, true); {alter} SET search_path FROM CURRENT; SET LOCAL {OWN_PATH}"
    );
    run(conn, set).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server with PostgreSQL's default.
    fn wanted(owners: Option<&str>, common: Option<&str>, schema: Option<&str>) -> Option<String> {
        let paths = Paths {
            owners: owners.map(Into::into),
            common: common.map(Into::into),
            theirs: None,
            owners_schema: schema.map(Into::into),
            default: r#""$user", public"#.into(),
        };
        paths.wanted()
    }

    #[test]
    fn a_role_has_a_path_of_its_own_where_the_owner_has_one() {
        let hosted = r#""$user", public, extensions"#;
        assert_eq!(wanted(None, None, None), None);
        assert_eq!(wanted(None, Some(hosted), None), None);
        assert_eq!(wanted(Some(hosted), Some(hosted), None), None);
        assert_eq!(wanted(Some(hosted), None, None).as_deref(), Some(hosted));
        assert_eq!(wanted(Some("app"), Some(hosted), None).as_deref(), Some("app"));
        // The owner's own schema has another name to the tenant's login.
        let both = r#""$user", one_owner, public"#;
        assert_eq!(wanted(None, None, Some("one_owner")).as_deref(), Some(both));
        assert_eq!(wanted(Some("app"), None, Some("one_owner")).as_deref(), Some("app"));
    }

    #[test]
    fn the_schema_of_the_user_is_found_however_it_is_written() {
        for (owners, theirs) in [
            (r#""$user""#, r#""$user", one_owner"#),
            ("$user", "$user, one_owner"),
            ("$USER,public", "$USER, one_owner,public"),
            ("public , $user , app", "public , $user, one_owner , app"),
            (r#""a,b","$user",public"#, r#""a,b","$user", one_owner,public"#),
            // Other names.
            ("$users,public", "$users,public"),
            (r#""$USER",public"#, r#""$USER",public"#),
            (r#""$user, public""#, r#""$user, public""#),
            (r#""a""$user""#, r#""a""$user""#),
        ] {
            let found = wanted(Some(owners), None, Some("one_owner"));
            assert_eq!(found.as_deref(), Some(theirs), "{owners}");
        }
    }
}
