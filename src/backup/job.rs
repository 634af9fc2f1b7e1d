//! A Job with the image that has PostgreSQL's clients, and the Job's Secret: the order, a login and the credentials of the
//! store. The pod runs `orchestra-backup` and ends with an [`Outcome`].

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod, Secret};
use kube::Resource as _;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PropagationPolicy};
use kube::runtime::reflector::ObjectRef;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use crate::api::ClassBackup;
use crate::api::condition::Reason;
use crate::api::names::{FIELD_MANAGER, MANAGED_BY};
use crate::archive::{Order, Outcome};
use crate::controller::Core;
use crate::controller::error::Error;
use crate::controller::write::{patch_parameters, post_parameters};
use crate::text;

/// Folder of the Secret in the pod.
const FOLDER: &str = "/job";

/// Name of the container of the pod.
pub const CONTAINER: &str = "job";

/// Folder of the volume in the pod, where the destination is one.
pub const VOLUME: &str = "/store";

/// The user and the group of the pod.
const USER: i64 = 65532;

/// Seconds after which Kubernetes deletes an ended Job, where no operator has deleted it.
const KEPT: i64 = 24 * 3600;

/// Seconds by which the program's own deadline is earlier than the Job's, so that it can write its outcome.
const EARLIER: u64 = 30;

/// A label of Jobs that the Job controller puts on their pods.
const JOB_NAME: &str = "batch.kubernetes.io/job-name";

/// A Job to be made.
pub struct NewJob<'a> {
    /// Name of the Job and of its Secret.
    pub name: String,
    /// Labels of both, and of the pod.
    pub labels: BTreeMap<String, String>,
    /// The order.
    pub order: Order,
    /// Files beside the order.
    pub files: Vec<(&'static str, SecretString)>,
    /// Image of the container.
    pub image: &'a str,
    /// How long it may take.
    pub deadline: Duration,
    /// PersistentVolumeClaim with the store.
    pub claim: Option<&'a str>,
}

impl<'a> NewJob<'a> {
    /// A Job with this name and these labels that works on the store of a class, as the class says.
    pub fn of(
        core: &'a Core,
        settings: &'a ClassBackup,
        (name, labels): (String, BTreeMap<String, String>),
        (order, files): (Order, Vec<(&'static str, SecretString)>),
    ) -> Self {
        let volume = settings.destination.persistent_volume_claim.as_ref();
        Self {
            name,
            labels,
            order,
            files,
            image: settings.image.as_deref().unwrap_or(&core.settings.backup_image),
            deadline: settings.deadline().as_std(),
            claim: volume.map(|volume| volume.claim_name.as_str()),
        }
    }
}

/// The state of a Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    /// There is no Job of this name.
    None,
    /// It is pending or runs.
    Runs(JobPod),
    /// It has ended with this outcome; or its pod left none, with the cause, if known.
    Ended(Result<Box<Outcome>, String>),
}

/// The pod of a Job that has not ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobPod {
    /// Its name, once it runs.
    pub name: Option<String>,
    /// Why it does not start, where that is known.
    pub waits: Option<String>,
}

/// The deadline of an order, by that of its Job.
pub fn deadline_of_order(deadline: Duration) -> u64 {
    deadline.as_secs().saturating_sub(EARLIER).max(1)
}

/// Checks that a Job may run this image: the operator's own, or one with a prefix that the admin allows.
fn check_image(image: &str, own: &str, prefixes: &[String]) -> Result<(), Error> {
    let is_allowed = |prefix: &String| !prefix.is_empty() && image.starts_with(prefix.as_str());
    if image == own || prefixes.is_empty() || prefixes.iter().any(is_allowed) {
        return Ok(());
    }
    Err(Error::blocked(
        Reason::BackupFailed,
        format!(
            "spec.backup.image of the class is {image}, and the operator allows only images that begin with {} \
             (--backup-image-prefix): remove spec.backup.image from the class, or name an allowed image",
            prefixes.join(" or ")
        ),
    ))
}

/// Makes the Secret and the Job. An existing Job stays as it is.
///
/// # Errors
/// When the image is not allowed; when the Kubernetes API refuses or fails.
pub async fn start(core: &Core, new: &NewJob<'_>) -> Result<(), Error> {
    let settings = &core.settings;
    check_image(new.image, &settings.backup_image, &settings.backup_image_prefixes)?;
    let namespace = &core.settings.namespace;
    let secrets: Api<Secret> = Api::namespaced(core.client.clone(), namespace);
    let mut secret = secret(new)?;
    let parameters = patch_parameters(FIELD_MANAGER).force();
    let written = secrets.patch(&new.name, &parameters, &Patch::Apply(&secret)).await?;
    core.stores.secrets.wrote_whole(&written);
    let jobs: Api<Job> = Api::namespaced(core.client.clone(), namespace);
    let made = match jobs.create(&post_parameters(FIELD_MANAGER), &job(core, new)?).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => jobs.get(&new.name).await?,
        made => made?,
    };
    core.stores.jobs.wrote_whole(&made);
    // The garbage collector deletes the Secret with the Job.
    secret.metadata.owner_references = made.owner_ref(&()).map(|owner| vec![owner]);
    let written = secrets.patch(&new.name, &parameters, &Patch::Apply(&secret)).await?;
    core.stores.secrets.wrote_whole(&written);
    Ok(())
}

/// Reads the state of a Job from the API server.
///
/// # Errors
/// When the Kubernetes API refuses or fails.
pub async fn look(core: &Core, name: &str) -> Result<JobState, Error> {
    let namespace = &core.settings.namespace;
    let jobs: Api<Job> = Api::namespaced(core.client.clone(), namespace);
    let Some(job) = jobs.get_opt(name).await? else {
        return Ok(JobState::None);
    };
    let pods: Api<Pod> = Api::namespaced(core.client.clone(), namespace);
    let of_job = ListParams::default().labels(&format!("{JOB_NAME}={name}"));
    let pod = pods.list(&of_job).await?.items.into_iter().next();
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ended = conditions.into_iter().flatten().find(|condition| {
        condition.status == "True"
            && matches!(
                condition.type_.as_str(),
                "Complete" | "Failed" | "FailureTarget" | "SuccessCriteriaMet"
            )
    });
    let Some(ended) = ended else {
        return Ok(JobState::Runs(pod.as_ref().map(unended).unwrap_or_default()));
    };
    let terminated = pod.as_ref().and_then(terminated);
    let said = terminated.and_then(|terminated| terminated.message.as_deref());
    let read = said.and_then(|said| serde_json::from_str::<Outcome>(said).ok());
    let outcome = read.map(Box::new);
    Ok(JobState::Ended(
        outcome.ok_or_else(|| silence(terminated, ended.reason.as_deref())),
    ))
}

fn terminated(pod: &Pod) -> Option<&ContainerStateTerminated> {
    let status = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
    status.state.as_ref()?.terminated.as_ref()
}

fn unended(pod: &Pod) -> JobPod {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    JobPod {
        name: pod.metadata.name.clone().filter(|_| phase == Some("Running")),
        waits: waits(pod),
    }
}

/// Why a pod does not start.
fn waits(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    if let Some(message) = unscheduled.and_then(|condition| condition.message.as_deref()) {
        return Some(text::line(message, 300));
    }
    let waiting = status
        .container_statuses
        .as_ref()?
        .first()?
        .state
        .as_ref()?
        .waiting
        .as_ref()?;
    let reason = waiting
        .reason
        .as_deref()
        .filter(|reason| *reason != "ContainerCreating")?;
    let message = waiting.message.as_deref().unwrap_or_default();
    Some(text::line(&format!("{reason}: {message}"), 300))
}

/// What is known of a pod that left no outcome.
fn silence(terminated: Option<&ContainerStateTerminated>, reason: Option<&str>) -> String {
    let pod = terminated.map_or_else(
        || "its pod is gone".to_owned(),
        |terminated| {
            let reason = terminated.reason.as_deref().unwrap_or("Error");
            format!(
                "its pod ended with exit code {} ({})",
                terminated.exit_code,
                text::line(reason, 64)
            )
        },
    );
    format!(
        "{pod}, and the Job ended with {}",
        text::line(reason.unwrap_or("no reason"), 64)
    )
}

/// Whether the watches show a Job or a Secret of this name.
pub fn is_there(core: &Core, name: &str) -> bool {
    let namespace = &core.settings.namespace;
    let job = core.stores.jobs.get(&ObjectRef::new(name).within(namespace));
    let secret = core.stores.secrets.get(&ObjectRef::new(name).within(namespace));
    job.is_some() || secret.is_some()
}

/// Deletes a Job with its pod, and its Secret. Returns whether the Job is gone: it stays until its pod has ended.
///
/// # Errors
/// When the Kubernetes API refuses or fails.
pub async fn clear(core: &Core, name: &str) -> Result<bool, Error> {
    let namespace = &core.settings.namespace;
    let jobs: Api<Job> = Api::namespaced(core.client.clone(), namespace);
    let parameters = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Foreground),
        ..DeleteParams::default()
    };
    let is_gone = match jobs.delete(name, &parameters).await {
        Ok(deleted) => deleted.left().is_none(),
        Err(kube::Error::Api(status)) if status.is_not_found() => true,
        Err(error) => return Err(error.into()),
    };
    let secrets: Api<Secret> = Api::namespaced(core.client.clone(), namespace);
    match secrets.delete(name, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => {}
        deleted => drop(deleted?),
    }
    core.stores.secrets.removed(&ObjectRef::new(name).within(namespace));
    if is_gone {
        core.stores.jobs.removed(&ObjectRef::new(name).within(namespace));
    }
    Ok(is_gone)
}

fn meta(new: &NewJob<'_>) -> ObjectMeta {
    let mut labels = new.labels.clone();
    labels.insert(MANAGED_BY.0.into(), MANAGED_BY.1.into());
    ObjectMeta {
        name: Some(new.name.clone()),
        labels: Some(labels),
        ..ObjectMeta::default()
    }
}

fn secret(new: &NewJob<'_>) -> Result<Secret, Error> {
    let order = serde_json::to_vec(&new.order).map_err(kube::Error::SerdeError)?;
    let files = new.files.iter().map(|(name, value)| {
        let bytes = value.expose_secret().as_bytes().to_vec();
        ((*name).to_owned(), ByteString(bytes))
    });
    Ok(Secret {
        metadata: meta(new),
        data: Some(files.chain([("order.json".to_owned(), ByteString(order))]).collect()),
        ..Secret::default()
    })
}

/// The Job: one pod, which is not restarted and has no rights (Pod Security Standard `restricted`).
fn job(core: &Core, new: &NewJob<'_>) -> Result<Job, Error> {
    let mut volumes = vec![
        json!({"name": "job", "secret": {"secretName": new.name, "defaultMode": 0o440}}),
        json!({"name": "tmp", "emptyDir": {}}),
    ];
    let mut mounts = vec![
        json!({"name": "job", "mountPath": FOLDER, "readOnly": true}),
        json!({"name": "tmp", "mountPath": "/tmp"}),
    ];
    if let Some(claim) = new.claim {
        volumes.push(json!({"name": "store", "persistentVolumeClaim": {"claimName": claim}}));
        mounts.push(json!({"name": "store", "mountPath": VOLUME}));
    }
    let body = json!({
        "metadata": meta(new),
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": new.deadline.as_secs(),
            "ttlSecondsAfterFinished": KEPT,
            "podReplacementPolicy": "Failed",
            "template": {
                "metadata": {"labels": meta(new).labels},
                "spec": {
                    "restartPolicy": "Never",
                    "serviceAccountName": core.settings.backup_service_account,
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "securityContext": {
                        "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [{
                        "name": CONTAINER,
                        "image": new.image,
                        "args": ["--order", FOLDER],
                        "securityContext": {
                            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                            "capabilities": {"drop": ["ALL"]},
                        },
                        "resources": {
                            "requests": {"cpu": "100m", "memory": "128Mi"},
                            "limits": {"memory": "512Mi"},
                        },
                        "volumeMounts": mounts,
                    }],
                    "volumes": volumes,
                },
            },
        },
    });
    Ok(serde_json::from_value(body).map_err(kube::Error::SerdeError)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_no_admin_allows_gets_no_login() {
        let prefixes = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect::<Vec<_>>();
        for (image, allowed, is) in [
            ("evil.example/x:1", vec![], true),
            ("own:1", vec!["registry.example/"], true),
            ("registry.example/backup:1", vec!["registry.example/"], true),
            ("registry.example/backup:1", vec!["other/", "registry.example/"], true),
            ("evil.example/registry.example/x", vec!["registry.example/"], false),
            ("registry.example.evil/x", vec!["registry.example/"], false),
            ("evil.example/x:1", vec![""], false),
        ] {
            let checked = check_image(image, "own:1", &prefixes(&allowed));
            assert_eq!(checked.is_ok(), is, "{image} {allowed:?}");
        }
    }
}
