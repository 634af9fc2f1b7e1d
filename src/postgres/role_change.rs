//! The changes of a tenant's roles, which [`super::role_plan`] decides and [`super::role_changes`] executes.

/// One change on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RoleChange<'a> {
    /// Create a role with its password and without attributes.
    Create(&'a str),
    /// Create a role that does not log in.
    CreateShut(&'a str),
    /// Set the password of a role, and allow it to log in.
    SetPassword(&'a str),
    /// End the memberships of others in a role.
    Part(&'a str),
    /// Make the owner a member of a role: the owner then may change, and finally take over, objects that the role creates.
    JoinOwner(&'a str),
    /// Set the limits of a role.
    Limit(&'a str),
    /// Grant BYPASSRLS to a role, where the owner may.
    Bypass(&'a str),
    /// Revoke BYPASSRLS from a role.
    Enforce(&'a str),
    /// Create the group of tenants' logins.
    CreateGroup,
    /// Make a role a member of a group.
    JoinGroup {
        /// The group.
        group: &'a str,
        /// The new member.
        role: &'a str,
    },
    /// End the membership of a role in a group.
    LeaveGroup {
        /// The group.
        group: &'a str,
        /// The former member.
        role: &'a str,
    },
    /// Set the default privileges of the roles of the Data API.
    Expose,
    /// Give a role the `search_path` that the owner has.
    CopySearchPath(&'a str),
    /// Take all rights on the database from PUBLIC.
    CloseDatabase,
    /// End the sessions of roles that may not connect to the database.
    EndForeignSessions,
    /// Grant a role CONNECT and TEMPORARY on the database.
    GrantDatabase(&'a str),
    /// Grant a role its rights on the objects that exist.
    GrantExisting(&'a str),
    /// Revoke from all roles except the owner all rights except reading the histories.
    Protect,
    /// Revoke from a role what default privileges granted it in the operator's schema.
    HideOperatorSchema(&'a str),
    /// Grant a role its rights on what the owner will create.
    GrantFuture(&'a str),
    /// Grant a role its rights on what another role of the tenant will create.
    GrantFutureOf {
        /// The role that creates.
        creator: &'a str,
        /// The role that is granted the rights.
        role: &'a str,
    },
    /// Forbid a role to log in.
    ForbidLogin(&'a str),
    /// End the sessions of a role.
    EndSessions(&'a str),
    /// Reassign the objects of a role, which no tenant has used, to the owner, and drop its rights.
    TakeOver(&'a str),
    /// Reassign the objects of a role to another one, and drop its rights.
    Leave {
        /// Whose.
        role: &'a str,
        /// To whom.
        heir: &'a str,
    },
    /// Give a role all rights of another one.
    JoinBase {
        /// Whose rights.
        base: &'a str,
        /// Who gets them.
        role: &'a str,
    },
    /// Reassign the objects and grants of a role to another one.
    PassOn {
        /// Whose.
        role: &'a str,
        /// To whom.
        heir: &'a str,
    },
    /// Revoke from a role the rights beyond those of a tenant.
    TakeExcess(&'a str),
    /// Drop a role.
    Drop(&'a str),
}
