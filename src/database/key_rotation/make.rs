//! Makes the new keys.

use jiff::Timestamp;
use secrecy::SecretString;

use super::{ProviderResult, begun, former, over, settled, take_begun, warn};
use crate::api::condition::Reason;
use crate::controller::error::Error;
use crate::controller::status::{News, tell};
use crate::credentials::api_keys::{FIRST, KeyKind, KeyState, MadeKey, NewKeys, PendingKeys, name_of, number_of};
use crate::credentials::owner::{self, OwnerSecret};
use crate::database::plan::ClaimState;
use crate::database::published_keys::{PublishedKeys, had};
use crate::database::{Pass, holder};
use crate::supabase::keys::{ApiKey, serves};
use crate::supabase::operation::Operation;
use crate::supabase::types::KeyType;
use crate::supabase::{self, Account};
use crate::text;

/// The most keys that an event names.
const NAMED: usize = 8;

/// The longest identity of a key: the API has UUIDs.
const IDENTITY: usize = 64;

/// Records which keys are about to be made.
pub async fn begin(
    pass: &mut Pass,
    (stored, claim): (&OwnerSecret, ClaimState),
    account: &Account,
    reference: &str,
) -> Result<ProviderResult, Error> {
    let (follows, former) = (holder::login(pass).rotated_at, former(pass, claim));
    if stored.address.is_none() || !stored.api_keys.is_due(follows, former.as_deref()) {
        // The watch is late, or too many former keys are left.
        over(pass);
        return Ok(Ok(()));
    }
    let keys = match account.client().list_keys(reference).await {
        Ok(keys) => keys,
        Err(error) => return Ok(Err(error)),
    };
    let (mut kinds, legacy) = rotated(&keys, stored);
    let (secrets, name) = (owner::secrets(&pass.ctx.core), pass.name().to_owned());
    if keys.is_empty() && claim == ClaimState::Released {
        // It has none to end.
        kinds.clear();
    }
    if kinds.is_empty() {
        if legacy.is_empty() && claim != ClaimState::Released {
            return Ok(Err(supabase::Error::NotReady {
                operation: Operation::GetApiKeys,
                message: "it has no API keys".to_owned(),
            }));
        }
        let left = is_legacy_left(account, reference, stored, former.as_ref()).await;
        owner::change_keys(&secrets, &name, |state| state.skip(follows, former, left)).await?;
        if left || (!legacy.is_empty() && claim != ClaimState::Released) {
            warn(pass, Reason::KeysKept, only_legacy(claim).to_owned()).await;
        }
        settled(pass);
        return Ok(Ok(()));
    }
    let highest = keys.iter().filter_map(|key| number_of(&name, &key.name)).max();
    let begin = |state: &mut KeyState| state.begin(kinds, highest.unwrap_or_default(), follows);
    owner::change_keys(&secrets, &name, begin).await?;
    begun(pass, keys);
    Ok(Ok(()))
}

/// Whether legacy keys are enabled that an Orchestra had which has released the database. Without an answer, they count as
/// enabled: it is asked again with the next read of the keys.
async fn is_legacy_left(account: &Account, reference: &str, stored: &OwnerSecret, former: Option<&String>) -> bool {
    if former.is_none() || !stored.api_keys.legacy_given {
        return false;
    }
    account
        .client()
        .legacy_keys_enabled(reference)
        .await
        .unwrap_or_else(|error| {
            tracing::info!(%error, "whether the legacy keys are enabled is not known");
            true
        })
}

fn only_legacy(claim: ClaimState) -> &'static str {
    match claim {
        ClaimState::Released => {
            "the project has legacy API keys (JWT) only, which the operator does not replace: the deleted Orchestra's keys \
             still work. Make a publishable and a secret key in the provider's dashboard (project settings, API keys), and \
             disable the legacy ones there"
        }
        _ => {
            "the project has legacy API keys (JWT) only, which the operator does not rotate: make a publishable and a secret \
             key in the provider's dashboard (project settings, API keys), and the next rotation replaces them"
        }
    }
}

/// The kinds of new keys: those that the project has besides its legacy keys, or had before somebody deleted them; and the
/// names of the legacy ones.
pub(super) fn rotated(keys: &[ApiKey], stored: &OwnerSecret) -> (Vec<KeyKind>, Vec<String>) {
    let has = |kind: &KeyKind| had(stored, *kind) || keys.iter().any(|key| serves(key, &kind.type_()));
    let legacy = keys.iter().filter(|key| key.is(&KeyType::Legacy));
    (
        KeyKind::ALL.into_iter().filter(has).collect(),
        legacy.map(|key| key.name.clone()).collect(),
    )
}

/// Makes the recorded keys, unless they exist, and stores them once the project's own API accepts them.
pub async fn make(
    pass: &mut Pass,
    (stored, claim): (&OwnerSecret, ClaimState),
    now: Timestamp,
    (account, reference): (&Account, &str),
) -> Result<ProviderResult, Error> {
    let begun = take_begun(pass);
    let pending = stored.api_keys.pending.as_ref().filter(|_| stored.address.is_some());
    let Some(pending) = pending else {
        over(pass);
        return Ok(Ok(()));
    };
    let (core, name) = (pass.ctx.core.clone(), pass.name().to_owned());
    let (listed, made) = match made(account, reference, &name, pending, begun).await {
        Ok(found) => found,
        Err(error) => return Ok(Err(error)),
    };
    let value = |kind: KeyKind| {
        let first = made.iter().find(|(key, _)| key.kind == kind);
        first.map(|(_, value)| value.clone())
    };
    let values = (value(KeyKind::Publishable), value(KeyKind::Secret));
    if let Err(error) = accepted(account, reference, [values.0.as_ref(), values.1.as_ref()]).await {
        return Ok(Err(error));
    }
    let mut first = Vec::new();
    if pass.object.adopted().is_none() {
        first = first_keys(&listed, &pending.kinds);
    }
    let made: Vec<_> = made.into_iter().map(|(key, _)| key).collect();
    let kept = kept(&listed, &stored.api_keys, &[&*made, &*first].concat());
    let former = former(pass, claim);
    let keys = NewKeys {
        number: pending.number,
        made,
        first,
        legacy_left: is_legacy_left(account, reference, stored, former.as_ref()).await,
        former,
    };
    let all_new = values.0.is_some() && values.1.is_some();
    let mut ended = false;
    let end = |state: &mut KeyState| {
        ended = state.end(keys, now);
        ended
    };
    owner::store_keys(&owner::secrets(&core), &name, values, end).await?;
    if !ended {
        over(pass);
        return Ok(Ok(()));
    }
    if all_new {
        pass.keys_work = Some(PublishedKeys::Usable);
    }
    let title = name_of(&name, pending.number);
    tracing::info!(
        project = reference,
        name = title,
        "new API keys are stored and published"
    );
    tell_of_new(pass, claim, &title, &kept).await;
    settled(pass);
    Ok(Ok(()))
}

/// Asks the project's own API whether it accepts the new keys.
async fn accepted(account: &Account, reference: &str, new: [Option<&SecretString>; 2]) -> ProviderResult {
    for key in new.into_iter().flatten() {
        account.client().try_api_key(reference, key).await?;
    }
    Ok(())
}

/// Says under which name the new keys are, and which of the project's keys stay.
async fn tell_of_new(pass: &Pass, claim: ClaimState, title: &str, kept: &[String]) {
    let note = match claim {
        ClaimState::Released => format!(
            "the project has new API keys, named {title}, which nobody gets before an Orchestra takes the database back: those \
             that the deleted Orchestra had are deleted now"
        ),
        _ => format!(
            "the project has new API keys, named {title}: they replace the former ones in the connection Secret, and \
             those that the operator made, or that came with the project, are deleted when the overlap is over"
        ),
    };
    tell(&pass.ctx.core, &pass.object, &News::normal(Reason::KeysRotated, note)).await;
    if !kept.is_empty() {
        let kept = text::names(kept, NAMED, kept.len());
        let note = format!(
            "the operator neither changes nor deletes these API keys of the project, because they are legacy ones (JWT), or \
             because it has no record of making them or the project: {kept}. Delete or disable them in the provider's dashboard \
             when nothing uses them"
        );
        warn(pass, Reason::KeysKept, note).await;
    }
}

/// The keys of a name, by kind: the existing ones, or else a new one. Also the project's keys as they were listed.
async fn made(
    account: &Account,
    reference: &str,
    database: &str,
    pending: &PendingKeys,
    begun: Option<Vec<ApiKey>>,
) -> Result<(Vec<ApiKey>, Vec<(MadeKey, SecretString)>), supabase::Error> {
    let (client, title) = (account.client(), name_of(database, pending.number));
    let listed = match begun {
        Some(keys) => keys,
        // A key of an earlier attempt may exist.
        None => client.list_keys(reference).await?,
    };
    let mut made = Vec::new();
    for kind in pending.kinds.iter().copied() {
        let is_it = |key: &&ApiKey| key.name == title && key.is(&kind.type_());
        let mut found: Vec<_> = listed.iter().filter(is_it).cloned().collect();
        if found.is_empty() {
            let description = format!("made by the Orchestra operator for {database}, which deletes it in time");
            let new = client
                .create_api_key(reference, &kind.type_(), &title, &description)
                .await?;
            found.push(new);
        }
        for key in found {
            let value = key.revealed()?;
            let id = key.id.filter(|id| is_identity(id));
            let id = id.ok_or_else(|| supabase::Error::Undecodable {
                operation: Operation::CreateApiKey,
                cause: "the key has no identity".to_owned(),
            })?;
            let name = title.clone();
            made.push((MadeKey { id, name, kind }, value));
        }
    }
    Ok((listed, made))
}

/// The keys that a project has from its creation on, of the kinds that are replaced.
pub(super) fn first_keys(listed: &[ApiKey], kinds: &[KeyKind]) -> Vec<MadeKey> {
    let mut first = Vec::new();
    for key in listed.iter().filter(|key| key.name == FIRST) {
        let kind = kinds.iter().copied().find(|kind| serves(key, &kind.type_()));
        let id = key.id.clone().filter(|id| is_identity(id));
        if let (Some(kind), Some(id)) = (kind, id) {
            let name = FIRST.to_owned();
            first.push(MadeKey { id, name, kind });
        }
    }
    first
}

/// Whether a text is the identity of a key, and no other part of a path.
pub(super) fn is_identity(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=IDENTITY).contains(&id.len()) && id.bytes().all(plain) && id != "legacy"
}

/// The listed keys that the operator does not replace.
pub(super) fn kept(listed: &[ApiKey], known: &KeyState, made: &[MadeKey]) -> Vec<String> {
    let is_others = |key: &&ApiKey| {
        let id = key.id.as_deref().unwrap_or_default();
        !known.has(id) && !made.iter().any(|made| made.id == id)
    };
    let kinds = [KeyType::Publishable, KeyType::Secret, KeyType::Legacy];
    let named = |key: &ApiKey| {
        let kind = kinds.iter().find(|kind| key.is(kind));
        let kind = kind.map_or("of another kind", |kind| kind.as_ref());
        format!("{} ({kind})", text::line(&key.name, IDENTITY))
    };
    listed.iter().filter(is_others).map(named).collect()
}
