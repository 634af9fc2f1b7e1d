#![allow(clippy::unwrap_used)]
use reqwest::header::{HeaderName, HeaderValue};

use super::core::{LimitKey, LimiterCore};
use super::headers::{MAX_PAUSE, WINDOW};
use super::*;
use crate::supabase::operation::Priority;

fn key(operation: Operation, scope: &str) -> LimitKey {
    (operation, scope.to_owned())
}

/// The place of the nth Orchestra.
pub fn place(n: usize) -> QueuePlace {
    QueuePlace {
        since: jiff::Timestamp::UNIX_EPOCH,
        name: format!("tenants/{n:06}"),
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Takes a request that is not queued, which is sent and gets no answer.
fn take(core: &mut LimiterCore, priority: Priority, key: &LimitKey, now: Instant) -> Result<(), Duration> {
    let grant = core.take(priority, key, None, now).map_err(|wait| wait.after)?;
    core.lose(key, grant, now);
    core.done(key);
    Ok(())
}

fn learn(core: &mut LimiterCore, key: &LimitKey, taught: LimitHeaders, now: Instant) {
    core.learn(key, WindowSlot { number: 0, at: now }, taught, now);
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pair =
        |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    pairs.iter().map(pair).collect()
}

fn taught(limit: u32, remaining: u32, reset: u64) -> LimitHeaders {
    LimitHeaders {
        limit: Some(limit),
        remaining: Some(remaining),
        reset: Some(seconds(reset)),
        retry_after: None,
    }
}

#[test]
fn it_starts_with_a_burst_and_then_a_request_a_second() {
    let start = Instant::now();
    let mut core = LimiterCore::new(start);
    for n in 0..10 {
        let key = key(Operation::GetProject, &n.to_string());
        assert_eq!(take(&mut core, Priority::Create, &key, start), Ok(()), "{n}");
    }
    let other = key(Operation::ListProjects, "acme");
    assert_eq!(take(&mut core, Priority::Create, &other, start), Err(seconds(1)));
    assert_eq!(take(&mut core, Priority::Create, &other, start + seconds(1)), Ok(()));
    assert!(take(&mut core, Priority::Create, &other, start + seconds(1)).is_err());
    let sent = (2..62).filter(|at| {
        take(&mut core, Priority::Create, &other, start + seconds(*at)).is_ok()
            && take(&mut core, Priority::Create, &other, start + seconds(*at)).is_err()
    });
    assert_eq!(sent.count(), 60, "a minute allows sixty");
}

#[test]
fn creates_go_before_readiness_and_readiness_before_drift() {
    let start = Instant::now();
    let mut core = LimiterCore::new(start);
    let key = key(Operation::ListProjects, "acme");
    let mut drain = |priority| {
        (0..100)
            .take_while(|_| take(&mut core, priority, &key, start).is_ok())
            .count()
    };
    assert_eq!(drain(Priority::Drift), 5);
    assert_eq!(drain(Priority::Readiness), 3);
    assert_eq!(drain(Priority::Create), 2);
}

#[test]
fn what_the_server_counts_replaces_the_guess_for_each_endpoint_and_scope() {
    let start = Instant::now();
    let mut core = LimiterCore::new(start);
    let first = key(Operation::GetApiKeys, "a");
    learn(&mut core, &first, taught(120, 119, 60), start);
    let spend = |core: &mut LimiterCore, key: &LimitKey, at| {
        (0..1000)
            .take_while(|_| take(core, Priority::Create, key, at).is_ok())
            .count()
    };
    assert_eq!(spend(&mut core, &first, start), 119);
    assert_eq!(take(&mut core, Priority::Create, &first, start), Err(seconds(60)));
    // Another project of the same endpoint has its own window, also before it was ever asked.
    assert_eq!(spend(&mut core, &key(Operation::GetApiKeys, "b"), start), 120);
    // Another endpoint still uses the bucket, from which nothing was taken here.
    assert_eq!(spend(&mut core, &key(Operation::GetPoolerConfig, "a"), start), 10);
    assert_eq!(spend(&mut core, &first, start + seconds(60)), 120, "a new window");
}

#[test]
fn what_is_left_is_told_of_the_scope_with_the_fewest_requests_left() {
    let start = Instant::now();
    let mut core = LimiterCore::new(start);
    assert!(core.requests_left(start).is_empty(), "no limit is known");
    learn(&mut core, &key(Operation::GetApiKeys, "a"), taught(120, 119, 60), start);
    learn(&mut core, &key(Operation::GetApiKeys, "b"), taught(120, 30, 20), start);
    let left = |core: &LimiterCore, after| {
        core.requests_left(start + seconds(after))
            .first()
            .map(|known| (known.limit, known.left))
    };
    assert_eq!(left(&core, 0), Some((120, 30)));
    assert_eq!(left(&core, 21), Some((120, 119)), "the window of b has ended");
    assert_eq!(left(&core, 61), Some((120, 120)), "both windows have ended");
}

#[test]
fn an_orchestra_is_told_how_long_it_was_in_the_queue() {
    let start = Instant::now();
    let mut core = LimiterCore::new(start);
    let (create, first) = (key(Operation::CreateProject, "acme"), place(1));
    assert_eq!(core.waited(&create, &first, start), Duration::ZERO, "it never asked");
    core.pause(&create, seconds(30), start);
    assert!(core.take(Priority::Create, &create, Some(&first), start).is_err());
    assert_eq!(core.waited(&create, &first, start + seconds(31)), seconds(31));
    assert!(
        core.take(Priority::Create, &create, Some(&first), start + seconds(31))
            .is_ok()
    );
    assert_eq!(
        core.waited(&create, &first, start + seconds(31)),
        Duration::ZERO,
        "it has left"
    );
}

#[test]
fn what_went_out_before_the_limit_was_known_counts() {
    let start = Instant::now();
    let mut core = LimiterCore::new(start);
    let key = key(Operation::CreateProject, "acme");
    for _ in 0..10 {
        assert!(core.take(Priority::Create, &key, None, start).is_ok());
    }
    learn(&mut core, &key, taught(12, 11, 20), start);
    core.done(&key);
    let more = (0..20).take_while(|_| take(&mut core, Priority::Create, &key, start).is_ok());
    assert_eq!(more.count(), 2, "nine of the eleven are on their way");
}

#[test]
fn answers_that_overtake_each_other_do_not_raise_the_count() {
    let start = Instant::now();
    let mut core = LimiterCore::new(start);
    let key = key(Operation::ListProjects, "acme");
    let grants = [start, start].map(|at| core.take(Priority::Create, &key, None, at).unwrap());
    let mut answer = |grant, taught, now| {
        core.learn(&key, grant, taught, now);
        core.done(&key);
        core.windows[&key].free(120)
    };
    assert_eq!(answer(grants[0], taught(120, 3, 40), start), 2, "one is on its way");
    assert_eq!(answer(grants[1], taught(120, 50, 40), start + seconds(1)), 3);
    let grant = core.take(Priority::Create, &key, None, start + seconds(41)).unwrap();
    core.learn(&key, grant, taught(120, 119, 60), start + seconds(41));
    assert_eq!(core.windows[&key].free(120), 119, "the window is a new one");
}

#[test]
fn a_429_pauses_its_own_endpoint_and_scope_only() {
    let start = Instant::now();
    let mut core = LimiterCore::new(start);
    let busy = key(Operation::ListProjects, "acme");
    core.pause(&busy, seconds(17), start);
    assert_eq!(
        take(&mut core, Priority::Create, &busy, start + seconds(1)),
        Err(seconds(16))
    );
    for free in [
        key(Operation::ListProjects, "other"),
        key(Operation::CreateProject, "acme"),
    ] {
        assert_eq!(take(&mut core, Priority::Create, &free, start + seconds(1)), Ok(()));
    }
    assert_eq!(take(&mut core, Priority::Create, &busy, start + seconds(17)), Ok(()));
}

#[test]
fn headers_are_read_leniently() {
    let read = |pairs: &[(&'static str, &str)]| LimitHeaders::read(&headers(pairs));
    let full = [
        ("x-ratelimit-limit", "120"),
        ("x-ratelimit-remaining", "7"),
        ("x-ratelimit-reset", "42"),
    ];
    assert_eq!(read(&full), taught(120, 7, 42));
    assert_eq!(read(&full).pause(), seconds(42));
    assert_eq!(
        read(&[("retry-after", "5"), ("x-ratelimit-reset", "42")]).pause(),
        seconds(5)
    );
    assert_eq!(read(&[("retry-after", "99999")]).pause(), MAX_PAUSE);
    assert_eq!(read(&[("retry-after", "0")]).pause(), seconds(1));
    assert_eq!(
        read(&[("retry-after", "Sat, 01 Jan 2000 00:00:00 GMT")]).pause(),
        seconds(1)
    );
    assert_eq!(
        read(&[("x-ratelimit-limit", "0"), ("retry-after", "soon")]),
        LimitHeaders::default()
    );
    assert_eq!(read(&[]).pause(), WINDOW);
}

#[tokio::test]
async fn a_caller_is_not_kept_waiting() {
    let limiter = Arc::new(RateLimiter::default());
    let list = |scope: &'static str| limiter.acquire(Operation::ListProjects, scope, None);
    let limits = headers(&[("retry-after", "30")]);
    let mut first = list("acme").await.unwrap();
    first.send();
    let pause = first.learn(429, &limits).unwrap();
    drop(first);
    assert!(pause >= seconds(30) && pause < seconds(35), "{pause:?}");
    let started = Instant::now();
    let refused = list("acme").await.unwrap_err();
    assert!(started.elapsed() < seconds(1));
    assert!(
        matches!(refused, Error::Throttled { after } if after > seconds(29)),
        "{refused}"
    );
    assert!(!refused.outcome_unknown(), "nothing was sent");
    drop(list("other").await.unwrap());
}

#[tokio::test]
async fn a_permit_that_is_not_used_is_given_back() {
    let limiter = Arc::new(RateLimiter::default());
    let place = place(1);
    let create = || limiter.acquire(Operation::CreateProject, "acme", Some(&place));
    let one_left = headers(&[
        ("x-ratelimit-limit", "120"),
        ("x-ratelimit-remaining", "1"),
        ("x-ratelimit-reset", "40"),
    ]);
    let mut first = create().await.unwrap();
    first.send();
    first.learn(201, &one_left);
    drop(first);
    drop(create().await.unwrap());
    let mut last = create().await.unwrap();
    last.send();
    let refused = create().await.unwrap_err();
    assert!(
        matches!(refused, Error::Queued { long: false, after } if after > seconds(30)),
        "{refused}"
    );
    assert_eq!(limiter.queues(), [(Operation::CreateProject, vec![place.clone()])]);
}
