//! Databases that change behind the operator's back: restored to an older state, or changed by hand.

use orchestra_sandbox::world::{Kind, TENANTS, World, condition, is_true};
use serde_json::{Value, json};

use crate::proof::{generous_world, owner, soon};
use crate::rotation::{ask, generation};
use crate::support::{LONG, login, orchestra, ready, scalar, secret, sources, standard_class};

async fn ask_for_a_look(world: &World, name: &str, mark: &str) {
    let annotation = format!("stagesub.io/check-requested-at={mark}");
    world
        .kubectl(["annotate", "orchestra", name, "-n", TENANTS, "--overwrite", &annotation])
        .unwrap();
    let handled = |object: &Value| is_true(object, "Ready") && object["status"]["handledCheck"] == mark;
    world
        .until(Kind::Orchestra, (TENANTS, name), LONG, handled)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_database_that_was_restored_to_an_older_state_is_migrated_again_and_says_so() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    let _operator = world.operator("operator", |_| {}).unwrap();
    orchestra(&world, "new", "");
    let before = ready(&world, "new").await;

    // A look that finds nothing disturbs nothing.
    ask_for_a_look(&world, "new", "first").await;
    let object = world.get(Kind::Orchestra, TENANTS, "new").await.unwrap().unwrap();
    let since = |object: &Value| {
        let all = object["status"]["conditions"].as_array().unwrap();
        let ready = all.iter().find(|condition| condition["type"] == "Ready").unwrap();
        ready["lastTransitionTime"].clone()
    };
    assert_eq!(since(&object), since(&before));
    assert_ne!(object["status"]["migrations"]["checkedAt"], Value::Null);

    let mut session = owner(&world, "new").await;
    for change in [
        "DROP TABLE \"Concert\"",
        "DELETE FROM _prisma_migrations WHERE migration_name = '20260102000000_concerts'",
    ] {
        sqlx::query(change).execute(&mut session).await.unwrap();
    }
    ask_for_a_look(&world, "new", "second").await;
    let concert = "SELECT count(*) FROM pg_tables WHERE tablename = 'Concert'";
    assert_eq!(scalar(&mut session, concert).await, 1);
    soon("the event is there", async || {
        let of = "--field-selector=involvedObject.name=new,reason=HistoryLost";
        let told = world.kubectl(["get", "events", "-n", TENANTS, of, "-o", "jsonpath={.items[*].message}"]);
        told.unwrap()
            .starts_with("the history holds 1 of the 2 migrations that were applied")
    })
    .await;
    drop(
        login(&secret(&world, TENANTS, "new-connection").await["DATABASE_URL"])
            .await
            .unwrap(),
    );

    // A missing table that an applied migration created is reported, and not created again: nobody knows what was in it.
    sqlx::query("DROP TABLE \"Concert\"")
        .execute(&mut session)
        .await
        .unwrap();
    ask_for_a_look(&world, "new", "third").await;
    let object = world.get(Kind::Orchestra, TENANTS, "new").await.unwrap().unwrap();
    let (agrees, reason, message) = condition(&object, "HistoryAgrees");
    assert_eq!((agrees.as_str(), reason.as_str()), ("False", "HistoryDiverged"));
    assert_eq!(message, "tables that applied migrations created are missing: Concert");

    // Its state is one before a rotation: the published login is not there.
    ask(&world, "new", "now");
    generation(&world, "new", 2).await;
    ready(&world, "new").await;
    let url = secret(&world, TENANTS, "new-connection").await["DIRECT_URL"].clone();
    let role = url::Url::parse(&url)
        .unwrap()
        .username()
        .split('.')
        .next()
        .unwrap()
        .to_owned();
    let gone = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(gone))
        .execute(&mut session)
        .await
        .unwrap();
    assert!(login(&url).await.is_err());
    ask_for_a_look(&world, "new", "fourth").await;
    drop(login(&url).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_odd_one_out_is_named() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    let _operator = world
        .operator("operator", |command| {
            command.arg("--resync=2s");
        })
        .unwrap();
    for name in ["one", "two", "three"] {
        orchestra(&world, name, "");
        let drift = json!({"spec": {"migrations": {"drift": {"fingerprint": true}}}}).to_string();
        world
            .kubectl(["patch", "orchestra", name, "-n", TENANTS, "--type=merge", "-p", &drift])
            .unwrap();
    }
    for name in ["one", "two", "three"] {
        ready(&world, name).await;
    }
    let compared = |odd: i64| {
        move |class: &Value| {
            let schema = &class["status"]["schema"];
            schema["compared"] == 3 && schema["odd"] == odd
        }
    };
    world
        .until(Kind::Class, ("", "standard"), LONG, compared(0))
        .await
        .unwrap();

    let mut session = owner(&world, "two").await;
    sqlx::query("CREATE INDEX by_hand ON \"Member\" (name)")
        .execute(&mut session)
        .await
        .unwrap();
    ask_for_a_look(&world, "two", "now").await;
    let class = world
        .until(Kind::Class, ("", "standard"), LONG, compared(1))
        .await
        .unwrap();
    assert_eq!(class["status"]["schema"]["names"], json!([format!("{TENANTS}/two")]));
    let object = world.get(Kind::Orchestra, TENANTS, "two").await.unwrap().unwrap();
    assert_eq!(
        condition(&object, "Ready").0,
        "True",
        "it is told, and nothing is changed"
    );
}
