//! The keys of a hosted project's API, as an entry of a static pool brings them: whether each is a key, of its own role and of
//! the project of the entry. What a key says of itself is not verified: it is compared with what the entry says.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::text::QUOTES;

/// The longest URL and key of an API, in bytes.
pub(super) const LONGEST: usize = 8192;

/// What a legacy key, a JSON Web Token, says of itself. One of a self-hosted project names no project.
#[derive(Deserialize)]
struct Claims {
    role: Option<String>,
    #[serde(rename = "ref")]
    project: Option<String>,
}

/// Which of the two keys one is to be.
#[derive(Clone, Copy)]
enum Slot {
    /// For browsers.
    Anon,
    /// For servers.
    ServiceRole,
}

impl Slot {
    /// The role in a legacy key.
    fn role(self) -> &'static str {
        match self {
            Self::Anon => "anon",
            Self::ServiceRole => "service_role",
        }
    }

    /// The project that the key names, if it names one.
    ///
    /// # Errors
    /// What is wrong with the key of this name. The message does not contain it.
    fn project(self, name: &str, key: &str) -> Result<Option<String>, String> {
        if key.starts_with(QUOTES) {
            return Err(format!(
                "{name} begins with a quotation mark: write the key without quotes"
            ));
        }
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if key.len() > LONGEST || !key.bytes().all(fits) {
            return Err(format!(
                "{name} is no API key: it holds other characters than letters and digits of ASCII, dots, underscores and \
                 hyphens, or is too long"
            ));
        }
        match self {
            Self::Anon if key.starts_with("sb_secret_") => Err(format!(
                "{name} holds a secret key, which reads and writes all data, and browsers would get it: put the publishable \
                 key there"
            )),
            Self::ServiceRole if key.starts_with("sb_publishable_") => Err(format!(
                "{name} holds a publishable key, which is for browsers: put the secret key there"
            )),
            _ if key.starts_with("eyJ") => self.project_of_token(name, key),
            _ => Ok(None),
        }
    }

    fn project_of_token(self, name: &str, key: &str) -> Result<Option<String>, String> {
        let claims = claims(key).ok_or_else(|| {
            format!("{name} begins as a legacy key (a JSON Web Token) does, and is none: copy the whole key")
        })?;
        let role = self.role();
        if claims.role.as_deref() != Some(role) {
            return Err(format!(
                "{name} is a key of another role than {role}: put the project's {role} key there; are the two keys swapped?"
            ));
        }
        Ok(claims.project)
    }
}

/// Checks the keys for browsers and for servers, each with its name in the Secret, against the project's reference, where
/// that is known. Keys that name their project must name the same one.
///
/// # Errors
/// What is wrong with which key. The message contains no key.
pub(super) fn check(keys: [(&str, &SecretString); 2], project: Option<&str>) -> Result<(), String> {
    let mut project = project.map(str::to_owned);
    for ((name, key), slot) in keys.into_iter().zip([Slot::Anon, Slot::ServiceRole]) {
        let Some(named) = slot.project(name, key.expose_secret())? else {
            continue;
        };
        if *project.get_or_insert_with(|| named.clone()) != named {
            return Err(format!(
                "{name} is a key of another project than the entry's other values: copy it from the project of the database"
            ));
        }
    }
    Ok(())
}

/// Whether a key for servers is of one project only: the legacy key of a self-hosted project names none, and another one with
/// the same JWT secret may have the same key.
pub(super) fn is_of_one_project(service: &str) -> bool {
    service.starts_with("sb_secret_") || claims(service).is_some_and(|claims| claims.project.is_some())
}

/// The claims of a JSON Web Token, without a look at its signature.
fn claims(token: &str) -> Option<Claims> {
    let [_, payload, _]: [&str; 3] = token.split('.').collect::<Vec<_>>().try_into().ok()?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    serde_json::from_slice(&payload).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REF: &str = "abcdefghijklmnopqrst";

    fn token(claims: &str) -> String {
        let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
        format!("{}.{}.aHVzaA", part(r#"{"alg":"HS256","typ":"JWT"}"#), part(claims))
    }

    fn of(role: &str, project: &str) -> String {
        token(&format!(r#"{{"iss":"supabase","ref":"{project}","role":"{role}"}}"#))
    }

    fn checked(anon: &str, service: &str, project: Option<&str>) -> Result<(), String> {
        let (anon, service) = (SecretString::from(anon), SecretString::from(service));
        check([("ANON", &anon), ("SERVICE", &service)], project)
    }

    #[test]
    fn a_legacy_key_without_a_project_may_be_of_several() {
        assert!(is_of_one_project("sb_secret_a") && is_of_one_project(&of("service_role", REF)));
        let own = token(r#"{"iss":"own","role":"service_role"}"#);
        assert!(!is_of_one_project(&own) && !is_of_one_project("hush"));
    }

    #[test]
    fn keys_of_the_project_in_their_own_places_are_accepted() {
        let (anon, service) = (of("anon", REF), of("service_role", REF));
        for project in [None, Some(REF)] {
            assert_eq!(checked(&anon, &service, project), Ok(()));
            assert_eq!(checked("sb_publishable_a-B_1", "sb_secret_a-B_1", project), Ok(()));
            assert_eq!(checked("sb_publishable_a", &service, project), Ok(()));
            let own = |role: &str| token(&format!(r#"{{"iss":"own","role":"{role}"}}"#));
            assert_eq!(checked(&own("anon"), &own("service_role"), project), Ok(()));
        }
    }

    #[test]
    fn a_key_of_another_role_or_project_is_refused_and_not_told() {
        let (anon, service) = (of("anon", REF), of("service_role", REF));
        let (others_anon, others) = (
            of("anon", "tsrqponmlkjihgfedcba"),
            of("service_role", "tsrqponmlkjihgfedcba"),
        );
        let no_role = token(r#"{"role_":"anon"}"#);
        let no_text = token(r#"{"role":"service_role","ref":1}"#);
        let quoted = format!("\"{anon}\"");
        let long = format!("sb_secret_{}", "x".repeat(LONGEST));
        for (anon, service, says) in [
            (&*service, &*anon, "ANON is a key of another role than anon"),
            (&*anon, &*anon, "SERVICE is a key of another role than service_role"),
            (&*no_role, &*service, "ANON is a key of another role than anon"),
            (&*others_anon, &*service, "ANON is a key of another project"),
            (&*anon, &*others, "SERVICE is a key of another project"),
            (&*anon, &*no_text, "SERVICE begins as a legacy key"),
            (&anon[..60], &*service, "ANON begins as a legacy key"),
            (&*quoted, &*service, "ANON begins with a quotation mark"),
            ("”sb_publishable_hush”", &*service, "ANON begins with a quotation mark"),
            ("sb_secret_hush", "sb_secret_hush", "ANON holds a secret key"),
            (
                "sb_publishable_hush",
                "sb_publishable_hush",
                "SERVICE holds a publishable key",
            ),
            ("sb_publishable_hush\"", "sb_secret_hush", "ANON is no API key"),
            ("sb_publishable_hush", "sb_secret_hush$", "SERVICE is no API key"),
            ("sb_publishable_hush", "sb_secret_hu sh", "SERVICE is no API key"),
            ("sb_publishable_hush", &*long, "SERVICE is no API key"),
        ] {
            let told = checked(anon, service, Some(REF)).err().unwrap_or_default();
            assert!(told.starts_with(says), "{says}: {told}");
            assert!(
                !told.contains("hush") && !told.contains("eyJ") && !told.contains("tsrq"),
                "{told}"
            );
        }
        // Where nothing else names the project, the two keys are compared.
        let told = checked(&anon, &others, None).err().unwrap_or_default();
        assert!(told.starts_with("SERVICE is a key of another project"), "{told}");
    }
}
