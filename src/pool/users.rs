//! Whose data a database may hold, and what may be done about it. Recreating an entry's database is advised only where no
//! Orchestra is known to use the database, and never without the condition under which it destroys nothing.

use kube::ResourceExt as _;

use crate::api::names::IDENTITY_ANNOTATION;
use crate::api::{ClaimReference, Orchestra, OrchestraDatabase};
use crate::controller::Core;
use crate::credentials::inventory::member_name;
use crate::credentials::tenant::is_role_of;
use crate::postgres::holdings::LeftBy;
use crate::postgres::{DatabaseIdentity, role_name};

/// The Orchestra with this login role, if it exists or still holds a database.
fn known(core: &Core, role: &str) -> Option<String> {
    let is = |uid: Option<&str>| uid.is_some_and(|uid| is_role_of(uid, role));
    let exists = core
        .stores
        .orchestras
        .find(|object: &Orchestra| is(object.metadata.uid.as_deref()));
    if let Some(found) = exists {
        let namespace = found.namespace().unwrap_or_default();
        return Some(format!("Orchestra {namespace}/{}", found.name_any()));
    }
    let claim = |database: &OrchestraDatabase| database.spec.claim_ref.clone().filter(|_| database.is_held());
    let holds = |database: &OrchestraDatabase| is(claim(database).as_ref().map(|claim| claim.uid.as_str()));
    let held = core.stores.databases.find(holds)?;
    let ClaimReference { namespace, name, .. } = claim(&held)?;
    let held = held.name_any();
    Some(format!(
        "Orchestra {namespace}/{name}, which holds OrchestraDatabase {held},"
    ))
}

/// How a database whose data may be lost is recreated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anew {
    /// By an admin of the server, with the statements that a command prints.
    Entry,
    /// At the provider: it is a hosted project, which the command refuses.
    Project,
    /// By the pool, which made it on its server.
    Made,
}

impl Anew {
    /// How an entry's database is recreated.
    pub fn of(hosted: bool) -> Self {
        if hosted { Self::Project } else { Self::Entry }
    }

    fn how(self) -> &'static str {
        match self {
            Self::Entry => "recreate the entry's database with the statements that `orchestra-operator recycle` prints",
            Self::Project => "recreate the project at its provider",
            Self::Made => "drop the database as an admin of the server",
        }
    }
}

/// What may be done with a database that carries the claim record of the Orchestra of this UID.
pub fn advice_for_holder(core: &Core, uid: &str, anew: Anew) -> String {
    advice(core, &LeftBy::Tenants(vec![role_name(uid)]), anew)
}

/// What may be done with a database that somebody has used.
fn advice(core: &Core, left_by: &LeftBy, anew: Anew) -> String {
    let anew = anew.how();
    let LeftBy::Tenants(roles) = left_by else {
        return format!(
            "Remove the entry. Only if nobody needs what the database holds, {anew}; if an admin has checked that its contents are safe for the next tenant, set \
             static.acceptNonEmpty of the pool"
        );
    };
    match roles.iter().find_map(|role| known(core, role)) {
        Some(orchestra) => format!(
            "{orchestra} exists, and this may be its database: drop nothing. Remove the entry, or leave it as it is, \
             until you know which database that Orchestra uses"
        ),
        None => format!(
            "This operator knows no such Orchestra, but another operator or cluster may: remove the entry. Only if that \
             Orchestra is gone and its data may be lost, {anew}"
        ),
    }
}

/// The advice for all that was found: that about Orchestras counts for the rest.
pub fn advice_for_all<'a>(core: &Core, left_by: impl Iterator<Item = &'a LeftBy>, anew: Anew) -> Option<String> {
    let (mut somebody, mut roles) = (false, Vec::new());
    for one in left_by {
        match one {
            LeftBy::Somebody => somebody = true,
            LeftBy::Tenants(more) => roles.extend(more.iter().cloned()),
        }
    }
    match (roles.is_empty(), somebody) {
        (false, _) => Some(advice(core, &LeftBy::Tenants(roles), anew)),
        (true, true) => Some(advice(core, &LeftBy::Somebody, anew)),
        (true, false) => None,
    }
}

/// The OrchestraDatabase of this database: the one that was created from it, or one that an admin has confirmed to be this
/// database now.
pub fn of_identity(core: &Core, identity: &DatabaseIdentity) -> Option<OrchestraDatabase> {
    let (name, digest) = (member_name(identity), identity.digest());
    let confirmed = |database: &OrchestraDatabase| database.annotations().get(IDENTITY_ANNOTATION) == Some(&digest);
    let found = core.stores.databases.find(|database: &OrchestraDatabase| {
        database.spec.inventory.is_some() && (database.name_any() == name || confirmed(database))
    });
    found.map(|found| (*found).clone())
}

/// The message about an entry that leads to the database of another one.
pub fn duplicate(other: &OrchestraDatabase) -> String {
    let entry = other.spec.inventory.as_ref();
    let (pool, key) = entry.map_or((other.pool().unwrap_or_default(), "another entry"), |entry| {
        (entry.pool.as_str(), entry.key.as_str())
    });
    let used = match &other.spec.claim_ref {
        Some(claim) if other.is_held() => format!(", which Orchestra {}/{} uses", claim.namespace, claim.name),
        Some(claim) => format!(
            ", which holds the data of the former Orchestra {}/{}",
            claim.namespace, claim.name
        ),
        None => String::new(),
    };
    format!(
        "leads to the same server and database as {key} of pool {pool} (OrchestraDatabase {}){used}: remove this entry, or \
         give it the URL of a database of its own",
        other.name_any()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{InventoryEntry, OrchestraDatabaseSpec};

    #[test]
    fn an_entry_of_a_database_in_use_is_never_told_to_drop_it() {
        let claim = ClaimReference {
            namespace: "tenants".into(),
            name: "first".into(),
            uid: "1".into(),
            namespace_uid: None,
        };
        let mut other = OrchestraDatabase::new(
            "orchdb-1",
            OrchestraDatabaseSpec {
                inventory: Some(InventoryEntry {
                    pool: "house".into(),
                    key: "DATABASE_URL_POOL_1".into(),
                }),
                ..OrchestraDatabaseSpec::default()
            },
        );
        let told = |other: &OrchestraDatabase, part: &str| {
            let told = duplicate(other);
            let begins = "leads to the same server and database as DATABASE_URL_POOL_1 of pool house";
            assert!(told.starts_with(begins) && told.contains(part), "{told}");
            for word in ["drop", "recycle", "delete"] {
                assert!(!told.contains(word), "{told}");
            }
        };
        told(&other, "(OrchestraDatabase orchdb-1): remove this entry");
        other.spec.claim_ref = Some(claim);
        told(&other, "which Orchestra tenants/first uses: remove this entry");
        other.spec.released_at = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
            jiff::Timestamp::UNIX_EPOCH,
        ));
        told(&other, "the data of the former Orchestra tenants/first");
    }
}
