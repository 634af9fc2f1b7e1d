//! Looks things up for [`super::plan`]. It reads only, and stops at the first thing that decides.

use std::sync::Arc;

use kube::ResourceExt;
use sqlx::postgres::PgConnection;

use super::claim::{self, Offer};
use super::expiry::{self, Life};
use super::idle::{self, Look};
use super::inside::{self, Facts};
use super::plan::{Database, Expiry, Idle, Inside, Power, Seen, Supply};
use super::{Pass, approval, existing, power};
use crate::api::{ORCHESTRA_FINALIZER, Orchestra, OrchestraClass, OrchestraDatabase};
use crate::class;
use crate::content::Tenant;
use crate::controller::error::Error;

/// What was looked up, for the plan, the status and the effects of the step.
pub struct Observed {
    /// What the plan goes by.
    pub seen: Seen,
    /// What to tell people; empty when the step's own words will do.
    pub message: String,
    /// The class that meets the claim.
    pub class: Option<Arc<OrchestraClass>>,
    /// The claimed database.
    pub database: Option<OrchestraDatabase>,
    /// The names of the databases that could be claimed now, the best one first.
    pub candidates: Vec<String>,
    /// What was looked up inside of a usable database.
    pub inside: Facts,
    /// What a look has found that was taken to see whether anybody uses the database.
    pub look: Option<Look>,
    /// The end of its ttl.
    pub life: Life,
}

impl Observed {
    fn new(seen: Seen) -> Self {
        Self {
            seen,
            message: String::new(),
            class: None,
            database: None,
            candidates: Vec::new(),
            inside: Facts::new(Inside::UNSEEN),
            look: None,
            life: Life::default(),
        }
    }

    /// The Orchestra with what its class and its database say.
    pub fn tenant<'a>(&'a self, object: &'a Orchestra) -> Tenant<'a> {
        Tenant {
            object,
            class: self.class.as_deref(),
            database: self.database.as_ref(),
        }
    }
}

/// Looks up what the next step depends on.
///
/// # Errors
/// What keeps it from being looked up.
pub async fn observe(pass: &Pass, session: Option<&mut PgConnection>) -> Result<Observed, Error> {
    let finalizers = pass.object.finalizers();
    let mut observed = Observed::new(Seen {
        deleting: pass.is_deleting(),
        finalizer: finalizers.iter().any(|name| name == ORCHESTRA_FINALIZER),
        revoked: pass.revoked,
        expiry: Expiry::Later,
        database: Database::Provisioning,
        power: Power::Running,
        idle: Idle::No,
    });
    if !observed.seen.finalizer {
        return Ok(observed);
    }
    observed.life = expiry::look(pass).await?;
    observed.seen.expiry = observed.life.due;
    if observed.seen.expiry != Expiry::Later {
        return Ok(observed);
    }
    observe_claim(pass, &mut observed).await?;
    if !observed.seen.deleting {
        observed.seen.power = power::observe(pass, &observed);
    }
    let runs = matches!(observed.seen.power, Power::Running | Power::Refused(_));
    let usable = matches!(observed.seen.database, Database::Usable(_));
    if usable && runs && !observed.seen.deleting {
        let facts = inside::observe(pass, &observed.tenant(&pass.object), session).await?;
        let waits = approval::message(pass, facts.review());
        observed.message = facts.message.clone().or(waits).unwrap_or_default();
        observed.seen.database = Database::Usable(facts.inside);
        observed.inside = facts;
        if observed.inside.inside.rests() {
            (observed.seen.idle, observed.look) = idle::observe(pass, &observed).await;
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
    if found.is_none() && (observed.seen.deleting || recorded.is_some()) {
        found = claim::find(pass).await?;
    }
    if let Some(database) = found {
        observed.class = class::resolve(&pass.ctx.class, database.spec.class_name.as_deref()).ok();
        (observed.seen.database, observed.message) = claim::state(&database);
        observed.database = Some(database);
        return Ok(());
    }
    if let Some(name) = recorded {
        observed.message = format!(
            "OrchestraDatabase {name}, which this Orchestra claimed, is gone; the database itself, with the data, may still \
             be there. Create the object again from a backup, with its spec.claimRef. Only when the data are given up, \
             delete the Orchestra and create it again"
        );
    }
    if recorded.is_some() || observed.seen.deleting {
        observed.seen.database = Database::Lost;
        return Ok(());
    }
    let class = class::resolve(&pass.ctx.class, pass.object.spec.class_name.as_deref())?;
    class::admission::admit(&pass.ctx.class, &class, pass.namespace())?;
    let Offer {
        supply,
        candidates,
        message,
    } = claim::supply(pass, &class).await?;
    observed.seen.database = Database::None(supply);
    observed.message = message;
    // What it waits for may be what it had.
    if let Some(earlier) = existing::told(pass).filter(|_| !observed.message.is_empty()) {
        observed.message = format!("{}. {earlier}", observed.message);
    }
    if matches!(supply, Supply::Provider(_) | Supply::Member(_)) {
        observed.candidates = candidates;
    }
    observed.class = Some(class);
    Ok(())
}
