//! Rebuilding: the tenants of a cluster whose objects are lost, from the projects of the organization. The marker in a
//! project's name and the claim record in its database say to whom it belonged.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

use anyhow::{Context as _, bail};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::api::names::is_object_name;
use crate::api::{ClaimReference, Orchestra, OrchestraClass, OrchestraDatabase};
use crate::class::{self, database_name, orphan};
use crate::database::{RecordedClaim, recorded_claims};
use crate::supabase::listed::ListedProject;
use crate::supabase::marker::{self, MarkerOwner, parse};

/// The most clusters with projects that a message lists.
const SHOWN: usize = 8;

/// A tenant that can be rebuilt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RebuiltTenant {
    /// Its project.
    pub project: ListedProject,
    /// Name of the OrchestraDatabase to create.
    pub database: String,
    /// The Orchestra that had the project.
    pub claim: ClaimReference,
    /// Whether the project's name, which no script can change, says the same as the claim record.
    pub proven: bool,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Digits of the lost cluster; none when no project has a marker.
    pub cluster: Option<String>,
    /// What can be rebuilt, by namespace and name.
    pub tenants: Vec<RebuiltTenant>,
    /// Why other projects of that cluster cannot, one line each.
    pub left: Vec<String>,
}

/// Finds the tenants of a lost cluster among the projects of a class's organization. It only reads.
///
/// # Errors
/// When the projects cannot be listed, or are of several clusters and none is named.
pub async fn look(
    ctx: &class::Context,
    class: &OrchestraClass,
    wanted: Option<&str>,
    databases: &[std::sync::Arc<OrchestraDatabase>],
    orchestras: &[Orchestra],
) -> anyhow::Result<Rebuilt> {
    let account = class::account(ctx, class, None).await?;
    let listing = account.poll().projects_since(Instant::now()).await?;
    let marked: Vec<_> = orphan::unreferenced(&listing.projects, databases)
        .into_iter()
        .filter_map(|project| parse(&project.name).map(|marker| (marker.cluster, project)))
        .collect();
    let mut found = Rebuilt {
        cluster: cluster(&marked, wanted, account.organization())?,
        ..Rebuilt::default()
    };
    let here: HashSet<_> = orchestras
        .iter()
        .map(|it| (it.namespace().unwrap_or_default(), it.name_any()))
        .collect();
    for (of, project) in marked {
        if found.cluster.as_deref() != Some(of) {
            continue;
        }
        let claims = match recorded_claims(&account, &project.reference).await {
            Ok(claims) => claims,
            Err(error) => {
                let why = format!("its database cannot be read ({error}); when it runs, run this command again");
                found.left.push(left(project, &why));
                continue;
            }
        };
        match tenant(project, &claims, &here) {
            Ok(tenant) => found.tenants.push(tenant),
            Err(why) => found.left.push(left(project, &why)),
        }
    }
    keep_single(&mut found);
    Ok(found)
}

/// The cluster whose tenants are rebuilt: the named one, or the only one.
fn cluster(
    marked: &[(&str, &ListedProject)],
    wanted: Option<&str>,
    organization: &str,
) -> anyhow::Result<Option<String>> {
    let mut counts = BTreeMap::<_, usize>::new();
    for (of, _) in marked {
        *counts.entry(*of).or_default() += 1;
    }
    let shown: Vec<_> = counts
        .iter()
        .take(SHOWN)
        .map(|(of, count)| format!("{of} ({count})"))
        .collect();
    let shown = shown.join(", ");
    match (wanted, counts.len()) {
        (Some(wanted), _) if counts.contains_key(wanted) => Ok(Some(wanted.to_owned())),
        (Some(wanted), 0) => {
            bail!("no project of organization {organization} without an OrchestraDatabase is of cluster {wanted}")
        }
        (Some(wanted), _) => bail!(
            "no project of organization {organization} without an OrchestraDatabase is of cluster {wanted}; there are \
             projects of: {shown}"
        ),
        (None, 0 | 1) => Ok(counts.keys().next().map(|of| (*of).to_owned())),
        (None, _) => bail!(
            "the projects of organization {organization} without an OrchestraDatabase are of several clusters: {shown}. Name \
             the one that is lost: --cluster DIGITS"
        ),
    }
}

/// The tenant of a project, or why it is not known.
fn tenant(
    project: &ListedProject,
    claims: &[RecordedClaim],
    here: &HashSet<(String, String)>,
) -> Result<RebuiltTenant, String> {
    let claim = match claims {
        [] => {
            return Err(
                "it has no claim record: either it is an unclaimed database of a pool, or a script dropped the record. Look into it; \
                 if it is not needed, delete it in the provider's dashboard"
                    .to_owned(),
            );
        }
        [one] => one,
        _ => return Err("it has several claim records, which no operator writes: look into it".to_owned()),
    };
    let RecordedClaim { uid, namespace, name } = claim;
    let is_uid = (1..=64).contains(&uid.len()) && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if !is_uid || !is_object_name(namespace, 63) || !is_object_name(name, 253) {
        return Err("its claim record is not as an operator writes it: look into it".to_owned());
    }
    if here.contains(&(namespace.clone(), name.clone())) {
        return Err(format!(
            "Orchestra {namespace}/{name}, which had it, exists in this cluster: see what its conditions say"
        ));
    }
    let database = match parse(&project.name).map(|marker| marker.owner) {
        Some(MarkerOwner::Database(rest)) => format!("orchdb-{rest}"),
        _ => database_name(uid),
    };
    let minted_for = marker::is_minted_for(&project.name, namespace, name, &database);
    Ok(RebuiltTenant {
        project: project.clone(),
        proven: minted_for && database == database_name(uid),
        database,
        claim: ClaimReference {
            namespace: namespace.clone(),
            name: name.clone(),
            uid: uid.clone(),
            // The namespace of the lost cluster is not this cluster's.
            namespace_uid: None,
        },
    })
}

/// Two projects cannot belong to one Orchestra: a script may have forged a claim record. The project whose name proves the
/// claim is kept.
fn keep_single(found: &mut Rebuilt) {
    let key = |tenant: &RebuiltTenant| (tenant.claim.namespace.clone(), tenant.claim.name.clone());
    let mut counts = HashMap::<_, (usize, usize)>::new();
    for tenant in &found.tenants {
        let (all, proven) = counts.entry(key(tenant)).or_default();
        *all += 1;
        *proven += usize::from(tenant.proven);
    }
    let (single, several): (Vec<_>, Vec<_>) = found.tenants.drain(..).partition(|tenant| {
        let (all, proven) = counts.get(&key(tenant)).copied().unwrap_or_default();
        all == 1 || (tenant.proven && proven == 1)
    });
    found.tenants = single;
    found.tenants.sort_by_key(key);
    for tenant in several {
        let why = format!(
            "its claim record names Orchestra {}/{}, and so does that of another project: find out which of the two is that \
             Orchestra's",
            tenant.claim.namespace, tenant.claim.name
        );
        found.left.push(left(&tenant.project, &why));
    }
}

fn left(project: &ListedProject, why: &str) -> String {
    format!("project {} ({}): {why}", project.reference, project.name)
}

impl Rebuilt {
    /// The manifests: an OrchestraDatabase that is released, as after a deletion with policy Retain, and an Orchestra that
    /// takes it back, for each tenant.
    ///
    /// # Errors
    /// When they cannot be written as YAML.
    pub fn manifests(&self, class: &str, now: jiff::Timestamp) -> anyhow::Result<String> {
        let mut text = String::from("# Create these, and do not apply them: kubectl create -f FILE\n");
        for tenant in &self.tenants {
            if !tenant.proven {
                text.push_str(
                    "# The claim record in the database names this Orchestra, and the project's name does not: a pool made it, or \
                     it had another Orchestra before. Scripts can change a claim record: look before you create it.\n",
                );
            }
            for manifest in [tenant.database(class, now), tenant.orchestra(class)] {
                let yaml = serde_saphyr::to_string(&manifest).context("cannot write the manifests")?;
                text = format!("{text}---\n{}\n", yaml.trim_end());
            }
        }
        for line in &self.left {
            text = format!("{text}# Left out: {line}\n");
        }
        Ok(text.trim_end().to_owned())
    }
}

impl RebuiltTenant {
    fn database(&self, class: &str, now: jiff::Timestamp) -> Value {
        let mut supabase =
            json!({"name": self.project.name, "region": self.project.region.as_deref().unwrap_or("unknown")});
        if let Some(size) = self.project.instance_size() {
            supabase["instanceSize"] = json!(size);
        }
        json!({
            "apiVersion": "stagesub.io/v1alpha1",
            "kind": "OrchestraDatabase",
            "metadata": {"name": self.database},
            "spec": {
                "className": class,
                "supabase": supabase,
                "claimRef": self.claim,
                "releasedAt": now,
                // The namespace may be younger than the release.
                "offeredTo": self.claim.namespace,
                "reclaimPolicy": "Retain",
            },
        })
    }

    fn orchestra(&self, class: &str) -> Value {
        json!({
            "apiVersion": "stagesub.io/v1alpha1",
            "kind": "Orchestra",
            "metadata": {"name": self.claim.name, "namespace": self.claim.namespace},
            "spec": {"className": class, "source": {"existing": {"databaseName": self.database}}},
        })
    }
}

#[cfg(test)]
#[path = "rebuild_tests.rs"]
mod tests;
