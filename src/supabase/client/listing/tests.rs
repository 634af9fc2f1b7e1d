#![allow(clippy::unwrap_used)]
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::super::wire::{Play, Wire, ok};
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
            .list_organization_projects("acme")
            .await
            .unwrap();
        assert_eq!(projects.len(), total - usize::from(total > 7), "{total}");
        assert!(wire.seen()[0].line.contains("/v1/organizations/acme/projects?"));
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
        .list_organization_projects("acme")
        .await
        .unwrap();
    assert!(projects.iter().any(|project| project.reference == "ref100"));
    assert_eq!(projects.len(), 148);

    let restless = Wire::play(|seen, n| {
        let all: Vec<_> = (n..n + 150).collect();
        page(&all, seen.number("offset"), seen.number("limit"))
    })
    .await;
    let error = restless
        .client(&Arc::default())
        .list_organization_projects("acme")
        .await
        .unwrap_err();
    assert_eq!(error, Error::ListingChanged);
}
