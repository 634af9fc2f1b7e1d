//! Executes the steps about the server and the number of entries.

use super::observe::Observed;
use super::plan::{ServerWork, Step};
use super::status;
use super::work::{self, ServerTask};
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::credentials::made;
use crate::pool::act::await_end;
use crate::pool::warm::plan as counting;
use crate::pool::{BEHIND, Pass};

/// Executes a step; `None` when the pass continues at once.
pub async fn act(pass: &mut Pass, step: Step, observed: &Observed) -> Result<Option<Next>, Error> {
    match step {
        Step::Keep(names) => leave(pass, &names, false).await?,
        Step::Make(names) => begin(pass, observed, &names, ServerTask::Make),
        Step::Renew(names) => begin(pass, observed, &names, ServerTask::Password),
        Step::Remove(names) => begin(pass, observed, &names, ServerTask::Remove),
        Step::AwaitWork => {
            let young = |work: &ServerWork| *work == ServerWork::Running { young: true };
            let young = observed.facts.entries.iter().filter(|entry| young(&entry.work));
            let ids: Vec<_> = young.map(|entry| work::id(pass.uid(), &entry.name)).collect();
            await_end(&pass.ctx.probes, &ids).await;
        }
        Step::Count(step) => return count(pass, step, observed).await,
        Step::Idle(wait) => return Ok(Some(wait.map_or(Next::Rest, Next::After))),
    }
    Ok(None)
}

fn begin(pass: &Pass, observed: &Observed, names: &[String], subject: ServerTask) {
    for entry in names.iter().filter_map(|name| observed.entries.get(name)) {
        work::begin(pass, entry, subject);
    }
}

async fn leave(pass: &Pass, names: &[String], leaving: bool) -> Result<(), Error> {
    for name in names {
        made::note_leaving(&pass.ctx.core, name, leaving).await?;
    }
    Ok(())
}

async fn count(pass: &mut Pass, step: counting::Step, observed: &Observed) -> Result<Option<Next>, Error> {
    use counting::Step as Is;
    let mut planned = observed.facts.counted.planned.clone();
    match step {
        Is::AddFinalizer => pass.set_finalizer(true).await?,
        Is::RemoveFinalizer => {
            // A watch may lag behind the writes of an earlier leader.
            if made::any(&pass.ctx.core, pass.name()).await? {
                return Ok(Some(Next::After(BEHIND)));
            }
            pass.set_finalizer(false).await?;
            return Ok(Some(Next::Gone));
        }
        Is::Settle => status::write_planned(pass, planned).await?,
        Is::Plan(more) => {
            planned.extend((0..more).map(|_| made::mint()));
            status::write_planned(pass, planned).await?;
        }
        Is::Drop(names) => {
            planned.retain(|name| !names.contains(name));
            status::write_planned(pass, planned).await?;
        }
        Is::Create(names) => {
            for name in names {
                made::create(&pass.ctx.core, pass.name(), &name).await?;
            }
        }
        Is::Destroy(names) => leave(pass, &names, true).await?,
        Is::Prepare(_) | Is::AwaitPreparations | Is::Yield | Is::Wait(_) | Is::Rest => {}
    }
    Ok(None)
}
