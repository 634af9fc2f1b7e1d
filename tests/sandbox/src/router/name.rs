//! The pooler's name: clients of the platform refuse an address.

use std::net::{IpAddr, ToSocketAddrs};

/// The name where this machine resolves all names below `localhost` (RFC 6761), as systemd's resolver does. The C library
/// of Debian alone knows `localhost` only.
const NAMED: &str = "aws-0-sandbox.pooler.localhost";

/// A name that leads to this loopback address; none does to one of its own beside 127.0.0.1, which is its own name then.
pub(super) fn of(address: IpAddr) -> String {
    let leads = |name: &&&str| {
        let found = (**name, 0).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        let found = found.unwrap_or_default();
        found.iter().all(|found| found.ip().is_loopback()) && found.iter().any(|found| found.ip() == address)
    };
    let name = [NAMED, "localhost"].iter().find(leads).copied();
    name.map_or_else(|| address.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn this_machine_is_a_name_and_another_address_is_itself() {
        let name = of(Ipv4Addr::LOCALHOST.into());
        assert!(name.ends_with("localhost"), "{name}");
        assert_eq!(of(Ipv4Addr::new(127, 77, 1, 2).into()), "127.77.1.2");
    }
}
