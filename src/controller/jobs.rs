//! Jobs in the operator's namespace, as the API server has them.

use k8s_openapi::api::batch::v1::Job;
use kube::api::ListParams;

use super::core::Core;
use super::error::Error;

/// Whether a Job with this label may still have a pod that works.
///
/// # Errors
/// When the Kubernetes API refuses or fails.
pub async fn are_under_way(core: &Core, label: &str, value: &str) -> Result<bool, Error> {
    let jobs = core.own::<Job>();
    let labelled = ListParams::default().labels(&format!("{label}={value}"));
    Ok(jobs.list(&labelled).await?.items.iter().any(is_under_way))
}

fn is_under_way(job: &Job) -> bool {
    let Some(status) = &job.status else { return true };
    let works = status.active.unwrap_or_default() > 0 || status.terminating.unwrap_or_default() > 0;
    let has_ended = status
        .conditions
        .iter()
        .flatten()
        .any(|condition| condition.status == "True" && ["Complete", "Failed"].contains(&condition.type_.as_str()));
    works || !has_ended
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_is_under_way_until_it_has_ended_and_no_pod_is_left() {
        let ended = json!({"type": "Failed", "status": "True"});
        for (status, is) in [
            (json!({}), true),
            (json!({"active": 1}), true),
            (
                json!({"conditions": [{"type": "FailureTarget", "status": "True"}]}),
                true,
            ),
            (json!({"conditions": [{"type": "Complete", "status": "False"}]}), true),
            (json!({"conditions": [ended], "terminating": 1}), true),
            (json!({"conditions": [ended]}), false),
            (json!({"conditions": [{"type": "Complete", "status": "True"}]}), false),
        ] {
            let job: Job = serde_json::from_value(json!({"status": status})).unwrap();
            assert_eq!(is_under_way(&job), is, "{status}");
        }
    }
}
