//! How much code is read.

use super::code_tests::purge;
use super::finding::FindingKind::{DeleteAll, Opaque};
use super::tests::kinds;

#[test]
fn code_has_bounds() {
    // Functions that call each other in a chain, and one that is called repeatedly.
    let link = |at: u32| {
        format!(
            "CREATE FUNCTION f{at}() RETURNS void LANGUAGE sql AS 'SELECT f{}()';\n",
            at + 1
        )
    };
    let chain = (0..40).map(link).collect::<Vec<_>>().concat();
    assert_eq!(kinds(&format!("{chain} SELECT f0();")), [Opaque]);
    // A function that is called repeatedly is read again only if something has changed.
    let body = "DELETE FROM members; ".repeat(1_000);
    let calls = "SELECT purge();\n".repeat(1_000);
    assert_eq!(kinds(&format!("{}{calls}", purge("sql", &body))), [DeleteAll]);
    let changes = format!("CREATE TABLE x (id int); DROP TABLE x; {body}");
    let found = kinds(&format!("{}{calls}", purge("sql", &changes)));
    assert!(found.contains(&DeleteAll) && found.contains(&Opaque), "{}", found.len());
}
