//! Who may reach a project through the pooler, and how.

use std::net::IpAddr;

/// What a project lets through.
#[derive(Clone, Debug, Default)]
pub(super) struct Wall {
    /// The networks that clients may come from, as CIDR; every one, when absent.
    pub(super) networks: Option<Vec<String>>,
    /// Whether a login without TLS is refused, whatever the pooler itself says.
    pub(super) tls: bool,
}

/// Where a client comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct From {
    pub(super) address: IpAddr,
    pub(super) tls: bool,
}

impl Wall {
    /// Why a client is refused, in the pooler's words.
    pub(super) fn refusal(&self, from: From) -> Option<String> {
        if self.tls && !from.tls {
            return Some("SSL connection is required".to_owned());
        }
        let networks = self.networks.as_ref()?;
        let is_in = networks.iter().any(|network| contains(network, from.address));
        (!is_in).then(|| format!("Address not in tenant allow_list: {}", tuple(from.address)))
    }
}

/// Whether an address is in a network.
fn contains(network: &str, address: IpAddr) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let parsed = network
        .split_once('/')
        .and_then(|(start, length)| Some((start.parse::<IpAddr>().ok()?, length.parse::<u32>().ok()?)));
    let Some((start, length)) = parsed.filter(|(start, _)| start.is_ipv4() == address.is_ipv4()) else {
        return false;
    };
    let ((start, most), (address, _)) = (bits(start), bits(address));
    let mask = u128::MAX.checked_shl(128 - length.min(most)).unwrap_or(0);
    start & mask == address & mask
}

/// As Elixir shows an address.
fn tuple(address: IpAddr) -> String {
    let parts: Vec<String> = match address {
        IpAddr::V4(address) => address.octets().iter().map(ToString::to_string).collect(),
        IpAddr::V6(address) => address.segments().iter().map(ToString::to_string).collect(),
    };
    format!("{{{}}}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_network_is_told_from_another() {
        for (network, address, is_in) in [
            ("0.0.0.0/0", "127.0.0.1", true),
            ("127.0.0.0/8", "127.200.0.1", true),
            ("127.0.0.1/32", "127.0.0.2", false),
            ("203.0.113.0/24", "203.0.113.255", true),
            ("203.0.113.0/24", "203.0.114.0", false),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::1/128", "::1", true),
            ("nonsense", "::1", false),
        ] {
            assert_eq!(
                contains(network, address.parse().unwrap()),
                is_in,
                "{network} {address}"
            );
        }
        let wall = Wall {
            networks: Some(Vec::new()),
            tls: false,
        };
        let from = From {
            address: "127.0.0.1".parse().unwrap(),
            tls: false,
        };
        assert_eq!(
            wall.refusal(from).unwrap(),
            "Address not in tenant allow_list: {127, 0, 0, 1}"
        );
        assert!(Wall::default().refusal(from).is_none());
    }
}
