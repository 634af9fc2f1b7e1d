//! What a tenant is given: its own login, where the owner logs in.

use super::connection::Handover;
use super::owner::Address;
use super::project::{ProjectApi, pooler_reference};
use crate::postgres::{Login, TenantRole};

/// The owner of the database in every Supabase project, hosted or self-hosted.
const SUPABASE_OWNER: &str = "postgres";

/// What the tenant is given: its own login, where the owner logs in.
pub fn handover(owner: &Login, role: &TenantRole, address: Option<&Address>, project: Option<ProjectApi>) -> Handover {
    let session = tenant_login(owner, role, address);
    let transaction = address.map(|address| Login {
        port: address.transaction_port,
        ..session.clone()
    });
    Handover {
        session,
        transaction,
        direct: None,
        project: project.or_else(|| address.map(ProjectApi::from)),
    }
}

/// At Supabase's pooler, the user of a role is `<role>.<ref>`, as it is for the owner.
fn tenant_login(owner: &Login, role: &TenantRole, address: Option<&Address>) -> Login {
    let user = match pooler_suffix(owner, address) {
        Some(suffix) => format!("{}.{suffix}", role.name),
        None => role.name.clone(),
    };
    owner.as_user(user, role.password.clone())
}

/// What follows the role in the owner's user, where that is a pooler's and no part of the role's own name, which may hold
/// dots. It is told by the address alone, because a paused database is handed over without a session: the provider's API has
/// named the pooler, or the host is the provider's pooler, where each user has a suffix. At other hosts it is a pooler's
/// behind `postgres`, as at a self-hosted Supavisor, `postgres.<tenant>`.
fn pooler_suffix<'a>(owner: &'a Login, address: Option<&Address>) -> Option<&'a str> {
    let (role, suffix) = owner.user.rsplit_once('.')?;
    let is_poolers = address.is_some() || pooler_reference(owner).is_some() || role == SUPABASE_OWNER;
    is_poolers.then_some(suffix)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_dot_of_the_owners_own_name_is_no_poolers() {
        const REF: &str = "abcdefghijklmnopqrst";
        let role = TenantRole {
            name: "orchestra_1".into(),
            password: "hush".to_owned().into(),
        };
        let with_reference = format!("orchestra_1.{REF}");
        for (login, user) in [
            ("first.last:p@db.example", "orchestra_1"),
            (&*format!("first.{REF}:p@db.example"), "orchestra_1"),
            (&*format!("first.last:p@db.{REF}.supabase.co"), "orchestra_1"),
            ("postgres:p@db.example", "orchestra_1"),
            ("postgres.own-tenant:p@supavisor.example", "orchestra_1.own-tenant"),
            (&*format!("postgres.{REF}:p@127.0.0.1"), &*with_reference),
            (
                &*format!("postgres.{REF}:p@aws-0.pooler.supabase.com"),
                &*with_reference,
            ),
            (
                &*format!("first.last.{REF}:p@AWS-0.Pooler.Supabase.com."),
                &*with_reference,
            ),
        ] {
            let owner = Login::parse(&format!("postgresql://{login}/d").into()).unwrap();
            let given = handover(&owner, &role, None, None);
            assert_eq!(given.session.user, user, "{login}");
        }
    }

    #[test]
    fn a_pooler_that_the_provider_names_has_a_suffix_whatever_its_host() {
        let owner = Login::parse(&"postgresql://main.ref:p@127.0.0.1/d".into()).unwrap();
        let role = TenantRole {
            name: "orchestra_1".into(),
            password: "hush".to_owned().into(),
        };
        let address = Address {
            host: "127.0.0.1".into(),
            user: "main.ref".into(),
            database: "d".into(),
            session_port: 5432,
            transaction_port: 6543,
            project_url: "https://ref.example".into(),
            anon_key: "anon".to_owned().into(),
            service_role_key: "hush".to_owned().into(),
            keys: None,
        };
        let given = handover(&owner, &role, Some(&address), None);
        let transaction = given.transaction.unwrap();
        assert_eq!(
            (given.session.user.as_str(), transaction.user.as_str(), transaction.port),
            ("orchestra_1.ref", "orchestra_1.ref", 6543)
        );
    }
}
