//! Roles as statements name them.

use pg_query::protobuf::{RoleSpec, RoleSpecType};
use pg_query::{Node, NodeEnum};

use super::names::quoted;

/// Roles as statements name them.
pub fn roles(nodes: &[Node]) -> impl Iterator<Item = &RoleSpec> {
    nodes.iter().filter_map(|node| match &node.node {
        Some(NodeEnum::RoleSpec(role)) => Some(role),
        _ => None,
    })
}

/// A role as statements spell it.
pub fn role(role: &RoleSpec) -> String {
    match role.roletype() {
        RoleSpecType::RolespecPublic => "PUBLIC".into(),
        RoleSpecType::RolespecCurrentRole | RoleSpecType::RolespecCurrentUser => "CURRENT_USER".into(),
        RoleSpecType::RolespecSessionUser => "SESSION_USER".into(),
        _ => quoted(&role.rolename),
    }
}

/// Whether everybody has the role's rights: all logins, or callers of the Data API without a login.
pub fn is_anyone(role: &RoleSpec) -> bool {
    role.roletype() == RoleSpecType::RolespecPublic || is_anon(role)
}

/// Whether it is the role of callers of the Data API without a login.
pub fn is_anon(role: &RoleSpec) -> bool {
    role.rolename == "anon"
}
