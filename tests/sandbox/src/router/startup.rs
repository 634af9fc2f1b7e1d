//! The first messages of the PostgreSQL protocol (PostgreSQL manual, "Message Formats").

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

const PROTOCOL_3: u32 = 196_608;
const CANCEL_REQUEST: u32 = 80_877_102;
const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
/// PostgreSQL's own limit of a startup packet.
const MAX_LENGTH: u32 = 10_000;

/// What a client says first.
pub(super) enum First {
    /// It asks for TLS.
    Ssl,
    /// It asks for GSSAPI encryption.
    Gss,
    /// It asks to cancel a query; the packet as it came.
    Cancel(Vec<u8>),
    /// It logs in.
    Startup(Startup),
}

/// The parameters of a login, in order.
pub(super) struct Startup {
    version: u32,
    parameters: Vec<(String, String)>,
}

/// Reads one of the messages that may come before a login.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<First> {
    let length = stream.read_u32().await?;
    if !(8..=MAX_LENGTH).contains(&length) {
        return Err(invalid("length of the startup packet"));
    }
    let code = stream.read_u32().await?;
    let mut body = vec![0; length as usize - 8];
    stream.read_exact(&mut body).await?;
    match code {
        SSL_REQUEST => Ok(First::Ssl),
        GSS_REQUEST => Ok(First::Gss),
        CANCEL_REQUEST => Ok(First::Cancel(packet(code, &body))),
        version if version >> 16 == PROTOCOL_3 >> 16 => Ok(First::Startup(Startup {
            version,
            parameters: parameters(&body)?,
        })),
        _ => Err(invalid("protocol version")),
    }
}

impl Startup {
    /// The value of a parameter, empty when it is not given.
    pub(super) fn get(&self, name: &str) -> &str {
        self.parameters
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value)
    }

    /// Sets a parameter.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.parameters.retain(|(key, _)| key != name);
        self.parameters.push((name.to_owned(), value.to_owned()));
    }

    /// The packet to send.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (key, value) in &self.parameters {
            for text in [key, value] {
                body.extend_from_slice(text.as_bytes());
                body.push(0);
            }
        }
        body.push(0);
        packet(self.version, &body)
    }
}

/// A fatal `ErrorResponse`.
pub(super) fn fatal(code: &str, message: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for (field, value) in [(b'S', "FATAL"), (b'V', "FATAL"), (b'C', code), (b'M', message)] {
        body.push(field);
        body.extend_from_slice(value.as_bytes());
        body.push(0);
    }
    body.push(0);
    let mut message = vec![b'E'];
    message.extend_from_slice(&length(4 + body.len()));
    message.extend_from_slice(&body);
    message
}

fn packet(code: u32, body: &[u8]) -> Vec<u8> {
    let mut packet = length(8 + body.len()).to_vec();
    packet.extend_from_slice(&code.to_be_bytes());
    packet.extend_from_slice(body);
    packet
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes()
}

fn parameters(body: &[u8]) -> io::Result<Vec<(String, String)>> {
    let text = std::str::from_utf8(body).map_err(|_| invalid("encoding of the startup packet"))?;
    let mut words = text.split('\0');
    let mut parameters = Vec::new();
    while let Some(key) = words.next().filter(|key| !key.is_empty()) {
        let value = words.next().ok_or_else(|| invalid("startup packet"))?;
        parameters.push((key.to_owned(), value.to_owned()));
    }
    Ok(parameters)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("invalid {what}"))
}
