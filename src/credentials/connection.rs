//! The tenant's Secret, beside the Orchestra: its own login, in the keys that libraries read.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Resource, ResourceExt};
use secrecy::ExposeSecret;

use super::owner::Address;
use crate::api::condition::Reason;
use crate::api::names::{FIELD_MANAGER, MANAGED_BY, ORCHESTRA_LABEL};
use crate::api::{ConnectionMode, Orchestra};
use crate::controller::error::Error;
use crate::postgres::Login;

/// What a tenant is given.
#[derive(Clone, Debug)]
pub struct Handover {
    /// The tenant's login for sessions.
    pub session: Login,
    /// The tenant's login for transactions; `None` for an entry of a static pool.
    pub transaction: Option<Login>,
    /// The hosted project's address and keys; `None` for an entry of a static pool.
    pub address: Option<Address>,
}

impl Handover {
    /// The login of `DATABASE_URL` and of the libpq keys.
    pub fn primary(&self, mode: ConnectionMode) -> &Login {
        match (mode, &self.transaction) {
            (ConnectionMode::TransactionPooler, Some(login)) => login,
            _ => &self.session,
        }
    }

    /// Whether that login is the one for transactions.
    pub fn is_pooled(&self, mode: ConnectionMode) -> bool {
        mode == ConnectionMode::TransactionPooler && self.transaction.is_some()
    }

    /// The digest of the keys, once the provider has changed them.
    pub fn keys(&self) -> Option<String> {
        self.address.as_ref()?.keys.clone()
    }

    /// The Secret's data. Keys without a value are absent: an entry of a static pool has no
    /// `SUPABASE_URL`.
    fn data(&self, mode: ConnectionMode) -> BTreeMap<String, ByteString> {
        let primary = self.primary(mode);
        let url = primary.url().expose_secret().to_string();
        // With this flag Prisma does not use prepared statements, which do not outlive a transaction at the pooler.
        let pooled = self.is_pooled(mode);
        let flag = if url.contains('?') {
            "&pgbouncer=true"
        } else {
            "?pgbouncer=true"
        };
        let database_url = if pooled { format!("{url}{flag}") } else { url.clone() };
        let mut values = vec![
            ("DATABASE_URL", database_url),
            ("DIRECT_URL", self.session.url().expose_secret().to_string()),
            ("uri", url),
            ("host", primary.host.clone()),
            ("port", primary.port.to_string()),
            ("dbname", primary.database.clone()),
            ("user", primary.user.clone()),
            ("password", primary.password.expose_secret().to_string()),
        ];
        if let Some(roots) = primary.published_roots() {
            values.push(("ca.crt", roots.to_string()));
        }
        if let Some(address) = &self.address {
            values.push(("SUPABASE_URL", address.project_url.clone()));
            values.push(("SUPABASE_ANON_KEY", address.anon_key.expose_secret().to_string()));
            values.push((
                "SUPABASE_SERVICE_ROLE_KEY",
                address.service_role_key.expose_secret().to_string(),
            ));
        }
        values
            .into_iter()
            .map(|(key, value)| (key.to_string(), ByteString(value.into_bytes())))
            .collect()
    }
}

/// The Secret as it should be.
pub fn render(orchestra: &Orchestra, handover: &Handover) -> Secret {
    let labels = [MANAGED_BY, (ORCHESTRA_LABEL, &orchestra.name_any())];
    Secret {
        metadata: ObjectMeta {
            name: Some(orchestra.secret_name()),
            namespace: orchestra.namespace(),
            labels: Some(
                labels
                    .map(|(key, value)| (key.to_string(), value.chars().take(63).collect()))
                    .into(),
            ),
            owner_references: Some(orchestra.controller_owner_ref(&()).into_iter().collect()),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".into()),
        data: Some(handover.data(orchestra.spec.connection.mode)),
        ..Secret::default()
    }
}

/// Reads the Secret, and whether it holds the wanted data. A Secret of that name that this Orchestra does not own is
/// an error: it is never overwritten.
pub async fn find(api: &Api<Secret>, orchestra: &Orchestra, wanted: &Secret) -> Result<Option<(Secret, bool)>, Error> {
    let name = orchestra.secret_name();
    let Some(secret) = api.get_opt(&name).await? else {
        return Ok(None);
    };
    let ours = secret
        .owner_references()
        .iter()
        .any(|owner| Some(&owner.uid) == orchestra.metadata.uid.as_ref());
    if !ours {
        let whose = whose(&secret, "this Orchestra");
        return Err(Error::blocked(
            Reason::SecretConflict,
            format!(
                "Secret {name} exists and {whose}. It was not changed: set spec.connection.secretName to another name, or, \
                 if nobody needs that Secret, delete it"
            ),
        ));
    }
    let current = secret.data == wanted.data;
    Ok(Some((secret, current)))
}

/// Whose a foreign object is: what it says of its owner, as far as it says anything.
pub fn whose(object: &impl ResourceExt, not: &str) -> String {
    let owners = object.owner_references();
    match owners
        .iter()
        .find(|owner| owner.controller == Some(true))
        .or(owners.first())
    {
        Some(owner) => format!("belongs to {} {}, not to {not}", owner.kind, owner.name),
        None => format!("does not belong to {not}"),
    }
}

/// Writes the Secret. A new one is created, so that a foreign one of that name is never touched: when there
/// is one already, it is looked at first. One of ours is server-side applied.
///
/// # Errors
/// When a foreign Secret has the name, or Kubernetes fails.
pub async fn publish(api: &Api<Secret>, orchestra: &Orchestra, wanted: &Secret, exists: bool) -> Result<Secret, Error> {
    if !exists {
        let parameters = PostParams {
            field_manager: Some(FIELD_MANAGER.into()),
            ..PostParams::default()
        };
        match api.create(&parameters, wanted).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            created => return Ok(created?),
        }
        find(api, orchestra, wanted).await?;
    }
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let name = wanted.name_any();
    Ok(api.patch(&name, &parameters, &Patch::Apply(wanted)).await?)
}
