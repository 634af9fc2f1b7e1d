//! Plans of pending migrations that wait for approval, as the operator wrote them into ConfigMaps.

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use serde::Deserialize;

use crate::api::{MigrationPlan, Orchestra, PLAN_DIGEST};
use crate::orchestra::{PLAN_JSON, PLAN_TEXT, plan_text_digest};

/// A plan that waits for approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanView {
    /// The plan as text.
    pub text: String,
    /// The plan as a JSON document.
    pub json: String,
}

/// A statement of a pending migration that destroys, breaks, exposes or locks something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PlanFinding {
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

/// The summary of the plan in the status of an Orchestra; none when neither migrations nor a seed wait for approval.
pub fn waiting(orchestra: &Orchestra) -> Option<&MigrationPlan> {
    orchestra.status.as_ref()?.waiting_plan()
}

impl PlanView {
    /// The plan in the ConfigMap that a status names. Others than the operator may write the ConfigMap, so each
    /// text must have its digest of the status.
    ///
    /// # Errors
    /// When the ConfigMap holds another plan than the one in the status, is incomplete, or was changed.
    pub fn of(summary: &MigrationPlan, map: &ConfigMap) -> anyhow::Result<Self> {
        let name = &summary.config_map;
        if map.annotations().get(PLAN_DIGEST) != Some(&summary.digest) {
            bail!("ConfigMap {name} does not hold the plan that the Orchestra's status names; try again");
        }
        let namespace = map.namespace().unwrap_or_default();
        let part = |key: &str, digest: Option<&String>| {
            let digest = digest.context(
                "the Orchestra's status has no digests of the plan's texts, because the operator or its \
                 CustomResourceDefinitions are of an earlier release: update the operator and try again",
            )?;
            let text = map.data.as_ref().and_then(|data| data.get(key));
            match text.filter(|text| plan_text_digest(text) == *digest) {
                Some(text) => Ok(text.clone()),
                None => bail!(
                    "{key} of ConfigMap {name} is not the text that the operator wrote, so it is not shown and nothing \
                     is approved. Find out who changed it. The operator writes it again when it is deleted: kubectl \
                     -n {namespace} delete configmap {name}"
                ),
            }
        };
        Ok(Self {
            text: part(PLAN_TEXT, summary.text_digest.as_ref())?,
            json: part(PLAN_JSON, summary.json_digest.as_ref())?,
        })
    }

    /// The findings of the plan, at most 500.
    ///
    /// # Errors
    /// When the JSON document is not one that the operator wrote.
    pub fn findings(&self) -> anyhow::Result<Vec<PlanFinding>> {
        #[derive(Deserialize)]
        struct Document {
            #[serde(default)]
            findings: Vec<PlanFinding>,
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

    fn summary(text: &str, json: &str) -> MigrationPlan {
        serde_json::from_value(json!({
            "digest": "sha256:a", "pending": 1, "destructive": 1, "locking": 0, "configMap": "one-migration-plan",
            "textDigest": plan_text_digest(text), "jsonDigest": plan_text_digest(json),
        }))
        .unwrap()
    }

    fn map(digest: &str, data: &serde_json::Value) -> ConfigMap {
        serde_json::from_value(json!({
            "metadata": {"namespace": "tenants", "annotations": {PLAN_DIGEST: digest}}, "data": data,
        }))
        .unwrap()
    }

    #[test]
    fn a_plan_is_read_only_with_the_digest_of_the_status() {
        let document =
            json!({"digest": "sha256:a", "findings": [{"migration": "2_tidy", "line": 3, "kind": "DropTable"}]});
        let json = document.to_string();
        let data = json!({"plan.txt": "Plan", "plan.json": json});
        let summary = summary("Plan", &json);
        let found = PlanView::of(&summary, &map("sha256:a", &data))
            .unwrap()
            .findings()
            .unwrap();
        assert_eq!(
            found,
            [PlanFinding {
                migration: "2_tidy".into(),
                line: 3,
                kind: "DropTable".into(),
                ..PlanFinding::default()
            }]
        );
        let other = PlanView::of(&summary, &map("sha256:b", &data)).unwrap_err().to_string();
        assert!(other.contains("try again"), "{other}");
    }

    #[test]
    fn a_text_that_somebody_changed_is_refused() {
        let summary = summary("DROP TABLE", "{}");
        for (text, json, says) in [
            (Some("DROP TABLE"), Some("{}"), None),
            (Some("harmless"), Some("{}"), Some("plan.txt of ConfigMap")),
            (Some("DROP TABLE "), Some("{}"), Some("plan.txt of ConfigMap")),
            (None, Some("{}"), Some("plan.txt of ConfigMap")),
            (Some("DROP TABLE"), Some("{ }"), Some("plan.json of ConfigMap")),
            (Some("DROP TABLE"), None, Some("plan.json of ConfigMap")),
        ] {
            let data: serde_json::Map<_, _> = [("plan.txt", text), ("plan.json", json)]
                .into_iter()
                .filter_map(|(key, text)| Some((key.to_owned(), text?.into())))
                .collect();
            let read = PlanView::of(&summary, &map("sha256:a", &data.into()));
            match says {
                None => assert_eq!(read.unwrap().text, "DROP TABLE"),
                Some(says) => {
                    let error = read.unwrap_err().to_string();
                    assert!(
                        error.contains(says) && error.contains("-n tenants delete configmap"),
                        "{error}"
                    );
                }
            }
        }
        let earlier = MigrationPlan {
            text_digest: None,
            json_digest: None,
            ..summary
        };
        let data = json!({"plan.txt": "DROP TABLE", "plan.json": "{}"});
        let error = PlanView::of(&earlier, &map("sha256:a", &data)).unwrap_err().to_string();
        assert!(error.contains("update the operator"), "{error}");
    }
}
