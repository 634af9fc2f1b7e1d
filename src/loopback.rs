//! Whether an address is on the same machine, where nobody else can read what is sent.

use url::{Host, Url};

/// Whether the host of a URL is `localhost` or a loopback address. Names below `localhost` are not: a resolver may send
/// them elsewhere.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_same_machine_is_loopback() {
        for (url, is) in [
            ("http://localhost:80/a", true),
            ("http://LOCALHOST/", true),
            ("http://127.7.0.1/", true),
            ("https://[::1]:8443/", true),
            ("http://localhost.example.com/", false),
            ("http://a.localhost/", false),
            ("http://10.0.0.1/", false),
            ("http://[::2]/", false),
            ("mailto:a@localhost", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), is, "{url}");
        }
    }
}
