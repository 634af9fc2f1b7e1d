#![allow(clippy::unwrap_used)]
use serde_json::json;

use super::super::wire_tests::{Play, Wire, ok};
use super::*;
use crate::error::ErrorClass;

fn page(name: &str) -> String {
    let project =
        |reference: &str| json!({"ref": reference, "name": name, "region": "eu-west-3", "status": "COMING_UP"});
    json!({"projects": [project("a"), project("b")], "pagination": {"count": 2, "limit": 100}}).to_string()
}

fn poll(wire: &Wire, interval: Duration) -> Poll {
    Poll::new(Arc::new(wire.client(&Arc::default())), "acme".into(), interval)
}

#[tokio::test]
async fn callers_at_the_same_time_share_one_listing() {
    let wire = Wire::play(|_, _| Play::Slow(Duration::from_millis(100), page("n"))).await;
    let poll = poll(&wire, Duration::from_mins(1));
    assert!(poll.latest().is_none());
    let now = Instant::now();
    let listings = futures::future::join_all((0..50).map(|_| poll.projects_since(now))).await;
    for listing in listings {
        let listing = listing.unwrap();
        assert!(listing.started >= now);
        assert_eq!(listing.by_name("n").len(), 2);
        assert_eq!(listing.by_ref("b").unwrap().name, "n");
        assert!(listing.by_ref("c").is_none() && listing.by_name("N").is_empty());
    }
    assert_eq!(wire.seen().len(), 1);
    assert!(poll.latest().is_some());
}

#[tokio::test]
async fn a_listing_that_is_too_old_is_not_taken_and_a_new_one_waits_for_the_interval() {
    let wire = Wire::play(|_, n| ok(page(&n.to_string()))).await;
    let poll = poll(&wire, Duration::from_millis(1500));
    let first = poll.projects_since(Instant::now()).await.unwrap();
    assert_eq!(poll.projects_since(first.started).await.unwrap().by_name("0").len(), 2);
    let later = Instant::now();
    let early = poll.projects_since(later).await.unwrap_err();
    let ErrorClass::After(after) = early.class() else {
        panic!("{early}")
    };
    assert!(after <= Duration::from_millis(1500));
    tokio::time::sleep(after).await;
    assert_eq!(poll.projects_since(later).await.unwrap().by_name("1").len(), 2);
    assert_eq!(wire.seen().len(), 2);
}

#[tokio::test]
async fn those_who_waited_share_the_error_and_the_next_listing_cures_it() {
    let wire = Wire::play(|_, n| match n {
        0 => Play::Answer(401, "", r#"{"message":"Unauthorized"}"#.into()),
        _ => ok(page("n")),
    })
    .await;
    let poll = poll(&wire, Duration::from_millis(50));
    let now = Instant::now();
    let all = futures::future::join_all((0..10).map(|_| poll.projects_since(now))).await;
    assert!(
        all.iter().all(|one| matches!(one, Err(Error::TokenRejected { .. }))),
        "{all:?}"
    );
    assert_eq!(wire.seen().len(), 1);
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert!(poll.projects_since(now).await.is_ok());
}

#[tokio::test]
async fn a_caller_that_gives_up_leaves_the_poll_usable() {
    let wire = Wire::play(|_, n| match n {
        0 => Play::Slow(Duration::from_secs(20), page("n")),
        _ => ok(page("n")),
    })
    .await;
    let poll = poll(&wire, Duration::from_millis(10));
    let slow = poll.projects_since(Instant::now());
    assert!(tokio::time::timeout(Duration::from_millis(100), slow).await.is_err());
    assert!(poll.projects_since(Instant::now()).await.is_ok());
}

#[tokio::test]
async fn who_waits_for_young_projects_is_told_of_the_last_listing_until_the_next_may_begin() {
    // Two pages that are full, and a third one.
    let wire = Wire::play(|seen, _| {
        let offset = seen.number("offset");
        let project =
            |n: usize| json!({"ref": format!("r{n}"), "name": "n", "region": "eu-west-3", "status": "COMING_UP"});
        let projects: Vec<_> = (offset..250.min(offset + 100)).map(project).collect();
        ok(json!({"projects": projects, "pagination": {"count": 250, "limit": 100}}).to_string())
    })
    .await;
    let poll = poll(&wire, Duration::from_millis(400));
    let awaited = || HashSet::from(["r150".to_string()]);
    let first = poll.youngest(Duration::ZERO, awaited).await.unwrap();
    assert!(!first.complete && first.by_ref("r150").is_some());
    assert_eq!(wire.seen().len(), 2, "as far as the one that is awaited");
    let later = poll.youngest(Duration::ZERO, awaited).await.unwrap();
    assert!(Arc::ptr_eq(&first, &later));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let later = poll.youngest(Duration::ZERO, awaited).await.unwrap();
    assert!(Arc::ptr_eq(&first, &later), "two pages, so half as often");
    tokio::time::sleep(Duration::from_millis(400)).await;
    let next = poll.youngest(Duration::ZERO, awaited).await.unwrap();
    assert!(next.started > first.started);
    assert_eq!(wire.seen().len(), 4);
    let patient = poll.youngest(Duration::from_mins(1), awaited).await.unwrap();
    assert!(Arc::ptr_eq(&next, &patient), "young enough for this one");
}

#[tokio::test]
async fn what_a_listing_of_the_young_showed_is_not_forgotten_by_those_who_are_settled() {
    // One hundred and twenty old ones; the youngest of them comes up, and a new one is created, meanwhile.
    let wire = Wire::play(|seen, n| {
        let later = n >= 2;
        let count = if later { 121 } else { 120 };
        let project = |n: usize| {
            let status = if n == 119 && !later {
                "COMING_UP"
            } else {
                "ACTIVE_HEALTHY"
            };
            json!({"ref": format!("r{n}"), "name": "n", "region": "eu-west-3", "status": status})
        };
        let mut all: Vec<_> = (0..count).map(project).collect();
        if later {
            all.reverse();
        }
        let projects: Vec<_> = all.into_iter().skip(seen.number("offset")).take(100).collect();
        ok(json!({"projects": projects, "pagination": {"count": count, "limit": 100}}).to_string())
    })
    .await;
    let poll = poll(&wire, Duration::ZERO);
    let all = poll.projects_since(Instant::now()).await.unwrap();
    assert!(all.complete && all.by_ref("r120").is_none());
    let awaited = || HashSet::from(["r119".to_string()]);
    let young = poll.youngest(Duration::ZERO, awaited).await.unwrap();
    assert!(!young.complete && young.by_ref("r120").is_some());
    let settled = poll.projects_since(all.started).await.unwrap();
    assert_eq!(wire.seen().len(), 3, "no listing more");
    assert_eq!((settled.started, settled.projects.len()), (all.started, 121));
    assert!(settled.by_ref("r120").is_some());
    assert_eq!(settled.by_ref("r119").unwrap().status.to_string(), "ACTIVE_HEALTHY");
    assert_eq!(poll.flight.lock().await.last().unwrap(), "r120");
}

/// A listing of these entries, of which ten more are understood.
fn odd(entries: &[serde_json::Value], count: usize) -> Play {
    let plain = |n: usize| json!({"ref": format!("r{n}"), "name": "n", "region": "eu-west-3", "status": "COMING_UP"});
    let projects: Vec<_> = entries.iter().cloned().chain((0..10).map(plain)).collect();
    ok(json!({"projects": projects, "pagination": {"count": count, "limit": 100}}).to_string())
}

#[tokio::test]
async fn an_entry_without_a_name_was_there_before_whatever_its_status_is_now() {
    let wire = Wire::play(|_, n| {
        let blank = |status: &str| json!({"ref": null, "name": null, "region": "eu-west-3", "status": status});
        match n {
            0 => odd(&[blank("COMING_UP")], 11),
            1 => odd(&[blank("ACTIVE_HEALTHY")], 11),
            2 => odd(&[blank("ACTIVE_HEALTHY"), blank("COMING_UP")], 12),
            _ => odd(&[], 10),
        }
    })
    .await;
    let poll = poll(&wire, Duration::ZERO);
    let first = poll.projects_since(Instant::now()).await.unwrap().unclear[0].seen;
    let second = poll.projects_since(Instant::now()).await.unwrap();
    assert_eq!(second.unclear[0].seen, first);
    let third = poll.projects_since(Instant::now()).await.unwrap();
    let seen: Vec<_> = third.unclear.iter().map(|entry| entry.seen).collect();
    assert_eq!(seen[0], first);
    assert!(seen[1] > first, "one more");
    assert_eq!(third.unnamed().len(), 2);
    let gone = poll.projects_since(Instant::now()).await.unwrap();
    assert!(gone.unclear.is_empty() && poll.with(|state| state.seen.is_empty()));
}

#[tokio::test]
async fn what_was_asked_of_a_project_is_forgotten_with_it() {
    let wire = Wire::play(|_, n| match n {
        0 => odd(&[json!({"ref": "nameless", "name": null})], 11),
        1 => ok(json!({"ref": "nameless", "name": "told", "region": "eu-west-3", "status": "COMING_UP"}).to_string()),
        _ => odd(&[], 10),
    })
    .await;
    let poll = poll(&wire, Duration::ZERO);
    poll.projects_since(Instant::now()).await.unwrap();
    assert!(poll.identified("nameless").is_none());
    assert!(matches!(poll.identify("nameless").await, Identity::Named(_)));
    assert!(matches!(poll.identified("nameless"), Some(Identity::Named(_))));
    poll.projects_since(Instant::now()).await.unwrap();
    assert!(poll.identified("nameless").is_none());
}
