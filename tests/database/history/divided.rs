//! What the history of the Supabase CLI holds of a script.

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
