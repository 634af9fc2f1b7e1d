//! Loopback addresses.

use std::net::{IpAddr, Ipv4Addr};

use rand::RngExt;

/// A loopback address that nothing else is likely to use, so that a service can have its usual
/// port. Linux routes the whole of 127.0.0.0/8; elsewhere this is 127.0.0.1.
pub fn address() -> IpAddr {
    if !cfg!(target_os = "linux") {
        return Ipv4Addr::LOCALHOST.into();
    }
    let mut rng = rand::rng();
    Ipv4Addr::new(
        127,
        rng.random_range(64..=250),
        rng.random_range(0..=255),
        rng.random_range(2..=254),
    )
    .into()
}
