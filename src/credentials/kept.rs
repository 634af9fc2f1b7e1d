//! The API of an entry's tenant while the keys that the inventory has now are refused.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use kube::runtime::reflector::ObjectRef;

use super::Context;
use super::project::{PARTS, ProjectApi};
use crate::api::{InventoryEntry, Orchestra};
use crate::controller::error::Error;
use crate::controller::write::namespaced;

/// The API that was published last for the tenant of an entry; none where it had none, and where it is being deleted and its
/// Secret is gone. `given` is what the inventory has now, and `wrong` why that is refused.
///
/// # Errors
/// `wrong`, where nothing was published yet, or the Secret no longer has what was; and when Kubernetes fails.
pub(super) async fn api(
    ctx: &Context,
    entry: &InventoryEntry,
    given: Option<&ProjectApi>,
    wrong: Error,
) -> Result<Option<ProjectApi>, Error> {
    let Some(tenant) = tenant(ctx, entry) else {
        return Err(wrong);
    };
    let status = tenant.status.as_ref();
    if let Some(written) = status.and_then(|status| status.secret_ref.as_ref()) {
        let Some(digest) = &written.keys else {
            return Ok(None);
        };
        let mut found = same(given, digest);
        if found.is_none() {
            let secrets: Api<Secret> = namespaced(&ctx.core.client, &*tenant);
            let secret = secrets.get_opt(&written.name).await?;
            found = secret.and_then(|secret| kept_api(&secret, digest));
        }
        if found.is_some() {
            return Ok(found);
        }
    }
    if tenant.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    Err(wrong)
}

/// The Orchestra that holds the database of an entry, or else the one that has released it; none where that is not clear.
fn tenant(ctx: &Context, entry: &InventoryEntry) -> Option<Arc<Orchestra>> {
    let stores = &ctx.core.stores;
    let of_entry = stores
        .databases
        .state_filter(|database| database.spec.inventory.as_ref() == Some(entry) && database.spec.claim_ref.is_some());
    let held: Vec<_> = of_entry.iter().filter(|database| database.is_held()).collect();
    let database = match (&*held, &*of_entry) {
        ([held], _) => *held,
        ([], [released]) => released,
        _ => return None,
    };
    let claim = database.spec.claim_ref.as_ref()?;
    let tenant = stores
        .orchestras
        .get(&ObjectRef::new(&claim.name).within(&claim.namespace));
    tenant.filter(|tenant| tenant.metadata.uid.as_ref() == Some(&claim.uid))
}

/// What the inventory gives, if it is what was published: only what it is compared with has changed.
fn same(given: Option<&ProjectApi>, digest: &str) -> Option<ProjectApi> {
    given.filter(|given| given.digest.as_deref() == Some(digest)).cloned()
}

/// What was published, if the connection Secret still has it.
fn kept_api(secret: &Secret, digest: &str) -> Option<ProjectApi> {
    let data = secret.data.as_ref()?;
    let text = |key: &str| String::from_utf8(data.get(key)?.0.clone()).ok();
    let [url, anon, service] = PARTS.map(text);
    ProjectApi::published([url?, anon?, service?], digest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use k8s_openapi::ByteString;
    use secrecy::{ExposeSecret as _, SecretString};

    use super::super::inventory::Inventory;
    use super::*;

    const KEY: &str = "DATABASE_URL_POOL_1";

    fn inventory(api: &str, service: &str) -> Inventory {
        let values = [
            (KEY, "postgres://postgres.abc@aws-0.pooler.supabase.com/postgres"),
            ("SUPABASE_URL_POOL_1", api),
            ("SUPABASE_ANON_KEY_POOL_1", "sb_publishable_hush"),
            ("SUPABASE_SERVICE_ROLE_KEY_POOL_1", service),
        ];
        let mut inventory = Inventory::default();
        inventory.add(
            None,
            values.map(|(key, value)| (key.to_owned(), SecretString::from(value))),
        );
        inventory
    }

    fn secret(url: &str, service: &str) -> Secret {
        let values = [url, "sb_publishable_hush", service];
        let data = PARTS.into_iter().zip(values);
        let data = data.map(|(key, value)| (key.to_owned(), ByteString(value.as_bytes().to_vec())));
        Secret {
            data: Some(data.collect()),
            ..Secret::default()
        }
    }

    #[test]
    fn what_was_published_stays_while_the_inventorys_keys_are_refused() {
        for url in ["https://abc.supabase.co", "https://abc.supabase.co/"] {
            let right = inventory(url, "sb_secret_hush");
            let right = right.project(KEY).unwrap().unwrap();
            let digest = right.digest.as_deref().unwrap();
            let kept = kept_api(&secret(&right.url, "sb_secret_hush"), digest).unwrap();
            assert_eq!(
                (&kept.url, kept.service_role_key.expose_secret(), &kept.digest),
                (&right.url, "sb_secret_hush", &right.digest)
            );
            assert!(kept_api(&secret(&right.url, "sb_secret_other"), digest).is_none());
            assert!(kept_api(&secret("https://other.supabase.co", "sb_secret_hush"), digest).is_none());
            assert!(kept_api(&Secret::default(), digest).is_none());
            assert!(same(Some(right), digest).is_some() && same(None, digest).is_none());
            let wrong = inventory(url, "sb_publishable_hush");
            assert!(wrong.project(KEY).is_err());
            assert!(same(wrong.given(KEY), digest).is_none());
        }
    }

    #[test]
    fn a_refused_api_that_was_published_is_known_by_its_digest() {
        let refused = inventory("https://abc.supabase.co", "sb_publishable_hush");
        assert!(refused.project(KEY).is_err());
        let digest = refused.given(KEY).unwrap().digest.clone().unwrap();
        let kept = same(refused.given(KEY), &digest).unwrap();
        assert_eq!(kept.service_role_key.expose_secret(), "sb_publishable_hush");
    }
}
