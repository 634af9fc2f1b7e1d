//! Errors in the words of kubectl, and the exit codes.

use kube::Error as Kube;

use crate::text;

/// The exit code of a command that failed for a reason without a code of its own.
pub const FAILED: u8 = 1;

/// The exit codes of `kubectl orchestra`, for its help. Wrong usage is clap's, which exits with 2.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed: the message says why
  2  wrong usage
  3  the object does not exist
  4  not allowed, or not logged in
  5  conflict: the object has changed, exists already, or another manager owns the field
  6  the API server cannot be reached
`status --exit-code` exits with 10 while the Orchestra waits and with 11 when a person must act. `psql` exits with psql's own code.";

/// A command that succeeded, with an exit code that says what it found.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct FoundExit {
    /// The exit code.
    pub code: u8,
    /// The message, which may be empty.
    pub message: String,
}

/// The lines for a person, and the exit code.
pub fn of(error: &anyhow::Error) -> (String, u8) {
    if let Some(found) = error.downcast_ref::<FoundExit>() {
        return (found.message.clone(), found.code);
    }
    let kube = error.chain().find_map(|cause| cause.downcast_ref::<Kube>());
    let (told, code) = match kube {
        Some(kube) => of_kube(kube),
        None => return (shown(&format!("error: {}", one_line(error))), FAILED),
    };
    // What the command adds to the server's message, such as the role that grants a right.
    let hint = error.to_string();
    let hint = if error.chain().count() > kube_causes(error) && !told.contains(&hint) {
        format!("\n{}", shown(&hint))
    } else {
        String::new()
    };
    (format!("{}{hint}", shown(&told)), code)
}

/// The number of causes, counted from the error of kube.
fn kube_causes(error: &anyhow::Error) -> usize {
    error.chain().skip_while(|cause| !cause.is::<Kube>()).count()
}

fn of_kube(error: &Kube) -> (String, u8) {
    match error {
        Kube::Api(status) => {
            let code = match status.code {
                404 => 3,
                401 | 403 => 4,
                409 => 5,
                _ => FAILED,
            };
            let told = match status.reason.as_str() {
                "" => format!("Error from server: {}", status.message),
                reason => format!("Error from server ({reason}): {}", status.message),
            };
            (told, code)
        }
        Kube::SerdeError(cause) => (format!("error: the server's answer cannot be read: {cause}"), FAILED),
        Kube::Auth(cause) => (format!("error: the login of the kubeconfig cannot be used: {cause}"), 4),
        Kube::HyperError(_) | Kube::Service(_) | Kube::ReadEvents(_) => {
            (format!("Unable to connect to the server: {}", last(error)), 6)
        }
        other => (format!("error: {other}"), FAILED),
    }
}

/// The innermost cause, which says what happened: the outer ones name layers of the client.
fn last(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// The first line of each cause that adds something. Further lines of a parser's error show what it read,
/// which may be a kubeconfig with its keys.
pub fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let cause = match cause.downcast_ref::<Kube>() {
            // Its own text contains the whole answer in Rust's debug format.
            Some(kube) => of_kube(kube).0,
            None => cause.to_string(),
        };
        let first = cause.lines().next().unwrap_or_default();
        if !line.contains(first) {
            let gap = if line.is_empty() { "" } else { ": " };
            line = format!("{line}{gap}{first}");
        }
        if cause.starts_with("Error from server") {
            break;
        }
    }
    line
}

fn shown(line: &str) -> String {
    text::line(line, usize::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use kube::core::Status;

    use super::*;

    fn api(code: u16, reason: &str, message: &str) -> anyhow::Error {
        let status = Status {
            code,
            reason: reason.into(),
            message: message.into(),
            ..Status::default()
        };
        Kube::Api(Box::new(status)).into()
    }

    #[test]
    fn the_servers_words_are_kubectls() {
        let missing = api(404, "NotFound", "orchestras.stagesub.io \"x\" not found");
        let told = "Error from server (NotFound): orchestras.stagesub.io \"x\" not found";
        assert_eq!(of(&missing), (told.to_owned(), 3));
        let refused: anyhow::Result<()> =
            Err(api(403, "Forbidden", "no")).context("ClusterRole orchestra-editor grants it");
        let (told, code) = of(&refused.err().unwrap_or_else(|| anyhow::anyhow!("none")));
        assert_eq!(
            told,
            "Error from server (Forbidden): no\nClusterRole orchestra-editor grants it"
        );
        assert_eq!(code, 4);
        assert_eq!(
            of(&api(409, "", "changed")),
            ("Error from server: changed".to_owned(), 5)
        );
    }

    #[test]
    fn no_error_shows_a_value_of_the_program() {
        for error in [
            api(500, "InternalError", "broken"),
            api(404, "NotFound", "none").context("cannot read"),
            anyhow::anyhow!("plain").context("outer"),
        ] {
            for told in [of(&error).0, one_line(&error)] {
                assert!(!told.contains("Status {") && !told.contains("ApiError"), "{told}");
            }
        }
        let told = of(&anyhow::anyhow!("first\nsecret: x").context("outer"));
        assert_eq!(told, ("error: outer: first".to_owned(), FAILED));
        let found = FoundExit {
            code: 11,
            message: String::new(),
        };
        assert_eq!(of(&found.into()), (String::new(), 11));
    }
}
