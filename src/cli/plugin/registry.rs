//! The user's own login of a registry, from where `docker login`, oras and flux keep it: `config.json` in `DOCKER_CONFIG`
//! or `~/.docker`, and the credential helpers that it names.

use std::time::Duration;

use docker_credential::{CredentialRetrievalError as Failure, DockerCredential};
use secrecy::SecretString;
use tokio::sync::oneshot;

use crate::source::hosts::is_loopback;
use crate::source::pull_secret::RegistryLogin;

/// The name of Docker Hub in Docker's configuration.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// How long a credential helper may take: it may ask its user.
const PATIENCE: Duration = Duration::from_mins(1);

/// The answer of a helper without a login for a registry (docker-credential-helpers,
/// `credentials.NewErrCredentialsNotFound`).
const NOT_FOUND: &str = "credentials not found";

/// The user's login of a registry, if there is one. It is not sent in clear text to another machine.
///
/// # Errors
/// Why it cannot be used. The text contains no part of the login and no output of a helper.
pub async fn own_login(host: &str, insecure: bool) -> Result<Option<RegistryLogin>, String> {
    // The host is passed to a program of the user's.
    let is_name = |host: &str| {
        host.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-:".contains(&byte))
    };
    if !is_name(host) || (insecure && !is_loopback(host)) {
        return Ok(None);
    }
    let server = if host == "docker.io" { DOCKER_HUB } else { host }.to_owned();
    let (told, answer) = oneshot::channel();
    // A thread of its own: the command need not wait at its end for a helper that never answers.
    std::thread::spawn(move || told.send(docker_credential::get_credential(&server)).is_ok());
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(found)) => login(found, host),
        Ok(Err(_)) => Err(format!("your own login of {host} cannot be read")),
        Err(_) => Err(format!(
            "your credential helper gave no login of {host} within {} s",
            PATIENCE.as_secs()
        )),
    }
}

fn login(found: Result<DockerCredential, Failure>, host: &str) -> Result<Option<RegistryLogin>, String> {
    match found {
        Ok(DockerCredential::UsernamePassword(user, password)) => Ok(Some(RegistryLogin {
            user,
            password: SecretString::from(password),
        })),
        Ok(DockerCredential::IdentityToken(_)) => Err(format!(
            "your own login of {host} is an identity token, which this command cannot use: log in with a user and a \
             password or an access token"
        )),
        Err(Failure::NoCredentialConfigured | Failure::ConfigNotFound) => Ok(None),
        Err(Failure::HelperFailure { stdout, .. }) if stdout.contains(NOT_FOUND) => Ok(None),
        Err(Failure::HelperFailure { helper, .. }) => Err(format!("{helper} gives no login of {host}: run it by hand")),
        Err(Failure::HelperCommunicationError | Failure::MalformedHelperResponse) => Err(format!(
            "the credential helper of your Docker configuration gives no login of {host}"
        )),
        Err(_) => Err(format!(
            "your Docker configuration has no login of {host} that can be read"
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_a_helper_says_is_not_repeated() {
        let failed = |stdout: &str| Failure::HelperFailure {
            helper: "docker-credential-pass".into(),
            stdout: stdout.into(),
            stderr: "hunter2".into(),
        };
        assert!(
            login(Err(failed("credentials not found in native keychain\n")), "ghcr.io")
                .unwrap()
                .is_none()
        );
        let told = [
            login(Err(failed("hunter2")), "ghcr.io"),
            login(Ok(DockerCredential::IdentityToken("hunter2".into())), "ghcr.io"),
            login(Err(Failure::ConfigReadError), "ghcr.io"),
        ];
        for told in told {
            let told = told.unwrap_err();
            assert!(told.contains("ghcr.io") && !told.contains("hunter2"), "{told}");
        }
        let found = login(
            Ok(DockerCredential::UsernamePassword("ada".into(), "hunter2".into())),
            "ghcr.io",
        );
        assert!(!format!("{found:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn a_login_is_not_looked_for_where_it_must_not_go() {
        for (host, insecure) in [
            ("registry.example", true),
            ("registry.example\nhttps://other", false),
            ("a/b", false),
        ] {
            assert!(own_login(host, insecure).await.unwrap().is_none(), "{host}");
        }
    }
}
