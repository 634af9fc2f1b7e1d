//! A project that the operator did not create, and that an Orchestra adopts: who may have it, and the OrchestraDatabase that
//! represents it. The project itself is neither read nor changed here.

use std::time::Instant;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::Api;

use super::Pass;
use super::claim::{api, claim_reference, databases};
use crate::api::condition::Reason;
use crate::api::names::FIELD_MANAGER;
use crate::api::{
    Adopt, AdoptedProject, DeletionPolicy, ExistingDatabase, OrchestraClass, OrchestraDatabase, OrchestraDatabaseSpec,
    SupabaseProject,
};
use crate::class;
use crate::controller::error::Error;
use crate::controller::write::post_parameters;
use crate::credentials::given;
use crate::supabase::Account;
use crate::supabase::listed::ListedProject;
use crate::supabase::marker::{self, MarkerOwner};
use crate::supabase::types::StatusClass;
use crate::text;

/// How many poll intervals old a listing may be that shows the project: a minute by default.
const RECENT: u32 = 12;

/// The longest name and region that a schema accepts.
const NAME: usize = 256;
const REGION: usize = 32;

/// Why a project is not adopted.
type AdoptionRefusal = (Reason, String);

/// Name of the OrchestraDatabase of an adopted project. It does not depend on who adopts it, so that the API server lets one
/// succeed.
fn name_of(reference: &str) -> String {
    format!("orchdb-{reference}")
}

/// The OrchestraDatabase of a project, whoever created the project; none when no Orchestra holds or has held it.
pub async fn database_of(pass: &Pass, reference: &str) -> Result<Option<OrchestraDatabase>, Error> {
    let is_its = |database: &OrchestraDatabase| database.project_ref() == Some(reference);
    if let Some(known) = databases(pass).find(is_its) {
        return Ok(Some((*known).clone()));
    }
    // Another Orchestra may have adopted it a moment ago.
    Ok(api(&pass.ctx).get_opt(&name_of(reference)).await?)
}

/// The name that an OrchestraDatabase would have for a project which this Orchestra may adopt.
pub async fn offered(
    pass: &Pass,
    class: &OrchestraClass,
    existing: &ExistingDatabase,
    reference: &str,
) -> Result<Result<String, AdoptionRefusal>, Error> {
    Ok(adoptable(pass, class, existing, reference)
        .await?
        .map(|_| name_of(reference)))
}

/// Records that this Orchestra has the project. Of several that adopt it, the API server lets one succeed; the others get
/// the message that it is in use.
pub async fn take(pass: &Pass, class: &OrchestraClass, existing: &ExistingDatabase) -> Result<(), Error> {
    let Some(reference) = &existing.project_ref else {
        return Ok(());
    };
    let Ok((project, adopt)) = adoptable(pass, class, existing, reference).await? else {
        return Ok(());
    };
    let spec = OrchestraDatabaseSpec {
        class_name: Some(class.name_any()),
        supabase: Some(wanted(&project, adopt)),
        claim_ref: Some(claim_reference(pass)),
        // The release decides about the reclaim policy.
        reclaim_policy: DeletionPolicy::Retain,
        ..OrchestraDatabaseSpec::default()
    };
    let database = OrchestraDatabase::new(&name_of(reference), spec);
    let created = match api(&pass.ctx).create(&post_parameters(FIELD_MANAGER), &database).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            match api(&pass.ctx).get_opt(&database.name_any()).await? {
                Some(other) => other,
                None => return Ok(()),
            }
        }
        other => other?,
    };
    databases(pass).wrote(&created);
    Ok(())
}

fn wanted(project: &ListedProject, adopt: &Adopt) -> SupabaseProject {
    let or = |text: String, other: &str| if text.is_empty() { other.to_owned() } else { text };
    SupabaseProject {
        name: or(text::line(&project.name, NAME), &project.reference),
        region: or(
            text::line(project.region.as_deref().unwrap_or_default(), REGION),
            "unknown",
        ),
        instance_size: project.instance_size().map(str::to_owned),
        adopted: Some(AdoptedProject {
            reference: project.reference.clone(),
            adopt: adopt.clone(),
        }),
        ..SupabaseProject::default()
    }
}

/// The project, when the class lets this namespace have it, the Orchestra says how, and it is unclaimed.
async fn adoptable<'a>(
    pass: &Pass,
    class: &OrchestraClass,
    existing: &'a ExistingDatabase,
    reference: &str,
) -> Result<Result<(ListedProject, &'a Adopt), AdoptionRefusal>, Error> {
    let adopt = match allowed(class, pass.namespace(), existing, reference) {
        Ok(adopt) => adopt,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if let Some(given) = &adopt.password_secret_ref {
        let secrets: Api<Secret> = Api::namespaced(pass.ctx.core.client.clone(), pass.namespace());
        if let Err(error) = given::password(&secrets, pass.namespace(), given).await {
            return match error.reason() {
                Reason::PasswordNotFound => Ok(Err((Reason::PasswordNotFound, error.to_string()))),
                _ => Err(error),
            };
        }
    }
    let account = class::account(&pass.ctx.class, class, None).await?;
    let project = match look_up(pass, &account, reference).await? {
        Ok(project) => project,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let is_replaced = |database: &OrchestraDatabase| {
        let replaced = database.status.as_ref().map(|status| status.replaced.as_slice());
        replaced.is_some_and(|replaced| replaced.iter().any(|it| it == reference))
    };
    if databases(pass).find(is_replaced).is_some() {
        return Ok(Err(leaves(reference)));
    }
    Ok(free(&project).map(|()| (project, adopt)))
}

/// The difference between the `adopt` of an Orchestra and that with which the database's project was adopted: an Orchestra
/// must not use permissions that another one gave and that its own author did not request. None when both are equal.
pub fn difference(given: &Adopt, database: &OrchestraDatabase) -> Option<String> {
    let name = database.name_any();
    let Some(adopted) = database.adopted() else {
        return Some(format!(
            "the operator made the project of OrchestraDatabase {name}, so spec.source.existing.adopt does not apply: create \
             this Orchestra without adopt"
        ));
    };
    let stands = &adopted.adopt;
    let secret = |adopt: &Adopt| {
        let reference = adopt.password_secret_ref.as_ref();
        reference.map(|reference| (reference.name.clone(), reference.key().to_owned()))
    };
    let told = |field: &str, given: bool, stands: bool| format!("{field} is {given} here and {stands} there");
    let mut parts = Vec::new();
    if given.deletion != stands.deletion {
        parts.push(told("deletion", given.deletion, stands.deletion));
    }
    if given.reset_password != stands.reset_password {
        parts.push(told("resetPassword", given.reset_password, stands.reset_password));
    }
    if secret(given) != secret(stands) {
        parts.push("passwordSecretRef is another one".to_owned());
    }
    (!parts.is_empty()).then(|| {
        format!(
            "spec.source.existing.adopt of this Orchestra is not what OrchestraDatabase {name} was adopted with: {}. The \
             first adopt applies: create this Orchestra with the same adopt, or without one. To change it, delete the \
             OrchestraDatabase (kubectl delete orchdb {name}; the project stays) and adopt the project again",
            parts.join(", ")
        )
    })
}

/// Whether the class lets the namespace have the project, and the Orchestra says how it is adopted.
fn allowed<'a>(
    class: &OrchestraClass,
    namespace: &str,
    existing: &'a ExistingDatabase,
    reference: &str,
) -> Result<&'a Adopt, AdoptionRefusal> {
    let listed = class.spec.adoption.iter().flat_map(|adoption| &adoption.projects);
    let mut listed = listed.filter(|project| project.reference == reference);
    let Some(listed) = listed.find(|project| project.namespace == namespace) else {
        let message = format!(
            "no OrchestraDatabase has project {reference}, and class {} does not let Orchestras of namespace {namespace} adopt \
             it: an admin of the cluster adds {{ref: {reference}, namespace: {namespace}}} to spec.adoption.projects of the \
             class",
            class.name_any()
        );
        return Err((Reason::ExistingNotAllowed, message));
    };
    let adopt = existing.adopt.as_ref().ok_or_else(|| {
        let message = format!(
            "project {reference} was not made by the operator, which does not know the owner's password: create this \
             Orchestra with spec.source.existing.adopt, and in it passwordSecretRef, or resetPassword: true to have the \
             operator set a new one"
        );
        (Reason::ExistingNotAllowed, message)
    })?;
    for (field, asked, right, allowed) in [
        ("deletion", adopt.deletion, "allowDeletion", listed.allow_deletion),
        (
            "resetPassword",
            adopt.reset_password,
            "allowResetPassword",
            listed.allow_reset_password,
        ),
    ] {
        if asked && !allowed {
            let message = format!(
                "class {} lets Orchestras of namespace {namespace} adopt project {reference}, but not with adopt.{field}: true. \
                 Create this Orchestra without it; or an admin of the cluster sets {right}: true on the project in \
                 spec.adoption.projects of the class",
                class.name_any()
            );
            return Err((Reason::ExistingNotAllowed, message));
        }
    }
    Ok(adopt)
}

/// The project in a recent listing of the class's organization.
async fn look_up(
    pass: &Pass,
    account: &Account,
    reference: &str,
) -> Result<Result<ListedProject, AdoptionRefusal>, Error> {
    let now = Instant::now();
    let recent = now.checked_sub(pass.ctx.core.settings.poll_interval * RECENT);
    let listing = account.poll().projects_since(recent.unwrap_or(now)).await?;
    if let Some(project) = listing.by_ref(reference) {
        return Ok(Ok(project.clone()));
    }
    match account.client().get_project(reference).await {
        Err(error) if error.is_gone() => {
            let message = format!("project {reference}, which spec.source.existing.projectRef names, does not exist");
            return Ok(Err((Reason::ExistingNotFound, message)));
        }
        answer => drop(answer?),
    }
    // The project may be younger than the listing.
    let listing = account.poll().projects_since(now).await?;
    if let Some(project) = listing.by_ref(reference) {
        return Ok(Ok(project.clone()));
    }
    if !listing.complete {
        let message = format!("project {reference} is not in the listing of the organization yet");
        return Err(Error::transient(Reason::ProviderUnavailable, message));
    }
    let message = format!(
        "project {reference} is not in organization {}, or is a branch of another project: an Orchestra adopts a project \
         of the organization of its class",
        account.organization()
    );
    Ok(Err((Reason::ExistingNotFound, message)))
}

/// Whether the project is unclaimed, according to the provider.
fn free(project: &ListedProject) -> Result<(), AdoptionRefusal> {
    let reference = &project.reference;
    if matches!(project.status.class(), StatusClass::Deleting | StatusClass::Gone) {
        return Err(leaves(reference));
    }
    let Some(marker) = marker::parse(&project.name) else {
        return Ok(());
    };
    let of = match marker.owner {
        MarkerOwner::Database(rest) => format!("OrchestraDatabase orchdb-{rest}"),
        MarkerOwner::Orchestra(uid) => format!("the Orchestra with UID {uid}"),
    };
    let message = format!(
        "project {reference} carries the marker of {of} in cluster {}, which may use it: it is not adopted. Only when that \
         object is gone for good, rename the project in the provider's dashboard, so that its name has no marker; the operator \
         then continues",
        marker.cluster
    );
    Err((Reason::ExistingNotAllowed, message))
}

fn leaves(reference: &str) -> AdoptionRefusal {
    let message = format!("project {reference} is being deleted at the provider, and cannot be adopted any more");
    (Reason::ExistingNotFound, message)
}

#[cfg(test)]
#[path = "adoption_tests.rs"]
mod tests;
