//! The address of the Management API, and the hosts that a password may be sent to.

use std::net::IpAddr;

use url::Url;

use super::error::Error;
use crate::loopback::is_loopback;

/// The hosted Management API.
pub const DEFAULT_API_URL: &str = "https://api.supabase.com";
/// The domain of the projects of the hosted API.
pub const DEFAULT_PROJECT_DOMAIN: &str = "supabase.co";
/// The domains of the hosted API's databases and poolers.
const SUPABASE_DOMAINS: [&str; 2] = ["supabase.co", "supabase.com"];

/// The address of the API, and the hosts that it may name.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    api_url: Url,
    /// A domain, or an address on this machine to which the reference is appended.
    project_domain: String,
    trusted_hosts: Vec<String>,
}

impl ApiSettings {
    /// Settings for an API address.
    ///
    /// The hosted API's hosts must be in Supabase's own domains. Any other API address needs its
    /// own `trusted_hosts`: domain suffixes, or IP addresses in full. `trusted_hosts` add to
    /// Supabase's own domains only with the hosted API.
    ///
    /// # Errors
    /// When the address is no `https` URL (`http` is for loopback addresses only: the token would
    /// travel in the clear), or holds a user name or password; and when `project_domain` is neither a domain nor an
    /// `http` URL of a loopback address.
    pub fn new(api_url: &str, project_domain: &str, trusted_hosts: &[String]) -> Result<Self, Error> {
        let refuse = |why: &str| {
            Err(Error::Settings {
                message: why.to_owned(),
            })
        };
        let Ok(api_url) = Url::parse(api_url.trim()) else {
            return refuse("the Management API address is not a URL");
        };
        if !api_url.username().is_empty() || api_url.password().is_some() {
            return refuse("the Management API address holds credentials; use the token Secret");
        }
        match api_url.scheme() {
            "https" => {}
            "http" if is_loopback(&api_url) => {}
            _ => return refuse("the Management API address must begin with https://"),
        }
        let mut trusted_hosts: Vec<_> = trusted_hosts
            .iter()
            .map(|host| normal(host))
            .filter(|host| !host.is_empty())
            .collect();
        if api_url.host_str() == Some("api.supabase.com") {
            trusted_hosts.extend(SUPABASE_DOMAINS.map(str::to_owned));
        }
        let project_domain = match project_domain.trim().strip_suffix('/').unwrap_or(project_domain.trim()) {
            address if address.contains("://") => {
                let here = Url::parse(address).is_ok_and(|url| url.scheme() == "http" && is_loopback(&url));
                if !here {
                    return refuse("the projects' domain is no domain: write it without https://");
                }
                address.to_owned()
            }
            domain => normal(domain),
        };
        Ok(Self {
            api_url,
            project_domain,
            trusted_hosts,
        })
    }

    /// Settings of the hosted API.
    #[cfg(test)]
    pub(super) fn hosted() -> Result<Self, Error> {
        Self::new(DEFAULT_API_URL, DEFAULT_PROJECT_DOMAIN, &[])
    }

    /// The Management API's address.
    pub fn api_url(&self) -> &Url {
        &self.api_url
    }

    /// The address of a project's own APIs: the `SUPABASE_URL` of applications.
    pub fn project_url(&self, reference: &str) -> String {
        if self.project_domain.contains("://") {
            return format!("{}/{reference}", self.project_domain);
        }
        format!("https://{reference}.{}", self.project_domain)
    }

    /// Whether a project's API keys may be sent to its own APIs.
    pub(super) fn trusts_projects(&self) -> bool {
        self.project_domain.contains("://") || self.trusts(&self.project_domain)
    }

    /// Whether a password may be sent to a host that the API named: it is one of the trusted
    /// hosts or, unless it is an IP address, lies under one.
    pub fn trusts(&self, host: &str) -> bool {
        let host = normal(host);
        if host.parse::<IpAddr>().is_ok() {
            return self.trusted_hosts.contains(&host);
        }
        let is_name =
            |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        host.split('.').all(is_name)
            && self
                .trusted_hosts
                .iter()
                .any(|trusted| trusted.parse::<IpAddr>().is_err() && is_under(&host, trusted))
    }

    /// Whether the API is on this machine.
    pub(super) fn is_loopback(&self) -> bool {
        is_loopback(&self.api_url)
    }
}

/// Whether a host is in one of Supabase's domains, whose certificates are issued by Supabase's own root.
pub fn is_supabases(host: &str) -> bool {
    let host = normal(host);
    SUPABASE_DOMAINS.iter().any(|domain| is_under(&host, domain))
}

fn is_under(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Lower case, without the brackets of an IPv6 address, a leading or a trailing dot.
fn normal(host: &str) -> String {
    let host = host.trim().trim_start_matches('[').trim_end_matches(']');
    host.trim_start_matches('.').trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_hosted_api_is_trusted_with_supabase_domains_only() {
        let settings = ApiSettings::hosted().unwrap();
        for (host, trusted) in [
            ("aws-0-eu-central-1.pooler.supabase.com", true),
            ("db.abcdefghijklmnopqrst.supabase.co", true),
            ("AWS-1-US-EAST-1.Pooler.Supabase.COM", true),
            ("db.abcdefghijklmnopqrst.supabase.co.", true),
            ("supabase.com", true),
            ("evil-supabase.com", false),
            ("evilsupabase.co", false),
            ("supabase.com.attacker.example", false),
            ("pooler.supabase.com.attacker.example", false),
            ("attacker.example/.supabase.co", false),
            ("attacker.example#.supabase.co", false),
            ("attacker.example?x=.supabase.co", false),
            ("user@attacker.example:5432/.supabase.co", false),
            ("attacker.example\\.supabase.co", false),
            ("attacker.example .supabase.co", false),
            ("..supabase.co", true), // leading dots are dropped: it is the domain itself
            ("a..supabase.co", false),
            ("supabase.green", false),
            ("127.0.0.1", false),
            ("::1", false),
            ("", false),
            (".", false),
        ] {
            assert_eq!(settings.trusts(host), trusted, "{host:?}");
        }
    }

    #[test]
    fn another_api_needs_a_list_of_its_own() {
        let list = vec!["sandbox.test".to_owned(), "127.0.0.2".to_owned(), "::1".to_owned()];
        let settings = ApiSettings::new("http://127.0.0.2:8080", "sandbox.test", &list).unwrap();
        for (host, trusted) in [
            ("db.x.sandbox.test", true),
            ("127.0.0.2", true),
            ("[::1]", true),
            ("127.0.0.1", false),
            ("1.127.0.0.2", false),
            ("db.x.supabase.co", false),
        ] {
            assert_eq!(settings.trusts(host), trusted, "{host:?}");
        }
        assert_eq!(settings.project_url("abc"), "https://abc.sandbox.test");
        assert!(settings.trusts_projects() && ApiSettings::hosted().unwrap().trusts_projects());
        let elsewhere = |domain| ApiSettings::new("http://127.0.0.2:8080", domain, &list);
        assert!(!elsewhere("supabase.co").unwrap().trusts_projects());
        let here = elsewhere("http://127.0.0.2:8080/_project/").unwrap();
        assert_eq!(here.project_url("abc"), "http://127.0.0.2:8080/_project/abc");
        assert!(here.trusts_projects());
        for domain in ["https://supabase.co", "http://supabase.co"] {
            elsewhere(domain).unwrap_err();
        }
        let bare = ApiSettings::new("https://api.supabase.green", "supabase.red", &[]).unwrap();
        assert!(!bare.trusts("db.x.supabase.red") && !bare.trusts("db.x.supabase.co"));
        let empty = ApiSettings::new("https://api.example", "x", &[" .".to_owned()]).unwrap();
        assert!(
            !empty.trusts("db.x.supabase.co"),
            "an empty suffix must not match everything"
        );
    }

    #[test]
    fn an_address_that_would_leak_the_token_is_refused() {
        for url in [
            "http://api.example",
            "ftp://x",
            "nonsense",
            "https://user:pw@api.example",
        ] {
            let error = ApiSettings::new(url, "x", &[]).unwrap_err().to_string();
            assert!(!error.contains("pw"), "{error}");
        }
        assert!(ApiSettings::new("http://localhost:1", "x", &[]).is_ok());
        assert!(ApiSettings::new("http://[::1]:1", "x", &[]).is_ok());
    }
}
