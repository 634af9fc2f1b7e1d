//! One client's session: TLS, the choice of the project, and the bytes both ways.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Gate;
use super::startup::{self, First, Startup};
use super::tenants::Tenant;
use super::wall::From;

const UNKNOWN_TENANT: &str = "Tenant or user not found";
const TLS_REQUIRED: &str = "SSL connection is required";

/// Serves one client until either side closes.
pub(super) async fn run(mut client: TcpStream, gate: &Gate) -> io::Result<()> {
    client.set_nodelay(true)?;
    let address = client.peer_addr()?.ip();
    let from = |tls| From { address, tls };
    loop {
        match startup::read(&mut client).await? {
            First::Gss => client.write_all(b"N").await?,
            First::Ssl => {
                client.write_all(b"S").await?;
                let mut client = gate.tls.accept(client).await?;
                return match startup::read(&mut client).await? {
                    First::Startup(startup) => login(client, startup, gate, from(true)).await,
                    First::Cancel(packet) => cancel(&packet, gate).await,
                    First::Ssl | First::Gss => Ok(()),
                };
            }
            First::Cancel(packet) => return cancel(&packet, gate).await,
            First::Startup(_) if gate.require_tls => return refuse(client, TLS_REQUIRED).await,
            First::Startup(startup) => return login(client, startup, gate, from(false)).await,
        }
    }
}

/// The key that the server gave the client is the server's own, so the request is its too.
async fn cancel(packet: &[u8], gate: &Gate) -> io::Result<()> {
    let key = packet.get(8..).unwrap_or_default();
    let Some(server) = gate.tenants.server_of(key) else {
        return Ok(());
    };
    let mut server = TcpStream::connect(server).await?;
    server.write_all(packet).await
}

async fn login<C>(client: C, mut startup: Startup, gate: &Gate, from: From) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let user = startup.get("user").to_owned();
    let Some((role, project)) = user.rsplit_once('.') else {
        return refuse(client, UNKNOWN_TENANT).await;
    };
    let Some(tenant) = gate.tenants.usable(project) else {
        gate.tenants.count(project, false);
        return refuse(client, UNKNOWN_TENANT).await;
    };
    if let Some(refusal) = gate.tenants.wall(project).refusal(from) {
        gate.tenants.count(project, false);
        return refuse(client, &refusal).await;
    }
    address(&mut startup, role, &tenant);
    let pooler = tenant.pooler.filter(|_| gate.transaction);
    let address = pooler.unwrap_or(tenant.server);
    let mut server = connect(address).await?;
    server.set_nodelay(true)?;
    server.write_all(&startup.encode()).await?;
    let session = Mutex::new(Vec::new());
    let ended = splice(client, server, &session, |accepted| {
        gate.tenants.count(project, accepted);
        gate.tenants.began(&key_of(&session), address);
    })
    .await;
    gate.tenants.ended(&key_of(&session));
    ended
}

/// A pooler that was just started may not listen yet.
async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let mut left = 40;
    loop {
        match TcpStream::connect(address).await {
            Err(_) if left > 0 => left -= 1,
            connected => return connected,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Turns the names that the client uses into the server's.
fn address(startup: &mut Startup, role: &str, tenant: &Tenant) {
    let database = match startup.get("database") {
        "" | "postgres" => &tenant.database,
        other => other,
    }
    .to_owned();
    let user = if role == "postgres" { &tenant.owner } else { role };
    startup.set("user", user);
    startup.set("database", &database);
}

async fn refuse(mut client: impl AsyncWrite + Unpin, message: &str) -> io::Result<()> {
    client.write_all(&startup::fatal("XX000", message)).await?;
    client.shutdown().await
}

fn key_of(session: &Mutex<Vec<u8>>) -> Vec<u8> {
    session.lock().clone()
}

async fn splice<C>(client: C, server: TcpStream, session: &Mutex<Vec<u8>>, outcome: impl FnOnce(bool)) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let (mut client_read, mut client_write) = tokio::io::split(client);
    let (mut server_read, mut server_write) = server.into_split();
    let upwards = async {
        tokio::io::copy(&mut client_read, &mut server_write).await?;
        server_write.shutdown().await
    };
    let downwards = async {
        let accepted = login_answer(&mut server_read, &mut client_write, session).await?;
        outcome(accepted);
        tokio::io::copy(&mut server_read, &mut client_write).await?;
        client_write.shutdown().await
    };
    tokio::select! {
        ended = downwards => ended,
        Err(error) = upwards => Err(error),
    }
}

/// Passes the server's messages on until it has accepted or refused the login; keeps the session's key.
async fn login_answer<R, W>(server: &mut R, client: &mut W, session: &Mutex<Vec<u8>>) -> io::Result<bool>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    loop {
        let mut message = vec![0; 5];
        server.read_exact(&mut message).await?;
        let length = u32::from_be_bytes([message[1], message[2], message[3], message[4]]);
        message.resize(1 + (length as usize).clamp(4, 65_536), 0);
        server.read_exact(&mut message[5..]).await?;
        client.write_all(&message).await?;
        client.flush().await?;
        match message[0] {
            // BackendKeyData.
            b'K' => message[5..].clone_into(&mut session.lock()),
            // ReadyForQuery. The right to connect is checked after the password.
            b'Z' => return Ok(true),
            b'E' => return Ok(false),
            _ => {}
        }
    }
}
