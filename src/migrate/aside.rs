//! Work on the text of a tenant, which may take seconds: the threads of the runtime, and with them the lease and `/livez`,
//! do not wait for it.

use std::cell::Cell;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;

/// One at a time, so that the memory that such work needs meanwhile is needed once.
static AT_WORK: Semaphore = Semaphore::const_new(1);

/// Texts up to this size are parsed on the current thread: moving its other tasks to another thread costs more.
const SHORT: usize = 4 << 10;

/// Work on longer texts than this is done one at a time.
const LONG: usize = 1 << 20;

thread_local! {
    /// This thread does such work already.
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

/// Does the work on a thread of its own. None when the work panicked, or the operator stops.
pub async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let permit = AT_WORK.acquire().await.ok()?;
    let task = tokio::task::spawn_blocking(move || {
        // The work continues when its caller is gone.
        let _permit = permit;
        busy(work)
    });
    task.await.ok()
}

/// Does the work at once, on a text of so many bytes. Meanwhile another thread runs the tasks of this one.
pub fn in_place<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let runtime = Handle::try_current().ok();
    let runtime = runtime.filter(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread);
    match runtime {
        Some(runtime) if bytes > SHORT && !BUSY.get() => tokio::task::block_in_place(|| {
            let permit = (bytes > LONG).then(|| runtime.block_on(AT_WORK.acquire()));
            let done = busy(work);
            drop(permit);
            done
        }),
        _ => work(),
    }
}

fn busy<T>(work: impl FnOnce() -> T) -> T {
    /// Also when the work panics: the thread is used again.
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            BUSY.set(false);
        }
    }
    BUSY.set(true);
    let _end = End;
    work()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::{Duration, Instant};

    use super::*;
    use crate::migrate::{lexer, parse};

    /// The longest time that a task of the runtime waits while this work is done.
    async fn waits(work: impl FnOnce() + Send + 'static) -> Duration {
        let done = tokio::spawn(async move { work() });
        let (mut longest, mut last) = (Duration::ZERO, Instant::now());
        while !done.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        done.await.unwrap();
        longest
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn the_runtime_waits_for_no_text() {
        let long = Duration::from_millis(900);
        for bytes in [SHORT + 1, LONG + 1] {
            let waited = tokio::spawn(waits(move || in_place(bytes, || std::thread::sleep(long))));
            let waited = waited.await.unwrap();
            assert!(waited < long / 2, "{bytes}: {waited:?}");
        }
        // Functions that call the lexer or the parser, wherever they are called.
        let text = format!("SELECT '{}'", "x".repeat(LONG));
        let read = tokio::spawn(waits(move || {
            assert_eq!(lexer::split(&text).unwrap().len(), 1);
            assert!(parse::tree("SELECT 1", pg_query::ParserOptions::DEFAULT).is_some());
        }));
        read.await.unwrap();
        // Inside of such work no other turn is waited for.
        let inner = aside(|| in_place(LONG + 1, || in_place(LONG + 1, || 7))).await;
        assert_eq!(inner, Some(7));
        let after = in_place(LONG + 1, || in_place(LONG + 1, || 8));
        assert_eq!(after, 8);
        assert!(aside(|| panic!("as a parser may")).await.is_none_or(|()| false));
        assert_eq!(aside(|| BUSY.get()).await, Some(true));
    }

    #[test]
    fn without_a_runtime_it_is_done_where_it_is() {
        assert_eq!(in_place(LONG + 1, || 1), 1);
    }
}
