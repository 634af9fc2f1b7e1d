//! Reads the login of a registry from a Secret of type `kubernetes.io/dockerconfigjson`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde::Deserialize;

/// The type of such a Secret.
pub const TYPE: &str = "kubernetes.io/dockerconfigjson";
/// The key of the Secret that holds the logins.
pub const KEY: &str = ".dockerconfigjson";

/// Names of Docker Hub in Docker's configuration, besides `docker.io`.
const DOCKER_HUB: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];

/// The login of a registry.
#[derive(Clone, Debug)]
pub struct RegistryLogin {
    /// The user.
    pub user: String,
    /// The password or token.
    pub password: SecretString,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    auths: BTreeMap<String, PullSecretEntry>,
}

#[derive(Deserialize)]
struct PullSecretEntry {
    auth: Option<SecretString>,
    username: Option<String>,
    password: Option<SecretString>,
}

/// The login for a repository. Of several entries for its host the one with the longest path is used, as in
/// Kubernetes (pkg/credentialprovider, without its wildcards).
///
/// # Errors
/// The problem of the file. The text holds no content of the file.
pub fn login(config: &[u8], host: &str, repository: &str) -> Result<RegistryLogin, String> {
    // The error of serde is left out: it would show content.
    let config: Config =
        serde_json::from_slice(config).map_err(|_| format!("its key {KEY} holds no Docker configuration"))?;
    let fitting = config.auths.iter().filter_map(|(key, entry)| {
        let path = path_of(key, host)?;
        let rest = repository.strip_prefix(path)?;
        (path.is_empty() || rest.is_empty() || rest.starts_with('/')).then_some((path.len(), entry))
    });
    let (_, entry) = fitting
        .max_by_key(|(length, _)| *length)
        .ok_or_else(|| format!("it has no login for {host}"))?;
    read(entry).ok_or_else(|| format!("its login for {host} has neither `auth` nor `username` and `password`"))
}

/// The path of an entry if it is for this host, such as `acme` of `https://ghcr.io/acme/`.
fn path_of<'a>(key: &'a str, host: &str) -> Option<&'a str> {
    let bare = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key);
    let (its, path) = bare.split_once('/').unwrap_or((bare, ""));
    let hub = |host: &str| host == "docker.io" || DOCKER_HUB.contains(&host);
    let same = its == host || (hub(its) && hub(host));
    // `v1` and `v2` are the versions of the API, not repositories.
    let path = path.trim_end_matches('/');
    same.then_some(if matches!(path, "v1" | "v2") { "" } else { path })
}

fn read(entry: &PullSecretEntry) -> Option<RegistryLogin> {
    use secrecy::ExposeSecret as _;
    if let (Some(user), Some(password)) = (&entry.username, &entry.password) {
        return Some(RegistryLogin {
            user: user.clone(),
            password: password.clone(),
        });
    }
    let decoded = STANDARD.decode(entry.auth.as_ref()?.expose_secret().trim()).ok()?;
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(RegistryLogin {
        user: user.to_owned(),
        password: SecretString::from(password),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn the_login_of_the_very_host_is_found() {
        let auth = |user: &str| STANDARD.encode(format!("{user}:s3:cret"));
        let config = serde_json::json!({"auths": {
            "ghcr.io": {"auth": auth("host")},
            "https://ghcr.io/acme/": {"auth": auth("path")},
            "https://index.docker.io/v1/": {"auth": auth("hub")},
            "127.0.0.1:5000": {"username": "port", "password": "s3:cret"},
            "empty.example": {},
        }})
        .to_string();
        for (host, repository, user) in [
            ("ghcr.io", "other/app", Ok("host")),
            ("ghcr.io", "acme/app", Ok("path")),
            ("ghcr.io", "acme2/app", Ok("host")),
            ("docker.io", "acme/app", Ok("hub")),
            ("127.0.0.1:5000", "app", Ok("port")),
            ("127.0.0.1", "app", Err("no login for 127.0.0.1")),
            ("evil.ghcr.io", "acme/app", Err("no login")),
            ("empty.example", "app", Err("neither `auth`")),
        ] {
            match (login(config.as_bytes(), host, repository), user) {
                (Ok(login), Ok(user)) => {
                    assert_eq!((login.user.as_str(), login.password.expose_secret()), (user, "s3:cret"));
                    assert!(!format!("{login:?}").contains("s3"));
                }
                (Err(error), Err(says)) => assert!(error.contains(says), "{error}"),
                (given, _) => panic!("{host}/{repository}: {given:?}"),
            }
        }
        let broken = login(
            br#"{"auths": {"ghcr.io": {"auth": 5, "password": "hunter2"}}}"#,
            "ghcr.io",
            "a",
        );
        assert!(!broken.unwrap_err().contains("hunter2"));
    }
}
