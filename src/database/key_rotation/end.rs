//! Ends the former keys.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::{ProviderResult, is_published, is_unused, over, settled, warn};
use crate::api::Orchestra;
use crate::api::condition::Reason;
use crate::controller::error::Error;
use crate::controller::status::{News, tell};
use crate::credentials::api_keys::MadeKey;
use crate::credentials::owner::{self, OwnerSecret};
use crate::database::plan::ClaimState;
use crate::database::{Pass, holder};
use crate::supabase::Account;
use crate::supabase::keys::ApiKey;

/// How long former keys stay that an Orchestra may have read before it publishes its Secret for the first time.
const UNSEEN: SignedDuration = SignedDuration::from_mins(5);

/// Records when the former keys end, once the newer ones are published, and deletes those whose overlap has ended.
pub async fn end(
    pass: &mut Pass,
    (stored, claim): (&OwnerSecret, ClaimState),
    now: Timestamp,
    (account, reference): (&Account, &str),
) -> Result<ProviderResult, Error> {
    let (core, name) = (pass.ctx.core.clone(), pass.name().to_owned());
    let secrets = owner::secrets(&core);
    let holder = holder::watched(pass);
    let released = claim == ClaimState::Released;
    // The Orchestra that had them has released the database, and no application of this one has got them.
    let unused = is_unused(holder.as_deref());
    if released {
        // An Orchestra that has taken the database back meanwhile may publish these keys: that is a conflict.
        pass.change(json!({})).await?;
    }
    let due = ended(pass, stored, holder.filter(|_| !released), (released, now)).await?;
    if due.is_empty() {
        over(pass);
        return Ok(Ok(()));
    }
    let listed = match account.client().list_keys(reference).await {
        Ok(listed) => listed,
        Err(error) => return Ok(Err(error)),
    };
    let (mut deleted, mut outcome) = (Vec::new(), Ok(()));
    for key in due {
        match judge(&key, &listed, stored) {
            FormerKeyVerdict::Gone => {}
            FormerKeyVerdict::InUse => {
                owner::change_keys(&secrets, &name, |state| state.restore(&key.id)).await?;
                continue;
            }
            FormerKeyVerdict::Changed => {
                warn(pass, Reason::KeysKept, changed(&key.name)).await;
            }
            FormerKeyVerdict::Ours => match account.client().delete_api_key(reference, &key.id).await {
                Ok(()) => deleted.push(format!("{} ({})", key.name, key.kind.type_())),
                Err(error) if error.is_gone() => {}
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            },
        }
        owner::change_keys(&secrets, &name, |state| state.forget(&key.id)).await?;
    }
    if !deleted.is_empty() {
        let why = if released || unused {
            "the Orchestra that had them is deleted"
        } else {
            "the overlap is over"
        };
        let note = format!("{why}: the former API keys {} are deleted", deleted.join(", "));
        tell(&pass.ctx.core, &pass.object, &News::normal(Reason::KeysRevoked, note)).await;
    }
    if outcome.is_ok() {
        settled(pass);
    }
    Ok(outcome)
}

/// Records when the former keys end, if the newer ones are published. Returns those that have ended.
async fn ended(
    pass: &Pass,
    stored: &OwnerSecret,
    holder: Option<Arc<Orchestra>>,
    (released, now): (bool, Timestamp),
) -> Result<Vec<MadeKey>, Error> {
    let digest = stored.address.as_ref().and_then(|address| address.keys.as_ref());
    let unused = is_unused(holder.as_deref());
    if !released && !unused && !is_published(holder.as_deref(), digest) {
        return Ok(Vec::new());
    }
    let overlap = match holder {
        Some(_) if unused => UNSEEN,
        Some(holder) => overlap(&holder),
        None => SignedDuration::ZERO,
    };
    let mut state = stored.api_keys.clone();
    state.published(now, overlap);
    if state != stored.api_keys {
        let secrets = owner::secrets(&pass.ctx.core);
        owner::change_keys(&secrets, pass.name(), |state| state.published(now, overlap)).await?;
    }
    Ok(state.overdue(if released { Timestamp::MAX } else { now }))
}

fn changed(name: &str) -> String {
    format!(
        "the API key that was named {name} has another name or type now, so it may belong to someone else and is not deleted"
    )
}

/// What happens with a former key whose overlap has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FormerKeyVerdict {
    /// It no longer exists.
    Gone,
    /// It is still the key that the operator made.
    Ours,
    /// Somebody has changed it.
    Changed,
    /// It is stored for the connection Secret.
    InUse,
}

pub(super) fn judge(key: &MadeKey, listed: &[ApiKey], stored: &OwnerSecret) -> FormerKeyVerdict {
    let Some(found) = listed.iter().find(|found| found.id.as_ref() == Some(&key.id)) else {
        return FormerKeyVerdict::Gone;
    };
    let is_stored = |value: &SecretString| {
        let address = stored.address.as_ref();
        address.is_some_and(|address| {
            [&address.anon_key, &address.service_role_key]
                .iter()
                .any(|stored| stored.expose_secret() == value.expose_secret())
        })
    };
    if found.name != key.name || !found.is(&key.kind.type_()) {
        FormerKeyVerdict::Changed
    } else if stored.api_keys.ids().contains(&key.id) || found.api_key.as_ref().is_some_and(is_stored) {
        FormerKeyVerdict::InUse
    } else {
        FormerKeyVerdict::Ours
    }
}

fn overlap(holder: &Arc<Orchestra>) -> SignedDuration {
    SignedDuration::try_from(holder.spec.connection.overlap().as_std()).unwrap_or(SignedDuration::MAX)
}
