//! The tenant's own login: its role, and what the tenant is given.

use secrecy::SecretString;

use super::connection::Handover;
use super::owner::Address;
use crate::postgres::Login;

/// Name of the tenant's login role: unique on every server, because pool entries may share one.
pub fn role_name(uid: &str) -> String {
    format!("orchestra_{}", uid.replace('-', ""))
}

/// What the tenant is given: its own login where the owner logs in.
pub fn handover(owner: &Login, uid: &str, password: SecretString, address: Option<Address>) -> Handover {
    let session = tenant_login(owner, uid, password);
    let transaction = address.as_ref().map(|address| Login {
        port: address.transaction_port,
        ..session.clone()
    });
    Handover {
        session,
        transaction,
        address,
    }
}

/// A pooler knows a role of a project as `<role>.<ref>`, as it knows the owner.
fn tenant_login(owner: &Login, uid: &str, password: SecretString) -> Login {
    let role = role_name(uid);
    let user = match owner.user.split_once('.') {
        Some((_, reference)) => format!("{role}.{reference}"),
        None => role,
    };
    Login {
        user,
        password,
        ..owner.clone()
    }
}
