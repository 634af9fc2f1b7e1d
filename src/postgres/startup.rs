//! The first message of a session, which names the user, the database and the session's settings.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The most bytes of the message; PostgreSQL accepts no more than 10,000.
const MOST: usize = 1 << 14;

/// The parameters of the driver's message that are passed on. Everything else is a setting of the driver's own.
const PASSED_ON: [&str; 4] = ["user", "database", "client_encoding", "application_name"];

/// Reads the driver's message, without its length.
pub(super) async fn read(client: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = usize::try_from(client.read_u32().await?).unwrap_or(usize::MAX);
    if !(8..=MOST).contains(&length) {
        return Err(io::Error::other("the message that begins a session has an odd length"));
    }
    let mut message = vec![0; length - 4];
    client.read_exact(&mut message).await?;
    Ok(message)
}

/// The message for the server: of the driver's parameters those of [`PASSED_ON`], and these options.
pub(super) fn message(startup: &[u8], options: Option<&str>) -> io::Result<Vec<u8>> {
    let odd = || io::Error::other("the message that begins a session cannot be read");
    let (version, parameters) = startup.split_at_checked(4).ok_or_else(odd)?;
    let mut body = version.to_vec();
    let mut add = |part: &[u8]| {
        body.extend_from_slice(part);
        body.push(0);
    };
    let mut texts = parameters.split(|byte| *byte == 0);
    while let Some(name) = texts.next().filter(|name| !name.is_empty()) {
        let value = texts.next().ok_or_else(odd)?;
        if PASSED_ON.iter().any(|passed| passed.as_bytes() == name) {
            add(name);
            add(value);
        }
    }
    if let Some(options) = options {
        add(b"options");
        add(options.as_bytes());
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).map_err(io::Error::other)?;
    Ok([&length.to_be_bytes()[..], &body].concat())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_drivers_settings_are_left_out() {
        let startup = b"\0\x03\0\0user\0ada\0DateStyle\0ISO, MDY\0database\0one\0TimeZone\0UTC\0options\0-c a=b\0\0";
        let plain = message(startup, None).unwrap();
        assert_eq!(&plain[4..], b"\0\x03\0\0user\0ada\0database\0one\0\0");
        assert_eq!(plain[..4], u32::try_from(plain.len()).unwrap().to_be_bytes());
        let asked = message(startup, Some("-c work_mem=1MB")).unwrap();
        assert!(asked.ends_with(b"one\0options\0-c work_mem=1MB\0\0"));
        assert!(message(b"\0", None).is_err());
    }
}
