//! Which registries a source may name.

use std::net::Ipv4Addr;

use super::error::Error;
use super::oci;
use super::place::SourcePlace;
use crate::api::OciSource;

/// Refuses a registry that an Orchestra may not name: its author must not make the operator send requests to any
/// address that the operator can reach, or a login in clear to others than this machine.
///
/// # Errors
/// [`Error::NotAllowed`].
pub fn check(place: &SourcePlace, oci: &OciSource, allowed: &[String]) -> Result<(), Error> {
    check_tls(place, oci)?;
    let (host, _) = oci::split(&oci.image);
    if place.by_class || allowed.iter().any(|known| known.eq_ignore_ascii_case(host)) {
        return Ok(());
    }
    Err(Error::NotAllowed(format!(
        "an Orchestra may not name the registry {host}: ask the cluster's admin to add it to the operator's --oci-hosts"
    )))
}

/// Refuses a registry that an Orchestra names without TLS, unless it is on the same machine.
///
/// # Errors
/// [`Error::NotAllowed`].
pub fn check_tls(place: &SourcePlace, oci: &OciSource) -> Result<(), Error> {
    let (host, _) = oci::split(&oci.image);
    if place.by_class || !oci.insecure || is_loopback(host) {
        return Ok(());
    }
    Err(Error::NotAllowed(format!(
        "an Orchestra may not read the registry {host} without TLS, because others on the network could read its \
         login: remove oci.insecure, or ask the cluster's admin to name the source in the OrchestraClass"
    )))
}

/// Whether a registry, `host` or `host:port`, is on the same machine.
pub fn is_loopback(host: &str) -> bool {
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    name.eq_ignore_ascii_case("localhost") || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ScriptSource;

    #[test]
    fn only_the_same_machine_is_loopback() {
        for (host, is) in [
            ("localhost", true),
            ("LOCALHOST:5000", true),
            ("127.0.0.1:5000", true),
            ("127.9.8.7", true),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example:5000", false),
            ("127.1", false),
            ("10.0.0.1:5000", false),
            ("ghcr.io", false),
        ] {
            assert_eq!(is_loopback(host), is, "{host}");
        }
    }

    #[test]
    fn an_orchestra_needs_tls_and_an_allowed_host() {
        let allowed = [
            "ghcr.io".to_owned(),
            "registry:5000".to_owned(),
            "127.0.0.1:5000".to_owned(),
        ];
        for (image, insecure, by_class, says) in [
            ("ghcr.io/a", false, false, None),
            ("oci://registry:5000/a", false, false, None),
            ("oci://registry:5000/a", true, false, Some("without TLS")),
            ("ghcr.io/a", true, false, Some("without TLS")),
            ("127.0.0.1:5000/a", true, false, None),
            ("127.0.0.1:6000/a", true, false, Some("--oci-hosts")),
            ("quay.io/a", false, false, Some("--oci-hosts")),
            ("quay.io/a", true, true, None),
        ] {
            let oci = OciSource {
                image: image.into(),
                insecure,
                ..OciSource::default()
            };
            let place = SourcePlace {
                namespace: "tenants".into(),
                by_class,
                source: ScriptSource::default(),
            };
            let refused = check(&place, &oci, &allowed).map_err(|error| error.to_string()).err();
            match says {
                None => assert_eq!(refused, None, "{image}"),
                Some(says) => assert!(
                    refused.as_ref().is_some_and(|is| is.contains(says)),
                    "{image}: {refused:?}"
                ),
            }
        }
    }
}
