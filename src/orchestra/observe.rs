//! Looks up the facts for [`super::plan`]. It only reads, and stops at the first fact that decides.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use sqlx::postgres::PgConnection;

use super::claim::{self, Offer};
use super::expiry::{self, Life};
use super::idle::{self, Unused};
use super::inside::{self, InsideFacts};
use super::plan::{DatabaseState, Facts, IdleState, Inside, Power, Supply, TtlState};
use super::{Pass, approval, existing, power, restore};
use crate::api::condition::Reason;
use crate::api::{ORCHESTRA_FINALIZER, Orchestra, OrchestraClass, OrchestraDatabase};
use crate::class;
use crate::content::TenantContext;
use crate::controller::error::Error;
use crate::controller::unreadable;

/// The facts that were looked up, for the plan, the status and the effects of the step.
pub struct Observed {
    /// The time of this look.
    pub now: Timestamp,
    /// The part that the plan decides by.
    pub facts: Facts,
    /// The message for people; empty when the step's own text is sufficient.
    pub message: String,
    /// The class that meets the claim.
    pub class: Option<Arc<OrchestraClass>>,
    /// The claimed database.
    pub database: Option<OrchestraDatabase>,
    /// The names of the databases that could be claimed now, the best one first.
    pub candidates: Vec<String>,
    /// The facts about the inside of a usable database.
    pub inside: InsideFacts,
    /// Since when nobody uses the database, when that is to be recorded.
    pub unused: Option<Unused>,
    /// The end of its ttl.
    pub life: Life,
}

impl Observed {
    fn new(facts: Facts, now: Timestamp) -> Self {
        Self {
            now,
            facts,
            message: String::new(),
            class: None,
            database: None,
            candidates: Vec::new(),
            inside: InsideFacts::new(Inside::UNSEEN, now),
            unused: None,
            life: Life::default(),
        }
    }

    /// The Orchestra with the values of its class and its database.
    pub fn tenant<'a>(&'a self, object: &'a Orchestra) -> TenantContext<'a> {
        TenantContext {
            object,
            class: self.class.as_deref(),
            database: self.database.as_ref(),
        }
    }
}

/// Looks up what the next step depends on.
///
/// # Errors
/// The error of a lookup.
pub async fn observe(pass: &Pass, session: Option<&mut PgConnection>) -> Result<Observed, Error> {
    let finalizers = pass.object.finalizers();
    let now = Timestamp::now();
    let facts = Facts {
        deleting: pass.is_deleting(),
        finalizer: finalizers.iter().any(|name| name == ORCHESTRA_FINALIZER),
        revoked: pass.revoked,
        restoring: pass.is_deleting() && restore::is_under_way(pass),
        expiry: TtlState::Later,
        database: DatabaseState::Provisioning,
        power: Power::Running,
        idle: IdleState::No,
    };
    let mut observed = Observed::new(facts, now);
    if !observed.facts.finalizer {
        return Ok(observed);
    }
    observed.life = expiry::look(pass, now).await?;
    observed.facts.expiry = observed.life.due;
    if observed.facts.expiry != TtlState::Later {
        return Ok(observed);
    }
    observe_claim(pass, &mut observed).await?;
    if !observed.facts.deleting {
        observed.facts.power = power::observe(pass, &observed);
    }
    let runs = matches!(observed.facts.power, Power::Running | Power::Refused(_));
    let usable = matches!(observed.facts.database, DatabaseState::Usable(_));
    if usable && runs && !observed.facts.deleting {
        let facts = inside::observe(pass, &observed.tenant(&pass.object), session, now).await?;
        let waits = approval::message(pass, facts.review());
        observed.message = facts.message.clone().or(waits).unwrap_or_default();
        observed.facts.database = DatabaseState::Usable(facts.inside);
        observed.inside = facts;
        if observed.inside.inside.rests() {
            (observed.facts.idle, observed.unused) = idle::observe(pass, &observed);
        }
    }
    if let Some(message) = power::message(pass, &observed).filter(|_| observed.message.is_empty() || !runs) {
        observed.message = message;
    }
    Ok(observed)
}

/// The claimed database, or how one could be claimed.
async fn observe_claim(pass: &Pass, observed: &mut Observed) -> Result<(), Error> {
    let status = pass.object.status.as_ref();
    let recorded = status.and_then(|status| status.database_name.as_ref());
    let mut found = claim::known(pass);
    if found.is_none() && (observed.facts.deleting || recorded.is_some()) {
        found = claim::find(pass).await?;
    }
    if let Some(database) = found {
        unreadable::check(&database)?;
        observed.class = match class::resolve(&pass.ctx.class, database.spec.class_name.as_deref()) {
            Err(error) if error.reason() == Reason::UnknownValue => return Err(error),
            class => class.ok(),
        };
        (observed.facts.database, observed.message) = claim::state(&database);
        observed.database = Some(database);
        return Ok(());
    }
    if let Some(name) = recorded {
        observed.message = format!(
            "OrchestraDatabase {name}, which this Orchestra claimed, is gone; the database itself, with the data, may still \
             be there. Create the object again from a backup, with its spec.claimRef. Only when nobody needs the data any \
             more, delete the Orchestra and create it again"
        );
    }
    if recorded.is_some() || observed.facts.deleting {
        observed.facts.database = DatabaseState::Lost;
        return Ok(());
    }
    let class = class::resolve(&pass.ctx.class, pass.object.spec.class_name.as_deref())?;
    class::admission::admit(&pass.ctx.class, &class, pass.namespace())?;
    let Offer {
        supply,
        candidates,
        message,
    } = claim::supply(pass, &class).await?;
    observed.facts.database = DatabaseState::None(supply);
    observed.message = message;
    // The author of the Orchestra may want the data of the earlier one.
    if let Some(earlier) = existing::told(pass).filter(|_| !observed.message.is_empty()) {
        observed.message = format!("{}. {earlier}", observed.message);
    }
    if matches!(supply, Supply::Provider(_) | Supply::Member(_)) {
        observed.candidates = candidates;
    }
    observed.class = Some(class);
    Ok(())
}
