//! Work on the text of a tenant, which may take seconds.

use tokio::sync::Semaphore;

/// One at a time, so that the memory that such work needs meanwhile is needed once.
static AT_WORK: Semaphore = Semaphore::const_new(1);

/// Does the work on a thread of its own: the threads of the runtime, and with them the lease and `/livez`, do not
/// wait for it. None when the work panicked, or the operator stops.
pub async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let turn = AT_WORK.acquire().await.ok()?;
    let task = tokio::task::spawn_blocking(move || {
        // The work goes on when its caller is gone.
        let _turn = turn;
        work()
    });
    task.await.ok()
}
