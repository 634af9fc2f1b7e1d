//! What is in a hosted project's database, and what its owner may do there.

use crate::common::{Client, PASSWORD, start};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

/// Statements of migrations that were written for the platform.
const ALLOWED: [&str; 34] = [
    "CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\" WITH SCHEMA extensions",
    "CREATE EXTENSION IF NOT EXISTS citext WITH SCHEMA extensions",
    "CREATE EXTENSION IF NOT EXISTS postgres_fdw WITH SCHEMA extensions",
    "CREATE TABLE public.profiles (id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE, name extensions.citext)",
    "ALTER TABLE public.profiles ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY own ON public.profiles FOR ALL TO authenticated USING ((SELECT auth.uid()) = id)",
    "GRANT SELECT, UPDATE ON public.profiles TO authenticated",
    "GRANT ALL ON public.profiles TO service_role",
    "CREATE FUNCTION public.handle_new_user() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' \
     AS $$ BEGIN INSERT INTO public.profiles VALUES (new.id, new.raw_user_meta_data ->> 'name'); RETURN new; END $$",
    "CREATE TRIGGER on_auth_user_created AFTER INSERT ON auth.users FOR EACH ROW \
     EXECUTE FUNCTION public.handle_new_user()",
    "INSERT INTO auth.users (id, aud, role, email, raw_user_meta_data) VALUES \
     ('00000000-0000-0000-0000-000000000001', 'authenticated', 'authenticated', 'a@example.com', '{\"name\": \"A\"}'), \
     ('00000000-0000-0000-0000-000000000002', 'authenticated', 'authenticated', 'b@example.com', '{\"name\": \"B\"}')",
    "INSERT INTO storage.buckets (id, name, public) VALUES ('avatars', 'avatars', true) ON CONFLICT DO NOTHING",
    "CREATE POLICY own ON storage.objects FOR ALL TO authenticated \
     USING (bucket_id = 'avatars' AND (storage.foldername(name))[1] = (SELECT auth.uid())::text)",
    "ALTER POLICY own ON storage.objects TO authenticated, anon",
    "CREATE POLICY everyone ON storage.buckets FOR SELECT USING (true)",
    "CREATE POLICY listeners ON realtime.messages FOR SELECT TO authenticated USING (realtime.topic() = 'all')",
    "DO $$ BEGIN CREATE POLICY inside ON auth.users FOR SELECT USING (auth.uid() = id); END $$",
    "DROP POLICY inside ON auth.users",
    "ALTER PUBLICATION supabase_realtime ADD TABLE public.profiles",
    "CREATE PUBLICATION everything FOR ALL TABLES",
    "SELECT vault.create_secret('value', 'name')",
    "SELECT decrypted_secret FROM vault.decrypted_secrets",
    "SELECT gen_random_bytes(8), uuid_generate_v4(), crypt('a', gen_salt('bf', 4))",
    "SELECT graphql_public.graphql(query => '{ __typename }')",
    "CREATE ROLE app LOGIN BYPASSRLS REPLICATION CREATEDB PASSWORD 'app-password'",
    "GRANT app TO postgres",
    "GRANT anon, authenticated, service_role TO app",
    "ALTER ROLE authenticated SET statement_timeout = '9s'",
    "ALTER ROLE app SET search_path = public, extensions",
    "ALTER DATABASE postgres SET lock_timeout = '10s'",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO authenticated",
    "SET session_replication_role = replica",
    "CREATE POLICY replica ON storage.objects FOR SELECT TO anon USING (bucket_id = 'avatars')",
    "SET session_replication_role = DEFAULT",
];

/// What the platform refuses, and how.
const REFUSED: [(&str, &str); 12] = [
    (
        "ALTER TABLE storage.objects DISABLE ROW LEVEL SECURITY",
        "must be owner of table objects",
    ),
    (
        "ALTER TABLE auth.users ADD COLUMN more text",
        "must be owner of table users",
    ),
    ("DROP TABLE auth.identities", "must be owner of table identities"),
    ("CREATE TABLE auth.more ()", "permission denied for schema auth"),
    ("CREATE TABLE storage.more ()", "permission denied for schema storage"),
    ("ALTER ROLE postgres SUPERUSER", "permission denied to alter role"),
    (
        "ALTER ROLE supabase_admin PASSWORD 'mine'",
        "permission denied to alter role",
    ),
    ("CREATE EXTENSION file_fdw", "permission denied to create extension"),
    (
        "GRANT pg_read_server_files TO CURRENT_USER",
        "permission denied to grant role",
    ),
    (
        "ALTER DEFAULT PRIVILEGES FOR ROLE supabase_admin IN SCHEMA public REVOKE ALL ON TABLES FROM anon",
        "permission denied to change default privileges",
    ),
    ("SET ROLE supabase_storage_admin", "permission denied to set role"),
    (
        "COPY public.profiles TO '/tmp/profiles'",
        "permission denied to COPY to a file",
    ),
];

async fn owner(client: &Client, reference: &str) -> PgConnection {
    client.login(&format!("postgres.{reference}"), PASSWORD).await.unwrap()
}

async fn text(session: &mut PgConnection, query: &'static str) -> String {
    sqlx::query_scalar(query).fetch_one(session).await.unwrap()
}

#[tokio::test]
async fn a_project_holds_what_a_hosted_project_holds() {
    let client = start("pro").await;
    let reference = client.create_healthy("tenant-a").await;
    let mut session = owner(&client, &reference).await;
    let names = "SELECT concat_ws(' ', current_user, session_user, current_database(), current_schema())";
    assert_eq!(text(&mut session, names).await, "postgres postgres postgres public");
    // Before PostgreSQL 16, only a superuser gives such attributes away.
    let older = client.sandbox.version() < "16";
    for statement in ALLOWED {
        let statement = if older {
            statement.replace("BYPASSRLS REPLICATION", "")
        } else {
            statement.to_owned()
        };
        let done = session.execute(AssertSqlSafe(statement.clone())).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    for (statement, says) in REFUSED {
        // There, CREATEROLE reaches every role that is no superuser.
        if older && statement.starts_with("GRANT pg_") {
            continue;
        }
        let error = session.execute(AssertSqlSafe(statement)).await.expect_err(statement);
        let error = error.to_string();
        // Before PostgreSQL 16, the words differ.
        let other = older && error.contains("must ");
        assert!(error.contains(says) || other, "{statement}: {error}");
    }
    let mighty = "SELECT string_agg(rolname, ' ') FROM pg_roles WHERE rolsuper AND rolname <> 'bootstrap'";
    assert_eq!(text(&mut session, mighty).await, "supabase_admin");
    let extensions = "SELECT string_agg(DISTINCT extowner::regrole::text, ' ') FROM pg_extension";
    assert_eq!(text(&mut session, extensions).await, "supabase_admin");
    let reached = "SELECT coalesce(string_agg(rolname, ' '), 'none') FROM pg_roles \
                   WHERE rolname ~ '^supabase_.*_admin$' AND pg_has_role(oid, 'usage')";
    assert_eq!(text(&mut session, reached).await, "none");

    // A request of the Data API sees its user's rows.
    for (user, name) in [("1", "A"), ("2", "B")] {
        let mut request = session.begin().await.unwrap();
        let claims = format!(
            "SET LOCAL ROLE authenticated; \
             SET LOCAL \"request.jwt.claims\" = '{{\"sub\": \"00000000-0000-0000-0000-00000000000{user}\"}}'"
        );
        request.execute(AssertSqlSafe(claims)).await.unwrap();
        let seen = "SELECT string_agg(name::text, ' ') FROM public.profiles";
        assert_eq!(text(&mut request, seen).await, name);
        request.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn projects_have_servers_of_their_own() {
    let client = start("pro").await;
    let (one, two) = tokio::join!(client.create("tenant-a"), client.create("tenant-b"));
    client.sandbox.unstick();
    let mut identities = Vec::new();
    for reference in [&one, &two] {
        client.wait_for(reference, "ACTIVE_HEALTHY").await;
        let mut session = owner(&client, reference).await;
        session.execute("CREATE ROLE same LOGIN").await.unwrap();
        identities.push(text(&mut session, "SELECT system_identifier::text FROM pg_control_system()").await);
        // A dropped cluster replays its log: its identifier is right there too.
        session.execute("CREATE TABLE kept AS SELECT 1 AS id").await.unwrap();
    }
    assert_ne!(identities[0], identities[1]);
}

#[tokio::test]
async fn the_change_of_2026_and_row_level_security_are_switches() {
    let client = start("pro").await;
    let granted = "SELECT concat_ws(' ', has_table_privilege('anon', 'part', 'SELECT'), \
                   has_table_privilege('service_role', 'part', 'INSERT'), \
                   has_table_privilege('anon', 'part', 'TRUNCATE'), \
                   (SELECT relrowsecurity FROM pg_class WHERE oid = 'part'::regclass))";
    for (switched, expected) in [(false, "f f t f"), (true, "t t t t")] {
        client.sandbox.behave(|it| {
            it.expose_new_tables = switched;
            it.ensure_rls = switched;
        });
        let reference = client.create_healthy(&format!("tenant-{switched}")).await;
        let mut session = owner(&client, &reference).await;
        session.execute("CREATE TABLE part (id serial)").await.unwrap();
        assert_eq!(text(&mut session, granted).await, expected);
    }
}

/// Without a prepared statement, which needs a session.
async fn shown(session: &mut PgConnection) -> String {
    let row = sqlx::raw_sql("SHOW lock_timeout").fetch_one(session).await.unwrap();
    row.try_get_raw(0).unwrap().as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_transaction_pooler_keeps_nothing_of_a_session() {
    let client = start("pro").await;
    let reference = client.create_healthy("tenant-a").await;
    let user = format!("postgres.{reference}");
    let address = client.sandbox.router().transaction_address();
    let (mut one, mut two) = (
        client.login_at(address, &user, PASSWORD).await.unwrap(),
        client.login_at(address, &user, PASSWORD).await.unwrap(),
    );
    one.execute("SET lock_timeout = '77s'; PREPARE kept AS SELECT 1")
        .await
        .unwrap();
    one.execute("SELECT pg_advisory_lock(1)").await.unwrap();
    // The other client has the connection now, and what the first left in it.
    two.execute("BEGIN").await.unwrap();
    let (first, second) = (shown(&mut one).await, shown(&mut two).await);
    if client.sandbox.pools_transactions() {
        assert_eq!((first.as_str(), second.as_str()), ("0", "77s"));
        assert!(one.execute("EXECUTE kept").await.is_err());
    } else {
        assert_eq!((first.as_str(), second.as_str()), ("77s", "0"));
    }
    let wrong = client.login_at(address, &user, "wrong").await.unwrap_err().to_string();
    assert!(wrong.contains("authentication failed"), "{wrong}");
    two.execute("CREATE ROLE app LOGIN PASSWORD 'app-password'; COMMIT")
        .await
        .unwrap();
    let app = format!("app.{reference}");
    assert!(client.login_at(address, &app, "app-password").await.is_ok());
}
