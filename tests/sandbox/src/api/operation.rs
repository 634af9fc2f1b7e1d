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
    RestoreVersions "GET" "/v1/projects/{ref}/restore" "v1-list-available-restore-versions";
    Health "GET" "/v1/projects/{ref}/health" "v1-get-services-health";
    ListKeys "GET" "/v1/projects/{ref}/api-keys" "v1-get-project-api-keys";
    CreateKey "POST" "/v1/projects/{ref}/api-keys" "v1-create-project-api-key";
    GetLegacyKeys "GET" "/v1/projects/{ref}/api-keys/legacy" "v1-get-project-legacy-api-keys";
    UpdateLegacyKeys "PUT" "/v1/projects/{ref}/api-keys/legacy" "v1-update-project-legacy-api-keys";
    GetKey "GET" "/v1/projects/{ref}/api-keys/{id}" "v1-get-project-api-key";
    DeleteKey "DELETE" "/v1/projects/{ref}/api-keys/{id}" "v1-delete-project-api-key";
    PoolerConfig "GET" "/v1/projects/{ref}/config/database/pooler" "v1-get-pooler-config";
    UpdatePassword "PATCH" "/v1/projects/{ref}/database/password" "v1-update-database-password";
    ListBackups "GET" "/v1/projects/{ref}/database/backups" "v1-list-all-backups";
    ListAddons "GET" "/v1/projects/{ref}/billing/addons" "v1-list-project-addons";
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
