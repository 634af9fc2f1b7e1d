use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::runtime::reflector::{self, store::Writer};
use kube::runtime::watcher::Event;

use super::*;

fn map(name: &str, uid: &str, version: &str) -> ConfigMap {
    let mut map = ConfigMap::default();
    map.metadata.namespace = Some("tenants".into());
    map.metadata.name = Some(name.into());
    map.metadata.uid = Some(uid.into());
    map.metadata.resource_version = Some(version.into());
    map
}

fn key(name: &str) -> ObjectRef<ConfigMap> {
    ObjectRef::new(name).within("tenants")
}

/// A store that shows these objects.
fn with(shown: &[ConfigMap]) -> (Latest<ConfigMap>, Writer<ConfigMap>) {
    let (store, mut writer) = reflector::store();
    for object in shown {
        writer.apply_watcher_event(&Event::Apply(object.clone()));
    }
    (Latest::new(store), writer)
}

/// The version of object `a`, the same whichever way it is asked for.
fn seen(latest: &Latest<ConfigMap>) -> Option<String> {
    let version = |object: Arc<ConfigMap>| object.metadata.resource_version.clone();
    let is_a = |object: &ConfigMap| object.metadata.name.as_deref() == Some("a");
    let got = latest.get(&key("a")).and_then(version);
    assert_eq!(latest.find(is_a).and_then(version), got);
    assert_eq!(
        latest.state_filter(is_a).pop().and_then(version),
        got,
        "as state_filter tells"
    );
    let all = latest.state().into_iter().filter(|object| is_a(object));
    assert_eq!(
        all.map(version).collect::<Vec<_>>(),
        Vec::from_iter(got.clone().map(Some))
    );
    got
}

fn pending(latest: &Latest<ConfigMap>) -> usize {
    latest.written.lock().len()
}

#[test]
fn a_write_is_seen_until_the_watch_shows_it_or_something_newer() {
    for (shown, expected) in [("10", "10"), ("11", "11"), ("100", "100")] {
        let (latest, mut writer) = with(&[map("a", "u", "8"), map("b", "v", "1")]);
        latest.wrote(&map("a", "u", "10"));
        assert_eq!(seen(&latest).as_deref(), Some("10"));
        writer.apply_watcher_event(&Event::Apply(map("a", "u", "9")));
        assert_eq!(seen(&latest).as_deref(), Some("10"), "9 is older, though not as text");
        assert_eq!(latest.state().len(), 2);
        writer.apply_watcher_event(&Event::Apply(map("a", "u", shown)));
        assert_eq!(seen(&latest).as_deref(), Some(expected));
        assert_eq!(pending(&latest), 0);
    }
}

#[test]
fn what_the_watch_shows_already_is_not_remembered() {
    let (latest, _writer) = with(&[map("a", "u", "12")]);
    latest.wrote(&map("a", "u", "12"));
    latest.wrote(&map("a", "u", "11"));
    assert_eq!(pending(&latest), 0);
}

#[test]
fn of_two_responses_the_newer_one_counts_whatever_their_order() {
    let (latest, _writer) = with(&[]);
    latest.wrote(&map("a", "u", "12"));
    latest.wrote(&map("a", "u", "11"));
    assert_eq!(seen(&latest).as_deref(), Some("12"));
}

#[test]
fn versions_that_are_no_numbers_are_compared_for_equality_only_and_for_a_minute() {
    let (latest, mut writer) = with(&[map("a", "u", "x8")]);
    latest.wrote(&map("a", "u", "x7"));
    assert_eq!(seen(&latest).as_deref(), Some("x7"));
    writer.apply_watcher_event(&Event::Apply(map("a", "u", "x9")));
    assert_eq!(seen(&latest).as_deref(), Some("x7"));
    writer.apply_watcher_event(&Event::Apply(map("a", "u", "x7")));
    assert_eq!((seen(&latest).as_deref(), pending(&latest)), (Some("x7"), 0));
    latest.wrote(&map("a", "u", "x1"));
    settle(&latest.store, &mut latest.written.lock(), Instant::now() + UNSEEN);
    assert_eq!(seen(&latest).as_deref(), Some("x7"));

    assert_eq!(compare("9", "10"), Some(Ordering::Less));
    let long = "340282366920938463463374607431768211456";
    assert_eq!(compare(long, "9"), Some(Ordering::Greater), "of any length");
    for (one, other) in [("", "1"), ("01", "1"), ("0", "1"), ("-1", "1"), ("1.5", "1")] {
        assert_eq!(compare(one, other), None, "{one:?} {other:?}");
    }
}

#[test]
fn what_was_shown_and_is_shown_no_more_was_deleted() {
    // Shown before the write, or only after it.
    for shown in [true, false] {
        let (latest, mut writer) = with(&if shown { vec![map("a", "u", "8")] } else { vec![] });
        latest.wrote(&map("a", "u", "10"));
        writer.apply_watcher_event(&Event::Apply(map("a", "u", "9")));
        assert_eq!(seen(&latest).as_deref(), Some("10"));
        writer.apply_watcher_event(&Event::Delete(map("a", "u", "11")));
        assert_eq!(seen(&latest), None);
        assert_eq!(pending(&latest), 0);
    }
}

#[test]
fn a_new_object_in_the_place_of_one_that_goes_is_kept() {
    let (latest, mut writer) = with(&[map("a", "old", "8")]);
    latest.wrote(&map("a", "new", "10"));
    writer.apply_watcher_event(&Event::Delete(map("a", "old", "9")));
    assert_eq!(seen(&latest).as_deref(), Some("10"), "only the old one was deleted");
    writer.apply_watcher_event(&Event::Apply(map("a", "new", "10")));
    assert_eq!((seen(&latest).as_deref(), pending(&latest)), (Some("10"), 0));
}

#[test]
fn what_the_watch_never_shows_is_forgotten_after_a_minute() {
    let (latest, _writer) = with(&[]);
    let now = Instant::now();
    latest.wrote_at(&map("a", "u", "10"), now);
    let mut written = latest.written.lock();
    settle(
        &latest.store,
        &mut written,
        now + UNSEEN.saturating_sub(Duration::from_secs(1)),
    );
    assert_eq!(written.len(), 1);
    settle(&latest.store, &mut written, now + UNSEEN);
    assert!(written.is_empty());
}

#[test]
fn our_own_deletion_is_seen_at_once() {
    let (latest, mut writer) = with(&[map("a", "u", "8"), map("b", "v", "1")]);
    latest.removed(&key("a"));
    assert_eq!((seen(&latest), latest.state().len()), (None, 1));
    latest.wrote(&map("a", "u", "9"));
    assert_eq!(seen(&latest), None, "the response of an older write arrived late");
    writer.apply_watcher_event(&Event::Delete(map("a", "u", "10")));
    assert_eq!((seen(&latest), pending(&latest)), (None, 0));

    // One that the watch has not shown yet.
    latest.wrote(&map("a", "w", "11"));
    latest.removed(&key("a"));
    writer.apply_watcher_event(&Event::Apply(map("a", "w", "11")));
    assert_eq!(seen(&latest), None);
    // Somebody has created another one.
    writer.apply_watcher_event(&Event::Apply(map("a", "x", "12")));
    assert_eq!((seen(&latest).as_deref(), pending(&latest)), (Some("12"), 0));

    latest.removed(&key("nobody"));
    assert_eq!(pending(&latest), 0);
}

#[test]
fn an_object_that_goes_is_gone_with_its_last_finalizer() {
    let (latest, mut writer) = with(&[map("a", "u", "8")]);
    let mut leaving = map("a", "u", "9");
    leaving.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
    leaving.metadata.finalizers = Some(vec!["one".into()]);
    latest.wrote(&leaving);
    assert_eq!(seen(&latest).as_deref(), Some("9"));
    leaving.metadata.finalizers = None;
    leaving.metadata.resource_version = Some("10".into());
    latest.wrote(&leaving);
    assert_eq!(seen(&latest), None);
    writer.apply_watcher_event(&Event::Delete(leaving));
    assert_eq!((seen(&latest), pending(&latest)), (None, 0));
}

#[test]
fn a_key_with_a_namespace_finds_a_cluster_scoped_object() {
    let mut object = map("a", "u", "8");
    object.metadata.namespace = None;
    let (latest, _writer) = with(&[]);
    latest.wrote(&object);
    assert!(latest.get(&key("a")).is_some());
}

#[test]
fn metadata_of_a_whole_object_is_remembered() {
    let (store, _writer) = reflector::store::<PartialObjectMeta<ConfigMap>>();
    let latest = Latest::new(store);
    latest.wrote_whole(&map("a", "u", "8"));
    let found = latest.get(&ObjectRef::new("a").within("tenants"));
    assert_eq!(found.and_then(|found| found.metadata.uid.clone()).as_deref(), Some("u"));
}

#[test]
fn a_deletion_that_the_watch_shows_ends_our_writes_also_when_nobody_looked_in_between() {
    let (latest, mut writer) = with(&[]);
    latest.wrote(&map("a", "u", "10"));
    writer.apply_watcher_event(&Event::Apply(map("a", "u", "10")));
    writer.apply_watcher_event(&Event::Delete(map("a", "u", "11")));
    latest.watch_deleted(&map("a", "u", "11"));
    assert_eq!(seen(&latest), None);
    // The response of that write arrives late.
    latest.wrote(&map("a", "u", "10"));
    assert_eq!(seen(&latest), None);
    // A new object of that name is a different one.
    latest.wrote(&map("a", "v", "12"));
    latest.watch_deleted(&map("a", "u", "11"));
    assert_eq!(seen(&latest).as_deref(), Some("12"));
    // Deletions are forgotten.
    let later = Instant::now() + UNSEEN;
    latest.watch_deleted_at(&map("b", "w", "13"), later);
    assert_eq!(latest.deleted.lock().len(), 1);
}
