//! A password that a tenant's author gives the operator, in a Secret beside the Orchestra.

use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use secrecy::SecretString;

use crate::api::PasswordReference;
use crate::api::condition::Reason;
use crate::controller::error::Error;

/// The longest password that is read: PostgreSQL's own programs do not read a longer one.
const LONGEST: usize = 1024;

/// Reads the password of the role `postgres` of a project that is adopted. A line break at the end, as editors and
/// `kubectl create secret --from-file` leave it, is not part of it.
///
/// # Errors
/// `PasswordNotFound` when the Secret, or its key, does not exist, or holds no password.
pub async fn password(
    api: &Api<Secret>,
    namespace: &str,
    reference: &PasswordReference,
) -> Result<SecretString, Error> {
    let PasswordReference { name, .. } = reference;
    let key = reference.key();
    let place = format!("Secret {namespace}/{name}, which spec.source.existing.adopt.passwordSecretRef names,");
    let missing = |what: String| {
        let message = format!(
            "{what}: it is to hold the password of the project's role postgres, as kubectl create secret generic {name} \
             -n {namespace} --from-literal={key}=… makes it; the operator then continues"
        );
        Error::transient(Reason::PasswordNotFound, message)
    };
    let Some(secret) = api.get_opt(name).await? else {
        return Err(missing(format!("{place} does not exist")));
    };
    let data = secret.data.unwrap_or_default();
    let Some(value) = data.get(key) else {
        return Err(missing(format!("{place} has no key {key}")));
    };
    read(&value.0).ok_or_else(|| missing(format!("{place} has no password in its key {key}")))
}

/// A text without line breaks and NUL, of a length that a password has.
fn read(value: &[u8]) -> Option<SecretString> {
    let text = str::from_utf8(value).ok()?.trim_end_matches(['\n', '\r']);
    let is_password = !text.is_empty() && text.len() <= LONGEST && !text.contains(['\n', '\r', '\0']);
    is_password.then(|| text.to_owned().into())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_line_break_at_the_end_is_no_part_of_a_password() {
        let of = |text: &[u8]| read(text).map(|password| password.expose_secret().to_owned());
        assert_eq!(of(b"a b \n").as_deref(), Some("a b "));
        assert_eq!(of(b"pw\r\n").as_deref(), Some("pw"));
        for no in [&b""[..], b"\n", b"a\nb", b"a\0", b"\xff", &[b'a'; 1025]] {
            assert!(of(no).is_none(), "{no:?}");
        }
    }
}
