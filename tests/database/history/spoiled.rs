//! What a script does to the table of the history, so that the operator could not use it any more.

use crate::support::resolve;
use crate::support::tenant::database;
use orchestra_operator::api::ResolvedAs;

use super::*;

const AUDIT: &str = "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';";

/// A trigger on every table, as projects with an audit log have it.
const EVERYWHERE: &str = "DO $$ DECLARE one regclass; BEGIN
    FOR one IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' LOOP
        EXECUTE format('CREATE TRIGGER audit AFTER INSERT OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION audit()', one);
    END LOOP;
END $$;";

/// Scripts after which the next look would not trust the table, or the server accepts no row of the operator, with the
/// message.
fn spoiling() -> Vec<(String, &'static str)> {
    let history = "_prisma_migrations";
    vec![
        // First, while no row of an attempt is too long for it.
        (
            format!("ALTER TABLE {history} ALTER COLUMN migration_name TYPE varchar(6)"),
            "22001",
        ),
        (format!("{AUDIT} {EVERYWHERE}"), "has a trigger audit"),
        (
            format!("CREATE RULE r AS ON INSERT TO {history} DO INSTEAD NOTHING"),
            "has a rule r",
        ),
        (
            format!("CREATE TABLE notes (migration varchar(36) REFERENCES {history} (id))"),
            "has a foreign key",
        ),
        (
            format!("CREATE TABLE old () INHERITS ({history})"),
            "has a child table public.old",
        ),
        (
            format!("ALTER TABLE {history} ENABLE ROW LEVEL SECURITY; ALTER TABLE {history} FORCE ROW LEVEL SECURITY"),
            "has a row level security that is forced",
        ),
        (
            format!("ALTER TABLE {history} RENAME COLUMN checksum TO digest"),
            "42703",
        ),
        (
            format!(
                "ALTER TABLE {history} ADD COLUMN tenant text; UPDATE {history} SET tenant = 'x'; \
                 ALTER TABLE {history} ALTER COLUMN tenant SET NOT NULL"
            ),
            "23502",
        ),
        (
            format!("ALTER TABLE {history} ADD CHECK (migration_name LIKE '1%') NOT VALID"),
            "23514",
        ),
    ]
}

fn spoiled(error: &Error, kept: bool) -> bool {
    let class = (error.class(), error.reason()) == (ErrorClass::Invalid, Reason::MigrationFailed);
    class && matches!(error, Error::RecordSpoiled(it) if it.kept == kept && it.migration.as_deref() == Some("2_audit"))
}

#[tokio::test]
async fn a_script_that_spoils_the_history_is_rolled_back_and_named() {
    let server = server().await;
    // No superuser, whom no policy stops.
    let (login, _) = database(&server).await;
    migrate(&login, &source(&[INIT])).await.unwrap();
    let mut conn = session(&login).await;
    for (script, says) in spoiling() {
        // A script with transactions of its own finds its own row there, which is too long as well.
        for own in [false, true].into_iter().filter(|own| !own || says != "22001") {
            let script = if own {
                format!("BEGIN; {script}; COMMIT;")
            } else {
                script.clone()
            };
            let all = source(&[INIT, ("2_audit", &script), ("3_more", "CREATE TABLE more ();")]);
            let error = migrate(&login, &all).await.unwrap_err();
            let told = error.to_string();
            assert!(spoiled(&error, false), "{script}: {error:?}");
            assert!(told.contains(says) && told.contains("rolled back"), "{told}");
            assert_eq!(pending(&mut conn, &all).await.unwrap().applied, 1, "{script}");
            assert_eq!(ask(&mut conn, "SELECT to_regproc('audit')").await, "NULL");
        }
    }
    // With the history left out, the same audit log is applied.
    let without = EVERYWHERE.replace("relkind = 'r'", "relkind = 'r' AND relname <> '_prisma_migrations'");
    let all = source(&[INIT, ("2_audit", &format!("{AUDIT} {without}"))]);
    assert_eq!(migrate(&login, &all).await.unwrap().applied, 2);
}

#[tokio::test]
async fn the_history_of_every_format_and_the_record_of_the_claim_are_left_as_they_are() {
    let server = server().await;
    let first = server.login("postgres");
    for (number, (format, table)) in [
        (MigrationFormat::Prisma, "_prisma_migrations"),
        (MigrationFormat::Supabase, "supabase_migrations.schema_migrations"),
        (MigrationFormat::Sqlx, "_sqlx_migrations"),
        (MigrationFormat::Prisma, "stagesub.claim"),
    ]
    .into_iter()
    .enumerate()
    {
        let database = format!("f{number}");
        databases(&first, &[&database]).await;
        let login = server.login(&database);
        let mut conn = session(&login).await;
        let claim = "CREATE SCHEMA stagesub; CREATE TABLE stagesub.claim (orchestra_uid text)";
        execute(&mut conn, claim).await.unwrap();
        migrate(&login, &source_of(format, &[INIT])).await.unwrap();
        let script = format!("CREATE ROLE other{number} LOGIN; ALTER TABLE {table} OWNER TO other{number}");
        let all = source_of(format, &[INIT, ("2_audit", &script)]);
        let error = migrate(&login, &all).await.unwrap_err();
        assert!(spoiled(&error, false), "{script}: {error:?}");
        assert!(
            error
                .to_string()
                .contains(&format!("belongs to the role other{number}"))
        );
        assert_eq!(pending(&mut conn, &all).await.unwrap().applied, 1, "{script}");
    }
}

#[tokio::test]
async fn what_has_spoiled_the_history_for_good_is_told_with_its_cure() {
    let server = server().await;
    let (login, _) = database(&server).await;
    let all = source(&[INIT, ("2_audit", &format!("{AUDIT} {EVERYWHERE}"))]);
    let error = migrate_with(&login, &all, &per_statement()).await.unwrap_err();
    assert!(spoiled(&error, true), "{error:?}");
    let told = error.to_string();
    let cure = "DROP TRIGGER audit ON public._prisma_migrations";
    assert!(told.contains(cure) && told.contains("as Applied"), "{told}");
    // Until then nothing that others could have made acts on the table.
    let next = migrate_with(&login, &all, &per_statement()).await.unwrap_err();
    assert_eq!(next.reason(), Reason::DatabaseRefused, "{next}");
    let mut conn = session(&login).await;
    execute(&mut conn, cure).await.unwrap();
    let resolved = resolve("2_audit", ResolvedAs::Applied, None);
    let status = migrate_with(&login, &all, &resolved).await.unwrap();
    assert_eq!((status.applied, status.pending), (2, 0));
}
