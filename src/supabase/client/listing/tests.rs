#![allow(clippy::unwrap_used)]
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::super::wire_tests::{Play, Received, Wire, ok};
use super::*;

fn listed(n: usize) -> Value {
    json!({"ref": format!("ref{n}"), "name": format!("name{n}"), "cloud_provider": "AWS",
        "region": "eu-west-3", "is_branch": n == 7, "status": "ACTIVE_HEALTHY",
        "inserted_at": "2026-05-22T10:00:00Z", "databases": []})
}

fn page(refs: &[usize], offset: usize, limit: usize) -> Play {
    let projects: Vec<_> = refs.iter().skip(offset).take(limit).map(|n| listed(*n)).collect();
    let pagination = json!({"count": refs.len(), "limit": limit, "offset": offset});
    ok(json!({"projects": projects, "pagination": pagination}))
}

#[tokio::test]
async fn a_listing_reads_every_page_and_leaves_branches_out() {
    for total in [0, 1, 99, 100, 101, 199, 250] {
        let all: Vec<_> = (0..total).collect();
        let wire = Wire::play(move |seen, _| page(&all, seen.number("offset"), seen.number("limit"))).await;
        let projects = wire
            .client(&Arc::default())
            .list_organization_projects("acme", &mut Vec::new())
            .await
            .unwrap()
            .projects;
        assert_eq!(projects.len(), total - usize::from(total > 7), "{total}");
        assert!(wire.seen()[0].line.contains("/v1/organizations/acme/projects?"));
    }
}

/// The result of a second listing after a first one of `before`, and how many pages it read; `now` gives
/// the projects for each of its pages.
async fn again(before: usize, now: impl Fn(usize) -> Vec<usize> + Send + Sync + 'static) -> (Vec<String>, usize) {
    let counted = Arc::new(std::sync::atomic::AtomicUsize::new(usize::MAX));
    let pages = counted.clone();
    let wire = Wire::play(move |seen, _| {
        let n = pages.load(std::sync::atomic::Ordering::SeqCst);
        let all = if n == usize::MAX {
            (0..before).collect()
        } else {
            pages.store(n + 1, std::sync::atomic::Ordering::SeqCst);
            now(n)
        };
        page(&all, seen.number("offset"), seen.number("limit"))
    })
    .await;
    let client = wire.client(&Arc::default());
    let mut order = Vec::new();
    client.list_organization_projects("acme", &mut order).await.unwrap();
    assert_eq!(order.len(), before);
    counted.store(0, std::sync::atomic::Ordering::SeqCst);
    client.list_organization_projects("acme", &mut order).await.unwrap();
    (order, counted.load(std::sync::atomic::Ordering::SeqCst))
}

fn refs(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(|n| format!("ref{n}")).collect()
}

#[tokio::test]
async fn a_listing_of_what_was_there_before_needs_no_page_more_than_it_fills() {
    for (count, needs) in [(100, 1), (300, 3), (950, 10), (1000, 10)] {
        let (order, pages) = again(count, move |_| (0..count).collect()).await;
        assert_eq!((order, pages), (refs(0..count), needs));
    }
}

#[tokio::test]
async fn a_listing_again_finds_what_is_new_and_misses_nothing_when_something_is_deleted_meanwhile() {
    // New ones, also when they come while the pages are read.
    let (order, _) = again(200, |_| (0..431).collect()).await;
    assert_eq!(order, refs(0..431));
    let (order, _) = again(200, |n| (0..200 + 50 * n).collect()).await;
    assert!(refs(0..200).iter().all(|known| order.contains(known)));
    // One is deleted before or while they are read; and another one is created, so that the count stays.
    for gone in [0, 50, 99, 100, 101, 199, 200, 299] {
        for when in 0..3 {
            let (order, _) = again(300, move |n| {
                let left = move |project: &usize| n < when || *project != gone;
                (0..300 + usize::from(n >= when)).filter(left).collect()
            })
            .await;
            let kept = (0..300).filter(|project| *project != gone);
            assert!(refs(kept).iter().all(|known| order.contains(known)), "{gone} at {when}");
        }
    }
}

#[tokio::test]
async fn a_deletion_between_two_pages_hides_no_project() {
    let wire = Wire::play(|seen, n| {
        let all: Vec<_> = (usize::from(n > 0)..150).collect();
        page(&all, seen.number("offset"), seen.number("limit"))
    })
    .await;
    let projects = wire
        .client(&Arc::default())
        .list_organization_projects("acme", &mut Vec::new())
        .await
        .unwrap()
        .projects;
    assert!(projects.iter().any(|project| project.reference == "ref100"));
    assert_eq!(projects.len(), 148);

    let restless = Wire::play(|seen, n| {
        let all: Vec<_> = (n..n + 150).collect();
        page(&all, seen.number("offset"), seen.number("limit"))
    })
    .await;
    let error = restless
        .client(&Arc::default())
        .list_organization_projects("acme", &mut Vec::new())
        .await
        .unwrap_err();
    assert_eq!(error, Error::ListingChanged);
}

#[tokio::test]
async fn an_empty_list_without_a_count_does_not_say_that_there_is_no_project() {
    for (answer, is_listing) in [
        (json!({"projects": []}), false),
        (json!({"projects": [], "pagination": {}}), false),
        (
            json!({"projects": [], "pagination": {"count": 0, "limit": 100, "offset": 0}}),
            true,
        ),
        (json!({"projects": null, "pagination": {"count": 0}}), true),
        (json!({"projects": null, "pagination": {"count": 1}}), false),
        (json!({"pagination": {"count": 0}}), false),
    ] {
        let wire = Wire::play(move |_, _| ok(answer.clone())).await;
        let client = wire.client(&Arc::default());
        let all = client.list_organization_projects("acme", &mut Vec::new()).await;
        let young = client.list_youngest_projects("acme", HashSet::new()).await;
        assert_eq!((all.is_ok(), young.is_ok()), (is_listing, is_listing));
    }
}

#[tokio::test]
async fn odd_entries_keep_their_place_and_a_missing_count_is_no_end() {
    // Every seventh entry cannot be decoded, and a page has fifty entries at most without saying so.
    for total in [1, 50, 51, 120] {
        let wire = Wire::play(move |seen, _| {
            let entry = |n: usize| match n % 7 {
                3 => json!({"ref": null, "name": format!("odd{n}")}),
                5 => json!([n]),
                _ => listed(n + 100),
            };
            let projects: Vec<_> = (0..total).skip(seen.number("offset")).take(50).map(entry).collect();
            ok(json!({"projects": projects, "pagination": null}))
        })
        .await;
        let client = wire.client(&Arc::default());
        let mut order = Vec::new();
        let all = client.list_organization_projects("acme", &mut order).await.unwrap();
        let odd = (0..total).filter(|n| matches!(n % 7, 3 | 5)).count();
        assert_eq!(
            (all.projects.len(), all.unclear.len(), all.odd >= odd),
            (total - odd, odd, true)
        );
        assert_eq!((order.len(), all.complete), (total, true), "{total}");
        let again = client.list_organization_projects("acme", &mut order).await.unwrap();
        assert_eq!(again.projects, all.projects);
        let young = client.list_youngest_projects("acme", HashSet::new()).await.unwrap();
        assert_eq!(
            young.projects.len(),
            (total.min(50)) - (0..total.min(50)).filter(|n| matches!(n % 7, 3 | 5)).count()
        );
    }
}

#[tokio::test]
async fn a_listing_without_a_list_is_an_error_and_not_an_empty_one() {
    for body in [
        json!({}),
        json!({"projects": null}),
        json!(null),
        json!([]),
        json!({"message": "ok"}),
    ] {
        let wire = Wire::play(move |_, _| ok(body.clone())).await;
        let listed = wire
            .client(&Arc::default())
            .list_organization_projects("acme", &mut Vec::new())
            .await;
        assert!(matches!(listed, Err(Error::Undecodable { .. })));
    }
}

#[tokio::test]
async fn a_count_that_stays_above_what_is_listed_is_told_as_what_it_is() {
    // The first attempt reads two pages, and each later one the same two.
    let counted = |count: fn(usize) -> usize| {
        move |_: &Received, n: usize| ok(json!({"projects": [listed(1)], "pagination": {"count": count(n)}}))
    };
    for (count, expected) in [
        ((|_| 2) as fn(usize) -> usize, Some(Error::ListingIncomplete)),
        (|n| 2 + n, Some(Error::ListingChanged)),
        // One that was being created, or deleted.
        (|n| if n < 3 { 2 } else { 1 }, None),
    ] {
        let wire = Wire::play(counted(count)).await;
        let client = wire.client(&Arc::default());
        let listed = client.list_organization_projects("acme", &mut Vec::new()).await;
        assert_eq!(listed.as_ref().err(), expected.as_ref());
        let young = client.list_youngest_projects("acme", HashSet::new()).await.unwrap();
        assert_eq!(young.complete, expected.is_none());
    }
    let told = Error::ListingIncomplete.to_string();
    assert!(
        told.contains("no project is created meanwhile") && !told.contains("changed"),
        "{told}"
    );
}
