//! Plans of pending migrations that wait for approval, as the operator wrote them into ConfigMaps.

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use serde::Deserialize;

use crate::api::{MigrationPlan, Orchestra, PLAN_DIGEST};
use crate::orchestra::{PLAN_JSON, PLAN_TEXT};

/// A plan that waits for approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The plan as text.
    pub text: String,
    /// The plan as a JSON document.
    pub json: String,
}

/// A statement of a pending migration that destroys, breaks, exposes or locks something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Finding {
    /// Name of the migration.
    pub migration: String,
    /// Line of the script where the statement begins, counted from 1.
    pub line: usize,
    /// What the statement does.
    pub kind: String,
    /// What that means for data and applications.
    pub effect: String,
    /// The object that the statement changes.
    pub object: String,
    /// The statement in short, without values.
    pub statement: String,
}

/// The summary of the plan in the status of an Orchestra; none when no migrations wait for approval.
pub fn waiting(orchestra: &Orchestra) -> Option<&MigrationPlan> {
    orchestra.status.as_ref()?.migrations.as_ref()?.plan.as_ref()
}

impl Plan {
    /// The plan in the ConfigMap that a status names.
    ///
    /// # Errors
    /// When the ConfigMap holds another plan than the one in the status, or is incomplete.
    pub fn of(summary: &MigrationPlan, map: &ConfigMap) -> anyhow::Result<Self> {
        let name = &summary.config_map;
        if map.annotations().get(PLAN_DIGEST) != Some(&summary.digest) {
            bail!("ConfigMap {name} does not hold the plan that the Orchestra's status names; try again");
        }
        let part = |key: &str| {
            let text = map.data.as_ref().and_then(|data| data.get(key));
            text.cloned()
                .with_context(|| format!("ConfigMap {name} has no key {key}"))
        };
        Ok(Self {
            text: part(PLAN_TEXT)?,
            json: part(PLAN_JSON)?,
        })
    }

    /// The findings of the plan, at most 500.
    ///
    /// # Errors
    /// When the JSON document is not one that the operator wrote.
    pub fn findings(&self) -> anyhow::Result<Vec<Finding>> {
        #[derive(Deserialize)]
        struct Document {
            #[serde(default)]
            findings: Vec<Finding>,
        }
        let document: Document = serde_json::from_str(&self.json).context("the plan cannot be read")?;
        Ok(document.findings)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plan_is_read_only_with_the_digest_of_the_status() {
        let summary: MigrationPlan = serde_json::from_value(json!({
            "digest": "sha256:a", "pending": 1, "destructive": 1, "locking": 0, "configMap": "one-migration-plan",
        }))
        .unwrap();
        let document =
            json!({"digest": "sha256:a", "findings": [{"migration": "2_tidy", "line": 3, "kind": "DropTable"}]});
        let map = |digest: &str| -> ConfigMap {
            serde_json::from_value(json!({
                "metadata": {"annotations": {PLAN_DIGEST: digest}},
                "data": {"plan.txt": "Plan", "plan.json": document.to_string()},
            }))
            .unwrap()
        };
        let found = Plan::of(&summary, &map("sha256:a")).unwrap().findings().unwrap();
        assert_eq!(
            found,
            [Finding {
                migration: "2_tidy".into(),
                line: 3,
                kind: "DropTable".into(),
                ..Finding::default()
            }]
        );
        let other = Plan::of(&summary, &map("sha256:b")).unwrap_err().to_string();
        assert!(other.contains("try again"), "{other}");
    }
}
