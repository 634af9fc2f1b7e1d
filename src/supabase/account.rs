//! One account for each token and organization. Its users share the client, the rate limiter and the poll.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OnceCell, watch};

use super::client::Client;
use super::error::Error;
use super::poll::{DEFAULT_INTERVAL, Poll};
use super::regions::{RegionLists, Regions};
use super::settings::ApiSettings;
use crate::telemetry::metrics::{Metrics, RequestQueue};

/// How long an unused token is kept: longer than the slowest re-check.
const UNUSED: Duration = Duration::from_hours(1);

/// A token's access to one organization.
#[derive(Debug)]
pub struct Account {
    organization: String,
    /// Digest of the token, to distinguish tokens.
    token: [u8; 32],
    client: Arc<Client>,
    poll: Poll,
    regions: RegionLists,
}

impl Account {
    /// The organization's slug.
    pub fn organization(&self) -> &str {
        &self.organization
    }

    /// A name for the token that does not reveal it. Requests that failed with one token may be tried with another.
    pub fn token_digest(&self) -> String {
        hex::encode(self.token)
    }

    /// The token's client, with its rate limiter.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Which regions take new projects of a compute size; at most five minutes old.
    pub async fn regions(&self, size: Option<&str>) -> Arc<Regions> {
        if let Some(recent) = self.regions.recent(size) {
            return recent;
        }
        let list = Arc::new(self.client.regions(&self.organization, size).await);
        self.regions.keep(size, list.clone());
        list
    }

    /// The organization's shared poll.
    pub fn poll(&self) -> &Poll {
        &self.poll
    }
}

/// The client and the accounts of one token.
#[derive(Debug)]
struct ApiToken {
    client: Arc<Client>,
    /// The organization that it sees, when it sees exactly one.
    only: Arc<OnceCell<String>>,
    accounts: HashMap<String, Arc<Account>>,
    used: Instant,
}

/// All accounts in use, by a hash of the token and the organization's slug.
#[derive(Debug)]
pub struct Accounts {
    settings: Arc<ApiSettings>,
    metrics: Arc<Metrics>,
    poll_interval: Duration,
    tokens: Mutex<HashMap<[u8; 32], ApiToken>>,
    /// Counts how often the API has started or stopped accepting a token.
    verdicts: watch::Sender<u64>,
}

impl Accounts {
    /// No accounts. [`Accounts::get`] adds them.
    pub fn new(settings: Arc<ApiSettings>, metrics: Arc<Metrics>) -> Self {
        let tokens = Mutex::default();
        Self {
            settings,
            metrics,
            poll_interval: DEFAULT_INTERVAL,
            tokens,
            verdicts: watch::Sender::default(),
        }
    }

    /// Sets the least time between two listings of an organization, for accounts that are added later.
    #[must_use]
    pub fn with_poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// Changes whenever the answers show that the API has started or stopped accepting a token.
    pub fn verdicts(&self) -> watch::Receiver<u64> {
        self.verdicts.subscribe()
    }

    /// The address of the API, and the hosts that it may name.
    pub fn settings(&self) -> &Arc<ApiSettings> {
        &self.settings
    }

    /// The account of a token and an organization. Without an organization, the one that the
    /// token sees.
    ///
    /// # Errors
    /// When the token cannot be sent; and without an organization, when it cannot be looked up or
    /// is not exactly one.
    pub async fn get(&self, token: &SecretString, organization: Option<&str>) -> Result<Arc<Account>, Error> {
        let key: [u8; 32] = Sha256::digest(token.expose_secret().trim().as_bytes()).into();
        let (client, only) = self.token(key, token)?;
        let organization = match organization.map(str::trim).filter(|slug| !slug.is_empty()) {
            Some(slug) => slug.to_owned(),
            None => only.get_or_try_init(|| the_only_one(&client)).await?.clone(),
        };
        let mut tokens = self.tokens.lock();
        let account = || {
            let poll = Poll::new(client.clone(), organization.clone(), self.poll_interval);
            let organization = organization.clone();
            Arc::new(Account {
                organization,
                token: key,
                client: client.clone(),
                poll,
                regions: RegionLists::default(),
            })
        };
        Ok(match tokens.get_mut(&key) {
            Some(token) => token
                .accounts
                .entry(organization.clone())
                .or_insert_with(account)
                .clone(),
            None => account(),
        })
    }

    /// The Orchestras that wait to send a request, for each token and operation.
    pub fn queues(&self) -> Vec<RequestQueue> {
        let tokens = self.tokens.lock();
        let queues = tokens.values().flat_map(|token| token.client.rate_limiter().queues());
        queues
            .map(|(operation, places)| RequestQueue {
                operation: operation.as_str(),
                orchestras: places.into_iter().map(|place| place.name).collect(),
            })
            .collect()
    }

    /// The client of a token, which is made if needed. Tokens that are no longer used are dropped.
    fn token(&self, key: [u8; 32], token: &SecretString) -> Result<(Arc<Client>, Arc<OnceCell<String>>), Error> {
        let now = Instant::now();
        let mut tokens = self.tokens.lock();
        drop_unused(&mut tokens, now);
        if let Some(known) = tokens.get_mut(&key) {
            known.used = now;
            return Ok((known.client.clone(), known.only.clone()));
        }
        let client = Client::new(self.settings.clone(), token, self.metrics.clone())?.telling(self.verdicts.clone());
        let (client, only) = (Arc::new(client), Arc::default());
        let kept = (Arc::clone(&client), Arc::clone(&only));
        tokens.insert(
            key,
            ApiToken {
                client,
                only,
                accounts: HashMap::new(),
                used: now,
            },
        );
        Ok(kept)
    }
}

fn drop_unused(tokens: &mut HashMap<[u8; 32], ApiToken>, now: Instant) {
    tokens.retain(|_, token| now.saturating_duration_since(token.used) < UNUSED);
}

async fn the_only_one(client: &Client) -> Result<String, Error> {
    let (seen, unread) = client.list_organizations().await?;
    let slugs: Vec<_> = seen.iter().filter_map(|one| one.slug.as_deref()).collect();
    let unclear = unread + seen.len() - slugs.len();
    let message = match (slugs.as_slice(), unclear) {
        ([one], 0) => return Ok((*one).to_owned()),
        ([], 0) => "the token sees no organization".to_owned(),
        (slugs, 0) => {
            let slugs = super::said::capped(&slugs[..slugs.len().min(10)].join(", "));
            format!("the token sees several, so the class must name one of: {slugs}")
        }
        _ => "the list of the token's organizations is not as documented, so the class must name its organization"
            .to_owned(),
    };
    Err(Error::OrganizationNotFound {
        message: message.into(),
    })
}

#[cfg(test)]
mod tests;
