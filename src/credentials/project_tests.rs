#![allow(clippy::unwrap_used)]
use super::*;

fn of(selected: Option<&str>, values: &[(&str, &str)]) -> Inventory {
    let values = values
        .iter()
        .map(|(key, value)| ((*key).to_owned(), SecretString::from(*value)));
    let mut inventory = Inventory::default();
    inventory.add(selected, values);
    inventory
}

const API: [(&str, &str); 3] = [
    ("SUPABASE_URL_POOL_1", "https://abc.supabase.co/"),
    ("SUPABASE_ANON_KEY_POOL_1", "anon-hush"),
    ("SUPABASE_SERVICE_ROLE_KEY_POOL_1", "service-hush"),
];

#[test]
fn only_keys_of_databases_are_entries_and_a_selected_secret_has_one_without_a_number() {
    let values = [
        ("DATABASE_URL_POOL_2", "postgres://b"),
        ("DATABASE_URL", "postgres://a"),
        ("OTHER", "x"),
    ];
    let keys = |inventory: &Inventory| inventory.keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(keys(&of(None, &values)), "DATABASE_URL_POOL_2");
    assert_eq!(
        keys(&of(Some("one"), &values)),
        "one/DATABASE_URL one/DATABASE_URL_POOL_2"
    );
    let bare = of(Some("one"), &[("OTHER", "x")]);
    let told: Vec<_> = bare.strays().collect();
    assert!(keys(&bare).is_empty() && told[0].1.contains("Secret one is selected and has no key DATABASE_URL"));
}

#[test]
fn no_entry_vanishes_because_of_the_name_of_its_key() {
    let told = |selected: Option<&str>, keys: &[&str]| {
        let values: Vec<_> = keys.iter().map(|key| (*key, "postgres://hush")).collect();
        let inventory = of(selected, &values);
        let told = inventory.strays().map(|(key, wrong)| format!("{key}: {wrong}"));
        told.collect::<Vec<_>>().join("\n")
    };
    for key in [
        "DATABASE_URL_POOL1",
        "database_url_pool_1",
        "DATABASE-URL-POOL-1",
        "databaseUrlPool_1",
    ] {
        for beside in ["DATABASE_URL_POOL_2", "other"] {
            let said = told(None, &[key, beside]);
            assert!(
                said.contains(&format!("{key}: no entry has this key: name it DATABASE_URL_POOL_ ")),
                "{said}"
            );
            assert_eq!(said.contains("no entry; it has"), beside == "other", "{said}");
        }
        assert!(told(Some("one"), &[key, "DATABASE_URL"]).starts_with(&format!("one/{key}: no entry")));
    }
    // Of an environment, those that are told are read.
    for (key, meant) in [
        ("DATABASE_URL_POOL_1", true),
        ("SUPABASE_ANON_KEY_POOL_1", true),
        ("database_url_pool_2", true),
        ("DATABASE_URL_POOL2", true),
        ("supabase-url-pool-1", true),
        ("DATABASE_URL", false),
        ("SUPABASE_MANAGEMENT_TOKEN", false),
        ("PATH", false),
    ] {
        assert_eq!(is_meant(key), meant, "{key}");
    }
    let alone = told(None, &["database_url_pool_2"]);
    assert!(
        alone.starts_with("database_url_pool_2: no entry") && !alone.contains('\n'),
        "{alone}"
    );
    assert!(told(None, &["SUPABASE_URL_POOL1", "DATABASE_URL_POOL_1"]).contains("name it SUPABASE_URL_POOL_ "));
    let said = told(None, &["DATABASE_URL", "OTHER"]);
    let says = "DATABASE_URL_POOL_1: the Secret has no key DATABASE_URL_POOL_1, DATABASE_URL_POOL_2, …, and so no entry; \
            it has DATABASE_URL, OTHER: ";
    assert!(said.starts_with(says), "{said}");
    // Other keys of a Secret that is an own environment are ignored.
    assert_eq!(
        told(None, &["DATABASE_URL_POOL_1", "DATABASE_URL", "SUPABASE_URL", "PORT"]),
        ""
    );
    let said = told(None, &["DATABASE_URL_POOL_2", "DATABASE_URL"]);
    assert!(
        said.starts_with("DATABASE_URL: no entry has this key") && said.contains("name it DATABASE_URL_POOL_1"),
        "{said}"
    );
    assert_eq!(told(Some("one"), &["DATABASE_URL_POOL_2", "DATABASE_URL"]), "");
    assert_eq!(told(None, &[]), "");
}

#[test]
fn a_hosted_entry_brings_its_api_whole_or_not_at_all() {
    let url = (
        "DATABASE_URL_POOL_1",
        "postgres://postgres.abc@aws-0.pooler.supabase.com/postgres",
    );
    let with = |skip: usize, url: Option<(&'static str, &'static str)>| {
        let api = API
            .iter()
            .enumerate()
            .filter(|(place, _)| *place != skip)
            .map(|(_, part)| *part);
        of(None, &api.chain(url).collect::<Vec<_>>())
    };
    let whole = with(9, Some(url));
    let project = whole.project("DATABASE_URL_POOL_1").unwrap().unwrap();
    assert_eq!(project.url, "https://abc.supabase.co");
    assert_eq!(project.digest.as_ref().unwrap().len(), DIGITS);
    for (skip, (missing, _)) in API.iter().enumerate() {
        let told = with(skip, Some(url)).project("DATABASE_URL_POOL_1").unwrap_err();
        assert!(
            told.starts_with(&format!("{missing} missing: ")) && !told.contains("hush"),
            "{told}"
        );
    }
    let alone = with(9, None);
    let (key, told) = alone.strays().next().unwrap();
    assert!(
        key == "DATABASE_URL_POOL_1" && told.starts_with("DATABASE_URL_POOL_1 is missing"),
        "{told}"
    );
    assert!(of(None, &[url]).project("DATABASE_URL_POOL_1").unwrap().is_none());
}

#[test]
fn an_api_that_cannot_be_the_databases_is_refused_and_no_key_is_told() {
    let url = "postgres://postgres.abc@aws-0.pooler.supabase.com/postgres";
    for (part, value, says) in [
        ("SUPABASE_URL_POOL_1", "https://other.supabase.co", "another project"),
        ("SUPABASE_URL_POOL_1", "http://abc.supabase.co", "no URL of a project"),
        (
            "SUPABASE_URL_POOL_1",
            "https://a:hush@abc.supabase.co",
            "no URL of a project",
        ),
        (
            "SUPABASE_URL_POOL_1",
            "https://abc.supabase.co/rest",
            "no URL of a project",
        ),
        (
            "SUPABASE_ANON_KEY_POOL_1",
            "hush hush",
            "SUPABASE_ANON_KEY_POOL_1 is no API key",
        ),
        (
            "SUPABASE_ANON_KEY_POOL_1",
            "sb_secret_hush",
            "SUPABASE_ANON_KEY_POOL_1 holds a secret key",
        ),
    ] {
        let mut values = vec![("DATABASE_URL_POOL_1", url)];
        values.extend(
            API.iter()
                .map(|(key, is)| (*key, if *key == part { value } else { is })),
        );
        let told = of(None, &values).project("DATABASE_URL_POOL_1").unwrap_err();
        assert!(told.contains(says) && !told.contains("hush"), "{told}");
    }
    // However the database's place is written.
    for url in [
        "postgres://first.last.abc@AWS-0.pooler.supabase.com./postgres",
        "postgres://postgres@DB.abc.Supabase.co./postgres",
    ] {
        for (api, fits) in [
            ("https://abc.supabase.co", true),
            ("https://ABC.supabase.co.", true),
            ("https://last.supabase.co", false),
        ] {
            let mut values = vec![("DATABASE_URL_POOL_1", url), ("SUPABASE_URL_POOL_1", api)];
            values.extend(&API[1..]);
            let told = of(None, &values).project("DATABASE_URL_POOL_1").map(drop);
            assert_eq!(told.is_ok(), fits, "{url} {api}: {told:?}");
        }
    }
    // An own host does not identify the project.
    let mut values = vec![("DATABASE_URL_POOL_1", "postgres://a@db.example/b")];
    values.extend(API);
    assert!(of(None, &values).project("DATABASE_URL_POOL_1").is_ok());
}

#[test]
fn a_change_of_any_part_changes_what_an_entry_says() {
    let values = |last: &'static str| {
        let mut values = vec![("DATABASE_URL_POOL_1", "postgres://a@db.example/b")];
        values.extend(API);
        values[3].1 = last;
        of(None, &values).digest("DATABASE_URL_POOL_1").unwrap()
    };
    assert_eq!(values("a"), values("a"));
    assert_ne!(values("a"), values("b"));
}

#[test]
fn a_service_key_of_two_projects_is_refused_in_both() {
    let add = |inventory: &mut Inventory, name: &str, url: &str, service: &str| {
        let values = [
            ("DATABASE_URL", "postgres://a@db.example/b"),
            ("SUPABASE_URL", url),
            ("SUPABASE_ANON_KEY", "anon-hush"),
            ("SUPABASE_SERVICE_ROLE_KEY", service),
        ];
        let values = values.map(|(key, value)| (key.to_owned(), SecretString::from(value)));
        inventory.add(Some(name), values);
    };
    let told = |inventory: &Inventory, name: &str| {
        let told = inventory.project(&format!("{name}/DATABASE_URL")).map(drop);
        told.err().unwrap_or_default()
    };
    let mut inventory = Inventory::default();
    add(&mut inventory, "one", "https://one.example", "sb_secret_hush");
    add(&mut inventory, "again", "https://one.example/", "sb_secret_hush");
    add(&mut inventory, "three", "https://three.example", "sb_secret_other");
    for name in ["one", "again", "three"] {
        assert_eq!(told(&inventory, name), "");
    }
    let alone = inventory.digest("one/DATABASE_URL");
    add(&mut inventory, "two", "https://two.example", "sb_secret_hush");
    assert_ne!(inventory.digest("one/DATABASE_URL"), alone, "it is looked at again");
    // What is refused stays known.
    assert!(inventory.given("one/DATABASE_URL").is_some());
    for (name, other) in [("one", "two"), ("again", "two"), ("two", "again")] {
        let says = format!("{name}/SUPABASE_SERVICE_ROLE_KEY and {other}/SUPABASE_SERVICE_ROLE_KEY are the same key");
        let told = told(&inventory, name);
        assert!(told.starts_with(&says) && !told.contains("hush"), "{told}");
    }
    assert_eq!(told(&inventory, "three"), "");
    add(&mut inventory, "two", "https://two.example", "sb_secret_its_own");
    assert_eq!(told(&inventory, "one"), "");
    assert_eq!(inventory.digest("one/DATABASE_URL"), alone);
    // Two self-hosted projects with one JWT secret: {"role":"service_role"}.
    let own = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.aHVzaA";
    add(&mut inventory, "four", "https://four.example", own);
    add(&mut inventory, "five", "https://five.example", own);
    for name in ["four", "five"] {
        assert_eq!(told(&inventory, name), "");
    }
}
