#![allow(clippy::unwrap_used)]
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry};
use serde_json::json;

use super::*;
use crate::api::{Connection, OrchestraSpec, SecretType};

fn login(host: &str, port: u16) -> Login {
    let url = format!("postgresql://orchestra_1:hush@{host}:{port}/postgres?sslmode=verify-full");
    Login::parse(&url.into()).unwrap()
}

fn handover() -> Handover {
    Handover {
        session: login("pooler", 5432),
        transaction: Some(login("pooler", 6543)),
        direct: Some(login("db.one", 5432)),
        project: None,
    }
}

fn orchestra(connection: Connection) -> Orchestra {
    let spec = OrchestraSpec {
        connection,
        ..OrchestraSpec::default()
    };
    let mut object = Orchestra::new("one", spec);
    object.metadata.namespace = Some("tenants".into());
    object.metadata.uid = Some("uid".into());
    object
}

fn values(secret: &Secret) -> BTreeMap<String, String> {
    let text = |value: &ByteString| String::from_utf8(value.0.clone()).unwrap();
    let data = secret.data.iter().flatten();
    data.map(|(key, value)| (key.clone(), text(value))).collect()
}

#[test]
fn each_mode_leads_to_its_address_and_direct_url_to_a_session() {
    for (mode, uri, direct) in [
        (ConnectionMode::SessionPooler, "@pooler:5432/", "@pooler:5432/"),
        (ConnectionMode::TransactionPooler, "@pooler:6543/", "@pooler:5432/"),
        (ConnectionMode::Direct, "@db.one:5432/", "@db.one:5432/"),
    ] {
        let object = orchestra(Connection {
            mode,
            ..Connection::default()
        });
        let all = values(&render(&object, &handover()).unwrap());
        assert!(
            all["uri"].contains(uri) && all["DATABASE_URL"].contains(uri),
            "{mode:?}"
        );
        assert!(all["DIRECT_URL"].contains(direct), "{mode:?}");
        assert_eq!(
            all["DATABASE_URL"].ends_with("&pgbouncer=true"),
            mode == ConnectionMode::TransactionPooler
        );
        assert!(!all.contains_key("username"));
    }
    // A pool's entry has one address.
    let entry = Handover {
        transaction: None,
        direct: None,
        ..handover()
    };
    assert_eq!(entry.primary(ConnectionMode::Direct).host, "pooler");
}

#[test]
fn a_binding_has_the_keys_of_the_specification_and_templates_replace_keys() {
    let template = [
        ("DATABASE_URL", "{{ url | parameter('a', 'b') }}"),
        ("mine", "{{ user }}@{{ mode }}"),
    ];
    let object = orchestra(Connection {
        secret_type: Some(SecretType::ServiceBinding),
        labels: Some([("team".to_string(), "strings".to_string())].into()),
        template: Some(template.map(|(key, text)| (key.to_string(), text.to_string())).into()),
        ..Connection::default()
    });
    let secret = render(&object, &handover()).unwrap();
    assert_eq!(secret.type_.as_deref(), Some("servicebinding.io/postgresql"));
    assert_eq!(secret.labels()["team"], "strings");
    assert_eq!(secret.labels()[ORCHESTRA_LABEL], "one");
    let all = values(&secret);
    let of = |key: &str| all[key].as_str();
    assert_eq!(
        (of("type"), of("provider"), of("database")),
        ("postgresql", "stagesub", "postgres")
    );
    assert_eq!(
        (of("username"), of("mine")),
        ("orchestra_1", "orchestra_1@SessionPooler")
    );
    assert!(of("DATABASE_URL").ends_with("?sslmode=verify-full&a=b"));
    for key in ["host", "port", "password", "uri"] {
        assert!(!all[key].is_empty(), "{key}");
    }
}

#[test]
fn a_template_that_fails_is_the_specs_fault_and_tells_no_secret() {
    let object = orchestra(Connection {
        template: Some([("KEY".to_string(), "{{ password.x }}".to_string())].into()),
        ..Connection::default()
    });
    let error = render(&object, &handover()).unwrap_err();
    assert_eq!(
        (error.class(), error.reason()),
        (ErrorClass::Invalid, Reason::ConnectionInvalid)
    );
    let told = error.to_string();
    assert!(told.contains("key KEY") && !told.contains("hush"), "{told}");
    assert!(check(&object, Timestamp::now()).is_err());
    assert!(check(&orchestra(Connection::default()), Timestamp::now()).is_ok());
}

#[test]
fn what_is_no_longer_wanted_is_removed_and_what_others_set_stays() {
    let before = orchestra(Connection {
        labels: Some([("team".to_string(), "strings".to_string())].into()),
        template: Some([("mine".to_string(), "x".to_string())].into()),
        ..Connection::default()
    });
    let mut found = render(&before, &handover()).unwrap();
    found.metadata.resource_version = Some("7".into());
    found.metadata.managed_fields = Some(vec![ManagedFieldsEntry {
        manager: Some(FIELD_MANAGER.into()),
        fields_v1: Some(FieldsV1(json!({"f:metadata": {"f:labels": {".": {}, "f:team": {}}}}))),
        ..ManagedFieldsEntry::default()
    }]);
    found.labels_mut().insert("theirs".into(), "stays".into());
    assert!(is_right(&found, &render(&before, &handover()).unwrap()));
    let wanted = render(&orchestra(Connection::default()), &handover()).unwrap();
    assert!(!is_right(&found, &wanted));
    found.data = wanted.data.clone();
    assert!(!is_right(&found, &wanted), "the label counts");
    found.metadata.labels.as_mut().unwrap().remove("team");
    assert!(is_right(&found, &wanted));
    found.metadata.annotations = Some([("note".to_string(), "theirs".to_string())].into());
    assert!(is_right(&found, &wanted));
}
