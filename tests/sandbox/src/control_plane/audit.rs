//! The API server's audit log: one record for each request, with who sent it.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::json;

/// A file of this size in MiB is not rotated by any measurement.
const MAX_SIZE: u32 = 64 * 1024;

/// A request that the API server has answered. A watch is recorded when its stream begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The authenticated user, for example `system:serviceaccount:<namespace>:<name>`.
    pub user: String,
    /// The verb of Kubernetes, for example `get` or `patch`.
    pub verb: String,
    /// The resource with its subresource, for example `pods/status`; the path where there is no resource.
    pub resource: String,
    /// Name of the object; empty for lists and for most creations.
    pub name: String,
    /// The HTTP status of the answer.
    pub code: u16,
}

impl Request {
    /// Whether the verb changes what is stored.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

/// Reads the audit log of a running API server from where the last read ended.
#[derive(Debug)]
pub struct AuditLog {
    path: PathBuf,
    offset: u64,
}

impl AuditLog {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, offset: 0 }
    }

    /// The requests that were recorded since the last call.
    ///
    /// The API server writes a record before it ends the answer, so every request whose answer has
    /// arrived is among them.
    ///
    /// # Errors
    /// When the file cannot be read, or holds something else.
    pub fn read(&mut self) -> Result<Vec<Request>> {
        let mut file = File::open(&self.path).with_context(|| format!("open {}", self.path.display()))?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        // The last line may be written right now.
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.offset += u64::try_from(whole)?;
        let mut requests = Vec::new();
        for line in text[..whole]
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let record: Record = serde_json::from_slice(line).context("a line of the audit log")?;
            requests.extend(record.request());
        }
        Ok(requests)
    }
}

/// Writes the policy, and returns the API server's flags.
pub(super) fn flags(policy: &Path, log: &Path) -> Result<Vec<String>> {
    let text = json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{ "level": "Metadata" }],
    });
    std::fs::write(policy, text.to_string()).with_context(|| format!("write {}", policy.display()))?;
    Ok(vec![
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", log.display()),
        format!("--audit-log-maxsize={MAX_SIZE}"),
    ])
}

/// An event of `audit.k8s.io/v1`, as far as it is needed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    stage: String,
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    user: User,
    object_ref: Option<ObjectRef>,
    response_status: Option<ResponseStatus>,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize)]
struct ObjectRef {
    #[serde(default)]
    resource: String,
    #[serde(default)]
    subresource: String,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}

impl Record {
    /// One request for each pair of stages: a watch where it starts, anything else where it is complete.
    fn request(self) -> Option<Request> {
        let stage = if self.verb == "watch" {
            "ResponseStarted"
        } else {
            "ResponseComplete"
        };
        if self.stage != stage {
            return None;
        }
        let path = || self.request_uri.split('?').next().unwrap_or_default().to_owned();
        let (resource, name) = match self.object_ref {
            Some(object) if object.subresource.is_empty() => (object.resource, object.name),
            Some(object) => (format!("{}/{}", object.resource, object.subresource), object.name),
            None => (path(), String::new()),
        };
        Some(Request {
            user: self.user.username,
            verb: self.verb,
            resource,
            name,
            code: self.response_status.map_or(0, |status| status.code),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_once_and_half_a_line_is_left() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("audit.log");
        let record = |stage: &str, verb: &str| {
            json!({
                "stage": stage, "verb": verb, "requestURI": "/api/v1/secrets?limit=5", "user": {"username": "us"},
                "objectRef": {"resource": "secrets", "subresource": "status", "name": "one"},
                "responseStatus": {"code": 404},
            })
            .to_string()
        };
        let lines = [
            record("ResponseStarted", "watch"),
            record("ResponseComplete", "watch"),
            record("ResponseComplete", "get"),
        ];
        let mut log = AuditLog::new(path.clone());
        std::fs::write(&path, format!("{}\n{}\n{}", lines[0], lines[1], &lines[2][..20]))?;
        let verbs = |requests: Vec<Request>| requests.into_iter().map(|request| request.verb).collect::<Vec<_>>();
        assert_eq!(verbs(log.read()?), ["watch"]);
        std::fs::write(&path, format!("{}\n", lines.join("\n")))?;
        let rest = log.read()?;
        assert_eq!((rest[0].resource.as_str(), rest[0].code), ("secrets/status", 404));
        assert_eq!(verbs(rest), ["get"]);
        assert!(log.read()?.is_empty());
        Ok(())
    }
}
