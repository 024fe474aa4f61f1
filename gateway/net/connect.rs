//! Connections to endpoints.
//!
//! Every connection has TCP_NODELAY and keepalive. An error says whether the
//! endpoint is to blame or this host, so that no endpoint is ejected for our own shortage.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use gatehouse_config::model::{EndpointAddress, TcpKeepalive};
use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use socket2::SockRef;
use thiserror::Error;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::net::listen::set_liveness;
use crate::net::{ListenOptions, Stream};
use crate::tls::{Handshake, failure};

/// How to connect.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// How long it may take (Istio's `connectTimeout`, 10 s).
    pub timeout: Duration,
    /// Our address on the connection; none: the kernel's choice.
    pub source: Option<IpAddr>,
    /// Keepalive.
    pub liveness: ListenOptions,
    /// Keepalive as a DestinationRule asks for it; comes before `liveness`.
    pub keepalive: Option<TcpKeepalive>,
    /// Bytes that go out before anything else: a PROXY header.
    pub preface: Vec<u8>,
    /// TLS, which follows them.
    pub tls: Option<Handshake>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            source: None,
            liveness: ListenOptions::default(),
            keepalive: None,
            preface: Vec::new(),
            tls: None,
        }
    }
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Nobody listens there (ECONNREFUSED), or it was reset at once.
    #[error("connection to {0} refused")]
    Refused(EndpointAddress),
    /// No answer in time.
    #[error("no answer from {0} within {1:?}")]
    TimedOut(EndpointAddress, Duration),
    /// No route, or the network said so (EHOSTUNREACH, ENETUNREACH, …).
    #[error("{0} is unreachable: {1}")]
    Unreachable(EndpointAddress, io::Error),
    /// This host has no file, port or memory left; the endpoint is not to blame.
    #[error("cannot connect to {0}: this host is out of files or ports: {1}")]
    Exhausted(EndpointAddress, io::Error),
    /// It speaks no TLS that can be trusted, or would not speak it with us.
    #[error("{}", failure::words_of(.1))]
    Tls(EndpointAddress, rustls::Error),
    /// It went away in the middle of the handshake.
    #[error("TLS_error:|{0} left during the handshake ({1}):TLS_error_end")]
    HandshakeCut(EndpointAddress, io::Error),
    /// TLS is asked for and cannot be spoken; the endpoint is not to blame.
    #[error("TLS_error:|{0}:TLS_error_end")]
    NoTls(Box<str>),
    /// Anything else.
    #[error("cannot connect to {0}: {1}")]
    Other(EndpointAddress, io::Error),
}

impl ConnectError {
    /// Whether the endpoint is to blame and another one may do better.
    pub fn is_endpoint(&self) -> bool {
        !matches!(self, Self::Exhausted(..) | Self::NoTls(_))
    }

    /// Sorts what connect(2) says.
    fn sort(address: &EndpointAddress, error: io::Error) -> Self {
        use rustix::io::Errno;
        let address = address.clone();
        match Errno::from_io_error(&error) {
            Some(Errno::CONNREFUSED | Errno::CONNRESET) => Self::Refused(address),
            Some(Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::HOSTDOWN | Errno::NETDOWN) => {
                Self::Unreachable(address, error)
            }
            Some(
                Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::ADDRNOTAVAIL,
            ) => Self::Exhausted(address, error),
            _ => Self::Other(address, error),
        }
    }
}

/// Connects to an endpoint. Cancellation safe: a dropped future closes the socket.
pub async fn connect(
    address: &EndpointAddress,
    options: &ConnectOptions,
) -> Result<Stream, ConnectError> {
    let connecting = async {
        let mut stream = match address {
            EndpointAddress::Inet(address) => open(*address, options)?.connect(*address).await?,
            EndpointAddress::Unix(path) => connect_unix(path).await?,
        };
        if !options.preface.is_empty() {
            stream.write_all(&options.preface).await?;
        }
        let Some(Handshake { config, name }) = &options.tls else {
            return Ok(Ok(stream.into()));
        };
        let connector = TlsConnector::from(Arc::clone(config));
        // Boxed: most connections have none, and it is large.
        let shaken = Box::pin(connector.connect(name.clone(), stream)).await;
        Ok::<_, io::Error>(match shaken {
            Ok(stream) => Ok(Stream::TlsToEndpoint(Box::new(stream))),
            Err(error) => Err(handshake_failed(address, error)),
        })
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "once per connection, and the connect itself costs fifty times as much"
    )]
    match tokio::time::timeout(options.timeout, connecting).await {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
            Err(ConnectError::TimedOut(address.clone(), options.timeout))
        }
        Ok(Err(error)) => Err(ConnectError::sort(address, error)),
        Err(_) => Err(ConnectError::TimedOut(address.clone(), options.timeout)),
    }
}

fn handshake_failed(address: &EndpointAddress, error: io::Error) -> ConnectError {
    let of_tls = error.get_ref().and_then(|error| error.downcast_ref());
    match of_tls {
        Some(of_tls) => ConnectError::Tls(address.clone(), rustls::Error::clone(of_tls)),
        None => ConnectError::HandshakeCut(address.clone(), error),
    }
}

/// Connects to a socket of this host; `@` begins an abstract name.
///
/// What comes is dressed as a TCP stream: reading, writing, splicing and shutting down are the
/// same system calls for any stream socket, and so nothing else has to tell the two apart. Only
/// questions about addresses and TCP options fail on it.
async fn connect_unix(path: &str) -> io::Result<TcpStream> {
    let stream = match path.strip_prefix('@') {
        Some(name) => UnixStream::connect(format!("\0{name}")).await?,
        None => UnixStream::connect(path).await?,
    };
    let socket = OwnedFd::from(stream.into_std()?);
    TcpStream::from_std(std::net::TcpStream::from(socket))
}

fn open(address: SocketAddr, options: &ConnectOptions) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_nodelay(true)?;
    match &options.keepalive {
        None => set_liveness(&SockRef::from(&socket), &options.liveness)?,
        Some(asked) => set_keepalive(&SockRef::from(&socket), asked)?,
    }
    if let Some(source) = options.source {
        // Without it bind(2) would take a port that no other destination may use either.
        setsockopt(&socket, IpBindAddressNoPort, &true)?;
        socket.bind(SocketAddr::new(source, 0))?;
    }
    Ok(socket)
}

/// Probes as they are asked for; what is not said is the system's.
fn set_keepalive(socket: &SockRef<'_>, asked: &TcpKeepalive) -> io::Result<()> {
    let mut keepalive = socket2::TcpKeepalive::new();
    if let Some(time) = asked.time {
        keepalive = keepalive.with_time(time);
    }
    if let Some(interval) = asked.interval {
        keepalive = keepalive.with_interval(interval);
    }
    if let Some(probes) = asked.probes {
        // The kernel knows no more than this.
        keepalive = keepalive.with_retries(probes.min(127));
    }
    socket.set_keepalive(true)?;
    socket.set_tcp_keepalive(&keepalive)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn run<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(future)
    }

    #[test]
    fn connects_without_delay_and_from_the_source_asked_for() {
        run(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let options = ConnectOptions {
                source: Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 7))),
                ..ConnectOptions::default()
            };
            let stream = connect(&listener.local_addr().unwrap().into(), &options)
                .await
                .unwrap();
            let stream = stream.tcp().unwrap();
            assert!(stream.nodelay().unwrap());
            let socket = SockRef::from(stream);
            assert!(socket.keepalive().unwrap());
            assert_eq!(
                socket.tcp_user_timeout().unwrap(),
                None,
                "cuts off slow readers"
            );
            let (_, peer) = listener.accept().await.unwrap();
            assert_eq!(peer.ip(), options.source.unwrap());
        });
    }

    #[test]
    fn a_socket_of_this_host_carries_bytes_as_any_other() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        run(async {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("app.sock");
            let name = format!("@gatehouse-test-{}", std::process::id());
            let abstract_name = format!("\0{}", &name[1..]);
            for (listener, address) in [
                (
                    tokio::net::UnixListener::bind(&path),
                    path.to_str().unwrap(),
                ),
                (tokio::net::UnixListener::bind(abstract_name), &name),
            ] {
                let listener = listener.unwrap();
                let address = EndpointAddress::Unix(address.into());
                let options = ConnectOptions::default();
                let mut stream = connect(&address, &options).await.unwrap();
                let (mut peer, _) = listener.accept().await.unwrap();
                stream.write_all(b"ping").await.unwrap();
                let mut bytes = [0; 4];
                peer.read_exact(&mut bytes).await.unwrap();
                assert_eq!(&bytes, b"ping");
                peer.write_all(b"pong").await.unwrap();
                stream.read_exact(&mut bytes).await.unwrap();
                assert_eq!(&bytes, b"pong");
                stream.shutdown().await.unwrap();
                assert_eq!(peer.read(&mut bytes).await.unwrap(), 0);
            }
            let nobody =
                EndpointAddress::Unix(directory.path().join("none").to_str().unwrap().into());
            let error = connect(&nobody, &ConnectOptions::default())
                .await
                .unwrap_err();
            assert!(error.is_endpoint(), "{error}");
        });
    }

    #[test]
    fn a_refusal_blames_the_endpoint() {
        run(async {
            // A bound socket that does not listen refuses.
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let address = EndpointAddress::from(socket.local_addr().unwrap());
            let error = connect(&address, &ConnectOptions::default())
                .await
                .unwrap_err();
            assert!(matches!(error, ConnectError::Refused(ref a) if *a == address));
            assert!(error.is_endpoint());
        });
    }

    #[test]
    fn silence_ends_with_the_timeout() {
        run(async {
            // A full backlog answers no SYN.
            let socket =
                socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            socket.bind(&any.into()).unwrap();
            socket.listen(0).unwrap();
            let address = socket.local_addr().unwrap().as_socket().unwrap().into();
            let options = ConnectOptions {
                timeout: Duration::from_millis(50),
                ..ConnectOptions::default()
            };
            let mut held = Vec::new();
            let error = loop {
                match connect(&address, &options).await {
                    Ok(stream) => held.push(stream),
                    Err(error) => break error,
                }
                assert!(held.len() < 16, "the backlog never filled");
            };
            assert!(matches!(error, ConnectError::TimedOut(..)), "{error}");
        });
    }
}
