//! How far the Job of a backup, a restore or a drill is, by the last line of progress in its pod's log. The pod has no right, so
//! that it can report nothing itself, and the end of its work is all that its status has.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, LogParams};

use super::job::CONTAINER;
use crate::api::BackupProgress;
use crate::archive::ProgressLine;
use crate::controller::{Core, clock};
use crate::text;

/// The shortest time between two reports in a status. Jobs are looked at a little less often.
const EVERY: SignedDuration = SignedDuration::from_secs(25);

/// The most lines of a log that are read, and the most bytes.
const LINES: usize = 20;
const BYTES: i64 = 16 << 10;

/// How long the reading may take.
const LIMIT: Duration = Duration::from_secs(5);

/// The most characters of the name of a stage.
const STAGE: usize = 32;

/// How far the Job of a running pod is. What is `known` stays for a while, and where the log says nothing, or cannot be read:
/// the work goes on all the same.
pub async fn look(
    core: &Core,
    pod: Option<&str>,
    known: Option<&BackupProgress>,
    now: Timestamp,
) -> Option<BackupProgress> {
    let pod = pod?;
    if known.is_some_and(|known| is_recent(known, now)) {
        return known.cloned();
    }
    let pods: Api<Pod> = Api::namespaced(core.client.clone(), &core.settings.namespace);
    let end = LogParams {
        container: Some(CONTAINER.to_owned()),
        tail_lines: i64::try_from(LINES).ok(),
        limit_bytes: Some(BYTES),
        ..LogParams::default()
    };
    let log = match tokio::time::timeout(LIMIT, Box::pin(pods.logs(pod, &end))).await {
        Ok(Ok(log)) => log,
        Ok(Err(error)) => {
            tracing::debug!(pod, %error, "the log of a Job cannot be read");
            return known.cloned();
        }
        Err(_) => return known.cloned(),
    };
    last(&log, now).or_else(|| known.cloned())
}

/// Whether a report is so young that it stays. One of the future was written by somebody else.
fn is_recent(known: &BackupProgress, now: Timestamp) -> bool {
    let age = now.duration_since(known.time.0);
    !age.is_negative() && age < EVERY
}

/// The last report in a log, which a class's own image may have written.
fn last(log: &str, now: Timestamp) -> Option<BackupProgress> {
    let read = |line: &str| serde_json::from_str::<ProgressLine>(line).ok();
    let told = log.lines().rev().take(LINES).find_map(read)?.progress;
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    Some(BackupProgress {
        stage: text::line(&told.stage, STAGE),
        bytes: number(told.bytes),
        expected_bytes: told.of.map(number),
        time: Time(clock::whole(now)),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::archive::Progress;

    fn now() -> Timestamp {
        "2026-11-29T02:00:00Z".parse().unwrap()
    }

    #[test]
    fn the_last_report_of_the_log_counts_among_other_lines() {
        let told = Progress::default();
        told.stage("app", Some(7));
        let log = format!(
            "{{\"progress\": {{\"stage\": \"snapshot\", \"bytes\": 0, \"of\": null}}}}\n{}\n{{\"level\": \"INFO\"}}\n{{\"progr",
            told.line()
        );
        let is = last(&log, now()).unwrap();
        assert_eq!(
            (is.stage.as_str(), is.bytes, is.expected_bytes, is.time),
            ("app", 0, Some(7), Time(now()))
        );
    }

    #[test]
    fn what_is_no_report_says_nothing_and_a_long_one_is_bounded() {
        for log in [
            "",
            "\n\n",
            "stage app",
            "{}",
            "{\"progress\": {\"stage\": \"app\", \"bytes\": -1}}",
        ] {
            assert_eq!(last(log, now()), None, "{log}");
        }
        let report = |stage: &str| {
            let bytes = u64::MAX;
            serde_json::json!({"progress": {"stage": stage, "bytes": bytes, "of": bytes}}).to_string()
        };
        let is = last(&report(&"x\n".repeat(1000)), now()).unwrap();
        assert!(
            is.stage.chars().count() <= STAGE + 1 && !is.stage.contains('\n'),
            "{}",
            is.stage
        );
        assert_eq!((is.bytes, is.expected_bytes), (i64::MAX, Some(i64::MAX)));
        // It is too far from the end.
        let far = report("app") + &"\nother".repeat(LINES);
        assert_eq!(last(&far, now()), None);
    }

    #[test]
    fn a_report_stays_for_a_while() {
        for (seconds, is) in [(-1, false), (0, true), (24, true), (25, false)] {
            let known = BackupProgress {
                stage: "app".into(),
                bytes: 1,
                expected_bytes: None,
                time: Time(now() - SignedDuration::from_secs(seconds)),
            };
            assert_eq!(is_recent(&known, now()), is, "{seconds}");
        }
    }
}
