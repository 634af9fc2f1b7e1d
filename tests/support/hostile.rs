//! A server that is no PostgreSQL.
#![allow(dead_code, clippy::unwrap_used)]

use std::sync::Arc;

use orchestra_operator::postgres::{Error, Login, SessionOptions, Tls, connect};
use orchestra_sandbox::router::Authority;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub const PASSWORD: &str = "hunter2-hunter2";

/// What the server does after the startup message.
#[derive(Clone, Copy)]
pub enum Act {
    /// Asks for the password with this code of the protocol.
    Ask(u32),
    /// Lets the client in, and asks before it is ready.
    AskLate(u32),
    /// Lets the client in, and answers every statement.
    Serve,
    /// Lets the client in, and says nothing more.
    Stall,
    /// Lets the client in, and answers the first statement with notices without end.
    Notices,
    /// Lets the client in, and answers the first statement with a huge message.
    Huge,
    /// Refuses the login with a text for the reader's terminal.
    Refuse,
    /// Lets the client in, and answers a prepared statement with this of [`odd_answers`].
    Odd(usize),
}

/// A server that is no PostgreSQL. It keeps all that clients send.
pub struct Hostile {
    pub login: Login,
    pub heard: Arc<Mutex<Vec<u8>>>,
}

impl Hostile {
    /// With an authority, it offers TLS with a certificate for these names.
    pub async fn start(act: Act, tls: Option<(&Authority, &str)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::<Mutex<Vec<u8>>>::default();
        let (all, acceptor) = (
            heard.clone(),
            tls.map(|(by, name)| by.acceptor([name.to_owned()]).unwrap()),
        );
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (all, acceptor) = (all.clone(), acceptor.clone());
                tokio::spawn(greet(client, acceptor, act, all));
            }
        });
        let login = Login {
            host: "127.0.0.1".into(),
            port,
            database: "postgres".into(),
            user: "postgres.ref".into(),
            password: PASSWORD.to_owned().into(),
            tls: Tls::VerifyFull,
            roots: None,
            session: SessionOptions::default(),
        };
        Self { login, heard }
    }

    pub async fn answers(&self, tls: Tls, roots: Option<&Authority>) -> Result<(), Error> {
        let roots = roots.map(|authority| authority.root().into());
        let login = Login {
            tls,
            roots,
            ..self.login.clone()
        };
        connect(&login, "test").await.map(drop)
    }

    /// Whether it knows the password, or its MD5 hash: any message of type `p`.
    pub fn knows(&self) -> bool {
        let heard = self.heard.lock();
        let text = text(&heard);
        text.contains(PASSWORD) || text.contains("md5")
    }
}

async fn greet(
    mut client: TcpStream,
    acceptor: Option<tokio_rustls::TlsAcceptor>,
    act: Act,
    heard: Arc<Mutex<Vec<u8>>>,
) -> Option<()> {
    let mut first = [0; 8];
    client.peek(&mut first).await.ok()?;
    if first[4..] == [4, 210, 22, 47] {
        client.read_exact(&mut first).await.ok()?;
        let Some(acceptor) = acceptor else {
            client.write_all(b"N").await.ok()?;
            return serve(client, act, &heard).await;
        };
        client.write_all(b"S").await.ok()?;
        return serve(acceptor.accept(client).await.ok()?, act, &heard).await;
    }
    serve(client, act, &heard).await
}

#[allow(clippy::too_many_lines, reason = "one list")]
async fn serve(mut client: impl AsyncRead + AsyncWrite + Unpin, act: Act, heard: &Mutex<Vec<u8>>) -> Option<()> {
    listen(&mut client, heard).await?;
    let ask = |code: u32| message(b'R', &[&code.to_be_bytes()[..], &[1, 2, 3, 4]].concat());
    let ready = message(b'Z', b"I");
    let greeting = match act {
        Act::Ask(code) => ask(code),
        Act::AskLate(code) => [message(b'R', &[0; 4]), ask(code)].concat(),
        Act::Refuse => message(
            b'E',
            b"SFATAL\0C28P01\0Mno\x1b[2J\x1b]0;title\x07\nINFO forged \xe2\x80\xaetxt\0\0",
        ),
        _ => [
            message(b'R', &[0; 4]),
            message(b'K', &[0, 0, 0, 1, 0, 0, 0, 0]),
            ready.clone(),
        ]
        .concat(),
    };
    client.write_all(&greeting).await.ok()?;
    let mut asked = matches!(act, Act::Ask(_) | Act::AskLate(_));
    loop {
        client.flush().await.ok()?;
        let said = listen(&mut client, heard).await?;
        match act {
            Act::Notices => loop {
                let notice = message(b'N', b"SNOTICE\0VNOTICE\0C00000\0Mand again\0\0");
                client.write_all(&notice.repeat(100)).await.ok()?;
            },
            Act::Huge => {
                let mut huge = message(b'D', &[0; 64]);
                huge[1..5].copy_from_slice(&(400_u32 << 20).to_be_bytes());
                client.write_all(&huge).await.ok()?;
            }
            Act::Serve | Act::Ask(_) | Act::AskLate(_) => {
                let done = if asked {
                    message(b'R', &[0; 4])
                } else {
                    message(b'C', b"SET\0")
                };
                asked = false;
                client.write_all(&[done, ready.clone()].concat()).await.ok()?;
            }
            Act::Odd(which) => {
                let [prepared, row] = odd_answers().swap_remove(which);
                let answer = match said.first() {
                    Some(b'P') => prepared,
                    Some(b'B') => row,
                    // It says that there is no pooler in between.
                    _ if text(&said).contains("pg_backend_pid") => [
                        described(&[(b"pid", INT4)]),
                        message(b'D', &[0, 1, 0, 0, 0, 1, b'1']),
                        message(b'C', b"SELECT 1\0"),
                        ready.clone(),
                    ]
                    .concat(),
                    _ if text(&said).contains("original_name") => [odd_type(), ready.clone()].concat(),
                    Some(b'Q') if text(&said).contains("SELECT") => unprepared(&prepared, &row),
                    _ => [message(b'C', b"SET\0"), ready.clone()].concat(),
                };
                client.write_all(&answer).await.ok()?;
            }
            Act::Stall | Act::Refuse => {}
        }
    }
}

/// Answers to the preparation of a statement and to its execution, as no PostgreSQL gives them.
pub fn odd_answers() -> Vec<[Vec<u8>; 2]> {
    let (parsed, none, ready) = (message(b'1', b""), message(b't', &[0, 0]), message(b'Z', b"I"));
    let begun = [parsed.clone(), none].concat();
    let prepared = |columns: &[(&[u8], u32)]| [begun.clone(), described(columns), ready.clone()].concat();
    let row = |kind: u32, body: &[u8]| {
        let row = [
            message(b'2', b""),
            message(b'D', body),
            message(b'C', b"SELECT 1\0"),
            ready.clone(),
        ];
        [prepared(&[(b"one", kind)]), row.concat()]
    };
    let then_nothing = |answer: Vec<u8>| [answer, Vec::new()];
    let and_ready = |answer: Vec<u8>| [[answer, ready.clone()].concat(), Vec::new()];
    vec![
        // A row with no column, which sqlx answers with a panic, and other numbers of columns and bytes.
        row(BOOL, &[0, 0]),
        row(BOOL, &[0, 1, 0, 0, 0, 3, 1, 2, 3]),
        row(BOOL, &[0, 1, 0xff, 0xff, 0xff, 0xff]),
        row(BOOL, &[0, 1, 0x80, 0, 0, 0]),
        row(BOOL, &[0, 1, 0x7f, 0xff, 0xff, 0xff, 1]),
        row(BOOL, &[0xff, 0xff, 0, 0]),
        row(TEXT, &[0, 1, 0, 0, 0, 2, 0xff, 0xfe]),
        row(UNKNOWN, &[0, 1, 0, 0, 0, 1, 1]),
        // Types that nobody knows: one that is made of itself, and parameters that do not come.
        then_nothing(prepared(&[(b"one", UNKNOWN)])),
        then_nothing(prepared(&[(b"one", 0)])),
        and_ready([parsed, message(b't', &[&[0xff, 0xff], &[0; 4][..]].concat())].concat()),
        // Names that are no text, and fewer columns than are announced.
        then_nothing(prepared(&[(b"\xff\xfe", BOOL)])),
        and_ready([begun.clone(), message(b'T', &[0x7f, 0xff])].concat()),
        // Messages at the wrong time, of unknown kinds, empty ones, and a length below the least.
        then_nothing(message(b'D', &[0, 0])),
        then_nothing([begun, message(b'Z', b"")].concat()),
        and_ready(message(b'?', b"what")),
        and_ready(message(b'G', &[0, 0, 0])),
        and_ready(message(b'E', b"")),
        and_ready(message(b'E', b"S\0C\0M\0")),
        and_ready(message(b'S', b"client_encoding")),
        and_ready(message(b'A', &[1])),
        then_nothing(vec![b'1', 0, 0, 0, 0]),
        then_nothing(ready.clone()),
    ]
}

/// The same as the answer to a transaction that is one message: nothing is prepared then.
fn unprepared(prepared: &[u8], row: &[u8]) -> Vec<u8> {
    let mut answer = message(b'C', b"SET\0").repeat(3);
    for (mut rest, skipped) in [(prepared, &b"1tZ"[..]), (row, &b"2"[..])] {
        while let [kind, a, b, c, d, ..] = *rest {
            let length = 1 + usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap();
            if length < 5 || length > rest.len() {
                break;
            }
            let (one, others) = rest.split_at(length);
            if !skipped.contains(&kind) || row.is_empty() && kind == b'Z' {
                answer.extend_from_slice(one);
            }
            rest = others;
        }
        answer.extend_from_slice(rest);
    }
    answer
}

const BOOL: u32 = 16;
const INT4: u32 = 23;
const TEXT: u32 = 25;
const UNKNOWN: u32 = 4_000_000;

/// A row of `pg_type` for sqlx, which asks for a type that it does not know: a domain over itself.
fn odd_type() -> Vec<u8> {
    let (name, oid, kind, one) = (1043, 26, 18, UNKNOWN.to_string());
    let (labels, attributes) = (1009, 2287);
    let columns: [(&[u8], u32, Option<&str>); 11] = [
        (b"oid", oid, Some(&one)),
        (b"pretty_name", name, Some("odd")),
        (b"catalog_name", name, Some("odd")),
        (b"original_name", name, None),
        (b"typtype", kind, Some("d")),
        (b"typcategory", kind, Some("U")),
        (b"typelem", oid, None),
        (b"typbasetype", oid, Some(&one)),
        (b"rngsubtype", oid, None),
        (b"enum_labels", labels, Some("{}")),
        (b"record_attributes", attributes, Some("{}")),
    ];
    let mut row = 11_u16.to_be_bytes().to_vec();
    for (_, _, value) in columns {
        let length = value.map_or(-1, |value| i32::try_from(value.len()).unwrap());
        row.extend(length.to_be_bytes());
        row.extend(value.unwrap_or_default().bytes());
    }
    let kinds = columns.map(|(name, kind, _)| (name, kind));
    [described(&kinds), message(b'D', &row), message(b'C', b"SELECT 1\0")].concat()
}

fn described(columns: &[(&[u8], u32)]) -> Vec<u8> {
    let mut body = u16::try_from(columns.len()).unwrap().to_be_bytes().to_vec();
    for (name, kind) in columns {
        // No table, the type, its length, no modifier, text.
        body.extend([*name, &[0; 7], &kind.to_be_bytes(), &[0xff; 6], &[0; 2]].concat());
    }
    message(b'T', &body)
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Hears what the client sends next.
async fn listen(client: &mut (impl AsyncRead + Unpin), heard: &Mutex<Vec<u8>>) -> Option<Vec<u8>> {
    let mut bytes = [0; 4096];
    let read = client.read(&mut bytes).await.ok()?;
    heard.lock().extend_from_slice(&bytes[..read]);
    (read > 0).then(|| bytes[..read].to_vec())
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(4 + body.len()).unwrap();
    [&[kind], &length.to_be_bytes()[..], body].concat()
}
