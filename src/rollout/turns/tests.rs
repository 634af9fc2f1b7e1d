#![allow(clippy::unwrap_used)]
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;

fn turns(per_server: usize) -> (Arc<Turns>, UnboundedReceiver<ObjectRef<Orchestra>>) {
    let (wake, woken) = unbounded_channel();
    (Arc::new(Turns::new(per_server, wake)), woken)
}

fn request(name: &str, server: &str) -> Request {
    Request {
        uid: name.into(),
        object: Some(ObjectRef::new(name).within("tenants")),
        server: server.into(),
        revision: "sha256:1".into(),
    }
}

fn ask(turns: &Arc<Turns>, name: &str, server: &str) -> Option<Turn> {
    match turns.ask(request(name, server), |_| Some(0)) {
        Answer::Now(turn) => Some(turn),
        Answer::Queued | Answer::Refused => None,
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
    let spare = || Request {
        object: None,
        ..request("spare", "a:5432")
    };
    assert!(matches!(turns.ask(spare(), |_| Some(0)), Answer::Queued));
    drop(one);
    assert!(ask(&turns, "two", "a:5432").is_some());
    assert!(matches!(turns.ask(spare(), |_| Some(0)), Answer::Now(_)));
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
    assert!(matches!(turns.ask(request("a", "a:1"), |_| Some(2)), Answer::Queued));
    assert!(matches!(turns.ask(request("a", "a:1"), |_| None), Answer::Refused));
    assert!(!turns.look(|ledger| ledger.is_engaged("a")));
    assert!(matches!(turns.ask(request("b", "a:1"), |_| Some(1)), Answer::Now(_)));
}

#[test]
fn the_last_outcome_is_known() {
    let (turns, _woken) = turns(1);
    let mut turn = ask(&turns, "one", "a:1").unwrap();
    assert!(turns.look(|ledger| ledger.is_engaged("one")));
    turn.ended(Outcome::Failed);
    drop(turn);
    assert_eq!(turns.failed("one").as_deref(), Some("sha256:1"));
    assert_eq!(turns.look(|ledger| ledger.outcome("one", "sha256:2")), None);
    drop(ask(&turns, "one", "a:1"));
    assert_eq!(turns.failed("one"), None);
    assert_eq!(
        turns.look(|ledger| ledger.outcome("one", "sha256:1")),
        Some(Outcome::Cut)
    );
    let again = |value| turns.asks_again("standard", value, ["one".to_owned()]);
    assert!(again("x") && !again("x"));
    assert!(turns.look(|ledger| ledger.is_asked_again("one")));
    drop(ask(&turns, "one", "a:1"));
    assert!(!turns.look(|ledger| ledger.is_asked_again("one")) && again("y"));
}
