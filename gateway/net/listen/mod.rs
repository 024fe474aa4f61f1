//! Listening sockets, and errors that say what to do.
//!
//! Every accepted connection has TCP_NODELAY and keepalive: they are set on the listener, from which
//! Linux hands them down, so that an accept stays one system call.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};

use crate::net::in_use;

/// How a TCP listener is opened. The defaults are what the gateway uses everywhere.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// Connections that wait for an accept (the kernel caps it at `net.core.somaxconn`).
    pub backlog: u32,
    /// The first keepalive probe after this much silence.
    pub keepalive: Duration,
    /// Between two probes; three unanswered ones end the connection.
    pub keepalive_interval: Duration,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            backlog: 4096,
            keepalive: Duration::from_secs(60),
            keepalive_interval: Duration::from_secs(10),
        }
    }
}

/// A listening TCP socket that belongs to no runtime yet; it may be sent to its worker.
#[derive(Debug)]
pub struct BoundTcp {
    socket: std::net::TcpListener,
    address: SocketAddr,
    /// It is a socket of this host, dressed as one of TCP.
    is_unix: bool,
}

/// A bound UDP socket that belongs to no runtime yet; it may be sent to its worker.
#[derive(Debug)]
pub struct BoundUdp {
    socket: std::net::UdpSocket,
    address: SocketAddr,
}

/// A worker's listener.
#[derive(Debug)]
pub struct Listener {
    listener: Accepting,
    address: SocketAddr,
}

#[derive(Debug)]
enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Who connects to a socket of this host has no address.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Why an address cannot be listened at; the text says how to go on.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Another socket holds it.
    #[error(
        "cannot listen at {address} ({protocol}): the port is in use by {owner}. \
         Stop that program or choose another port"
    )]
    InUse {
        /// The address asked for.
        address: SocketAddr,
        /// `TCP` or `UDP`.
        protocol: &'static str,
        /// `nginx (pid 812)`, or `another program` where it cannot be told.
        owner: String,
    },
    /// A port below `net.ipv4.ip_unprivileged_port_start` without CAP_NET_BIND_SERVICE.
    #[error(
        "cannot listen at {address} ({protocol}): ports below {first_free} need CAP_NET_BIND_SERVICE. \
         Use the systemd unit (it has AmbientCapabilities=CAP_NET_BIND_SERVICE), or \
         `setcap cap_net_bind_service=+ep` on the binary, or \
         `sysctl net.ipv4.ip_unprivileged_port_start={port}`, or a port from {first_free} up",
        port = address.port()
    )]
    Permission {
        /// The address asked for.
        address: SocketAddr,
        /// `TCP` or `UDP`.
        protocol: &'static str,
        /// `net.ipv4.ip_unprivileged_port_start`.
        first_free: u32,
    },
    /// The kernel has no such family (IPv6 disabled).
    #[error(
        "cannot listen at {address} ({protocol}): this kernel has no {family}. \
         Enable it (sysctl net.ipv6.conf.all.disable_ipv6, boot option ipv6.disable) or leave the address out"
    )]
    NoFamily {
        /// The address asked for.
        address: SocketAddr,
        /// `TCP` or `UDP`.
        protocol: &'static str,
        /// `IPv4` or `IPv6`.
        family: &'static str,
    },
    /// No more files.
    #[error(
        "cannot listen at {address} ({protocol}): too many open files. \
         Raise LimitNOFILE= in the unit, or `ulimit -n`"
    )]
    Files {
        /// The address asked for.
        address: SocketAddr,
        /// `TCP` or `UDP`.
        protocol: &'static str,
    },
    /// A socket of this host.
    #[error("cannot listen at the socket {socket}: {error}")]
    Socket {
        /// Its path, or `@` and its name.
        socket: String,
        /// What the kernel says.
        error: io::Error,
    },
    /// Anything else, as the kernel says it.
    #[error("cannot listen at {address} ({protocol}): {step}: {error}")]
    Other {
        /// The address asked for.
        address: SocketAddr,
        /// `TCP` or `UDP`.
        protocol: &'static str,
        /// The call that failed.
        step: &'static str,
        /// Its error.
        error: io::Error,
    },
}

/// Why an accept failed, sorted by what to do about it.
#[derive(Debug, Error)]
pub enum AcceptError {
    /// This one connection is gone (it was reset in the queue, …): accept the next one at once.
    #[error("a connection ended before it was accepted: {0}")]
    Connection(io::Error),
    /// No file, socket or memory is left: pause (100 ms) so that others can end, then go on.
    #[error("cannot accept: {0}. Raise LimitNOFILE= in the unit if this lasts")]
    Exhausted(io::Error),
    /// The listener itself is unusable: open a new one.
    #[error("the listener is broken: {0}")]
    Listener(io::Error),
}

impl BoundTcp {
    /// Opens one more SO_REUSEPORT socket at `address`.
    ///
    /// Sockets of the same user share the address silently; the first socket of an address
    /// should therefore come from [`BoundTcp::open_all`], which refuses if anybody else has it.
    pub fn open(address: SocketAddr, options: &ListenOptions) -> Result<Self, ListenError> {
        let failed = |step| move |error| explain(address, "TCP", step, error);
        let socket = socket(address, Type::STREAM, Protocol::TCP).map_err(failed("socket"))?;
        prepare(&socket, address).map_err(failed("setsockopt"))?;
        socket
            .set_tcp_nodelay(true)
            .map_err(failed("TCP_NODELAY"))?;
        set_liveness(&SockRef::from(&socket), options).map_err(failed("keepalive"))?;
        // TCP_DEFER_ACCEPT stays off: it would delay clients that wait for the server to speak
        // first (L4 services such as SSH), and hide idle ones from our own header timeout.
        socket
            .bind(&SockAddr::from(address))
            .map_err(failed("bind"))?;
        let backlog = i32::try_from(options.backlog).unwrap_or(i32::MAX);
        socket.listen(backlog).map_err(failed("listen"))?;
        let socket = std::net::TcpListener::from(socket);
        let address = socket.local_addr().map_err(failed("getsockname"))?;
        Ok(Self {
            socket,
            address,
            is_unix: false,
        })
    }

    /// Opens a socket of this host, at a path or an abstract name (`@name`): one for all of `count`
    /// workers. A path that a process left behind is taken over; one that somebody listens at is
    /// not. `stand_in` is what it is called among addresses.
    pub fn open_socket(
        socket: &str,
        stand_in: SocketAddr,
        count: usize,
    ) -> Result<Vec<Self>, ListenError> {
        let failed = |error| ListenError::Socket {
            socket: socket.to_owned(),
            error,
        };
        let listener = bind_unix(socket).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let shared = |_| {
            let own = OwnedFd::from(listener.try_clone()?);
            Ok(Self {
                socket: std::net::TcpListener::from(own),
                address: stand_in,
                is_unix: true,
            })
        };
        (0..count)
            .map(shared)
            .collect::<io::Result<_>>()
            .map_err(failed)
    }

    /// Opens `count` sockets at `address`, one per worker; refuses if anybody already listens
    /// there. With port 0 all of them get the same port.
    pub fn open_all(
        address: SocketAddr,
        count: usize,
        options: &ListenOptions,
    ) -> Result<Vec<Self>, ListenError> {
        probe(address, Type::STREAM, Protocol::TCP)
            .map_err(|error| explain(address, "TCP", "bind", error))?;
        Self::open_beside(address, count, options)
    }

    /// As [`BoundTcp::open_all`], for an address at which this process itself has a socket, or at
    /// the wildcard over it, or under it: others of the same user are not noticed.
    pub fn open_beside(
        address: SocketAddr,
        count: usize,
        options: &ListenOptions,
    ) -> Result<Vec<Self>, ListenError> {
        let first = Self::open(address, options)?;
        let address = first.address;
        let mut all = vec![first];
        for _ in 1..count {
            all.push(Self::open(address, options)?);
        }
        Ok(all)
    }

    /// The address, with the port that was given for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Joins the runtime of the calling worker.
    pub fn listener(self) -> io::Result<Listener> {
        let listener = if self.is_unix {
            let socket = OwnedFd::from(self.socket);
            let socket = std::os::unix::net::UnixListener::from(socket);
            Accepting::Unix(UnixListener::from_std(socket)?)
        } else {
            Accepting::Tcp(TcpListener::from_std(self.socket)?)
        };
        Ok(Listener {
            listener,
            address: self.address,
        })
    }
}

/// A connection to a socket of this host as a TCP stream, as those to endpoints are.
fn dressed(
    (stream, _): (UnixStream, tokio::net::unix::SocketAddr),
) -> Result<(TcpStream, SocketAddr), AcceptError> {
    let stream = stream.into_std().and_then(|stream| {
        let socket = std::net::TcpStream::from(OwnedFd::from(stream));
        TcpStream::from_std(socket)
    });
    Ok((stream.map_err(AcceptError::Connection)?, NOBODY))
}

fn bind_unix(socket: &str) -> io::Result<std::os::unix::net::UnixListener> {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::fs::FileTypeExt as _;
    use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener, UnixStream};

    if let Some(name) = socket.strip_prefix('@') {
        return UnixListener::bind_addr(&UnixAddress::from_abstract_name(name)?);
    }
    let is_socket =
        std::fs::symlink_metadata(socket).is_ok_and(|meta| meta.file_type().is_socket());
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    if is_socket && UnixStream::connect(socket).is_err_and(refused) {
        std::fs::remove_file(socket)?;
    }
    UnixListener::bind(socket)
}

impl BoundUdp {
    /// Opens one more SO_REUSEPORT socket at `address`; the kernel spreads flows over them.
    pub fn open(address: SocketAddr) -> Result<Self, ListenError> {
        let failed = |step| move |error| explain(address, "UDP", step, error);
        let socket = socket(address, Type::DGRAM, Protocol::UDP).map_err(failed("socket"))?;
        prepare(&socket, address).map_err(failed("setsockopt"))?;
        socket
            .bind(&SockAddr::from(address))
            .map_err(failed("bind"))?;
        let socket = std::net::UdpSocket::from(socket);
        let address = socket.local_addr().map_err(failed("getsockname"))?;
        Ok(Self { socket, address })
    }

    /// Opens `count` sockets at `address`, one per worker; refuses if anybody has it already.
    pub fn open_all(address: SocketAddr, count: usize) -> Result<Vec<Self>, ListenError> {
        probe(address, Type::DGRAM, Protocol::UDP)
            .map_err(|error| explain(address, "UDP", "bind", error))?;
        Self::open_beside(address, count)
    }

    /// As [`BoundUdp::open_all`], for an address at which this process itself has a socket, or at
    /// the wildcard over it, or under it: others of the same user are not noticed.
    pub fn open_beside(address: SocketAddr, count: usize) -> Result<Vec<Self>, ListenError> {
        let first = Self::open(address)?;
        let address = first.address;
        let mut all = vec![first];
        for _ in 1..count {
            all.push(Self::open(address)?);
        }
        Ok(all)
    }

    /// The address, with the port that was given for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Joins the runtime of the calling worker.
    pub fn socket(self) -> io::Result<UdpSocket> {
        UdpSocket::from_std(self.socket)
    }
}

impl Listener {
    /// The address listened at.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The next connection and the client's address. Cancellation safe.
    pub async fn accept(&self) -> Result<(TcpStream, SocketAddr), AcceptError> {
        match &self.listener {
            Accepting::Tcp(listener) => listener.accept().await.map_err(AcceptError::sort),
            Accepting::Unix(listener) => {
                dressed(listener.accept().await.map_err(AcceptError::sort)?)
            }
        }
    }

    /// As [`Listener::accept`], for hand-written loops.
    pub fn poll_accept(
        &self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(TcpStream, SocketAddr), AcceptError>> {
        match &self.listener {
            Accepting::Tcp(listener) => listener.poll_accept(cx).map_err(AcceptError::sort),
            Accepting::Unix(listener) => listener
                .poll_accept(cx)
                .map(|accepted| accepted.map_err(AcceptError::sort).and_then(dressed)),
        }
    }
}

impl AcceptError {
    /// Sorts what accept(2) says; its man page lists the errors that belong to one connection.
    fn sort(error: io::Error) -> Self {
        use rustix::io::Errno;
        match Errno::from_io_error(&error) {
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                Self::Exhausted(error)
            }
            Some(Errno::BADF | Errno::FAULT | Errno::INVAL | Errno::NOTSOCK | Errno::OPNOTSUPP) => {
                // EOPNOTSUPP of a new connection cannot happen on a stream listener.
                Self::Listener(error)
            }
            _ => Self::Connection(error),
        }
    }
}

/// Sets what notices a dead peer while nothing is sent: keepalive. While something is, the
/// kernel's retransmissions do.
///
/// TCP_USER_TIMEOUT stays off: it also counts the time for which a peer that is there keeps its
/// window closed (tcp(7)), and so would cut off whoever reads slowly. Our own idle timeouts bound
/// those.
pub(super) fn set_liveness(socket: &SockRef<'_>, options: &ListenOptions) -> io::Result<()> {
    let keepalive = TcpKeepalive::new()
        .with_time(options.keepalive)
        .with_interval(options.keepalive_interval)
        .with_retries(3);
    socket.set_tcp_keepalive(&keepalive)
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    Socket::new(
        Domain::for_address(address),
        kind.nonblocking().cloexec(),
        Some(protocol),
    )
}

/// What every listening socket has before it is bound.
fn prepare(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if socket.r#type()? == Type::STREAM {
        // Not for UDP: there it would let any later socket take our datagrams.
        socket.set_reuse_address(true)?;
    }
    socket.set_reuse_port(true)?;
    set_family_options(socket, address)
}

/// A VIP may come to this host after the listener (FREEBIND), and `[::]` leaves IPv4 to the
/// socket at 0.0.0.0 (V6ONLY).
fn set_family_options(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    match address.ip() {
        IpAddr::V4(_) => socket.set_freebind_v4(true),
        IpAddr::V6(_) => {
            socket.set_only_v6(true)?;
            socket.set_freebind_v6(true)
        }
    }
}

/// Binds without SO_REUSEPORT for a moment: fails if any other socket has the address, which
/// SO_REUSEPORT alone would hide for sockets of the same user.
fn probe(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<()> {
    if address.port() == 0 {
        return Ok(());
    }
    let socket = socket(address, kind, protocol)?;
    if kind == Type::STREAM {
        // Connections in TIME_WAIT must not count.
        socket.set_reuse_address(true)?;
    }
    set_family_options(&socket, address)?;
    socket.bind(&SockAddr::from(address))
}

fn explain(
    address: SocketAddr,
    protocol: &'static str,
    step: &'static str,
    error: io::Error,
) -> ListenError {
    use rustix::io::Errno;
    match Errno::from_io_error(&error) {
        Some(Errno::ADDRINUSE) => ListenError::InUse {
            address,
            protocol,
            owner: in_use::owner(address, protocol),
        },
        Some(Errno::ACCESS | Errno::PERM) if step == "bind" => ListenError::Permission {
            address,
            protocol,
            first_free: in_use::first_unprivileged_port(),
        },
        Some(Errno::AFNOSUPPORT) => ListenError::NoFamily {
            address,
            protocol,
            family: if address.is_ipv4() { "IPv4" } else { "IPv6" },
        },
        Some(Errno::MFILE | Errno::NFILE) => ListenError::Files { address, protocol },
        _ => ListenError::Other {
            address,
            protocol,
            step,
            error,
        },
    }
}

#[cfg(test)]
mod tests;
