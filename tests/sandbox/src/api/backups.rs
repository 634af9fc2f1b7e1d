//! Backups, of which a fresh project has none.

use serde_json::json;

use super::reply::{Call, Reply};
use super::state::Inner;
use super::world::Life;

pub(super) fn list(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let project = world.project(call.project())?;
    let body = json!({
        "region": project.region,
        "walg_enabled": true,
        "pitr_enabled": project.settings.addons.contains_key("pitr"),
        "backups": [],
        "physical_backup_data": {},
    });
    Ok(Reply::json(200, body))
}

/// The project is down for a while; its data stay as they are.
pub(super) async fn restore_pitr(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    {
        let mut world = inner.world();
        let project = world.project(call.project())?;
        if !project.settings.addons.contains_key("pitr") {
            return Err(Reply::message(400, "PITR is not enabled for this project."));
        }
        if project.healthy_for().is_none() {
            return Err(Reply::message(400, "Project must be active and healthy."));
        }
        project.life = Life::RestoringBackup {
            until: Life::much_later(),
        };
    }
    inner.restart(call.project(), inner.behaviour().coming_up).await?;
    Ok(Reply::empty(201))
}
