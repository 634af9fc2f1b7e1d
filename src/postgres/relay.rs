//! A relay inside this process between sqlx and a server. sqlx answers every request for a password, also one in clear text;
//! the relay reads the server's requests, and does not pass on those that must not be answered. It also bounds the messages
//! that sqlx would hold in memory, and keeps sqlx's own settings (`DateStyle`, `TimeZone`, `extra_float_digits`,
//! `PGOPTIONS`) from the server: a session has those of the database and the login.
//!
//! sqlx connects over the loopback interface, since it takes no stream. Another process that connects there before sqlx
//! reaches a server at which it has not logged in, and this session fails. The port stays the relay's until sqlx has logged
//! in, so that no other process can answer sqlx there.

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tracing::Instrument as _;

use super::channel::Channel;
use super::error::{TOO_LARGE, TOO_LONG};
use super::startup;

/// The most bytes of one message of a login.
const LOGIN_MESSAGE: usize = 1 << 16;
/// The most bytes of all messages of a login.
const LOGIN: usize = 1 << 20;
/// The most bytes of all reports of settings (`ParameterStatus`) of a session: sqlx keeps each setting.
const SETTINGS: usize = 4 << 20;
/// The most bytes of one message of a session: a row, an error, a notice.
const SESSION_MESSAGE: usize = 4 << 20;
/// How long sqlx may take to connect, and to read what the server has sent last.
const PATIENCE: Duration = Duration::from_secs(10);

/// The server's requests for a password (PostgreSQL manual, "Message Formats", Authentication…).
const CLEAR_TEXT: u32 = 3;
const MD5: u32 = 5;

/// A relay that waits for sqlx, or that sqlx uses.
pub(super) struct Relay {
    /// The port on 127.0.0.1 where sqlx connects.
    pub port: u16,
    learnt: Arc<Learnt>,
    _listener: Arc<TcpListener>,
}

/// What the relay has read during a login.
#[derive(Default)]
struct Learnt {
    /// How the server asked for the password, if that was refused.
    refusal: OnceLock<&'static str>,
    /// The process that the server says it is (`BackendKeyData`).
    process: OnceLock<u32>,
}

/// What a session is opened with.
pub(super) struct Opening {
    /// The server's certificate is that of its host, so that it may ask for the password in any way.
    pub verified: bool,
    /// Settings of the session (libpq's `options`).
    pub options: Option<String>,
}

impl Relay {
    /// Starts a relay for one session.
    pub async fn start(server: Box<dyn Channel>, opening: Opening) -> io::Result<Self> {
        let listener = Arc::new(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?);
        let port = listener.local_addr()?.port();
        let learnt = Arc::new(Learnt::default());
        let relay = Self {
            port,
            learnt: learnt.clone(),
            _listener: listener.clone(),
        };
        let session = async move {
            let Ok(Ok((client, _))) = timeout(PATIENCE, listener.accept()).await else {
                return;
            };
            drop(listener);
            if let Err(error) = pass_on(client, server, &opening, &learnt).await {
                tracing::debug!(%error, "a session with a database ended");
            }
        };
        tokio::spawn(session.in_current_span());
        Ok(relay)
    }

    /// How the server asked for the password, if the relay ended the login for that.
    pub fn refusal(&self) -> Option<&'static str> {
        self.learnt.refusal.get().copied()
    }

    /// The process that the server says it is. A pooler reports another number than the server's session behind it.
    pub fn process(&self) -> Option<u32> {
        self.learnt.process.get().copied()
    }
}

/// Passes bytes on until either side closes; then both sides are closed.
async fn pass_on(client: TcpStream, server: Box<dyn Channel>, opening: &Opening, learnt: &Learnt) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (mut client_read, mut client_write) = client.into_split();
    let (mut server_read, mut server_write) = tokio::io::split(server);
    let upwards = async {
        let startup = startup::read(&mut client_read).await?;
        server_write
            .write_all(&startup::message(&startup, opening.options.as_deref())?)
            .await?;
        server_write.flush().await?;
        tokio::io::copy(&mut client_read, &mut server_write).await?;
        server_write.shutdown().await
    };
    let downwards = async {
        login(&mut server_read, &mut client_write, opening.verified, learnt).await?;
        session(&mut server_read, &mut client_write).await
    };
    let ended = tokio::select! {
        ended = upwards => return ended,
        ended = downwards => ended,
    };
    // To close with bytes unread would make the client lose the server's last message.
    drop(client_write);
    let _ = timeout(PATIENCE, tokio::io::copy(&mut client_read, &mut tokio::io::sink())).await;
    ended
}

/// Passes on the server's messages until it is ready for a query. An error ends the login.
async fn login(
    server: &mut (impl AsyncRead + Unpin),
    client: &mut OwnedWriteHalf,
    verified: bool,
    learnt: &Learnt,
) -> io::Result<()> {
    let (mut message, mut read) = (vec![0; 5], 0);
    loop {
        server.read_exact(&mut message).await?;
        let length = length(&message);
        read += length;
        if !(4..=LOGIN_MESSAGE).contains(&length) || read > LOGIN {
            return Err(io::Error::other("a message of the login is too large"));
        }
        message.resize(1 + length, 0);
        server.read_exact(&mut message[5..]).await?;
        if !verified && let Some(asked) = forbidden(&message) {
            let _ = learnt.refusal.set(asked);
            return client.write_all(&fatal("28000", asked)).await;
        }
        if let (b'K', Some(process)) = (message[0], message.get(5..9)) {
            let process = process.try_into().map_or(0, u32::from_be_bytes);
            let _ = learnt.process.set(process);
        }
        client.write_all(&message).await?;
        if matches!(message[0], b'Z' | b'E') {
            return Ok(());
        }
        message.truncate(5);
    }
}

/// Requests that a server whose identity is not verified must not make.
fn forbidden(message: &[u8]) -> Option<&'static str> {
    let (b'R', Some(request)) = (message[0], message.get(5..9)) else {
        return None;
    };
    match u32::from_be_bytes(request.try_into().ok()?) {
        CLEAR_TEXT => Some("in clear text"),
        MD5 => Some("as an MD5 hash"),
        _ => None,
    }
}

/// Passes on the messages of a session. One that is too large ends it, before sqlx begins to collect it.
async fn session(server: &mut (impl AsyncRead + Unpin), client: &mut OwnedWriteHalf) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 14];
    let mut messages = Messages::default();
    loop {
        let read = server.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let Err(before) = messages.follow(&buffer[..read]) else {
            client.write_all(&buffer[..read]).await?;
            continue;
        };
        let Some(before) = before else {
            return Err(io::Error::other("a message of the server is too large"));
        };
        client.write_all(&buffer[..before]).await?;
        return client.write_all(&fatal(TOO_LARGE, TOO_LONG)).await;
    }
}

/// Where the messages of a stream begin.
#[derive(Default)]
struct Messages {
    /// The bytes of the message under way that are still to come.
    rest: usize,
    /// The beginning of the next message: its type and length.
    head: Vec<u8>,
    /// The bytes of all reports of settings.
    settings: usize,
}

impl Messages {
    /// Follows the next bytes. The error is how many of them come before a message that is too large; none if a part
    /// of its head came earlier.
    fn follow(&mut self, bytes: &[u8]) -> Result<(), Option<usize>> {
        let mut at = 0;
        while at < bytes.len() {
            if self.rest > 0 {
                let step = self.rest.min(bytes.len() - at);
                self.rest -= step;
                at += step;
                continue;
            }
            let start = self.head.is_empty().then_some(at);
            let missing = (5 - self.head.len()).min(bytes.len() - at);
            self.head.extend_from_slice(&bytes[at..at + missing]);
            at += missing;
            if self.head.len() == 5 {
                let length = length(&self.head);
                if self.head[0] == b'S' {
                    self.settings += length;
                }
                if !(4..=SESSION_MESSAGE).contains(&length) || self.settings > SETTINGS {
                    return Err(start);
                }
                self.rest = length - 4;
                self.head.clear();
            }
        }
        Ok(())
    }
}

/// The length of a message, without its type.
fn length(head: &[u8]) -> usize {
    head.get(1..5)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, |bytes| u32::from_be_bytes(bytes) as usize)
}

/// A fatal `ErrorResponse`.
fn fatal(sqlstate: &str, message: &str) -> Vec<u8> {
    let fields = format!("SFATAL\0VFATAL\0C{sqlstate}\0M{message}\0\0");
    let length = u32::try_from(4 + fields.len()).unwrap_or(u32::MAX);
    let mut bytes = vec![b'E'];
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(fields.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn message(kind: u8, length: usize, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn messages_are_followed_however_they_are_cut() {
        let mut stream = message(b'D', 4 + 10, &[7; 10]);
        stream.extend(message(b'C', 4, &[]));
        let before = stream.len();
        stream.extend(message(b'D', SESSION_MESSAGE + 1, &[1; 20]));
        for cut in 1..stream.len() {
            let mut messages = Messages::default();
            let mut passed = 0;
            let found = stream.chunks(cut).find_map(|chunk| {
                let found = messages.follow(chunk).err();
                passed += if found.is_none() { chunk.len() } else { 0 };
                found
            });
            match found.unwrap() {
                Some(at) => assert_eq!(passed + at, before, "cut every {cut}"),
                None => assert!(passed > before && passed < before + 5, "cut every {cut}"),
            }
        }
        let settings = message(b'S', 4 + 1020, &[b'x'; 1020]).repeat(SETTINGS / 1024);
        let mut messages = Messages::default();
        assert_eq!(messages.follow(&settings), Ok(()));
        assert_eq!(messages.follow(&settings[..1025]), Err(Some(0)), "settings without end");
        let mut messages = Messages::default();
        assert_eq!(
            messages.follow(&message(b'Z', 3, &[])),
            Err(Some(0)),
            "a length that cannot be"
        );
        assert_eq!(Messages::default().follow(&message(b'D', SESSION_MESSAGE, &[])), Ok(()));
    }

    #[tokio::test]
    async fn no_other_process_gets_the_port_while_sqlx_logs_in() {
        let opening = Opening {
            verified: true,
            options: None,
        };
        let (server, _other_end) = tokio::io::duplex(64);
        let relay = Relay::start(Box::new(server), opening).await.unwrap();
        let address = (Ipv4Addr::LOCALHOST, relay.port);
        let _rival = TcpStream::connect(address).await.unwrap();
        // The relay has taken the rival for sqlx, which now connects to a port that is still the relay's.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(TcpListener::bind(address).await.is_err());
        let _sqlx = TcpStream::connect(address).await.unwrap();
        drop(relay);
    }

    #[test]
    fn requests_for_a_password_are_recognised() {
        let request = |code: u32| message(b'R', 8, &code.to_be_bytes());
        for (code, refused) in [(0, false), (CLEAR_TEXT, true), (MD5, true), (10, false), (11, false)] {
            assert_eq!(forbidden(&request(code)).is_some(), refused, "{code}");
        }
        assert_eq!(forbidden(&message(b'R', 4, &[])), None);
        assert_eq!(forbidden(&message(b'S', 8, &CLEAR_TEXT.to_be_bytes())), None);
    }
}
