//! What older versions of the tools have recorded of a script that is unchanged.

use super::*;

/// Version 2 of the CLI takes the escaped quotation mark for the end of the string, and the Management API divides nothing.
#[tokio::test]
async fn a_script_that_was_divided_differently_is_unchanged() {
    const FORMAT: MigrationFormat = MigrationFormat::Supabase;
    let server = server().await;
    let login = server.login("postgres");
    let script = "-- é\r\nINSERT INTO a VALUES (E'it\\'s; fine');\r\nSELECT 1;;\n\n";
    let all = source_of(FORMAT, &[("1_init", "CREATE TABLE a (b text);"), ("2_more", script)]);
    migrate(&login, &all).await.unwrap();
    let mut conn = session(&login).await;
    let whole = format!("ARRAY[$s${script}$s$]");
    for (statements, told) in [
        ("statements", ""),
        (whole.as_str(), ""),
        (
            "ARRAY[E'-- é\\r\\nINSERT INTO a VALUES (E''it\\\\''s', E'fine'');\\r\\nSELECT 1']",
            "",
        ),
        ("NULL", ""),
        (
            "ARRAY[E'-- é\\r\\nINSERT INTO a VALUES (E''it\\\\''s; fine'')', 'SELECT 2']",
            "changed since they were applied: 2_more",
        ),
        ("ARRAY[]::text[]", "changed since they were applied: 2_more"),
    ] {
        let update =
            format!("UPDATE supabase_migrations.schema_migrations SET statements = {statements} WHERE version = '2'");
        execute(&mut conn, &update).await.unwrap();
        assert_eq!(pending(&mut conn, &all).await.unwrap().divergence, told, "{statements}");
    }
}

/// Before 2021 Prisma wrote each byte of a checksum without a leading zero.
#[tokio::test]
async fn an_old_checksum_of_prismas_is_that_of_its_script() {
    let server = server().await;
    let login = server.login("postgres");
    let script = "SELECT 1;\r\nSELECT 2;\r\n";
    let all = source(&[("1_init", "CREATE TABLE a (b text);"), ("2_more", script)]);
    migrate(&login, &all).await.unwrap();
    let mut conn = session(&login).await;
    let changed = "changed since they were applied: 2_more";
    for (checksum, told) in [
        ("'82efb67f3010c6eb7ead02e4f6d9550633dbc1407f99aa487468e7b2567aebbc'", ""),
        ("'82efb67f3010c6eb7ead2e4f6d955633dbc1407f99aa487468e7b2567aebbc'", ""),
        (
            "'82efb67f3010c6eb7ead2e4f6d955633dbc1407f99aa487468e7b2567aebbd'",
            changed,
        ),
        (
            "'82efb67f310c6eb7ead2e4f6d955633dbc1407f99aa487468e7b2567aebbc'",
            changed,
        ),
        ("''", changed),
        (
            "pg_catalog.encode(pg_catalog.sha256(E'SELECT 1;\\r\\nSELECT 2;\\r\\n'), 'hex')",
            "",
        ),
    ] {
        let update = format!("UPDATE _prisma_migrations SET checksum = {checksum} WHERE migration_name = '2_more'");
        execute(&mut conn, &update).await.unwrap();
        assert_eq!(pending(&mut conn, &all).await.unwrap().divergence, told, "{checksum}");
    }
    let unpadded = "UPDATE _prisma_migrations SET checksum = \
        pg_catalog.regexp_replace(checksum, '0([0-9a-f])|([1-9a-f][0-9a-f])', '\\1\\2', 'g')";
    execute(&mut conn, unpadded).await.unwrap();
    let short = "SELECT bool_and(pg_catalog.length(checksum) < 64) FROM _prisma_migrations";
    assert_eq!(ask(&mut conn, short).await, "true");
    assert_eq!(pending(&mut conn, &all).await.unwrap().divergence, "");
}
