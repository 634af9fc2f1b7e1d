//! Objects that a statement makes without naming them: the sequence of a serial or identity column, and the names of constraints
//! and their indexes (PostgreSQL's `ChooseRelationName` and `makeObjectName`).

use pg_query::protobuf::{AlterTableCmd, AlterTableStmt, AlterTableType, ColumnDef, ConstrType, Constraint};
use pg_query::{Node, NodeEnum};

use super::catalog::Sort;
use super::names::{Name, inner, strings};
use super::types::Type;

/// The most bytes of a name (`NAMEDATALEN`).
const LONGEST: usize = 63;

/// The relations that a statement makes beside the table that it creates or alters: sequences and indexes.
pub fn relations(tree: &NodeEnum) -> Vec<(Name, Sort)> {
    let Some((table, parts)) = parts(tree) else {
        return Vec::new();
    };
    let made = parts.into_iter().filter_map(|part| match part {
        MadePart::Column(column) => Some((sequence(&table, column)?, Sort::Sequence)),
        MadePart::Identity(column) => Some((made(&table.name, column, "seq"), Sort::Sequence)),
        MadePart::Constraint(column, constraint) if has_index(constraint) => {
            Some((constraint_name(&table, column, constraint)?, Sort::Index))
        }
        MadePart::Constraint(..) => None,
    });
    let schema = &table.schema;
    made.map(|(name, sort)| {
        let schema = schema.clone();
        (Name { schema, name }, sort)
    })
    .collect()
}

/// The named constraints that an `ALTER TABLE` adds, each with its `pg_constraint.contype` if all rows satisfy it.
/// PostgreSQL gives another one a name that no existing constraint has, and `USING INDEX` makes one of an index that
/// was there before.
pub fn constraints(it: &AlterTableStmt) -> Vec<(String, Option<char>)> {
    let named = parts_of(added_by(it)).into_iter().filter_map(|part| match part {
        MadePart::Constraint(_, it) if !it.conname.is_empty() && it.indexname.is_empty() => {
            let kind = kind(it).filter(|kind| !it.skip_validation && (it.is_enforced || !matches!(kind, 'c' | 'f')));
            Some((it.conname.clone(), kind))
        }
        _ => None,
    });
    named.collect()
}

/// The `pg_constraint.contype` of a constraint.
pub fn kind(it: &Constraint) -> Option<char> {
    Some(match it.contype() {
        ConstrType::ConstrPrimary => 'p',
        ConstrType::ConstrUnique => 'u',
        ConstrType::ConstrCheck => 'c',
        ConstrType::ConstrForeign => 'f',
        ConstrType::ConstrExclusion => 'x',
        ConstrType::ConstrNotnull => 'n',
        _ => return None,
    })
}

enum MadePart<'a> {
    Column(&'a ColumnDef),
    /// A column that becomes an identity column.
    Identity(&'a str),
    /// With the column that it is written at.
    Constraint(Option<&'a str>, &'a Constraint),
}

/// The table of a `CREATE TABLE` or `ALTER TABLE`, and what is added to it. With `IF NOT EXISTS` possibly nothing is added.
fn parts(tree: &NodeEnum) -> Option<(Name, Vec<MadePart<'_>>)> {
    let (table, parts) = match tree {
        NodeEnum::CreateStmt(it) => (
            it.relation.as_ref(),
            parts_of(it.table_elts.iter().filter_map(|node| node.node.as_ref())),
        ),
        NodeEnum::AlterTableStmt(it) => (it.relation.as_ref(), parts_of(added_by(it))),
        _ => return None,
    };
    Some((table.map(Name::from)?, parts))
}

fn parts_of<'a>(nodes: impl Iterator<Item = &'a NodeEnum>) -> Vec<MadePart<'a>> {
    let mut found = Vec::new();
    for node in nodes {
        match node {
            NodeEnum::ColumnDef(column) => {
                found.push(MadePart::Column(column));
                for node in &column.constraints {
                    if let Some(NodeEnum::Constraint(constraint)) = &node.node {
                        found.push(MadePart::Constraint(Some(&column.colname), constraint));
                    }
                }
            }
            NodeEnum::Constraint(constraint) => found.push(MadePart::Constraint(None, constraint)),
            NodeEnum::AlterTableCmd(command) => found.push(MadePart::Identity(&command.name)),
            _ => {}
        }
    }
    found
}

fn added_by(it: &AlterTableStmt) -> impl Iterator<Item = &NodeEnum> {
    it.cmds.iter().filter_map(added)
}

/// What a command of `ALTER TABLE` adds: a column, a constraint, or itself for `ADD GENERATED`.
fn added(node: &Node) -> Option<&NodeEnum> {
    let Some(tree @ NodeEnum::AlterTableCmd(command)) = &node.node else {
        return None;
    };
    match AlterTableCmd::subtype(command) {
        _ if command.missing_ok => None,
        AlterTableType::AtAddColumn | AlterTableType::AtAddConstraint => inner(command.def.as_deref()),
        AlterTableType::AtAddIdentity => Some(tree),
        _ => None,
    }
}

fn sequence(table: &Name, column: &ColumnDef) -> Option<String> {
    let type_ = column.type_name.as_ref().map(Type::from).unwrap_or_default();
    let identity = column
        .constraints
        .iter()
        .any(|node| matches!(&node.node, Some(NodeEnum::Constraint(it)) if it.contype() == ConstrType::ConstrIdentity));
    (identity || is_serial(&type_)).then(|| made(&table.name, &column.colname, "seq"))
}

/// Whether a column of this type has a sequence of its own.
pub fn is_serial(type_: &Type) -> bool {
    matches!(
        type_.name.as_str(),
        "serial" | "bigserial" | "smallserial" | "serial2" | "serial4" | "serial8"
    )
}

fn has_index(constraint: &Constraint) -> bool {
    matches!(
        constraint.contype(),
        ConstrType::ConstrPrimary | ConstrType::ConstrUnique | ConstrType::ConstrExclusion
    )
}

/// The name that a constraint has or gets.
fn constraint_name(table: &Name, column: Option<&str>, it: &Constraint) -> Option<String> {
    if !it.conname.is_empty() {
        return Some(it.conname.clone());
    }
    let columns = |nodes: &[Node]| match column {
        Some(column) => column.to_owned(),
        None => strings(nodes).join("_"),
    };
    Some(match it.contype() {
        ConstrType::ConstrPrimary if it.indexname.is_empty() => made(&table.name, "", "pkey"),
        ConstrType::ConstrUnique if it.indexname.is_empty() => made(&table.name, &columns(&it.keys), "key"),
        ConstrType::ConstrPrimary | ConstrType::ConstrUnique => it.indexname.clone(),
        ConstrType::ConstrForeign => made(&table.name, &columns(&it.fk_attrs), "fkey"),
        ConstrType::ConstrCheck if column.is_some() => made(&table.name, &columns(&[]), "check"),
        _ => return None,
    })
}

/// `<one>_<other>_<label>`, of which the longer one of the first two is cut until the name fits.
fn made(one: &str, other: &str, label: &str) -> String {
    let (mut first, mut second) = (one.len(), other.len());
    let rest = LONGEST - label.len() - 1 - usize::from(second > 0);
    while first + second > rest {
        if first > second {
            first -= 1;
        } else {
            second -= 1;
        }
    }
    let (one, other) = (
        &one[..one.floor_char_boundary(first)],
        &other[..other.floor_char_boundary(second)],
    );
    if other.is_empty() {
        format!("{one}_{label}")
    } else {
        format!("{one}_{other}_{label}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::FindingKind::{self, *};
    use super::super::catalog::Relation;
    use super::super::tests::{catalog, findings_in};
    use super::*;

    #[test]
    fn names_are_cut_as_postgresql_cuts_them() {
        let long = "x".repeat(60);
        assert_eq!(made("member", "id", "seq"), "member_id_seq");
        assert_eq!(made("member", "", "pkey"), "member_pkey");
        assert_eq!(made(&long, "id", "seq"), format!("{}_id_seq", "x".repeat(56)));
        assert_eq!(made(&long, &long, "key"), format!("{0}_{0}_key", "x".repeat(29)));
    }

    /// Of scripts on a database that has a table with rows, and its serial's sequence.
    fn kinds(scripts: &[&str]) -> Vec<FindingKind> {
        let mut catalog = catalog();
        for (name, owned) in [("members_id_seq", true), ("numbers", false)] {
            catalog.relations.push(Relation {
                schema: "public".into(),
                name: name.into(),
                visible: true,
                owned,
                sort: Sort::Sequence,
                ..Relation::default()
            });
        }
        let found = findings_in(scripts, &catalog);
        found.iter().map(|finding| finding.kind).collect()
    }

    #[test]
    #[allow(clippy::too_many_lines, reason = "every case, in its order")]
    fn what_the_plan_made_is_no_loss() {
        let made = "CREATE TABLE t (id SERIAL NOT NULL, n int UNIQUE, i int GENERATED ALWAYS AS IDENTITY, \
                    CONSTRAINT t_pkey PRIMARY KEY (id), UNIQUE (id, n));";
        for (scripts, found) in [
            (
                &[
                    made,
                    "ALTER TABLE t DROP CONSTRAINT t_pkey, ALTER COLUMN id DROP DEFAULT, ALTER COLUMN id SET DATA TYPE TEXT, \
                     ADD CONSTRAINT t_pkey PRIMARY KEY (id); DROP SEQUENCE t_id_seq;",
                ][..],
                &[][..],
            ),
            (
                &[
                    made,
                    "REINDEX INDEX t_pkey; REINDEX INDEX t_n_key; REINDEX INDEX t_id_n_key",
                ],
                &[],
            ),
            (&[made, "DROP SEQUENCE t_i_seq"], &[]),
            (
                &["ALTER TABLE empty ADD COLUMN s SERIAL", "DROP SEQUENCE empty_s_seq"],
                &[],
            ),
            // PostgreSQL gives them another name if a constraint has this one.
            (
                &[
                    "ALTER TABLE empty ADD COLUMN u int UNIQUE",
                    "ALTER TABLE empty DROP CONSTRAINT empty_u_key",
                ],
                &[DropConstraint],
            ),
            (
                &[
                    "ALTER TABLE empty ADD UNIQUE (id, fee)",
                    "ALTER TABLE empty DROP CONSTRAINT empty_id_fee_key",
                ],
                &[DropConstraint],
            ),
            (
                &[
                    "ALTER TABLE empty ADD CONSTRAINT u UNIQUE (id, fee)",
                    "ALTER TABLE empty DROP CONSTRAINT u",
                ],
                &[],
            ),
            (
                &[
                    "CREATE TABLE p PARTITION OF empty FOR VALUES IN (1)",
                    "ALTER TABLE empty DETACH PARTITION p; DROP TABLE p",
                ],
                &[],
            ),
            // Prisma's change of an id that is in use.
            (
                &[
                    "ALTER TABLE members DROP CONSTRAINT members_pkey, ALTER COLUMN id DROP DEFAULT, \
                   ALTER COLUMN id SET DATA TYPE TEXT, ADD CONSTRAINT members_pkey PRIMARY KEY (id); \
                   DROP SEQUENCE members_id_seq;",
                ],
                &[RewriteTable, AddConstraint],
            ),
            // An existing sequence that belongs to no column is lost.
            (&["DROP SEQUENCE numbers"], &[DropSequence]),
            (&["DROP SEQUENCE members_id_seq CASCADE"], &[DropSequence]),
            (
                &["ALTER TABLE members DROP CONSTRAINT a CASCADE, ADD CONSTRAINT a CHECK (true) NOT VALID"],
                &[DropConstraint],
            ),
            (&["ALTER TABLE empty DETACH PARTITION members"], &[DetachPartition]),
        ] {
            assert_eq!(kinds(scripts), found, "{scripts:?}");
        }
    }
}
