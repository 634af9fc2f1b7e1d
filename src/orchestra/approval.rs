//! Pending migrations that wait for a person: the plan beside the Orchestra, and the annotation that approves it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, Preconditions};
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;

use super::plan::Notice;
use super::{Pass, migrating};
use crate::api::condition::Reason;
use crate::api::names::{FIELD_MANAGER, MANAGED_BY, PLAN_DIGEST};
use crate::api::{APPROVE_MIGRATIONS, Approval, Effect, MigrationPlan};
use crate::content::{SeedRows, TenantContext};
use crate::controller::error::Error;
use crate::controller::write::{namespaced, patch_parameters, post_parameters};
use crate::credentials::connection;
use crate::migrate;
use crate::migrate::guard::{Clearance, Consent, Plan, Review};

/// Key of the plan for people.
pub const PLAN_TEXT: &str = "plan.txt";

/// Key of the plan for programs.
pub const PLAN_JSON: &str = "plan.json";

/// The consent that the guard needs for this tenant.
pub fn consent(pass: &Pass, tenant: &TenantContext<'_>, policy: Approval) -> Consent {
    // A database that was taken back holds the data of its former tenant, and an adopted one that of whoever made it.
    let is_taken_back = tenant
        .database
        .is_some_and(|database| !database.spec.former_uids.is_empty() || database.adopted().is_some());
    let database = tenant.database.and_then(|database| database.status.as_ref());
    let effects = tenant.class.and_then(|class| class.spec.approval_for.as_deref());
    Consent {
        policy,
        effects: effects.unwrap_or(&Effect::APPROVED).iter().copied().collect(),
        approved: annotation(pass).map(ToOwned::to_owned),
        // The Secret exists before the status says so.
        handed_over: is_taken_back || pass.is_serving() || pass.known_secret().is_some(),
        prepared: database.is_some_and(|status| status.template.is_some()),
    }
}

fn annotation(pass: &Pass) -> Option<&str> {
    let value = pass.object.annotations().get(APPROVE_MIGRATIONS);
    value.map(|value| value.trim()).filter(|value| !value.is_empty())
}

/// The plan that waits.
fn waiting(review: Option<&Review>) -> Option<&Plan> {
    let review = review.filter(|review| review.clearance == Clearance::Waits);
    review.map(|review| &review.plan)
}

/// Whether the ConfigMap has the right content. While a plan waits, its texts are compared: everyone who may write
/// ConfigMaps can change them.
///
/// # Errors
/// When the ConfigMap cannot be read, or the plan cannot be rendered.
pub async fn notice(pass: &Pass, review: Option<&Review>) -> Result<Notice, Error> {
    let store = &pass.ctx.core.stores.config_maps;
    let name = pass.object.plan_name();
    let known = store.get(&ObjectRef::new(&name).within(pass.namespace()));
    let known = known.is_some_and(|map| is_ours(pass, &*map));
    let Some(plan) = waiting(review) else {
        return Ok(if known { Notice::Leftover } else { Notice::Told });
    };
    if !known {
        return Ok(Notice::Untold);
    }
    let api: Api<ConfigMap> = namespaced(&pass.ctx.core.client, &pass.object);
    let wanted = render(pass, plan)?;
    let told = api.get_opt(&name).await?.is_some_and(|map| {
        let (text, json) = (part(&map, PLAN_TEXT), part(&map, PLAN_JSON));
        is_ours(pass, &map)
            && map.annotations().get(PLAN_DIGEST) == Some(&plan.digest)
            && (text, json) == (part(&wanted, PLAN_TEXT), part(&wanted, PLAN_JSON))
    });
    Ok(if told { Notice::Told } else { Notice::Untold })
}

fn part<'a>(map: &'a ConfigMap, key: &str) -> Option<&'a String> {
    map.data.as_ref()?.get(key)
}

/// Digest of a text of the plan, as the status has it.
pub fn digest(text: &str) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(text)))
}

fn is_ours(pass: &Pass, map: &impl ResourceExt) -> bool {
    let owners = map.owner_references();
    owners.iter().any(|owner| owner.uid == pass.uid())
}

/// The plan that waits, for the status. It has the digests of the texts, because others may write the
/// ConfigMap, and only the operator the status.
///
/// # Errors
/// When the plan cannot be rendered.
pub fn status(pass: &Pass, review: Option<&Review>) -> Result<Option<MigrationPlan>, Error> {
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let Some(plan) = waiting(review) else { return Ok(None) };
    let map = render(pass, plan)?;
    Ok(Some(MigrationPlan {
        digest: plan.digest.clone(),
        pending: count(plan.pending.len()),
        destructive: count(plan.destructive()),
        exposing: count(plan.exposing()),
        locking: count(plan.locking()),
        config_map: pass.object.plan_name(),
        text_digest: part(&map, PLAN_TEXT).map(|text| digest(text)),
        json_digest: part(&map, PLAN_JSON).map(|json| digest(json)),
    }))
}

/// The guard's review of the seed that is due.
///
/// # Errors
/// When the database cannot be read, or a variable of the seed has no usable value.
pub async fn review_seed(
    pass: &Pass,
    tenant: &TenantContext<'_>,
    session: &mut PgConnection,
    rows: Option<&SeedRows>,
) -> Result<Option<Review>, Error> {
    let Some(SeedRows::Wanted(seed)) = rows else {
        return Ok(None);
    };
    let consent = migrating::consent(pass, tenant);
    Ok(migrate::review_seed(session, &seed.source, &seed.variables, &consent).await?)
}

/// The message while a plan waits for approval.
pub fn message(pass: &Pass, review: Option<&Review>) -> Option<String> {
    let plan = waiting(review)?;
    let void = match annotation(pass) {
        Some(_) => "the plan or the history changed after the approval, so it no longer counts; ",
        None => "",
    };
    let (count, pending) = match (&plan.seed, plan.pending.len()) {
        (None, count) => (count, "migrations are pending"),
        (Some(_), 1) => (1, "file of the seed is due in a database in use"),
        (Some(_), count) => (count, "files of the seed are due in a database in use"),
    };
    Some(format!(
        "{void}{count} {pending} ({} destructive or not analysable, {} expose data or grant rights, {} lock tables for long). \
         Read ConfigMap {}, then approve with: {}",
        plan.destructive(),
        plan.exposing(),
        plan.locking(),
        pass.object.plan_name(),
        command(pass, plan),
    ))
}

fn command(pass: &Pass, plan: &Plan) -> String {
    format!(
        "kubectl -n {} annotate orch {} --overwrite {APPROVE_MIGRATIONS}={}",
        pass.namespace(),
        pass.name(),
        plan.digest
    )
}

/// Writes the plan into its ConfigMap. One of that name that this Orchestra does not own is refused.
pub async fn tell(pass: &Pass, review: Option<&Review>) -> Result<(), Error> {
    let Some(plan) = waiting(review) else { return Ok(()) };
    let wanted = render(pass, plan)?;
    let api: Api<ConfigMap> = namespaced(&pass.ctx.core.client, &pass.object);
    let name = pass.object.plan_name();
    let maps = &pass.ctx.core.stores.config_maps;
    match api.get_metadata_opt(&name).await? {
        None => {
            let parameters = post_parameters(FIELD_MANAGER);
            maps.wrote_whole(&api.create(&parameters, &wanted).await?);
        }
        Some(found) if is_ours(pass, &found) => {
            let parameters = patch_parameters(FIELD_MANAGER).force();
            maps.wrote_whole(&api.patch(&name, &parameters, &Patch::Apply(&wanted)).await?);
        }
        Some(found) => {
            let whose = connection::whose(&found, "this Orchestra");
            return Err(Error::blocked(
                Reason::ConfigMapConflict,
                format!(
                    "ConfigMap {name} exists and {whose}, so the plan of its pending migrations cannot be written there. It \
                     was not changed: copy its data to another name, then delete it"
                ),
            ));
        }
    }
    Ok(())
}

fn render(pass: &Pass, plan: &Plan) -> Result<ConfigMap, Error> {
    let json = plan
        .json()
        .map_err(|error| Error::blocked(Reason::ApprovalPending, error.to_string()))?;
    Ok(ConfigMap {
        metadata: ObjectMeta {
            name: Some(pass.object.plan_name()),
            namespace: pass.object.namespace(),
            labels: Some(BTreeMap::from([(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned())])),
            annotations: Some(BTreeMap::from([(PLAN_DIGEST.to_owned(), plan.digest.clone())])),
            owner_references: Some(pass.object.controller_owner_ref(&()).into_iter().collect()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([
            (PLAN_TEXT.to_owned(), plan.text(&command(pass, plan))),
            (PLAN_JSON.to_owned(), json),
        ])),
        ..ConfigMap::default()
    })
}

/// Deletes the ConfigMap, if it is ours.
pub async fn clear(pass: &Pass) -> Result<(), Error> {
    let api: Api<ConfigMap> = namespaced(&pass.ctx.core.client, &pass.object);
    let name = pass.object.plan_name();
    let found: Option<PartialObjectMeta<ConfigMap>> = api.get_metadata_opt(&name).await?;
    if let Some(found) = found.filter(|found| is_ours(pass, found)) {
        let parameters = DeleteParams {
            preconditions: Some(Preconditions {
                uid: found.uid(),
                ..Preconditions::default()
            }),
            ..DeleteParams::default()
        };
        match api.delete(&name, &parameters).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let plan = ObjectRef::new(&name).within(pass.namespace());
    pass.ctx.core.stores.config_maps.removed(&plan);
    Ok(())
}
