//! What a visitor can do to a tenant: buttons, and what they change. Each has the command that does the same.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, Patch, Preconditions};
use serde_json::{Value, json};
use strum::{EnumIter, EnumString, IntoEnumIterator as _, IntoStaticStr};

use super::Console;
use super::answer;
use super::cluster::{Wish, may_all};
use super::form::{Fields, link, tenant_path};
use super::tenant::read;
use super::visitor::Visitor;
use crate::api::names::CONSOLE_MANAGER;
use crate::api::{
    DeletionPolicy, EXTENDED_ANNOTATION, Orchestra, OrchestraBackup, OrchestraBackupSpec, OrchestraReference,
    PowerState, RETRY_ANNOTATION, ROTATE_ANNOTATION, WAKE_ANNOTATION,
};
use crate::controller::write::{patch_parameters, post_parameters};
use crate::views::owner::git_owner;

/// Something that can be done to a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, EnumString, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Action {
    /// Pauses its database.
    Pause,
    /// Makes its database run again.
    Resume,
    /// Tries again what failed.
    Retry,
    /// Makes a new login.
    Rotate,
    /// Lets its ttl begin again.
    Extend,
    /// Makes a backup.
    BackUp,
    /// Deletes it.
    Delete,
}

/// A button of a tenant's page.
pub struct Button {
    /// The last part of its path.
    pub action: &'static str,
    /// Its label.
    pub label: String,
    /// The consequence, in a sentence.
    pub text: String,
    /// The command that does the same.
    pub command: String,
    /// Whether the visitor may press it; otherwise only the command is shown.
    pub allowed: bool,
    /// Whether the tenant's name must be typed.
    pub typed: bool,
}

impl Action {
    /// Whether it makes sense now.
    fn fits(self, orchestra: &Orchestra) -> bool {
        let leaves = orchestra.metadata.deletion_timestamp.is_some();
        let paused = orchestra.is_asleep() || orchestra.spec.power_state == Some(PowerState::Paused);
        let expires = orchestra
            .status
            .as_ref()
            .is_some_and(|status| status.expires_at.is_some());
        !leaves
            && match self {
                Self::Pause => !paused,
                Self::Resume => paused,
                Self::Retry => orchestra.is_stalled(),
                Self::Rotate | Self::BackUp => orchestra.is_published(),
                Self::Extend => orchestra.spec.ttl.is_some() || expires,
                Self::Delete => true,
            }
    }

    /// Whether it changes what a repository may have.
    fn changes_spec(self) -> bool {
        matches!(self, Self::Pause | Self::Resume | Self::Delete)
    }

    fn command(self, namespace: &str, name: &str) -> String {
        match self {
            Self::Delete => format!("kubectl delete orchestra {name} -n {namespace}"),
            Self::BackUp => format!("kubectl orchestra backup {name} -n {namespace}"),
            other => format!("kubectl orchestra {} {name} -n {namespace}", <&str>::from(other)),
        }
    }
}

/// The buttons of a tenant's page. What a repository keeps has no button for a change of its spec.
pub async fn buttons(visitor: &Visitor, orchestra: &Orchestra, kept: bool) -> Vec<Button> {
    let (namespace, name) = (orchestra.namespace().unwrap_or_default(), orchestra.name_any());
    let wishes = [
        Wish::ours("patch", "orchestras", &namespace),
        Wish::ours("delete", "orchestras", &namespace),
        Wish::ours("create", "orchestrabackups", &namespace),
    ];
    let [patch, delete, back_up] = may_all(&visitor.client, wishes).await;
    let button = |action: Action| {
        let allowed = match action {
            Action::Delete => delete,
            Action::BackUp => back_up,
            _ => patch,
        };
        let key: &'static str = action.into();
        Button {
            action: key,
            label: visitor.lang().say(&format!("action-{key}")),
            text: visitor.lang().say(&format!("consequence-{key}")),
            command: action.command(&namespace, &name),
            allowed: allowed && !(kept && action.changes_spec()),
            typed: action == Action::Delete,
        }
    };
    Action::iter()
        .filter(|action| action.fits(orchestra))
        .map(button)
        .collect()
}

/// `POST /tenants/{namespace}/{name}/{action}`. The API server decides whether the visitor may do it.
pub async fn act(
    State(_): State<Arc<Console>>,
    visitor: Visitor,
    Path((namespace, name, action)): Path<(String, String, String)>,
    form: Fields,
) -> Response {
    let Ok(action) = action.parse::<Action>() else {
        return answer::problem(&visitor.frame, StatusCode::NOT_FOUND, "problem-nowhere", "");
    };
    let read = match read(&visitor.client, &namespace, &name).await {
        Ok(read) => read,
        Err(error) => return visitor.failed(&error),
    };
    // The Orchestra that the visitor saw may be gone, and another one have its name.
    if form.get("uid") != read.orchestra.uid().unwrap_or_default() {
        return answer::problem(&visitor.frame, StatusCode::CONFLICT, "problem-conflict", "");
    }
    if action.changes_spec() && git_owner(&read.object.metadata).is_some() {
        return answer::problem(&visitor.frame, StatusCode::CONFLICT, "problem-kept", "");
    }
    if action == Action::Delete && form.get("typed") != name {
        return answer::problem(&visitor.frame, StatusCode::UNPROCESSABLE_ENTITY, "problem-typed", "");
    }
    match perform(&visitor, action, &read.orchestra).await {
        Ok(()) => answer::see(&link(&tenant_path(&namespace, &name), &[("done", action.into())])),
        Err(error) => visitor.failed(&error),
    }
}

async fn perform(visitor: &Visitor, action: Action, orchestra: &Orchestra) -> Result<(), kube::Error> {
    let (namespace, name) = (orchestra.namespace().unwrap_or_default(), orchestra.name_any());
    let api: Api<Orchestra> = Api::namespaced(visitor.client.clone(), &namespace);
    let annotated = |annotation: &str| json!({"metadata": {"annotations": {annotation: Timestamp::now().to_string()}}});
    let change = match action {
        Action::Pause => json!({"spec": {"powerState": "Paused"}}),
        Action::Resume if orchestra.spec.power_state == Some(PowerState::Paused) => {
            json!({"spec": {"powerState": "Running"}})
        }
        Action::Resume => annotated(WAKE_ANNOTATION),
        Action::Retry => annotated(RETRY_ANNOTATION),
        Action::Rotate => annotated(ROTATE_ANNOTATION),
        Action::Extend => annotated(EXTENDED_ANNOTATION),
        Action::BackUp => return back_up(visitor, orchestra).await,
        Action::Delete => {
            let params = DeleteParams {
                preconditions: Some(Preconditions {
                    uid: orchestra.uid(),
                    resource_version: None,
                }),
                ..DeleteParams::default()
            };
            return api.delete(&name, &params).await.map(drop);
        }
    };
    patch(&api, orchestra, change).await
}

/// A change of an Orchestra that is still the one that was read.
///
/// # Errors
/// When the API server refuses, or does not answer.
pub async fn patch(api: &Api<Orchestra>, orchestra: &Orchestra, mut change: Value) -> Result<(), kube::Error> {
    change["metadata"]["uid"] = json!(orchestra.uid());
    let params = patch_parameters(CONSOLE_MANAGER);
    api.patch(&orchestra.name_any(), &params, &Patch::Merge(change))
        .await
        .map(drop)
}

async fn back_up(visitor: &Visitor, orchestra: &Orchestra) -> Result<(), kube::Error> {
    let api: Api<OrchestraBackup> = Api::namespaced(visitor.client.clone(), &orchestra.namespace().unwrap_or_default());
    let name = orchestra.name_any();
    let spec = OrchestraBackupSpec {
        orchestra_ref: OrchestraReference { name: name.clone() },
        deletion_policy: DeletionPolicy::Retain,
        stored: None,
    };
    let mut backup = OrchestraBackup::new("", spec);
    backup.metadata.name = None;
    // The API server adds five characters.
    let begin: String = name.chars().take(200).collect();
    backup.metadata.generate_name = Some(format!("{begin}-"));
    let params = post_parameters(CONSOLE_MANAGER);
    api.create(&params, &backup).await.map(drop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_what_makes_sense_is_offered() {
        use Action::{Delete, Extend, Pause, Resume};

        let of = |spec: Value, status: Value| -> Orchestra {
            serde_json::from_value(json!({
                "apiVersion": "stagesub.io/v1alpha1", "kind": "Orchestra",
                "metadata": {"name": "one", "namespace": "tenants"}, "spec": spec, "status": status,
            }))
            .unwrap()
        };
        let fit =
            |orchestra: &Orchestra| -> Vec<Action> { Action::iter().filter(|action| action.fits(orchestra)).collect() };
        assert_eq!(fit(&of(json!({}), json!({}))), [Pause, Delete]);
        assert_eq!(fit(&of(json!({"powerState": "Paused"}), json!({}))), [Resume, Delete]);
        assert_eq!(fit(&of(json!({"ttl": "1h"}), json!({}))), [Pause, Extend, Delete]);
        assert_eq!(Action::BackUp.command("n", "a"), "kubectl orchestra backup a -n n");
        assert_eq!("back-up".parse(), Ok(Action::BackUp));
    }
}
