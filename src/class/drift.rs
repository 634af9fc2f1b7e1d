//! Schema drift: which tenants of a class have another schema than the others with the same migrations.

use std::collections::BTreeMap;

use kube::ResourceExt as _;

use crate::api::{OrchestraClass, SchemaComparison};
use crate::class::Context;

/// The number of names in a status, at most.
const LISTED: usize = 20;

/// Compares the fingerprints of the tenants; `None` when fewer than two have one.
pub fn compare(ctx: &Context, class: &OrchestraClass) -> Option<SchemaComparison> {
    let name = class.name_any();
    let tenants = ctx.core.stores.orchestras.state();
    let known = tenants.iter().filter_map(|tenant| {
        let status = tenant
            .status
            .as_ref()
            .filter(|status| status.class_name.as_ref() == Some(&name))?;
        let migrations = status.migrations.as_ref()?;
        let key = format!("{}/{}", tenant.namespace().unwrap_or_default(), tenant.name_any());
        Some((key, migrations.source.clone(), migrations.fingerprint.clone()?))
    });
    let known: Vec<_> = known.collect();
    (known.len() > 1).then(|| {
        let odd = odd_ones(&known);
        SchemaComparison {
            compared: i32::try_from(known.len()).unwrap_or(i32::MAX),
            odd: i32::try_from(odd.len()).unwrap_or(i32::MAX),
            names: odd.into_iter().take(LISTED).collect(),
        }
    })
}

/// The tenants whose fingerprint differs from that of the majority with the same migrations. Without a majority of
/// more than half, no tenant is odd.
fn odd_ones(known: &[(String, String, String)]) -> Vec<String> {
    let mut sources: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for (name, source, fingerprint) in known {
        sources.entry(source).or_default().push((name, fingerprint));
    }
    let mut odd = Vec::new();
    for tenants in sources.values() {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, fingerprint) in tenants {
            *counts.entry(fingerprint).or_default() += 1;
        }
        let usual = counts.iter().find(|(_, count)| **count * 2 > tenants.len());
        if let Some((usual, _)) = usual {
            let others = tenants.iter().filter(|(_, fingerprint)| fingerprint != usual);
            odd.extend(others.map(|(name, _)| (*name).to_owned()));
        }
    }
    odd.sort();
    odd
}

#[cfg(test)]
mod tests {
    use super::odd_ones;

    #[test]
    fn most_are_right_and_a_tie_is_nobodys_fault() {
        let tenants = |all: &[(&str, &str, &str)]| {
            let all = all
                .iter()
                .map(|(name, source, print)| ((*name).into(), (*source).into(), (*print).into()));
            odd_ones(&all.collect::<Vec<_>>())
        };
        assert_eq!(tenants(&[("a", "1", "x"), ("b", "1", "x"), ("c", "1", "y")]), ["c"]);
        assert!(tenants(&[("a", "1", "x"), ("b", "1", "y")]).is_empty());
        assert!(tenants(&[("a", "1", "x"), ("b", "2", "y"), ("c", "1", "x")]).is_empty());
        assert_eq!(
            tenants(&[
                ("e", "1", "y"),
                ("a", "1", "x"),
                ("b", "1", "x"),
                ("c", "1", "x"),
                ("d", "1", "z")
            ]),
            ["d", "e"]
        );
    }
}
