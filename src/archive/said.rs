//! Maps the messages of failed PostgreSQL programs to errors.

use super::error::Error;
use super::outcome::OutcomeReason;
use crate::postgres::up_to_values;
use crate::text;

/// The error of a failed program. It quotes only the program's own error lines: other lines may contain statements and rows.
pub(super) fn failure(program: &str, said: &str, status: &str) -> Error {
    let mut lines = said.lines().filter_map(|line| {
        let line = line.strip_prefix(program)?.strip_prefix(": ")?;
        line.strip_prefix("error: ").or_else(|| line.strip_prefix("fatal: "))
    });
    let line = lines.next().unwrap_or("it printed no error");
    let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
    let (reason, advice) = if has(&["lock timeout", "could not obtain lock"]) {
        (
            OutcomeReason::LockTimeout,
            "a table stayed locked; end the session that holds the lock, or try again at another time",
        )
    } else if has(&["password authentication failed", "no pg_hba.conf entry"]) {
        (OutcomeReason::WrongPassword, "check the login of the database")
    } else if has(&["SSL error", "certificate"]) {
        (
            OutcomeReason::UntrustedServer,
            "check the server's address and the certificate's authority",
        )
    } else if has(&["server version mismatch", "unsupported version"]) {
        (
            OutcomeReason::Incompatible,
            "the clients are older than the server or the archive; use a newer image",
        )
    } else if has(&[
        "connection to server",
        "server closed the connection",
        "terminating connection",
    ]) {
        (
            OutcomeReason::Unreachable,
            "the connection was refused or lost; check that the server runs and can be reached",
        )
    } else if has(&["permission denied", "must be owner"]) {
        (
            OutcomeReason::DatabaseRefused,
            "the database login lacks a privilege; grant it",
        )
    } else if program == "pg_dump" {
        (
            OutcomeReason::DumpFailed,
            "the database may have changed during the dump; try again",
        )
    } else {
        (OutcomeReason::RestoreFailed, "restore into a new and empty database")
    };
    let line = text::line(&without_values(line), 500);
    Error::new(reason, format!("{program} failed ({status}): {line}; {advice}"))
}

/// The line without values of rows in the server's own message, which follows `ERROR:`.
fn without_values(line: &str) -> String {
    const SERVER: &str = "ERROR:";
    match line.split_once(SERVER) {
        Some((before, said)) => format!("{before}{SERVER}{}", up_to_values(said)),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_the_clients_own_words_and_no_rows() {
        let said = "pg_restore: error: COPY failed for table \"a\": ERROR: duplicate key value\nDETAIL:  Key (mail)=(eva@x) \
                    exists.\nCONTEXT:  COPY a, line 1: \"secret\"\nCommand was: COPY a\n";
        let error = failure("pg_restore", said, "exit status: 1");
        assert_eq!(error.reason, OutcomeReason::RestoreFailed);
        assert!(
            error.message.contains("duplicate key") && !error.message.contains("eva"),
            "{error}"
        );
        let said = "pg_restore: error: COPY failed for table \"a\": ERROR:  invalid input syntax for type integer: \"geheim\"\n\
                    CONTEXT:  COPY a, line 1, column id: \"geheim\"\n";
        let error = failure("pg_restore", said, "1").to_string();
        assert!(
            error.contains("table \"a\"") && error.contains("integer: \"…\"; restore"),
            "{error}"
        );
        assert!(!error.contains("geheim"), "{error}");
        for (line, reason) in [
            (
                "query failed: ERROR:  canceling statement due to lock timeout",
                OutcomeReason::LockTimeout,
            ),
            (
                "connection to server at \"h\" failed: FATAL:  password authentication failed for user",
                OutcomeReason::WrongPassword,
            ),
            (
                "connection to server at \"h\" failed: Connection refused",
                OutcomeReason::Unreachable,
            ),
            (
                "aborting because of server version mismatch",
                OutcomeReason::Incompatible,
            ),
            ("relation with OID 1 does not exist", OutcomeReason::DumpFailed),
        ] {
            assert_eq!(
                failure("pg_dump", &format!("pg_dump: error: {line}\n"), "1").reason,
                reason
            );
        }
    }
}
