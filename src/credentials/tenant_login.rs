//! What a tenant is given: its own login, where the owner logs in.

use super::connection::Handover;
use super::owner::Address;
use super::project::ProjectApi;
use crate::postgres::{Login, TenantRole};

/// What the tenant is given: its own login, where the owner logs in.
pub fn handover(owner: &Login, role: &TenantRole, address: Option<&Address>, project: Option<ProjectApi>) -> Handover {
    let session = tenant_login(owner, role);
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

/// At a pooler, the user of a role is `<role>.<suffix>`, as it is for the owner: what follows the last dot is the pooler's,
/// hosted or self-hosted. A pool refuses an owner whose own name holds a dot ([`is_owners_own_dot`]), because a paused database
/// is handed over without a session, and only a session tells the two apart.
fn tenant_login(owner: &Login, role: &TenantRole) -> Login {
    let user = match owner.user.rsplit_once('.') {
        Some((_, suffix)) => format!("{}.{suffix}", role.name),
        None => role.name.clone(),
    };
    owner.as_user(user, role.password.clone())
}

/// Whether a dot in the owner's user is part of its own name, by the `role` that the server names in its session.
pub fn is_owners_own_dot(owner: &Login, role: &str) -> bool {
    role.contains('.') && owner.user == role
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_follows_the_last_dot_of_the_owners_user_is_a_poolers() {
        const REF: &str = "abcdefghijklmnopqrst";
        let role = TenantRole {
            name: "orchestra_1".into(),
            password: "hush".to_owned().into(),
        };
        let with_reference = format!("orchestra_1.{REF}");
        for (login, user) in [
            ("postgres:p@db.example", "orchestra_1"),
            ("entry1.mytenant:p@supavisor.example", "orchestra_1.mytenant"),
            ("first.last.mytenant:p@supavisor.example", "orchestra_1.mytenant"),
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
    fn the_server_tells_whose_a_dot_is() {
        for (user, role, own) in [
            ("first.last", "first.last", true),
            ("first.last.mytenant", "first.last", false),
            ("entry1.mytenant", "entry1", false),
            ("entry1", "entry1", false),
        ] {
            let owner = Login::parse(&format!("postgresql://{user}:p@db.example/d").into()).unwrap();
            assert_eq!(is_owners_own_dot(&owner, role), own, "{user} {role}");
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
