//! What a tenant's login may do, as its Orchestra and its class say.

use crate::api::{CreateObjects, DataApi, Orchestra, OrchestraClass};
use crate::postgres::TenantRights;

/// The rights of the tenant's login: those of the Orchestra, or else of its class.
pub fn of(orchestra: &Orchestra, class: Option<&OrchestraClass>) -> TenantRights {
    let connection = class.and_then(|class| class.spec.connection.as_ref());
    let row_security = orchestra.spec.connection.row_security;
    let exposed = |api: Option<&DataApi>| api.and_then(|api| api.expose_new_tables);
    let of_class = || exposed(class.and_then(|class| class.spec.data_api.as_ref()));
    TenantRights {
        create: connection.is_some_and(|connection| connection.create_objects == CreateObjects::Allowed),
        limits: class.and_then(|class| class.spec.limits.clone()),
        row_security: row_security.or_else(|| connection?.row_security).unwrap_or_default(),
        expose_new_tables: exposed(orchestra.spec.data_api.as_ref()).or_else(of_class),
    }
}

#[cfg(test)]
mod tests {
    use crate::api::{DataApi, Orchestra, OrchestraClass};

    #[test]
    fn an_orchestra_says_what_its_login_reaches_or_else_its_class_does() {
        use crate::api::{ClassConnection, ExposeNewTables, RowSecurity};
        let exposing = |what| {
            Some(DataApi {
                expose_new_tables: what,
            })
        };
        let mut object = Orchestra::new("one", crate::api::OrchestraSpec::default());
        let mut class = OrchestraClass::new("standard", crate::api::OrchestraClassSpec::default());
        let told = |object: &Orchestra, class: Option<&OrchestraClass>| {
            let rights = super::of(object, class);
            (rights.row_security, rights.expose_new_tables)
        };
        assert_eq!(told(&object, None), (RowSecurity::Bypass, None));
        assert_eq!(told(&object, Some(&class)), (RowSecurity::Bypass, None));
        class.spec.connection = Some(ClassConnection {
            row_security: Some(RowSecurity::Enforce),
            ..ClassConnection::default()
        });
        class.spec.data_api = exposing(Some(ExposeNewTables::All));
        object.spec.data_api = exposing(None);
        let classes = (RowSecurity::Enforce, Some(ExposeNewTables::All));
        assert_eq!(told(&object, Some(&class)), classes);
        object.spec.connection.row_security = Some(RowSecurity::Bypass);
        object.spec.data_api = exposing(Some(ExposeNewTables::None));
        let own = (RowSecurity::Bypass, Some(ExposeNewTables::None));
        assert_eq!(told(&object, Some(&class)), own);
    }
}
