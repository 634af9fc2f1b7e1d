//! The lease against a real API server: one acts, and never two.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease as Record;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use orchestra_operator::controller::lease::{Lease, LeaseGuard, Timing};
use orchestra_sandbox::control_plane::{ControlPlane, Options};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

const DURATION: Duration = Duration::from_secs(3);
/// Longest time that anything takes on a busy machine.
const LONG: Duration = Duration::from_secs(30);

fn contender(client: &Client, lease: &str, identity: &str) -> Lease {
    Lease::new(client.clone(), "default", lease, identity, Timing::of(DURATION))
}

fn acquire(client: &Client, lease: &str, identity: &str) -> JoinHandle<(LeaseGuard, Instant)> {
    let lease = contender(client, lease, identity);
    tokio::spawn(async move { (lease.acquire().await.unwrap(), Instant::now()) })
}

async fn acquired(waiting: JoinHandle<(LeaseGuard, Instant)>) -> (LeaseGuard, Instant) {
    timeout(LONG, waiting).await.unwrap().unwrap()
}

async fn record(client: &Client, lease: &str) -> Record {
    Api::namespaced(client.clone(), "default").get(lease).await.unwrap()
}

async fn holder(client: &Client, lease: &str) -> Option<String> {
    record(client, lease).await.spec.unwrap().holder_identity
}

#[tokio::test(flavor = "multi_thread")]
async fn one_acts() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        audit: true,
        ..Options::default()
    };
    let plane = ControlPlane::start(dir.path(), options).await.unwrap();
    let client = plane.admin_client().await.unwrap();
    // The stories do not share a lease, and most of their time is waiting.
    tokio::join!(
        of_many_at_once_one_wins(&client),
        a_killed_holder_is_replaced_when_its_lease_ran_out(&client),
        a_lease_given_back_is_taken_at_once(&client),
        a_holder_that_is_pushed_out_learns_of_it(&client),
        a_lease_of_an_earlier_life_is_waited_out(&client),
        a_holder_that_is_cut_off_ends_before_another_begins(&plane, &client),
        a_renewal_is_one_request(&plane, &client),
    );
}

/// Also after somebody else has written, which costs one attempt and one read.
async fn a_renewal_is_one_request(plane: &ControlPlane, client: &Client) {
    let mut log = plane.audit_log().unwrap();
    let mut sent = async |wanted: usize| {
        let mut sent = Vec::new();
        let began = Instant::now();
        while sent.len() < wanted {
            assert!(began.elapsed() < LONG, "{sent:?}");
            sleep(Duration::from_millis(20)).await;
            let new = log.read().unwrap().into_iter();
            let ours = new.filter(|request| request.resource == "leases" && request.name == "counted");
            sent.extend(ours.map(|request| (request.verb, request.code)));
        }
        sent
    };
    let request = |verb: &str, code: u16| (verb.to_owned(), code);
    let (held, _) = acquired(acquire(client, "counted", "us")).await;
    let first = sent(6).await;
    assert_eq!(first[..2], [request("get", 404), request("create", 201)]);
    assert!(
        first[2..].iter().all(|sent| *sent == request("update", 200)),
        "{first:?}"
    );

    let api: Api<Record> = Api::namespaced(client.clone(), "default");
    let label = json!({"metadata": {"labels": {"seen": "by-an-admin"}}});
    api.patch("counted", &PatchParams::default(), &Patch::Merge(label))
        .await
        .unwrap();
    let mut next = sent(8).await;
    next.retain(|sent| *sent != request("update", 200));
    let expected = [request("patch", 200), request("update", 409), request("get", 200)];
    assert_eq!(next, expected);
    assert_eq!(holder(client, "counted").await.as_deref(), Some("us"));
    timeout(LONG, held.release()).await.unwrap();
}

async fn of_many_at_once_one_wins(client: &Client) {
    let waiting: Vec<_> = (0..8)
        .map(|n| acquire(client, "many", &format!("contender-{n}")))
        .collect();
    // Longer than the lease: the winner keeps it by renewing.
    sleep(DURATION * 2).await;
    let winners = waiting.iter().filter(|waiting| waiting.is_finished()).count();
    assert_eq!(winners, 1);
    assert_eq!(
        record(client, "many").await.spec.unwrap().lease_transitions,
        Some(1),
        "nobody took it from the winner"
    );
    for waiting in waiting {
        waiting.abort();
    }
}

async fn a_killed_holder_is_replaced_when_its_lease_ran_out(client: &Client) {
    let (first, _) = acquired(acquire(client, "killed", "first")).await;
    let second = acquire(client, "killed", "second");
    sleep(DURATION).await;
    assert!(!second.is_finished(), "the first one renews");
    drop(first);
    let killed = Instant::now();
    let (_second, at) = acquired(second).await;
    // The last renewal was at most one pace (and one slow request) before the kill.
    let waited = at - killed;
    assert!(
        waited >= DURATION.saturating_sub(Timing::of(DURATION).retry * 2),
        "taken over after {waited:?}"
    );
    assert_eq!(holder(client, "killed").await.as_deref(), Some("second"));
}

async fn a_lease_given_back_is_taken_at_once(client: &Client) {
    let (first, _) = acquired(acquire(client, "released", "first")).await;
    let second = acquire(client, "released", "second");
    sleep(Duration::from_millis(500)).await;
    let released = Instant::now();
    timeout(LONG, first.release()).await.unwrap();
    let (_second, at) = acquired(second).await;
    assert!(at - released < DURATION, "taken over after {:?}", at - released);
}

async fn a_holder_that_is_pushed_out_learns_of_it(client: &Client) {
    let (mut first, _) = acquired(acquire(client, "pushed", "first")).await;
    let api: Api<Record> = Api::namespaced(client.clone(), "default");
    let theirs = json!({"spec": {"holderIdentity": "somebody-else"}});
    api.patch("pushed", &PatchParams::default(), &Patch::Merge(theirs))
        .await
        .unwrap();
    timeout(LONG, first.lost()).await.unwrap();
    timeout(LONG, first.release()).await.unwrap();
    assert_eq!(holder(client, "pushed").await.as_deref(), Some("somebody-else"));
}

/// Whatever the record's times say: another machine's clock may be wrong by years.
async fn a_lease_of_an_earlier_life_is_waited_out(client: &Client) {
    let api: Api<Record> = Api::namespaced(client.clone(), "default");
    for (lease, year) in [("past", 2001), ("future", 2999)] {
        let record = json!({
            "metadata": {"name": lease},
            "spec": {
                "holderIdentity": "somebody-else", "leaseDurationSeconds": 3,
                "renewTime": format!("{year}-01-01T00:00:00.000000Z"),
            }
        });
        let record: Record = serde_json::from_value(record).unwrap();
        api.create(&PostParams::default(), &record).await.unwrap();
    }
    let began = Instant::now();
    for waiting in [acquire(client, "past", "us"), acquire(client, "future", "us")] {
        let (_held, at) = acquired(waiting).await;
        assert!(at - began >= DURATION, "taken after {:?}", at - began);
    }
}

async fn a_holder_that_is_cut_off_ends_before_another_begins(plane: &ControlPlane, client: &Client) {
    let (proxy, frozen) = proxy(plane).await;
    let kubeconfig = Kubeconfig::read_from(plane.admin_kubeconfig()).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    config.cluster_url = format!("https://{proxy}").parse().unwrap();
    let far = Client::try_from(config).unwrap();

    let (mut first, _) = acquired(acquire(&far, "cut-off", "first")).await;
    let second = acquire(client, "cut-off", "second");
    sleep(DURATION).await;
    frozen.send_replace(true);
    timeout(LONG, first.lost()).await.unwrap();
    let lost = Instant::now();
    assert!(!second.is_finished(), "the other one waits until the lease ran out");
    let (_second, at) = acquired(second).await;
    assert!(lost < at);
    // The network is back: the old holder must not disturb the new one.
    frozen.send_replace(false);
    timeout(LONG, first.release()).await.unwrap();
    assert_eq!(holder(client, "cut-off").await.as_deref(), Some("second"));
}

/// A way to the API server that can be frozen: nothing passes then, and nothing breaks.
async fn proxy(plane: &ControlPlane) -> (SocketAddr, Arc<watch::Sender<bool>>) {
    let target = plane.server().trim_start_matches("https://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let frozen = Arc::new(watch::Sender::new(false));
    let gate = frozen.clone();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(&target).await.unwrap();
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::spawn(pass(near_in, far_out, gate.subscribe()));
            tokio::spawn(pass(far_in, near_out, gate.subscribe()));
        }
    });
    (address, frozen)
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut frozen: watch::Receiver<bool>,
) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if frozen.wait_for(|frozen| !frozen).await.is_err() || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
