//! The operations of the Management API that the operator uses.

use strum::{Display, IntoStaticStr};

/// The scope that the API counts a request against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitScope {
    /// The project that the path names.
    Project,
    /// The organization that the path or the body names.
    Organization,
    /// The user to whom the token belongs.
    User,
}

/// Which requests go first when requests are scarce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Requests that a creation or deletion waits for.
    Create,
    /// Requests that the readiness of a database waits for.
    Readiness,
    /// Checks for drift.
    Drift,
}

/// A request as the rate limiter sees it: its operation, and how urgent it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiCall {
    /// The endpoint.
    pub operation: Operation,
    /// Its priority.
    pub priority: Priority,
}

impl From<Operation> for ApiCall {
    fn from(operation: Operation) -> Self {
        Self {
            operation,
            priority: operation.priority(),
        }
    }
}

/// An endpoint of the API. The variant in snake case is its name in metrics, logs and messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Operation {
    /// `v1-create-a-project`
    CreateProject,
    /// `v1-get-all-projects-for-organization`
    ListProjects,
    /// `v1-get-project`
    GetProject,
    /// `v1-delete-a-project`
    DeleteProject,
    /// `v1-pause-a-project`
    PauseProject,
    /// `v1-restore-a-project`
    RestoreProject,
    /// `v1-get-services-health`
    GetServicesHealth,
    /// `v1-get-pooler-config`
    GetPoolerConfig,
    /// `v1-get-project-api-keys`
    GetApiKeys,
    /// `v1-get-project-legacy-api-keys`
    GetLegacyKeys,
    /// `v1-create-project-api-key`
    CreateApiKey,
    /// `v1-delete-project-api-key`
    DeleteApiKey,
    /// `v1-get-available-regions`
    GetRegions,
    /// `v1-update-database-password`
    UpdateDatabasePassword,
    /// `v1-read-only-query`
    ReadOnlyQuery,
    /// `v1-list-all-organizations`
    ListOrganizations,
    /// `v1-get-an-organization`
    GetOrganization,
    /// `v1-get-organization-entitlements`
    GetEntitlements,
    /// `v1-list-project-addons`
    ListAddons,
    /// `v1-list-all-backups`
    ListBackups,
}

impl Operation {
    /// The name in metrics, logs and messages.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The scope that the API counts it against.
    pub fn scope(self) -> LimitScope {
        match self {
            Self::CreateProject
            | Self::ListProjects
            | Self::GetRegions
            | Self::GetOrganization
            | Self::GetEntitlements => LimitScope::Organization,
            Self::ListOrganizations => LimitScope::User,
            Self::GetProject
            | Self::DeleteProject
            | Self::PauseProject
            | Self::RestoreProject
            | Self::GetServicesHealth
            | Self::GetPoolerConfig
            | Self::GetApiKeys
            | Self::GetLegacyKeys
            | Self::CreateApiKey
            | Self::DeleteApiKey
            | Self::UpdateDatabasePassword
            | Self::ReadOnlyQuery
            | Self::ListAddons
            | Self::ListBackups => LimitScope::Project,
        }
    }

    /// The call as a check for drift, which no readiness waits for.
    pub fn as_check(self) -> ApiCall {
        ApiCall {
            operation: self,
            priority: Priority::Drift,
        }
    }

    /// Its priority, unless it is a check. The listing has that of a creation, which looks for the project before it creates it.
    pub fn priority(self) -> Priority {
        match self {
            Self::CreateProject | Self::ListProjects | Self::GetRegions | Self::DeleteProject => Priority::Create,
            Self::PauseProject
            | Self::RestoreProject
            | Self::GetServicesHealth
            | Self::GetPoolerConfig
            | Self::GetApiKeys
            | Self::GetLegacyKeys
            | Self::UpdateDatabasePassword
            | Self::ReadOnlyQuery
            | Self::ListOrganizations => Priority::Readiness,
            Self::GetProject
            | Self::GetOrganization
            | Self::GetEntitlements
            | Self::ListAddons
            | Self::ListBackups
            | Self::CreateApiKey
            | Self::DeleteApiKey => Priority::Drift,
        }
    }

    /// Whether it is about a part of a project, which may not be ready although the project exists.
    pub(super) fn is_part_of_a_project(self) -> bool {
        matches!(
            self,
            Self::GetServicesHealth
                | Self::GetPoolerConfig
                | Self::GetApiKeys
                | Self::GetLegacyKeys
                | Self::UpdateDatabasePassword
                | Self::ReadOnlyQuery
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_metrics() {
        for (operation, name) in [
            (Operation::CreateProject, "create_project"),
            (Operation::GetServicesHealth, "get_services_health"),
            (Operation::GetPoolerConfig, "get_pooler_config"),
            (Operation::GetApiKeys, "get_api_keys"),
            (Operation::UpdateDatabasePassword, "update_database_password"),
        ] {
            assert_eq!((operation.as_str(), operation.to_string().as_str()), (name, name));
        }
    }
}
