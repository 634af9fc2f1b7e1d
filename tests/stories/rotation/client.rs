//! A client of a tenant's database.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kube::api::{Api, DynamicObject};
use orchestra_sandbox::world::{TENANTS, World};
use sqlx::Connection as _;

use crate::support::{decoded, login};

/// A client that reads the Secret and logs in, ten times a second.
pub struct Client {
    stop: Arc<AtomicBool>,
    logins: Arc<AtomicUsize>,
    began: Instant,
    task: tokio::task::JoinHandle<Vec<String>>,
}

impl Client {
    pub fn start(world: &World, secret: &str) -> Self {
        let (stop, logins) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let resource = kube::core::ApiResource::erase::<k8s_openapi::api::core::v1::Secret>(&());
        let secrets: Api<DynamicObject> = Api::namespaced_with(world.admin.clone(), TENANTS, &resource);
        let (stopped, count, name) = (stop.clone(), logins.clone(), secret.to_owned());
        let task = tokio::spawn(async move {
            let mut failures = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let began = Instant::now();
                let read = serde_json::to_value(secrets.get(&name).await.unwrap()).unwrap();
                let keys = decoded(&read);
                match login(&keys["DATABASE_URL"]).await {
                    Ok(session) => {
                        count.fetch_add(1, Ordering::Relaxed);
                        let _ = session.close().await;
                    }
                    Err(error) => failures.push(format!("{} at {}: {error}", keys["user"], jiff::Timestamp::now())),
                }
                tokio::time::sleep(Duration::from_millis(100).saturating_sub(began.elapsed())).await;
            }
            failures
        });
        Self {
            stop,
            logins,
            began: Instant::now(),
            task,
        }
    }

    /// Logins, and how many a second.
    pub async fn end(self) -> (usize, f64) {
        let seconds = self.began.elapsed().as_secs_f64();
        self.stop.store(true, Ordering::Relaxed);
        assert_eq!(self.task.await.unwrap(), Vec::<String>::new(), "failed logins");
        let logins = self.logins.load(Ordering::Relaxed);
        #[allow(clippy::cast_precision_loss, reason = "a test makes few logins")]
        let rate = logins as f64 / seconds;
        (logins, rate)
    }
}
