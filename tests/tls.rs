//! Hostile servers: what they are told before they have shown who they are, and what they can make of a session.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use orchestra_operator::api::condition::Reason;
use orchestra_operator::error::ErrorClass;
use orchestra_operator::postgres::{Error, Login, SessionOptions, Tls, connect};
use orchestra_sandbox::router::Authority;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PASSWORD: &str = "hunter2-hunter2";

/// What the server does after the startup message.
#[derive(Clone, Copy)]
enum Act {
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
}

/// A server that is no PostgreSQL. It keeps all that clients send.
struct Hostile {
    login: Login,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Hostile {
    /// With an authority, it offers TLS with a certificate for these names.
    async fn start(act: Act, tls: Option<(&Authority, &str)>) -> Self {
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

    async fn answers(&self, tls: Tls, roots: Option<&Authority>) -> Result<(), Error> {
        let roots = roots.map(|authority| authority.root().into());
        let login = Login {
            tls,
            roots,
            ..self.login.clone()
        };
        connect(&login, "test").await.map(drop)
    }

    /// Whether it knows the password, or its MD5 hash: any message of type `p`.
    fn knows(&self) -> bool {
        let heard = self.heard.lock();
        let text = String::from_utf8_lossy(&heard);
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
        _ => [message(b'R', &[0; 4]), ready.clone()].concat(),
    };
    client.write_all(&greeting).await.ok()?;
    let mut asked = matches!(act, Act::Ask(_) | Act::AskLate(_));
    loop {
        client.flush().await.ok()?;
        listen(&mut client, heard).await?;
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
            Act::Stall | Act::Refuse => {}
        }
    }
}

/// Hears what the client sends next.
async fn listen(client: &mut (impl AsyncRead + Unpin), heard: &Mutex<Vec<u8>>) -> Option<()> {
    let mut bytes = [0; 4096];
    let read = client.read(&mut bytes).await.ok()?;
    heard.lock().extend_from_slice(&bytes[..read]);
    (read > 0).then_some(())
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(4 + body.len()).unwrap();
    [&[kind], &length.to_be_bytes()[..], body].concat()
}

const CLEAR: u32 = 3;
const MD5: u32 = 5;

#[tokio::test]
async fn a_server_that_anybody_could_be_is_told_no_password() {
    let own = Authority::new("Somebody").unwrap();
    for act in [Act::Ask(CLEAR), Act::Ask(MD5), Act::AskLate(CLEAR), Act::AskLate(MD5)] {
        let plain = Hostile::start(act, None).await;
        let secured = Hostile::start(act, Some((&own, "127.0.0.1"))).await;
        for (server, tls) in [
            (&plain, Tls::Disable),
            (&plain, Tls::Prefer),
            (&secured, Tls::Prefer),
            (&secured, Tls::Require),
        ] {
            let error = server.answers(tls, None).await.unwrap_err();
            assert!(matches!(error, Error::InsecureLogin(_)), "{tls:?}: {error}");
            assert_eq!(
                (error.class(), error.reason()),
                (ErrorClass::Blocked, Reason::UntrustedHost)
            );
            assert!(!server.knows(), "{tls:?}");
        }
    }
}

#[tokio::test]
async fn a_verified_login_reaches_the_server_of_its_certificate_alone() {
    let trusted = Authority::new("Trusted").unwrap();
    let other = Authority::new("Other").unwrap();
    let good = Hostile::start(Act::Serve, Some((&trusted, "127.0.0.1"))).await;
    let misnamed = Hostile::start(Act::Ask(CLEAR), Some((&trusted, "elsewhere.example"))).await;
    let fake = Hostile::start(Act::Ask(CLEAR), Some((&other, "127.0.0.1"))).await;
    let plain = Hostile::start(Act::Ask(CLEAR), None).await;

    good.answers(Tls::VerifyFull, Some(&trusted)).await.unwrap();
    good.answers(Tls::VerifyCa, Some(&trusted)).await.unwrap();
    // A verified server may ask for the password in clear text, as one behind LDAP does.
    misnamed.answers(Tls::VerifyCa, Some(&trusted)).await.unwrap();
    assert!(misnamed.knows());
    misnamed.heard.lock().clear();

    for (server, tls, roots) in [
        (&misnamed, Tls::VerifyFull, Some(&trusted)),
        (&fake, Tls::VerifyFull, Some(&trusted)),
        (&fake, Tls::VerifyCa, Some(&trusted)),
        (&fake, Tls::VerifyFull, None),
    ] {
        let error = server.answers(tls, roots).await.unwrap_err();
        assert!(matches!(error, Error::UntrustedServer(_)), "{tls:?}: {error}");
        assert_eq!(error.class(), ErrorClass::Blocked);
        assert!(server.heard.lock().is_empty(), "not even the user's name");
    }
    let error = plain.answers(Tls::VerifyFull, Some(&trusted)).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Transient, "{error}");
    assert!(plain.heard.lock().is_empty());
}

#[tokio::test]
async fn a_server_that_stalls_or_never_ends_takes_a_bounded_time() {
    let began = Instant::now();
    let stalled = async { Hostile::start(Act::Stall, None).await.answers(Tls::Disable, None).await };
    let noisy = async {
        Hostile::start(Act::Notices, None)
            .await
            .answers(Tls::Disable, None)
            .await
    };
    for error in <[_; 2]>::from(tokio::join!(stalled, noisy)).map(Result::unwrap_err) {
        assert!(matches!(error, Error::Timeout(_)), "{error}");
    }
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_huge_message_ends_the_session_before_it_is_collected() {
    let server = Hostile::start(Act::Huge, None).await;
    let answer = tokio::time::timeout(Duration::from_secs(5), server.answers(Tls::Disable, None));
    let error = answer.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("more than 4 MiB"), "{error}");
    assert_eq!(error.class(), ErrorClass::Blocked);
}

#[tokio::test]
async fn a_servers_text_is_one_line_without_control_characters() {
    let server = Hostile::start(Act::Refuse, None).await;
    let error = server.answers(Tls::Disable, None).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "the database refused the login: no [2J ]0;title INFO forged txt (SQLSTATE 28P01)"
    );
}
