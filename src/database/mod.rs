//! OrchestraDatabase: the life of the paid thing. [`plan`] tells it on one page.

mod act;
mod logins;
mod observe;
pub mod plan;
mod status;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;

use crate::api::OrchestraDatabase;
use crate::controller::Context;
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::postgres::Login;

pub use logins::Logins;
pub use status::report;

/// One pass: observe → plan → status → act, step by step until it has to wait.
pub async fn pass(database: Arc<OrchestraDatabase>, ctx: Arc<Context>) -> Result<Next, Error> {
    let mut pass = Pass {
        object: (*database).clone(),
        announced: false,
        proven: false,
        ctx,
    };
    loop {
        let observed = observe::observe(&pass).await?;
        let step = plan::plan(&observed.seen);
        tracing::debug!(?step, "next");
        status::write(&mut pass, step, &observed).await?;
        if let Some(next) = act::act(&mut pass, step, &observed).await? {
            return Ok(next);
        }
    }
}

/// One pass over an OrchestraDatabase, with what it alone knows.
struct Pass {
    ctx: Arc<Context>,
    /// The resource, as the last write of this pass left it.
    object: OrchestraDatabase,
    /// The intent to create was written in this pass, and nothing was sent since.
    announced: bool,
    /// A login succeeded in this pass.
    proven: bool,
}

impl Pass {
    fn api(&self) -> Api<OrchestraDatabase> {
        Api::all(self.ctx.client.clone())
    }

    fn name(&self) -> &str {
        self.object.metadata.name.as_deref().unwrap_or_default()
    }
}

/// The API of the Secrets in the operator's namespace.
pub fn secrets(ctx: &Context) -> Api<Secret> {
    Api::namespaced(ctx.client.clone(), &ctx.settings.namespace)
}

/// The owner's login of a hosted database.
pub fn owner_login(owner: &crate::credentials::owner::Owner) -> Option<Login> {
    let (password, address) = (owner.password.clone()?, owner.address.as_ref()?);
    Some(Login {
        host: address.host.clone(),
        port: address.session_port,
        database: address.database.clone(),
        user: address.user.clone(),
        password,
        tls: crate::postgres::Tls::Require,
    })
}
