#![allow(clippy::unwrap_used)]
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;

fn turns(per_server: usize) -> (Arc<Turns>, UnboundedReceiver<ObjectRef<Orchestra>>) {
    let (wake, woken) = unbounded_channel();
    (Arc::new(Turns::new(per_server, wake)), woken)
}

fn request(name: &str, server: &str) -> TurnRequest {
    TurnRequest {
        uid: name.into(),
        object: Some(ObjectRef::new(name).within("tenants")),
        server: server.into(),
        revision: "sha256:1".into(),
    }
}

fn inherited(inherited: usize) -> Load {
    Load {
        inherited,
        shared: false,
    }
}

fn ask(turns: &Arc<Turns>, name: &str, server: &str) -> Option<Turn> {
    match turns.ask(request(name, server), |_| Some(Load::default())) {
        TurnAnswer::Now(turn) => Some(turn),
        TurnAnswer::Queued | TurnAnswer::Refused => None,
    }
}

#[test]
fn a_server_bears_so_many_and_the_first_that_waited_is_next() {
    let (turns, mut woken) = turns(2);
    let one = ask(&turns, "one", "a:5432").unwrap();
    let two = ask(&turns, "two", "a:5432").unwrap();
    assert!(ask(&turns, "three", "a:5432").is_none() && ask(&turns, "four", "a:5432").is_none());
    let other = ask(&turns, "other", "b:5432").unwrap();
    assert!(woken.try_recv().is_err());
    drop(one);
    assert_eq!(woken.try_recv().unwrap().name, "three");
    assert!(ask(&turns, "four", "a:5432").is_none(), "three waits for longer");
    let three = ask(&turns, "three", "a:5432").unwrap();
    drop((two, three, other));
    assert!(ask(&turns, "four", "a:5432").is_some());
}

#[test]
fn who_waits_behind_others_need_not_ask_again() {
    let (turns, _woken) = turns(1);
    let one = ask(&turns, "one", "a:5432").unwrap();
    assert!(ask(&turns, "two", "a:5432").is_none() && ask(&turns, "three", "a:5432").is_none());
    assert!(
        turns.still_waits("two", "sha256:1")
            && turns.still_waits("three", "sha256:1")
            && !turns.still_waits("one", "sha256:1")
    );
    drop(one);
    assert!(
        !turns.still_waits("two", "sha256:1")
            && turns.still_waits("three", "sha256:1")
            && !turns.still_waits("four", "sha256:1")
    );
    assert!(
        !turns.still_waits("three", "sha256:2"),
        "another source may need nothing"
    );
}

#[test]
fn who_is_not_woken_takes_no_place() {
    let (turns, _woken) = turns(1);
    let one = ask(&turns, "one", "a:5432").unwrap();
    let spare = || TurnRequest {
        object: None,
        ..request("spare", "a:5432")
    };
    assert!(matches!(
        turns.ask(spare(), |_| Some(Load::default())),
        TurnAnswer::Queued
    ));
    drop(one);
    assert!(ask(&turns, "two", "a:5432").is_some());
    assert!(matches!(
        turns.ask(spare(), |_| Some(Load::default())),
        TurnAnswer::Now(_)
    ));
}

#[test]
fn who_leaves_holds_up_nobody() {
    let (turns, mut woken) = turns(1);
    let one = ask(&turns, "one", "a:5432").unwrap();
    assert!(ask(&turns, "two", "a:5432").is_none() && ask(&turns, "three", "a:5432").is_none());
    drop(one);
    assert_eq!(woken.try_recv().unwrap().name, "two");
    turns.forget("two");
    assert_eq!(woken.try_recv().unwrap().name, "three");
    assert!(ask(&turns, "three", "a:5432").is_some());
}

#[test]
fn inherited_migrations_count_and_a_refusal_takes_no_place() {
    let (turns, _woken) = turns(2);
    assert!(matches!(
        turns.ask(request("a", "a:1"), |_| Some(inherited(2))),
        TurnAnswer::Queued
    ));
    assert!(matches!(turns.ask(request("a", "a:1"), |_| None), TurnAnswer::Refused));
    assert!(!turns.look(|ledger| ledger.is_engaged("a")));
    assert!(matches!(
        turns.ask(request("b", "a:1"), |_| Some(inherited(1))),
        TurnAnswer::Now(_)
    ));
}

#[test]
fn the_last_outcome_is_known() {
    let (turns, _woken) = turns(1);
    let mut turn = ask(&turns, "one", "a:1").unwrap();
    assert!(turns.look(|ledger| ledger.is_engaged("one")));
    turn.ended(TurnOutcome::Failed);
    drop(turn);
    assert_eq!(turns.failed("one").as_deref(), Some("sha256:1"));
    assert_eq!(turns.look(|ledger| ledger.outcome("one", "sha256:2")), None);
    drop(ask(&turns, "one", "a:1"));
    assert_eq!(turns.failed("one"), None);
    assert_eq!(
        turns.look(|ledger| ledger.outcome("one", "sha256:1")),
        Some(TurnOutcome::Cut)
    );
    let again = |value| turns.asks_again("standard", value, ["one".to_owned()]);
    assert!(again("x") && !again("x"));
    assert!(turns.look(|ledger| ledger.is_asked_again("one")));
    drop(ask(&turns, "one", "a:1"));
    assert!(!turns.look(|ledger| ledger.is_asked_again("one")) && again("y"));
}

/// Asks for an Orchestra of a namespace, on a server that several namespaces use.
fn ask_shared(turns: &Arc<Turns>, namespace: &str, name: &str) -> Option<Turn> {
    let request = TurnRequest {
        uid: format!("{namespace}/{name}"),
        object: Some(ObjectRef::new(name).within(namespace)),
        ..request(name, "a:5432")
    };
    let load = Load {
        shared: true,
        ..Load::default()
    };
    match turns.ask(request, |_| Some(load)) {
        TurnAnswer::Now(turn) => Some(turn),
        TurnAnswer::Queued | TurnAnswer::Refused => None,
    }
}

#[test]
fn one_namespace_holds_up_no_other() {
    let (turns, mut woken) = turns(4);
    let mut running: Vec<_> = (0..9)
        .filter_map(|number| ask_shared(&turns, "greedy", &number.to_string()))
        .collect();
    assert_eq!(running.len(), 3, "the last turn is left to the others");
    let modest = ask_shared(&turns, "modest", "one").unwrap();
    assert!(ask_shared(&turns, "other", "one").is_none(), "the server is full");
    // Of all that wait, the namespace without a turn is next.
    drop(running.pop());
    let next = woken.try_recv().unwrap();
    assert_eq!((next.namespace.as_deref(), next.name.as_str()), (Some("other"), "one"));
    assert!(ask_shared(&turns, "greedy", "3").is_none());
    let other = ask_shared(&turns, "other", "one").unwrap();
    drop((modest, other));
    let woken: Vec<_> = std::iter::from_fn(|| woken.try_recv().ok()).collect();
    assert!(woken.iter().all(|object| object.namespace.as_deref() == Some("greedy")) && !woken.is_empty());
    assert!(ask_shared(&turns, "greedy", "3").is_some());
}

#[test]
fn namespaces_alternate_where_a_server_bears_one() {
    let (turns, _woken) = turns(1);
    let mut turn = ask_shared(&turns, "greedy", "0");
    for number in 1..5 {
        assert!(ask_shared(&turns, "greedy", &number.to_string()).is_none());
    }
    assert!(ask_shared(&turns, "modest", "one").is_none());
    drop(turn.take());
    assert!(
        ask_shared(&turns, "greedy", "1").is_none(),
        "the other namespace is next"
    );
    let modest = ask_shared(&turns, "modest", "one").unwrap();
    drop(modest);
    assert!(ask_shared(&turns, "greedy", "1").is_some());
}

#[test]
fn a_server_is_full_when_a_new_request_would_have_to_wait() {
    let (turns, _woken) = turns(2);
    assert!(!turns.is_full("a:5432"));
    let one = ask(&turns, "one", "a:5432").unwrap();
    assert!(!turns.is_full("a:5432"));
    let two = ask(&turns, "two", "a:5432").unwrap();
    assert!(turns.is_full("a:5432") && !turns.is_full("b:5432"));
    assert!(ask(&turns, "three", "a:5432").is_none());
    drop((one, two));
    assert!(turns.is_full("a:5432"), "the turn is the one's that waits");
    drop(ask(&turns, "three", "a:5432").unwrap());
    assert!(!turns.is_full("a:5432"));
}
