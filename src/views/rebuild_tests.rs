#![allow(clippy::unwrap_used)]
use super::*;
use crate::supabase::marker::{ClusterMarker, mint};

const UID: &str = "0f3c6a3e-5b1d-4a52-9d0e-6f5b7c1e2d3f";

fn project(name: &str, reference: &str) -> ListedProject {
    ListedProject {
        reference: reference.into(),
        name: name.into(),
        region: Some("eu-central-1".into()),
        is_branch: false,
        status: serde_json::from_value(json!("ACTIVE_HEALTHY")).unwrap(),
        inserted_at: None,
        databases: Vec::new(),
    }
}

fn minted(namespace: &str, name: &str, database: &str) -> String {
    let cluster = ClusterMarker::of("7d1f0c2e-93ab-4c1d-8e2f-001122334455").unwrap();
    mint(&cluster, namespace, name, database)
}

fn claim(uid: &str, namespace: &str, name: &str) -> RecordedClaim {
    RecordedClaim {
        uid: uid.into(),
        namespace: namespace.into(),
        name: name.into(),
    }
}

#[test]
fn a_tenant_is_what_the_claim_record_says_and_proven_by_the_name() {
    let here = HashSet::from([("tenants".to_owned(), "here".to_owned())]);
    let own = minted("tenants", "one", &database_name(UID));
    let of_pool = minted("pool", "warm", "orchdb-9d0e");
    let old = format!("tenants-one-7d1f0c2e93ab-{}", UID.replace('-', ""));
    for (name, claims, is) in [
        (&own, vec![claim(UID, "tenants", "one")], Ok((true, database_name(UID)))),
        // Another Orchestra took it back, a pool made it, or an earlier version did.
        (
            &own,
            vec![claim("2", "tenants", "two")],
            Ok((false, database_name(UID))),
        ),
        (
            &own,
            vec![claim(UID, "tenants", "two")],
            Ok((false, database_name(UID))),
        ),
        (
            &of_pool,
            vec![claim(UID, "tenants", "one")],
            Ok((false, "orchdb-9d0e".into())),
        ),
        (
            &old,
            vec![claim(UID, "tenants", "one")],
            Ok((false, database_name(UID))),
        ),
        (&own, vec![], Err("no claim record")),
        (
            &own,
            vec![claim(UID, "tenants", "one"), claim("2", "a", "b")],
            Err("several"),
        ),
        (
            &own,
            vec![claim(UID, "Tenants", "one")],
            Err("not as an operator writes"),
        ),
        (
            &own,
            vec![claim(UID, "tenants", "x\n---")],
            Err("not as an operator writes"),
        ),
        (
            &own,
            vec![claim("'", "tenants", "one")],
            Err("not as an operator writes"),
        ),
        (&own, vec![claim(UID, "tenants", "here")], Err("exists in this cluster")),
    ] {
        match (tenant(&project(name, "a"), &claims, &here), is) {
            (Ok(found), Ok(is)) => assert_eq!((found.proven, found.database), is, "{claims:?}"),
            (Err(found), Err(part)) => assert!(found.contains(part), "{found}"),
            (found, is) => panic!("{claims:?}: {found:?}, not {is:?}"),
        }
    }
}

#[test]
fn a_forged_claim_record_takes_nothing_from_its_owner() {
    let found = |name: &str, reference: &str, proven| RebuiltTenant {
        project: project(name, reference),
        database: format!("orchdb-{reference}"),
        claim: ClaimReference {
            namespace: "tenants".into(),
            name: name.into(),
            uid: "1".into(),
            namespace_uid: None,
        },
        proven,
    };
    let mut all = Rebuilt {
        tenants: vec![
            found("two", "a", false),
            found("two", "b", false),
            found("one", "c", false),
            found("one", "d", true),
            found("three", "e", false),
        ],
        ..Rebuilt::default()
    };
    keep_single(&mut all);
    let kept: Vec<_> = all.tenants.iter().map(|it| it.project.reference.as_str()).collect();
    assert_eq!(kept, ["d", "e"]);
    assert_eq!(all.left.len(), 3, "{:?}", all.left);
    let text = all.manifests("standard", jiff::Timestamp::UNIX_EPOCH).unwrap();
    assert!(text.contains("# Left out: project a (two): "), "{text}");
    assert_eq!(text.matches("\nkind: OrchestraDatabase").count(), 2, "{text}");
    assert_eq!(text.matches("look before you create it").count(), 1, "{text}");
}

#[test]
fn of_several_clusters_one_is_named() {
    let (one, two) = (project("x", "a"), project("y", "b"));
    let marked = [("7d1f0c2e93ab", &one), ("001122334455", &two), ("7d1f0c2e93ab", &two)];
    let told = |wanted| cluster(&marked, wanted, "acme").map_err(|error| error.to_string());
    assert_eq!(told(Some("001122334455")), Ok(Some("001122334455".into())));
    assert!(told(None).unwrap_err().contains("001122334455 (1), 7d1f0c2e93ab (2)"));
    assert!(told(Some("ffffffffffff")).unwrap_err().contains("7d1f0c2e93ab (2)"));
    assert_eq!(cluster(&marked[..1], None, "acme").unwrap().unwrap(), "7d1f0c2e93ab");
    assert_eq!(cluster(&[], None, "acme").unwrap(), None);
}
