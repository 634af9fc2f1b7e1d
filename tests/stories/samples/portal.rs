//! The samples that need what a hosted project has.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::all_files_are_named;
use crate::proof::{generous_world, owner, tenant};
use crate::support::{project, ready, scalar, standard_class};

/// A user of a project, with the number at the end of the UUID.
fn user(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// What an application's request finds over the tenant's login: it takes the role and the claims of its user for one
/// transaction, as the Data API does.
async fn asked(session: &mut PgConnection, role: &str, claims: &Value, query: &str) -> String {
    let mut request = session.begin().await.unwrap();
    for (name, value) in [("request.jwt.claims", claims.to_string().as_str()), ("role", role)] {
        sqlx::query("SELECT set_config($1, $2, true)")
            .bind(name)
            .bind(value)
            .execute(&mut *request)
            .await
            .unwrap();
    }
    let answer = sqlx::query_scalar(AssertSqlSafe(format!("SELECT ({query})::text")))
        .fetch_one(&mut *request)
        .await;
    request.rollback().await.unwrap();
    answer.unwrap_or_else(|error: sqlx::Error| error.to_string())
}

/// Two users, as the Auth service enters them.
fn sign_up() -> String {
    format!(
        "INSERT INTO auth.users (id, aud, role, email, raw_user_meta_data) VALUES \
         ('{}', 'authenticated', 'authenticated', 'ada@example.com', '{{\"full_name\": \"Ada\"}}'), \
         ('{}', 'authenticated', 'authenticated', 'bo@example.com', '{{\"full_name\": \"Bo\"}}')",
        user(1),
        user(2)
    )
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn users_of_a_supabase_project_see_exactly_their_rows() {
    let world = generous_world().await;
    standard_class(&world, "");
    let _operator = world.operator("operator", |_| {}).unwrap();
    let folder = project().join("deploy/samples/portal");
    all_files_are_named(&folder);
    world.kubectl(["apply", "-k", folder.to_str().unwrap()]).unwrap();
    let sign_up = sign_up();
    // As the Storage service and its users do it.
    let more = [
        ("portal-members", "SELECT 1".to_string()),
        (
            "portal-library",
            format!(
                "INSERT INTO section_members SELECT id, '{}', 'leader' FROM sections WHERE name = 'Winds'; \
                 INSERT INTO section_members SELECT id, '{}', 'player' FROM sections WHERE name = 'Strings'",
                user(1),
                user(2)
            ),
        ),
        (
            "portal-recordings",
            format!(
                "INSERT INTO recordings (owner, path, shared_with) VALUES ('{0}', '{0}/a.mp3', '{{{1}}}'), ('{0}', '{0}/b.mp3', '{{}}'); \
                 INSERT INTO storage.objects (bucket_id, name, owner_id) VALUES ('recordings', '{0}/a.mp3', '{0}'), \
                     ('recordings', '{0}/b.mp3', '{0}'), ('avatars', '{1}/me.png', '{1}')",
                user(1),
                user(2)
            ),
        ),
    ];
    for (name, rows) in more {
        let object = ready(&world, name).await;
        assert_eq!(object["status"]["migrations"]["applied"], 2, "{name}");
        let mut session = owner(&world, name).await;
        for script in [&sign_up, &rows] {
            sqlx::raw_sql(AssertSqlSafe(script.as_str()))
                .execute(&mut session)
                .await
                .unwrap();
        }
    }
    // The login that is published has no rights of the owner, and passes the policies until it takes a role.
    let mut session = tenant(&world, "portal-members").await;
    let login_is = "SELECT count(*) FROM pg_roles WHERE rolname = current_user AND rolname LIKE 'orchestra\\_%' \
                    AND rolname = session_user AND NOT rolcreaterole";
    assert_eq!(scalar(&mut session, login_is).await, 1);
    assert_eq!(scalar(&mut session, "SELECT count(*) FROM profiles").await, 2);
    let claims = |number| json!({"sub": user(number), "role": "authenticated"});
    let manager = json!({"sub": user(2), "role": "authenticated", "app_metadata": {"manager": true}});
    let titles = "SELECT string_agg(title, ', ' ORDER BY title) FROM sheets";
    let files = "SELECT string_agg(split_part(name, '/', 2), ' ' ORDER BY name) FROM storage.objects";
    let names = "SELECT string_agg(full_name, ' ' ORDER BY full_name) FROM profiles";
    for (name, role, claims, query, found) in [
        ("portal-members", "authenticated", claims(1), names, "Ada"),
        ("portal-members", "authenticated", claims(2), names, "Bo"),
        ("portal-members", "authenticated", manager, names, "Ada Bo"),
        (
            "portal-members",
            "anon",
            json!({"role": "anon"}),
            names,
            "permission denied for table profiles",
        ),
        (
            "portal-library",
            "authenticated",
            claims(1),
            titles,
            "Season brochure, Winds: seating",
        ),
        (
            "portal-library",
            "authenticated",
            claims(2),
            titles,
            "Season brochure, Strings: seating",
        ),
        (
            "portal-library",
            "anon",
            json!({"role": "anon"}),
            titles,
            "Season brochure",
        ),
        (
            "portal-recordings",
            "authenticated",
            claims(1),
            files,
            "a.mp3 b.mp3 me.png",
        ),
        ("portal-recordings", "authenticated", claims(2), files, "a.mp3 me.png"),
        ("portal-recordings", "authenticated", claims(3), files, "me.png"),
    ] {
        let mut session = tenant(&world, name).await;
        let answer = asked(&mut session, role, &claims, query).await;
        assert!(
            answer == found || answer.contains("denied") && answer.contains(found),
            "{name}, {claims}: {answer}"
        );
    }
    assert!(world.api.violations().is_empty(), "{:?}", world.api.violations());
}
