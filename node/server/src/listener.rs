//! Listening sockets, and what is decided about a client before it has said anything.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, TcpKeepalive, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::config::{BindAddress, Config};
use crate::connection::Socket;
use crate::server::Server;

/// How long to wait after accept() failed for want of file descriptors or memory.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// What a client above `maxclients` is told (Redis 7.0).
const TOO_MANY: &str = "-ERR max number of clients reached\r\n";
/// What a stranger is told when nobody has set up access.
const PROTECTED_MODE: &str = "-DENIED hexad runs in protected mode, because no password is set for \
the default user, and so it serves clients on the loopback interface only. To let others connect, \
do one of these: 1) connect from this host and send 'CONFIG SET protected-mode no', if nobody \
unauthorized can reach the server; 2) write 'protected-mode no' into the configuration file and \
restart; 3) for a test, start the server with '--protected-mode no'; 4) set a password for the \
default user.\r\n";

/// A bound socket.
#[derive(Debug)]
pub(crate) enum Listener {
    /// TCP.
    Tcp(RawSocket),
    /// A Unix socket and its path.
    Unix(RawSocket, String),
}

/// Binds the addresses of `bind`; `*` and `-::*` forms mean all interfaces.
///
/// An address that is marked optional (`-`) may be unavailable; at least one must work.
pub(crate) fn bind_tcp(
    addresses: &[BindAddress],
    port: u16,
    backlog: i32,
) -> Result<Vec<RawSocket>, String> {
    let mut sockets = Vec::new();
    for bind in addresses {
        let Some(address) = resolve(&bind.address) else {
            return Err(format!(
                "Could not resolve the bind address {}",
                bind.address
            ));
        };
        match listen(SocketAddr::new(address, port), backlog) {
            Ok(socket) => sockets.push(socket),
            Err(error) => {
                let text = format!(
                    "Could not create server TCP listening socket {}:{port}: bind: {}",
                    bind.address,
                    os_text(&error)
                );
                let tolerable = matches!(
                    error.kind(),
                    io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported
                ) || error.raw_os_error()
                    == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error());
                if !(bind.optional && tolerable) {
                    return Err(text);
                }
            }
        }
    }
    Ok(sockets)
}

/// The text of an operating system's error without Rust's number behind it.
pub(crate) fn os_text(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

fn resolve(address: &str) -> Option<IpAddr> {
    use std::net::ToSocketAddrs;
    match address {
        "*" => Some(IpAddr::from([0, 0, 0, 0])),
        "::*" => Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        other => other
            .parse()
            .ok()
            .or_else(|| Some((other, 0).to_socket_addrs().ok()?.next()?.ip())),
    }
}

fn listen(address: SocketAddr, backlog: i32) -> io::Result<RawSocket> {
    let socket = RawSocket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Binds a Unix socket, replacing what an earlier process left at its path.
pub(crate) fn bind_unix(path: &Path, mode: u32, backlog: i32) -> io::Result<RawSocket> {
    use std::os::unix::fs::PermissionsExt;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    if mode != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Accepts clients for ever and hands each to the worker that serves the fewest.
pub(crate) async fn accept(listener: Listener, server: &'static Server) -> io::Result<()> {
    match listener {
        Listener::Tcp(socket) => {
            let listener = TcpListener::from_std(socket.into())?;
            loop {
                match listener.accept().await {
                    Ok((client, peer)) => admit_tcp(client.into_std()?, peer, server),
                    Err(error) => back_off(&error).await,
                }
            }
        }
        Listener::Unix(socket, path) => {
            let listener = UnixListener::from_std(socket.into())?;
            loop {
                match listener.accept().await {
                    Ok((client, _)) => admit_unix(client.into_std()?, &path, server),
                    Err(error) => back_off(&error).await,
                }
            }
        }
    }
}

async fn back_off(error: &io::Error) {
    tracing::warn!("Accepting client connection: {}", os_text(error));
    tokio::time::sleep(ACCEPT_BACKOFF).await;
}

/// Decides whether an accepted client may stay, and gives it to a worker.
fn admit_tcp(mut client: std::net::TcpStream, peer: SocketAddr, server: &'static Server) {
    let config = server.config.load();
    if is_full(server, &config) {
        return refuse(&mut client, TOO_MANY, server);
    }
    let stranger = !is_loopback(peer.ip());
    if config.protected_mode && config.requirepass.is_none() && stranger {
        return refuse(&mut client, PROTECTED_MODE, server);
    }
    set_options(&client, &config);
    server.received_connections.increment();
    server.hand_over(Socket::Tcp(client));
}

/// Redis 7.0: these two addresses, not all of 127.0.0.0/8.
fn is_loopback(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip == Ipv4Addr::LOCALHOST,
        IpAddr::V6(ip) => ip == Ipv6Addr::LOCALHOST,
    }
}

fn admit_unix(mut client: std::os::unix::net::UnixStream, path: &str, server: &'static Server) {
    if is_full(server, &server.config.load()) {
        return refuse(&mut client, TOO_MANY, server);
    }
    server.received_connections.increment();
    server.hand_over(Socket::Unix(client, path.to_owned()));
}

fn is_full(server: &Server, config: &Config) -> bool {
    server.admitted() >= config.maxclients as u64
}

/// Tells a client why it is turned away; it may not be reading, and that is its own loss.
fn refuse(client: &mut impl io::Write, text: &str, server: &Server) {
    server.rejected_connections.increment();
    let _ = client.write(text.as_bytes());
}

fn set_options(client: &std::net::TcpStream, config: &Config) {
    let client = SockRef::from(client);
    let mut result = client.set_tcp_nodelay(true);
    if config.tcp_keepalive_s > 0 {
        let idle = Duration::from_secs(config.tcp_keepalive_s.into());
        // As Redis: probes at a third of the interval, three of them.
        let keepalive = TcpKeepalive::new()
            .with_time(idle)
            .with_interval((idle / 3).max(Duration::from_secs(1)))
            .with_retries(3);
        result = result.and(client.set_tcp_keepalive(&keepalive));
    }
    if let Err(error) = result {
        tracing::debug!("Cannot set the options of an accepted socket: {error}");
    }
}
