#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const LONG: Duration = Duration::from_hours(1);

#[derive(Default)]
struct FlightWork(AtomicUsize);

impl FlightWork {
    fn begin(self: &Arc<Self>, outcome: Result<usize, Error>) -> impl Future<Output = Result<usize, Error>> + use<> {
        let work = self.clone();
        async move {
            work.0.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            outcome
        }
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn failed() -> Result<usize, Error> {
    Err(Error::unavailable(&"it", "it is away"))
}

#[tokio::test]
async fn one_does_the_work_for_all() {
    let (flights, work) = (Flights::new(LONG), Arc::new(FlightWork::default()));
    let asks = (0..100).map(|_| flights.get(&1, "it", LONG, || work.begin(Ok(7))));
    let all = futures::future::join_all(asks).await;
    assert!(all.iter().all(|outcome| *outcome == Ok(7)));
    assert_eq!(flights.get(&1, "it", LONG, || work.begin(Ok(8))).await, Ok(7));
    assert_eq!(work.count(), 1);
    assert_eq!(flights.get(&2, "it", LONG, || work.begin(Ok(9))).await, Ok(9));
    assert_eq!(flights.get(&1, "it", Duration::ZERO, || work.begin(Ok(8))).await, Ok(8));
    assert_eq!(work.count(), 3);
}

#[tokio::test]
async fn a_failure_is_shared_and_the_last_good_is_kept() {
    let (flights, work) = (Flights::new(LONG), Arc::new(FlightWork::default()));
    for _ in 0..5 {
        assert_eq!(flights.get(&1, "it", LONG, || work.begin(failed())).await, failed());
    }
    assert_eq!(work.count(), 1, "hundreds do not hammer what is down");
    assert_eq!(flights.get(&2, "it", LONG, || work.begin(Ok(1))).await, Ok(1));
    for _ in 0..5 {
        assert_eq!(
            flights.get(&2, "it", Duration::ZERO, || work.begin(failed())).await,
            Ok(1)
        );
    }
    assert_eq!(work.count(), 3);
}

#[tokio::test]
async fn nobody_waits_for_long() {
    const PATIENCE: Duration = Duration::from_millis(200);
    let mut flights = Flights::new(LONG);
    flights.patience = PATIENCE;
    let slow = || async {
        tokio::time::sleep(PATIENCE * 2).await;
        Ok(2)
    };
    let first = flights.get(&1, "it", LONG, slow).await.unwrap_err();
    assert!(first.to_string().contains("still being fetched"), "{first}");
    tokio::time::sleep(PATIENCE * 2).await;
    assert_eq!(flights.get(&1, "it", LONG, slow).await, Ok(2));
    let slower = || async {
        tokio::time::sleep(PATIENCE * 2).await;
        Ok(3)
    };
    assert_eq!(
        flights.get(&1, "it", Duration::ZERO, slower).await,
        Ok(2),
        "meanwhile the last"
    );
    tokio::time::sleep(PATIENCE * 3).await;
    assert_eq!(flights.get(&1, "it", LONG, slower).await, Ok(3));
}

#[tokio::test]
async fn work_that_panics_is_a_failure() {
    let flights: Flights<u8, u8> = Flights::new(LONG);
    let outcome = flights.get(&1, "it", LONG, || async { panic!("at the disco") }).await;
    assert!(outcome.unwrap_err().to_string().contains("interrupted"));
}

#[tokio::test]
async fn what_nobody_asks_for_is_forgotten() {
    let flights = Flights::new(Duration::ZERO);
    flights.get(&1, "it", LONG, || async { Ok(1) }).await.unwrap();
    flights.get(&2, "it", LONG, || async { Ok(2) }).await.unwrap();
    assert_eq!(flights.entries.lock().len(), 1);
}

#[tokio::test]
async fn outcomes_are_kept_up_to_a_number_of_bytes() {
    let (flights, work) = (
        Flights::new(LONG).weighed(|bytes: &usize| *bytes, 10),
        Arc::new(FlightWork::default()),
    );
    for (key, bytes) in [(1, 4), (2, 4), (1, 4), (3, 4), (4, 40), (4, 40)] {
        assert_eq!(flights.get(&key, "it", LONG, || work.begin(Ok(bytes))).await, Ok(bytes));
    }
    assert_eq!(work.count(), 4);
    // The two last ones before the long one were dropped.
    for key in [1, 3] {
        assert_eq!(flights.get(&key, "it", LONG, || work.begin(Ok(4))).await, Ok(4));
    }
    assert_eq!(work.count(), 6);
    flights.forget(LONG, |_| true);
    flights.forget(Duration::ZERO, |bytes| *bytes == 4);
    assert_eq!(flights.get(&3, "it", LONG, || work.begin(Ok(4))).await, Ok(4));
    assert_eq!(work.count(), 7);
}
