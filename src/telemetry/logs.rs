//! Logs on standard error, as text or JSON, filtered by the user and capped by the operator.
//!
//! # No level prints a secret
//! Some libraries log the data that they handle. [`CAPS`] limits the levels of those targets before the user's
//! filter applies, so that no filter lifts a cap. The table lists what they print, as the sources of the versions in
//! `Cargo.lock` show:
//!
//! | target | prints | cap |
//! |---|---|---|
//! | `sqlx::query` | the SQL text: at debug every statement, **at warn** slow ones, so `ALTER ROLE … PASSWORD` | off |
//! | `sqlx::postgres::notice` | the server's notices, which scripts of migrations can raise | info, and with a level alone only from debug on |
//! | `sqlx_postgres::options` | **at warn** unknown parameters of a connection URL with their values | error |
//! | `sqlx_*` | descriptions of statements at trace and debug | error |
//! | `kube_client::client` | **at warn** a whole response body that does not decode, which may be a Secret; at trace response headers | error |
//! | `kube_client::client::builder` | at error what the operator reports itself, with its context | off |
//! | `kube_client` | parts of the kubeconfig at trace | info |
//! | `h2` | every frame at debug, header values at trace when they are malformed | info |
//! | `hyper`, `hyper_util`, `tower_http` | connections and heads at debug and trace | info |
//! | `reqwest` | bytes read and written, at trace when connections are verbose | info |
//! | `rustls` | handshake messages and session tickets at trace | info |
//!
//! The operator's own targets have no cap: its types keep secrets in `secrecy::SecretString`, whose `Debug` is
//! redacted.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd as _;
use std::str::FromStr;
use std::sync::Mutex;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::text;

/// The levels of libraries when the filter is a single level: warnings and errors only.
const QUIET: &str = "hyper=warn,hyper_util=warn,h2=warn,reqwest=warn,rustls=warn,sqlx=warn,\
                     kube=warn,kube_client=warn,kube_runtime=warn,tower=warn,tower_http=warn";

/// The server's notices.
const NOTICES: &str = "sqlx::postgres::notice";

/// The highest level that a target may log at. The longest matching prefix counts.
const CAPS: [(&str, LevelFilter); 11] = [
    ("sqlx::query", LevelFilter::OFF),
    (NOTICES, LevelFilter::INFO),
    ("sqlx", LevelFilter::ERROR), // sqlx_core and sqlx_postgres too
    ("kube_client::client", LevelFilter::ERROR),
    ("kube_client::client::builder", LevelFilter::OFF),
    ("kube_client", LevelFilter::INFO),
    ("h2", LevelFilter::INFO),
    ("hyper", LevelFilter::INFO), // hyper_util and hyper_rustls too
    ("tower_http", LevelFilter::INFO),
    ("reqwest", LevelFilter::INFO),
    ("rustls", LevelFilter::INFO),
];

/// The most characters of a line.
const LINE: usize = 16 << 10;

/// The format of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For collectors: one JSON object a line.
    Json,
}

/// The logs cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter cannot be read.
    #[error(
        "log filter {filter:?} cannot be read: {cause}; write a level (\"info\") or \
         targets with levels (\"info,orchestra_operator=debug\")"
    )]
    Filter {
        /// The filter that was given.
        filter: String,
        /// The problem of the filter.
        cause: String,
    },
    /// Standard error cannot be duplicated.
    #[error("standard error cannot be opened for logs: {0}")]
    Descriptor(std::io::Error),
    /// Another subscriber is installed.
    #[error("logs were set up already")]
    Twice,
}

/// Sends the logs of this process to standard error. `filter` is a level (libraries then stay at
/// warn) or a list of `target=level` as `RUST_LOG` takes it.
///
/// # Errors
/// When the filter cannot be read, or logs were set up before.
pub fn init(format: LogFormat, filter: &str) -> Result<(), Error> {
    // The parser of SQL redirects descriptor 2 while it runs, and lines written to it meanwhile would be lost.
    let own = std::io::stderr()
        .as_fd()
        .try_clone_to_owned()
        .map_err(Error::Descriptor)?;
    subscriber(format, filter, Mutex::new(File::from(own)))?
        .try_init()
        .map_err(|_| Error::Twice)
}

pub(crate) fn subscriber<W>(
    format: LogFormat,
    filter: &str,
    writer: W,
) -> Result<impl Subscriber + Send + Sync + use<W>, Error>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(Plain(writer))
        .with_ansi(false);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let caps = Targets::new().with_default(LevelFilter::TRACE).with_targets(CAPS);
    Ok(tracing_subscriber::registry()
        .with(caps)
        .with(parse(filter)?)
        .with(lines))
}

/// Writes each event as one line without control characters, which a terminal would execute: events contain texts of servers
/// and scripts, and sqlx passes notices on unchanged.
struct Plain<W>(W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for Plain<W> {
    type Writer = PlainWriter<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        PlainWriter(self.0.make_writer())
    }
}

struct PlainWriter<W>(W);

impl<W: Write> Write for PlainWriter<W> {
    /// Takes one event, which ends with a line feed.
    fn write(&mut self, event: &[u8]) -> std::io::Result<usize> {
        let event_text = String::from_utf8_lossy(event);
        let line = text::shown(event_text.trim_end(), LINE);
        self.0.write_all(format!("{line}\n").as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

fn parse(filter: &str) -> Result<EnvFilter, Error> {
    let trimmed = filter.trim();
    let directives = match LevelFilter::from_str(trimmed) {
        Ok(level) if level < LevelFilter::DEBUG => format!("{level},{QUIET},{NOTICES}=off"),
        Ok(LevelFilter::DEBUG) => format!("debug,{QUIET},{NOTICES}=info"),
        _ => trimmed.to_owned(),
    };
    EnvFilter::try_new(directives).map_err(|cause| Error::Filter {
        filter: filter.to_owned(),
        cause: cause.to_string(),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    /// The lines that were logged.
    #[derive(Clone, Default)]
    pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().clone()).unwrap()
        }
    }

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str, log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(format, filter, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, log);
        lines.text()
    }

    #[test]
    fn no_filter_lifts_a_cap() {
        let loud = "trace,sqlx=trace,sqlx::query=trace,kube_client::client=trace,h2=trace";
        for filter in ["trace", loud] {
            let lines = logged(LogFormat::Text, filter, || {
                tracing::warn!(target: "sqlx::query", "secret-1");
                tracing::warn!(target: "sqlx_postgres::options::parse", "secret-3");
                tracing::warn!(target: "kube_client::client", "secret-4");
                tracing::debug!(target: "h2::codec::framed_write", "secret-5");
                tracing::trace!(target: "hyper_util::client", "secret-6");
                tracing::trace!(target: "rustls::client::hs", "secret-7");
                tracing::trace!(target: "reqwest::connect::verbose", "secret-8");
                tracing::trace!(target: "orchestra_operator::supabase", "ours");
                tracing::error!(target: "kube_client::client", "an error");
            });
            assert!(!lines.contains("secret"), "{lines}");
            assert!(lines.contains("ours") && lines.contains("an error"), "{lines}");
        }
    }

    #[test]
    fn a_level_alone_keeps_libraries_quiet() {
        let lines = logged(LogFormat::Json, "debug", || {
            tracing::debug!(controller = "orchestra", "ours");
            tracing::info!(target: "kube_runtime::controller", "theirs");
        });
        assert!(lines.contains(r#""controller":"orchestra""#), "{lines}");
        assert!(!lines.contains("theirs"), "{lines}");
        for (level, shown) in [("info", false), ("debug", true), ("trace", true)] {
            let lines = logged(LogFormat::Text, level, || {
                tracing::info!(target: "sqlx::postgres::notice", "raised");
            });
            assert_eq!(lines.contains("raised"), shown, "{level}: {lines}");
        }
    }

    #[test]
    fn a_line_has_the_fields_of_its_span() {
        let line = logged(LogFormat::Json, "info", || {
            let span = tracing::info_span!("reconcile", namespace = "tenants", orchestra = "one");
            span.in_scope(|| tracing::info!("applied"));
        });
        let line: serde_json::Value = serde_json::from_str(line.trim()).unwrap();
        assert_eq!(line["message"], "applied");
        assert_eq!(line["span"]["namespace"], "tenants");
        assert_eq!(line["span"]["orchestra"], "one");
    }

    #[test]
    fn a_line_is_one_line_whatever_is_in_it() {
        let hostile = format!("a\u{1b}[2J\nINFO forged\u{202e}b{}", "x".repeat(1 << 20));
        for format in [LogFormat::Text, LogFormat::Json] {
            let lines = logged(format, "debug", || {
                tracing::info!(target: "sqlx::postgres::notice", "{hostile}");
                tracing::info!(error = %hostile, "ours");
            });
            assert_eq!(lines.lines().count(), 2);
            assert!(lines.len() < 3 * LINE);
            assert!(!lines.contains(['\u{1b}', '\u{202e}']));
        }
    }

    #[test]
    fn a_wrong_filter_is_one_readable_line() {
        let error = parse("orchestra=loud").unwrap_err().to_string();
        assert!(
            error.contains("orchestra=loud") && error.contains("write a level"),
            "{error}"
        );
    }
}
