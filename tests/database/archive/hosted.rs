//! A hosted project's database: the provider's schemas, their rows, and what the tenant has hung on them.

use orchestra_operator::archive::OutcomeReason as Reason;
use orchestra_operator::postgres::Login;
use orchestra_sandbox::hosted::{Projects, Switches};
use serde_json::json;

use super::job::{Place, backup};
use crate::support::{ask, execute, session};

pub const CONTENT: [&str; 12] = [
    "INSERT INTO auth.users (id, email) VALUES ('11111111-1111-1111-1111-111111111111', 'ester@example.com')",
    "INSERT INTO storage.buckets (id, name) VALUES ('scores', 'scores')",
    "CREATE TABLE profile (id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE, name text NOT NULL)",
    "ALTER TABLE profile ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY own ON profile TO authenticated USING (auth.uid() = id)",
    "GRANT SELECT ON profile TO authenticated",
    "INSERT INTO profile VALUES ('11111111-1111-1111-1111-111111111111', 'Ester')",
    "CREATE FUNCTION on_user() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS \
        $$ BEGIN INSERT INTO public.profile VALUES (NEW.id, NEW.email); RETURN NEW; END $$",
    "CREATE TRIGGER \"on new user\" AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION public.on_user()",
    "CREATE POLICY \"own files\" ON storage.objects FOR SELECT TO authenticated USING (bucket_id = 'scores')",
    "ALTER PUBLICATION supabase_realtime ADD TABLE profile",
    "CREATE SCHEMA supabase_migrations; CREATE TABLE supabase_migrations.schema_migrations (version text PRIMARY KEY, name text); \
        INSERT INTO supabase_migrations.schema_migrations VALUES ('20261101000000', 'init')",
];

pub async fn project(projects: &Projects, reference: &str, switches: Switches) -> Login {
    let url = projects
        .create(reference, &format!("password-of-{reference}"), switches)
        .await
        .unwrap();
    Login::parse(&url.into()).unwrap()
}

#[tokio::test]
async fn a_project_is_restored_into_a_new_one_with_its_users_hooks_and_rights() {
    let projects = Projects::prepare().await.unwrap();
    let source = project(&projects, "source", Switches::default()).await;
    let mut owner = session(&source).await;
    for sql in CONTENT {
        execute(&mut owner, sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    // A database webhook, as the dashboard makes it: the copy has neither its schema nor the trigger.
    let mut admin = projects.admin("source").await.unwrap();
    for sql in [
        "CREATE SCHEMA supabase_functions; GRANT USAGE ON SCHEMA supabase_functions TO postgres",
        "CREATE FUNCTION supabase_functions.http_request() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE TRIGGER \"web hook\" AFTER INSERT ON public.profile FOR EACH ROW EXECUTE FUNCTION supabase_functions.http_request()",
    ] {
        execute(&mut admin, sql).await.unwrap();
    }
    let mut place = Place::new();
    let made = place.run(&backup(&json!({"historySchemaIncluded": true})), &source);
    assert_eq!(made.reason, Reason::Done, "{made:?}");
    assert_eq!(made.backup.unwrap().migration_head.as_deref(), Some("20261101000000"));
    let manifest = place.manifest();
    assert_eq!((manifest.server_major, manifest.objects.len()), (17, 3));
    assert_eq!(manifest.facts.hooks.len(), 2, "{:?}", manifest.facts.hooks);
    // New tables of the target are open to the Data API, as in older projects: what is restored is not.
    let open = Switches {
        expose_new_tables: true,
        ensure_rls: true,
    };
    let target = project(&projects, "target", open).await;
    let drill = place.verify(
        &target,
        &json!([{"name": "users", "sql": "SELECT count(*) = 1 FROM auth.users"}]),
    );
    assert_eq!(drill.reason, Reason::Done, "{drill:?}");
    let mut restored = session(&target).await;
    let may = |role: &str, what: &str| format!("SELECT has_table_privilege('{role}', 'public.profile', '{what}')");
    for (role, what, allowed) in [
        ("authenticated", "SELECT", "true"),
        ("authenticated", "INSERT", "false"),
        ("anon", "SELECT", "false"),
        ("service_role", "SELECT", "false"),
    ] {
        assert_eq!(ask(&mut restored, &may(role, what)).await, allowed, "{role} {what}");
    }
    let hooks = "SELECT count(*) FROM pg_trigger WHERE tgname = 'web hook'";
    assert_eq!(ask(&mut restored, hooks).await, "0");
    let published = "SELECT count(*) FROM pg_publication_tables WHERE pubname = 'supabase_realtime'";
    assert_eq!(ask(&mut restored, published).await, "1");
    // The trigger works, and did not while rows were restored.
    assert_eq!(ask(&mut restored, "SELECT count(*) FROM profile").await, "1");
    let more =
        "INSERT INTO auth.users (id, email) VALUES ('22222222-2222-2222-2222-222222222222', 'jonas@example.com')";
    execute(&mut restored, more).await.unwrap();
    assert_eq!(ask(&mut restored, "SELECT count(*) FROM profile").await, "2");
    assert_eq!(place.verify(&target, &json!([])).reason, Reason::NotEmpty);
    // A drill on a server of one's own: the provider's schemas come as copies.
    let own = crate::support::postgres::server_as_hosted().await;
    let scratch = super::pool::database(&own, "scratch", "owner_b").await;
    let asked = json!([{"name": "users", "sql": "SELECT count(*) = 1 FROM auth.users JOIN public.profile USING (id)"}]);
    let drill = place.verify(&scratch, &asked);
    assert_eq!(drill.reason, Reason::Done, "{drill:?}");
}

/// What hangs on tables of the provider and calls functions of a tenant's login.
const HUNG: [&str; 4] = [
    "CREATE ROLE $ LOGIN; GRANT $ TO postgres; GRANT USAGE, CREATE ON SCHEMA public TO $",
    "CREATE FUNCTION on_user() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; ALTER FUNCTION on_user OWNER TO $; \
        CREATE TRIGGER \"on new user\" AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION public.on_user()",
    "CREATE FUNCTION allowed() RETURNS boolean LANGUAGE sql AS 'SELECT true'; ALTER FUNCTION allowed OWNER TO $; \
        CREATE POLICY \"own files\" ON storage.objects FOR SELECT TO authenticated USING (public.allowed())",
    "INSERT INTO auth.users (id, email) VALUES ('11111111-1111-1111-1111-111111111111', 'ester@example.com')",
];

#[tokio::test]
async fn a_project_with_a_logins_functions_on_the_providers_tables_is_restored_without_them() {
    let projects = Projects::prepare().await.unwrap();
    let source = project(&projects, "source", Switches::default()).await;
    let mut owner = session(&source).await;
    let tenant = format!("orchestra_{}", "0a".repeat(16));
    for sql in HUNG {
        execute(&mut owner, &sql.replace('$', &tenant))
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let mut place = Place::new();
    let made = place.backup(&source);
    assert_eq!(made.reason, Reason::Done, "{made:?}");
    assert_eq!(place.manifest().facts.hooks, []);
    let told = made.backup.unwrap().not_covered.join("; ");
    assert!(
        told.contains("auth.users") && told.contains("storage.objects"),
        "{told}"
    );
    let own = crate::support::postgres::server_as_hosted().await;
    let targets = [
        project(&projects, "target", Switches::default()).await,
        super::pool::database(&own, "scratch", "owner_b").await,
    ];
    for target in targets {
        let drill = place.verify(&target, &json!([]));
        assert_eq!(drill.reason, Reason::Done, "{drill:?}");
        let mut restored = session(&target).await;
        for left_out in [
            "SELECT count(*) FROM pg_trigger WHERE tgname = 'on new user'",
            "SELECT count(*) FROM pg_policy WHERE polname = 'own files'",
            "SELECT count(*) FROM pg_proc WHERE proname IN ('on_user', 'allowed')",
        ] {
            assert_eq!(ask(&mut restored, left_out).await, "0", "{left_out}");
        }
        assert_eq!(ask(&mut restored, "SELECT count(*) FROM auth.users").await, "1");
    }
}
