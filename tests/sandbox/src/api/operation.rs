//! The operations that the stand-in offers, under the document's own ids.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! operations {
    ($($name:ident $method:literal $path:literal $id:literal;)*) => {
        /// An operation of the Management API.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum Operation {
            $(#[doc = concat!("`", $method, " ", $path, "`")] $name,)*
        }

        impl Operation {
            /// Every operation.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The operation id of the OpenAPI document.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }

            /// Method and path of the OpenAPI document.
            const fn route(self) -> (&'static str, &'static str) {
                match self { $(Self::$name => ($method, $path),)* }
            }
        }
    };
}

operations! {
    CreateProject "POST" "/v1/projects" "v1-create-a-project";
    ListProjects "GET" "/v1/projects" "v1-list-all-projects";
    AvailableRegions "GET" "/v1/projects/available-regions" "v1-get-available-regions";
    GetProject "GET" "/v1/projects/{ref}" "v1-get-project";
    UpdateProject "PATCH" "/v1/projects/{ref}" "v1-update-a-project";
    DeleteProject "DELETE" "/v1/projects/{ref}" "v1-delete-a-project";
    PauseProject "POST" "/v1/projects/{ref}/pause" "v1-pause-a-project";
    RestoreProject "POST" "/v1/projects/{ref}/restore" "v1-restore-a-project";
    CancelRestore "POST" "/v1/projects/{ref}/restore/cancel" "v1-cancel-a-project-restoration";
    RestoreVersions "GET" "/v1/projects/{ref}/restore" "v1-list-available-restore-versions";
    Health "GET" "/v1/projects/{ref}/health" "v1-get-services-health";
    ListKeys "GET" "/v1/projects/{ref}/api-keys" "v1-get-project-api-keys";
    CreateKey "POST" "/v1/projects/{ref}/api-keys" "v1-create-project-api-key";
    GetLegacyKeys "GET" "/v1/projects/{ref}/api-keys/legacy" "v1-get-project-legacy-api-keys";
    UpdateLegacyKeys "PUT" "/v1/projects/{ref}/api-keys/legacy" "v1-update-project-legacy-api-keys";
    GetKey "GET" "/v1/projects/{ref}/api-keys/{id}" "v1-get-project-api-key";
    UpdateKey "PATCH" "/v1/projects/{ref}/api-keys/{id}" "v1-update-project-api-key";
    DeleteKey "DELETE" "/v1/projects/{ref}/api-keys/{id}" "v1-delete-project-api-key";
    PoolerConfig "GET" "/v1/projects/{ref}/config/database/pooler" "v1-get-pooler-config";
    UpdatePoolerConfig "PATCH" "/v1/projects/{ref}/config/database/pooler" "v1-update-pooler-config";
    PgbouncerConfig "GET" "/v1/projects/{ref}/config/database/pgbouncer" "v1-get-project-pgbouncer-config";
    UpdatePassword "PATCH" "/v1/projects/{ref}/database/password" "v1-update-database-password";
    ListAddons "GET" "/v1/projects/{ref}/billing/addons" "v1-list-project-addons";
    ApplyAddon "PATCH" "/v1/projects/{ref}/billing/addons" "v1-apply-project-addon";
    RemoveAddon "DELETE" "/v1/projects/{ref}/billing/addons/{addon_variant}" "v1-remove-project-addon";
    ListBackups "GET" "/v1/projects/{ref}/database/backups" "v1-list-all-backups";
    RestorePitr "POST" "/v1/projects/{ref}/database/backups/restore-pitr" "v1-restore-pitr-backup";
    RunQuery "POST" "/v1/projects/{ref}/database/query" "v1-run-a-query";
    ReadOnlyQuery "POST" "/v1/projects/{ref}/database/query/read-only" "v1-read-only-query";
    ListMigrations "GET" "/v1/projects/{ref}/database/migrations" "v1-list-migration-history";
    ApplyMigration "POST" "/v1/projects/{ref}/database/migrations" "v1-apply-a-migration";
    UpsertMigration "PUT" "/v1/projects/{ref}/database/migrations" "v1-upsert-a-migration";
    RollbackMigrations "DELETE" "/v1/projects/{ref}/database/migrations" "v1-rollback-migrations";
    GetMigration "GET" "/v1/projects/{ref}/database/migrations/{version}" "v1-get-a-migration";
    PatchMigration "PATCH" "/v1/projects/{ref}/database/migrations/{version}" "v1-patch-a-migration";
    CreateLoginRole "POST" "/v1/projects/{ref}/cli/login-role" "v1-create-login-role";
    DeleteLoginRoles "DELETE" "/v1/projects/{ref}/cli/login-role" "v1-delete-login-roles";
    PostgrestConfig "GET" "/v1/projects/{ref}/postgrest" "v1-get-postgrest-service-config";
    UpdatePostgrestConfig "PATCH" "/v1/projects/{ref}/postgrest" "v1-update-postgrest-service-config";
    AuthConfig "GET" "/v1/projects/{ref}/config/auth" "v1-get-auth-service-config";
    UpdateAuthConfig "PATCH" "/v1/projects/{ref}/config/auth" "v1-update-auth-service-config";
    StorageConfig "GET" "/v1/projects/{ref}/config/storage" "v1-get-storage-config";
    UpdateStorageConfig "PATCH" "/v1/projects/{ref}/config/storage" "v1-update-storage-config";
    RealtimeConfig "GET" "/v1/projects/{ref}/config/realtime" "v1-get-realtime-config";
    UpdateRealtimeConfig "PATCH" "/v1/projects/{ref}/config/realtime" "v1-update-realtime-config";
    PostgresConfig "GET" "/v1/projects/{ref}/config/database/postgres" "v1-get-postgres-config";
    UpdatePostgresConfig "PUT" "/v1/projects/{ref}/config/database/postgres" "v1-update-postgres-config";
    ListBuckets "GET" "/v1/projects/{ref}/storage/buckets" "v1-list-all-buckets";
    ListFunctions "GET" "/v1/projects/{ref}/functions" "v1-list-all-functions";
    ListBranches "GET" "/v1/projects/{ref}/branches" "v1-list-all-branches";
    Restrictions "GET" "/v1/projects/{ref}/network-restrictions" "v1-get-network-restrictions";
    PatchRestrictions "PATCH" "/v1/projects/{ref}/network-restrictions" "v1-patch-network-restrictions";
    ApplyRestrictions "POST" "/v1/projects/{ref}/network-restrictions/apply" "v1-update-network-restrictions";
    ListBans "POST" "/v1/projects/{ref}/network-bans/retrieve" "v1-list-all-network-bans";
    DeleteBans "DELETE" "/v1/projects/{ref}/network-bans" "v1-delete-network-bans";
    SslEnforcement "GET" "/v1/projects/{ref}/ssl-enforcement" "v1-get-ssl-enforcement-config";
    UpdateSslEnforcement "PUT" "/v1/projects/{ref}/ssl-enforcement" "v1-update-ssl-enforcement-config";
    ReadOnlyMode "GET" "/v1/projects/{ref}/readonly" "v1-get-readonly-mode-status";
    DisableReadOnlyMode "POST" "/v1/projects/{ref}/readonly/temporary-disable" "v1-disable-readonly-mode-temporarily";
    ListSecrets "GET" "/v1/projects/{ref}/secrets" "v1-list-all-secrets";
    CreateSecrets "POST" "/v1/projects/{ref}/secrets" "v1-bulk-create-secrets";
    DeleteSecrets "DELETE" "/v1/projects/{ref}/secrets" "v1-bulk-delete-secrets";
    PerformanceAdvisors "GET" "/v1/projects/{ref}/advisors/performance" "v1-get-performance-advisors";
    SecurityAdvisors "GET" "/v1/projects/{ref}/advisors/security" "v1-get-security-advisors";
    TypescriptTypes "GET" "/v1/projects/{ref}/types/typescript" "v1-generate-typescript-types";
    Logs "GET" "/v1/projects/{ref}/analytics/endpoints/logs.all" "v1-get-project-logs";
    ApiCounts "GET" "/v1/projects/{ref}/analytics/endpoints/usage.api-counts" "v1-get-project-usage-api-count";
    ApiRequests "GET" "/v1/projects/{ref}/analytics/endpoints/usage.api-requests-count" "v1-get-project-usage-request-count";
    ListOrganizations "GET" "/v1/organizations" "v1-list-all-organizations";
    GetOrganization "GET" "/v1/organizations/{slug}" "v1-get-an-organization";
    Entitlements "GET" "/v1/organizations/{slug}/entitlements" "v1-get-organization-entitlements";
    ListOrganizationProjects "GET" "/v1/organizations/{slug}/projects" "v1-get-all-projects-for-organization";
}

impl Operation {
    /// The operation of a request and its path parameters. Literal segments win over parameters.
    pub(super) fn find(method: &str, path: &str) -> Option<(Self, Vec<(String, String)>)> {
        Self::ALL
            .iter()
            .filter(|operation| operation.route().0 == method)
            .filter_map(|operation| Some((*operation, capture(operation.route().1, path)?)))
            .min_by_key(|(_, parameters)| parameters.len())
    }
}

fn capture(template: &str, path: &str) -> Option<Vec<(String, String)>> {
    let mut actual = path.split('/');
    let mut parameters = Vec::new();
    for expected in template.split('/') {
        let segment = actual.next()?;
        match expected.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) => parameters.push((name.to_owned(), segment.to_owned())),
            None if expected != segment => return None,
            None => {}
        }
    }
    actual.next().is_none().then_some(parameters)
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl FromStr for Operation {
    type Err = String;

    fn from_str(id: &str) -> Result<Self, String> {
        Self::ALL
            .iter()
            .find(|operation| operation.id() == id)
            .copied()
            .ok_or_else(|| format!("no operation {id}"))
    }
}

impl TryFrom<String> for Operation {
    type Error = String;

    fn try_from(id: String) -> Result<Self, String> {
        id.parse()
    }
}

impl From<Operation> for String {
    fn from(operation: Operation) -> Self {
        operation.id().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::Operation;
    use crate::openapi::document;

    #[test]
    fn every_operation_is_where_the_document_has_it() {
        let Some(document) = document() else { return };
        for operation in Operation::ALL {
            let (method, path) = operation.route();
            let known = &document["paths"][path][method.to_lowercase()]["operationId"];
            assert_eq!(known, operation.id(), "{method} {path}");
        }
    }
}
