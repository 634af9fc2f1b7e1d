//! The login of an application: the tenant's own, from the connection Secret, at the published address.
//!
//! The Secret is in the tenant's namespace, and templates fill keys of it: the operator only connects to addresses that it
//! has published itself, and never to one that is only in the Secret.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::Api;
use kube::runtime::reflector::ObjectRef;
use secrecy::SecretString;

use super::{Context, inventory, owner, tenant};
use crate::api::{ConnectionMode, InventoryEntry, Orchestra, OrchestraDatabase, PublishedSecret};
use crate::controller::error::Error;
use crate::controller::write::namespaced;
use crate::postgres::Login;
use crate::supabase;

/// A published login, with its sources: nothing is read again while these are the same.
#[derive(Clone)]
pub struct Published {
    made_from: SecretSources,
    /// The login.
    pub login: Login,
}

/// The sources of a published login.
#[derive(Clone, PartialEq, Eq)]
struct SecretSources {
    /// The connection Secret as it was written.
    secret: PublishedSecret,
    /// Name of the database.
    database: String,
    /// The entry of the pool's inventory.
    entry: Option<InventoryEntry>,
    /// `resourceVersion`s of the objects with the database's address, as the watch shows them.
    place: Option<Vec<(String, String)>>,
}

impl Published {
    /// A login that is being published, from the Secret that was just written.
    pub fn new(ctx: &Context, database: &OrchestraDatabase, secret: &PublishedSecret, login: &Login) -> Self {
        Self {
            made_from: SecretSources::of(ctx, database, secret),
            login: login.clone(),
        }
    }
}

impl SecretSources {
    fn of(ctx: &Context, database: &OrchestraDatabase, secret: &PublishedSecret) -> Self {
        Self {
            secret: secret.clone(),
            database: database.name_any(),
            entry: database.spec.inventory.clone(),
            place: place(ctx, database),
        }
    }

    /// Whether both belong to the same publication: the earlier login stays valid while the Secret cannot be read again.
    fn is_of_same(&self, other: &Self) -> bool {
        (&self.secret, &self.database) == (&other.secret, &other.database)
    }
}

/// Whether the template of an Orchestra replaces a key of the login: such a Secret is not used to connect.
pub fn is_hidden(orchestra: &Orchestra) -> bool {
    let template = orchestra.spec.connection.template.as_ref();
    template.is_some_and(|template| LIBPQ.iter().any(|key| template.contains_key(*key)))
}

/// The login of an Orchestra's application. `known` is the login that was found before: it stays while its sources are the
/// same, and while its Secret cannot be read because somebody has changed it. None when the Secret is not the published one,
/// or has another address or user than the operator published: another part restores it, or its template replaces these
/// keys.
///
/// # Errors
/// When Kubernetes fails, or the inventory has no such entry.
pub async fn login(
    ctx: &Context,
    trusted: &supabase::ApiSettings,
    orchestra: &Orchestra,
    database: &OrchestraDatabase,
    known: Option<Published>,
) -> Result<Option<Published>, Error> {
    let status = orchestra.status.as_ref();
    let written = status.and_then(|status| status.secret_ref.as_ref());
    let Some(written) = written.filter(|_| !is_hidden(orchestra)) else {
        return Ok(None);
    };
    let made_from = SecretSources::of(ctx, database, written);
    let known = known.filter(|known| made_from.is_of_same(&known.made_from));
    if known.as_ref().is_some_and(|known| known.made_from == made_from) {
        return Ok(known);
    }
    match read(ctx, trusted, orchestra, database, written).await {
        Ok(ReadSecret::Login(login)) => Ok(Some(Published { made_from, login })),
        Ok(ReadSecret::Elsewhere) => Ok(None),
        Ok(ReadSecret::Touched) => Ok(known),
        Err(error) => known.map_or(Err(error), |known| Ok(Some(known))),
    }
}

/// The versions of the objects with a database's address.
fn place(ctx: &Context, database: &OrchestraDatabase) -> Option<Vec<(String, String)>> {
    if let Some(entry) = &database.spec.inventory {
        let pool = ctx.core.stores.pools.get(&ObjectRef::new(&entry.pool))?;
        return inventory::versions(&ctx.core, &pool);
    }
    let (name, namespace) = (database.name_any(), &ctx.core.settings.namespace);
    let secret = ctx.core.stores.secrets.get(&ObjectRef::new(&name).within(namespace))?;
    Some(vec![(name, secret.resource_version()?)])
}

/// The result of reading a published login.
enum ReadSecret {
    Login(Login),
    /// The Secret is not as it was written.
    Touched,
    /// It leads to another address than the operator has published.
    Elsewhere,
}

async fn read(
    ctx: &Context,
    trusted: &supabase::ApiSettings,
    orchestra: &Orchestra,
    database: &OrchestraDatabase,
    written: &PublishedSecret,
) -> Result<ReadSecret, Error> {
    let api: Api<Secret> = namespaced(&ctx.core.client, orchestra);
    let found = api.get_opt(&written.name).await?;
    let Some(secret) = found.filter(|secret| secret.resource_version() == written.resource_version) else {
        return Ok(ReadSecret::Touched);
    };
    let Some(keys) = Keys::of(&secret) else {
        return Ok(ReadSecret::Elsewhere);
    };
    let mode = orchestra.spec.connection.mode;
    let place = if let Some(entry) = &database.spec.inventory {
        Some(inventory::owner_login(ctx, entry).await?)
    } else {
        let stored = owner::read(&owner::secrets(&ctx.core), &database.name_any()).await?;
        stored.and_then(|stored| hosted(&stored, ctx, mode, trusted, &keys))
    };
    let uid = orchestra.metadata.uid.as_deref().unwrap_or_default();
    let login = place.and_then(|place| keys.at(&place, uid));
    Ok(login.map_or(ReadSecret::Elsewhere, ReadSecret::Login))
}

/// Where a hosted database is reached in this mode. The direct host is not stored: it must be trusted by the provider's
/// settings.
fn hosted(
    stored: &owner::OwnerSecret,
    ctx: &Context,
    mode: ConnectionMode,
    trusted: &supabase::ApiSettings,
    keys: &Keys,
) -> Option<Login> {
    let session = stored.login(&ctx.core.settings.database_roots)?;
    let port = stored.address.as_ref().map(|address| address.transaction_port);
    match mode {
        ConnectionMode::SessionPooler => Some(session),
        ConnectionMode::TransactionPooler => Some(Login { port: port?, ..session }),
        ConnectionMode::Direct => trusted.trusts(&keys.host).then(|| Login {
            host: keys.host.clone(),
            port: DIRECT_PORT,
            ..session
        }),
    }
}

/// The port of a hosted project's database server.
pub const DIRECT_PORT: u16 = 5432;

/// The libpq keys of a connection Secret.
const LIBPQ: [&str; 5] = ["host", "port", "dbname", "user", "password"];

/// Their values.
struct Keys {
    host: String,
    port: u16,
    database: String,
    user: String,
    password: SecretString,
}

impl Keys {
    fn of(secret: &Secret) -> Option<Self> {
        let data = secret.data.as_ref()?;
        let text = |key: &str| String::from_utf8(data.get(key)?.0.clone()).ok();
        let [host, port, database, user, password] = LIBPQ.map(text);
        Some(Self {
            host: host?,
            port: port?.parse().ok()?,
            database: database?,
            user: user?,
            password: password?.into(),
        })
    }

    /// The login, if it belongs to this tenant at this address.
    fn at(self, place: &Login, uid: &str) -> Option<Login> {
        let same = self.host == place.host && self.port == place.port && self.database == place.database;
        // At a pooler the user is `<role>.<ref>`.
        let role = self.user.split('.').next().unwrap_or_default();
        (same && tenant::is_role_of(uid, role)).then(|| place.as_user(self.user, self.password))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use k8s_openapi::ByteString;

    use super::*;

    const UID: &str = "0a1b2c3d-0000-4000-8000-000000000000";
    const ROLE: &str = "orchestra_0a1b2c3d000040008000000000000000";

    fn keys(changed: &[(&str, &str)]) -> Option<Keys> {
        let all = [
            ("host", "db"),
            ("port", "5432"),
            ("dbname", "one"),
            ("user", ROLE),
            ("password", "hush"),
        ];
        let data = all.iter().chain(changed).map(|(key, value)| {
            let value = ByteString((*value).as_bytes().to_vec());
            ((*key).to_owned(), value)
        });
        Keys::of(&Secret {
            data: Some(data.collect()),
            ..Secret::default()
        })
    }

    #[test]
    fn a_login_stays_known_while_only_its_place_has_another_version() {
        let of = |secret: &str, database: &str, place: &str| SecretSources {
            secret: PublishedSecret {
                name: "a-connection".into(),
                resource_version: Some(secret.into()),
                keys: None,
            },
            database: database.into(),
            entry: None,
            place: Some(vec![(database.into(), place.into())]),
        };
        let known = of("1", "one", "1");
        assert!(known.is_of_same(&of("1", "one", "2")) && known != of("1", "one", "2"));
        assert!(!known.is_of_same(&of("2", "one", "1")), "another login was published");
        assert!(!known.is_of_same(&of("1", "two", "1")), "another database");
    }

    #[test]
    fn a_secret_leads_nowhere_else_and_makes_nobody_else_of_the_operator() {
        let place = || Login::parse(&"postgresql://owner:secret@db/one?sslmode=require".into()).unwrap();
        let login = keys(&[]).unwrap().at(&place(), UID).unwrap();
        assert_eq!((login.user.as_str(), login.tls), (ROLE, place().tls));
        let rotated = format!("{ROLE}_2.abcdef");
        assert!(keys(&[("user", &rotated)]).unwrap().at(&place(), UID).is_some());
        for changed in [
            ("host", "10.0.0.1"),
            ("port", "22"),
            ("dbname", "other"),
            ("user", "postgres"),
            ("user", "orchestra_0a1b2c3d000040008000000000000001"),
        ] {
            assert!(keys(&[changed]).unwrap().at(&place(), UID).is_none(), "{changed:?}");
        }
        assert!(keys(&[("port", "none")]).is_none());
    }
}
