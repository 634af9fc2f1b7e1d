//! The sample orchestras of deploy/samples/, and its files of single tenants, applied as a user applies them.

mod portal;

use std::path::Path;

use orchestra_sandbox::world::{Kind, TENANTS, World, is_true};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::proof::{generous_world, owner, tenant};
use crate::support::{LONG, project, ready, standard_class};

struct Sample {
    folder: &'static str,
    name: &'static str,
    format: &'static str,
    /// Tables, with their least number of rows.
    tables: &'static [(&'static str, i64)],
}

const SAMPLES: [Sample; 3] = [
    Sample {
        folder: "symphony",
        name: "harbour-symphony",
        format: "Prisma",
        tables: &[
            ("\"Member\"", 60),
            ("\"Seat\"", 60),
            ("\"Instrument\"", 10),
            ("\"Part\"", 100),
            ("\"Programme\"", 3),
            ("\"Service\"", 20),
            ("\"Attendance\"", 400),
            ("\"Substitute\"", 30),
            ("\"SubstituteCall\"", 5),
            ("\"PayItem\"", 80),
        ],
    },
    Sample {
        folder: "chamber",
        name: "kammerorchester",
        format: "Supabase",
        tables: &[
            ("chamber.player", 30),
            ("chamber.instrument", 5),
            ("chamber.part", 30),
            ("chamber.project", 3),
            ("chamber.session", 20),
            ("chamber.engagement", 40),
            ("chamber.substitute_list", 10),
            ("chamber.substitute_request", 2),
            ("chamber.statement", 15),
        ],
    },
    Sample {
        folder: "youth",
        name: "ridings-youth",
        format: "Sqlx",
        tables: &[
            ("member", 30),
            ("household", 20),
            ("instrument", 10),
            ("hire", 5),
            ("part", 50),
            ("concert", 2),
            ("meeting", 20),
            ("register", 50),
            ("deputy", 2),
            ("stiffener", 5),
            ("rate", 5),
            ("tutor_pay", 5),
        ],
    },
];

async fn text(session: &mut PgConnection, query: &str) -> String {
    let query = format!("SELECT ({query})::text");
    sqlx::query_scalar(AssertSqlSafe(query))
        .fetch_one(session)
        .await
        .unwrap()
}

/// A file that the kustomization leaves out would be missed in a database only.
pub fn all_files_are_named(folder: &Path) {
    let kustomization = std::fs::read_to_string(folder.join("kustomization.yaml")).unwrap();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let named = path.strip_prefix(folder).unwrap().display().to_string();
            if path.is_dir() {
                folders.push(path);
            } else if named != "kustomization.yaml" {
                assert!(kustomization.contains(&named), "{named} of {}", folder.display());
            }
        }
    }
}

async fn apply_all(world: &World) {
    for Sample {
        folder,
        name,
        format,
        tables,
    } in SAMPLES
    {
        let folder = project().join("deploy/samples").join(folder);
        all_files_are_named(&folder);
        world.kubectl(["apply", "-k", folder.to_str().unwrap()]).unwrap();
        let object = ready(world, name).await;
        assert_eq!(object["status"]["migrations"]["format"], format);
        assert_eq!(object["status"]["migrations"]["applied"], 5);
        assert!(is_true(&object, "Seeded"));
        let mut session = tenant(world, name).await;
        for (table, least) in tables {
            let count: i64 = text(&mut session, &format!("SELECT count(*) FROM {table}"))
                .await
                .parse()
                .unwrap();
            assert!(count >= *least, "{name}: {table} has {count} rows");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn three_orchestras_are_what_their_samples_say() {
    let world = generous_world().await;
    standard_class(&world, "");
    let _operator = world.operator("operator", |_| {}).unwrap();
    apply_all(&world).await;

    let mut session = tenant(&world, "harbour-symphony").await;
    for (query, value) in [
        (
            "SELECT \"name\" || ', ' || \"season\" || ', ' || \"currency\" FROM \"Organisation\"",
            "Harbour City Symphony, 2026-27, USD",
        ),
        (
            "SELECT count(*) FROM \"Template\" WHERE \"body\" LIKE '%Harbour City Symphony%'",
            "3",
        ),
        // Whoever is employed has the base pay of the week; a concertmaster the double of it.
        (
            "SELECT bool_and(\"amountMinor\" = 184500) AND count(*) = (SELECT count(*) FROM \"Member\") FROM \"PayItem\" WHERE \"kind\" = 'BASE'",
            "true",
        ),
        (
            "SELECT max(\"amountMinor\") FROM \"PayItem\" WHERE \"kind\" = 'SEAT'",
            "184500",
        ),
        // No substitute plays while away, or in a section of others.
        (
            "SELECT count(*) FROM \"SubstituteCall\" c JOIN \"SubstituteAbsence\" a USING (\"substituteId\") JOIN \"Service\" s ON s.\"id\" = c.\"serviceId\" \
          WHERE c.\"state\" = 'ACCEPTED' AND s.\"startsAt\"::date BETWEEN a.\"since\" AND a.\"until\"",
            "0",
        ),
        (
            "SELECT count(*) FROM \"SubstituteCall\" c JOIN \"Substitute\" s ON s.\"id\" = c.\"substituteId\" WHERE s.\"sectionCode\" <> c.\"sectionCode\"",
            "0",
        ),
    ] {
        assert_eq!(text(&mut session, query).await, value, "{query}");
    }
    let insert = "WITH new AS (INSERT INTO \"Member\" (\"name\", \"email\", \"sectionCode\", \"contract\", \"hiredOn\") \
                  VALUES ('New', 'new@symphony.example', 'V1', 'PROBATIONARY', '2026-09-01') RETURNING \"id\")";
    let next: i64 = sqlx::query_scalar(AssertSqlSafe(format!("{insert} SELECT \"id\"::bigint FROM new")))
        .fetch_one(&mut session)
        .await
        .unwrap();
    assert!(next > 60, "the sequence goes on behind the seed");

    let mut session = tenant(&world, "kammerorchester").await;
    for (query, value) in [
        (
            "SELECT name || ', ' || home_city || ', ' || founded FROM chamber.organisation",
            "Kammerorchester „Rheinknie“, Basel, 1998",
        ),
        // Whom to ask next for a cello in November, and a violin in February: the first is asked already.
        (
            "SELECT string_agg(project_id || ':' || covers_id || ':' || player_id, ' ' ORDER BY project_id, covers_id) FROM chamber.next_substitute",
            "2:14:28 3:3:25",
        ),
        // Four rehearsals, a dress rehearsal, three concerts and a day on the train.
        (
            "SELECT fees_minor FROM chamber.statement WHERE project_id = 1 AND player_id = 2",
            &*(4 * 13000 + 9500 + 3 * 27000 + 9000).to_string(),
        ),
        // The leader; with her per diem and the hotel.
        (
            "SELECT fees_minor || '+' || expenses_minor FROM chamber.statement WHERE project_id = 1 AND player_id = 1",
            &*format!("{}+25800", 4 * 16500 + 12000 + 3 * 34000 + 9000),
        ),
        // Sick for two rehearsals.
        (
            "SELECT fees_minor FROM chamber.statement WHERE project_id = 1 AND player_id = 7",
            &*(2 * 13000 + 9500 + 3 * 27000 + 9000).to_string(),
        ),
        (
            "SELECT count(*) FROM chamber.statement s WHERE NOT EXISTS (SELECT FROM chamber.engagement e WHERE e.project_id = s.project_id AND e.player_id = s.player_id AND e.state = 'confirmed')",
            "0",
        ),
    ] {
        assert_eq!(text(&mut session, query).await, value, "{query}");
    }

    let recorded = "SELECT string_agg(path, ' ' ORDER BY path) FROM supabase_migrations.seed_files";
    assert_eq!(
        text(&mut owner(&world, "kammerorchester").await, recorded).await,
        "supabase/seeds/10_organisation.sql supabase/seeds/80_statements.sql supabase/seeds/90_sequences.sql"
    );

    let mut session = tenant(&world, "ridings-youth").await;
    for (query, value) in [
        (
            "SELECT name || ', ' || term FROM organisation",
            "Three Ridings' Youth Orchestra, autumn-2026",
        ),
        // Two children, no bursary; two with half of it; all of it.
        (
            "SELECT string_agg(due_minor::text, ' ' ORDER BY household_id) FROM term_fee WHERE household_id IN (1, 5, 3)",
            "23000 0 11500",
        ),
        // The flutes' tutor was stood in for: an hour of September is the deputy's.
        (
            "SELECT string_agg(tutor_id || ':' || amount_minor, ' ' ORDER BY tutor_id) FROM tutor_pay WHERE month = '2026-09-01' AND tutor_id IN (4, 7)",
            "7:3600",
        ),
        // A day and a concert.
        ("SELECT DISTINCT amount_minor FROM stiffener_pay", "19500"),
        // Nobody below the ensemble's grade.
        (
            "SELECT count(*) FROM seat JOIN ensemble e ON e.code = seat.ensemble JOIN member m ON m.id = member_id WHERE e.code = 'strings' AND m.grade < e.min_grade",
            "0",
        ),
    ] {
        assert_eq!(text(&mut session, query).await, value, "{query}");
    }
    again(&world).await;
    the_single_files(&world).await;
}

/// The samples of a whole first tenant, of a second one beside it, and of the smallest one. The pool of the first is without its
/// Secret, so that all are met by the provider.
async fn the_single_files(world: &World) {
    for (file, name) in [
        ("orchestra.yaml", "test-orchestra-ab"),
        ("second-orchestra.yaml", "second-orchestra"),
        ("minimal.yaml", "minimal"),
    ] {
        let sample = project().join("deploy/samples").join(file);
        world.kubectl(["apply", "-f", sample.to_str().unwrap()]).unwrap();
        let object = ready(world, name).await;
        assert_eq!(object["status"]["project"]["region"], "eu-central-1", "{object:#}");
        let mut session = tenant(world, name).await;
        if name == "minimal" {
            let tables = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
            assert_eq!(text(&mut session, tables).await, "0");
            continue;
        }
        assert_eq!(object["status"]["migrations"]["applied"], 4, "{object:#}");
        assert!(is_true(&object, "Seeded"), "{object:#}");
        let rows = "SELECT (SELECT count(*) FROM \"Member\") || ' ' || (SELECT count(*) FROM \"Piece\") || ' ' || \
                    (SELECT count(*) FROM \"SubstituteRequest\")";
        assert_eq!(text(&mut session, rows).await, "3 2 0", "{name}");
    }
}

/// The youth orchestra's seed runs again for a new term, doubles nothing, and leaves daily work alone.
async fn again(world: &World) {
    let name = "ridings-youth";
    let mut session = owner(world, name).await;
    let counts = "SELECT string_agg(c::text, ' ') FROM (VALUES ((SELECT count(*) FROM member)), ((SELECT count(*) FROM register)), \
                  ((SELECT count(*) FROM meeting)), ((SELECT count(*) FROM hire))) AS counts (c)";
    let before = text(&mut session, counts).await;
    sqlx::raw_sql("UPDATE register SET mark = 'late'; UPDATE member SET name = 'Wrong' WHERE id = 1")
        .execute(&mut session)
        .await
        .unwrap();
    let old = ready(world, name).await;
    let patch = json!({"metadata": {"labels": {"seed.stagesub.io/term": "spring-2027"}}}).to_string();
    world
        .kubectl(["patch", "orch", name, "-n", TENANTS, "--type=merge", "-p", &patch])
        .unwrap();
    let is = |object: &Value| is_true(object, "Ready") && object["status"]["seed"] != old["status"]["seed"];
    world.until(Kind::Orchestra, (TENANTS, name), LONG, is).await.unwrap();
    assert_eq!(text(&mut session, counts).await, before);
    for (query, value) in [
        ("SELECT term FROM organisation", "spring-2027"),
        ("SELECT count(DISTINCT mark) FROM register", "1"),
        ("SELECT count(*) FROM member WHERE name = 'Wrong'", "0"),
        (
            "SELECT count(*) FROM letter WHERE subject = 'Fees for spring-2027'",
            "1",
        ),
    ] {
        assert_eq!(text(&mut session, query).await, value, "{query}");
    }
}
