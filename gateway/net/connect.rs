//! Connections to endpoints.
//!
//! Every connection has TCP_NODELAY and keepalive. An error says whether the
//! endpoint is to blame or this host, so that no endpoint is ejected for our own shortage.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use socket2::SockRef;
use thiserror::Error;
use tokio::net::{TcpSocket, TcpStream};

use crate::net::ListenOptions;
use crate::net::listen::set_liveness;

/// How to connect.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// How long it may take (Istio's `connectTimeout`, 10 s).
    pub timeout: Duration,
    /// Our address on the connection; none: the kernel's choice.
    pub source: Option<IpAddr>,
    /// Keepalive.
    pub liveness: ListenOptions,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            source: None,
            liveness: ListenOptions::default(),
        }
    }
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Nobody listens there (ECONNREFUSED), or it was reset at once.
    #[error("connection to {0} refused")]
    Refused(SocketAddr),
    /// No answer in time.
    #[error("no answer from {0} within {1:?}")]
    TimedOut(SocketAddr, Duration),
    /// No route, or the network said so (EHOSTUNREACH, ENETUNREACH, …).
    #[error("{0} is unreachable: {1}")]
    Unreachable(SocketAddr, io::Error),
    /// This host has no file, port or memory left; the endpoint is not to blame.
    #[error("cannot connect to {0}: this host is out of files or ports: {1}")]
    Exhausted(SocketAddr, io::Error),
    /// Anything else.
    #[error("cannot connect to {0}: {1}")]
    Other(SocketAddr, io::Error),
}

impl ConnectError {
    /// Whether the endpoint is to blame and another one may do better.
    pub fn is_endpoint(&self) -> bool {
        !matches!(self, Self::Exhausted(..))
    }

    /// Sorts what connect(2) says.
    fn sort(address: SocketAddr, error: io::Error) -> Self {
        use rustix::io::Errno;
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
    address: SocketAddr,
    options: &ConnectOptions,
) -> Result<TcpStream, ConnectError> {
    let socket = open(address, options).map_err(|error| ConnectError::sort(address, error))?;
    #[expect(
        clippy::disallowed_methods,
        reason = "once per connection, and the connect itself costs fifty times as much"
    )]
    match tokio::time::timeout(options.timeout, socket.connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
            Err(ConnectError::TimedOut(address, options.timeout))
        }
        Ok(Err(error)) => Err(ConnectError::sort(address, error)),
        Err(_) => Err(ConnectError::TimedOut(address, options.timeout)),
    }
}

fn open(address: SocketAddr, options: &ConnectOptions) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_nodelay(true)?;
    set_liveness(&SockRef::from(&socket), &options.liveness)?;
    if let Some(source) = options.source {
        // Without it bind(2) would take a port that no other destination may use either.
        setsockopt(&socket, IpBindAddressNoPort, &true)?;
        socket.bind(SocketAddr::new(source, 0))?;
    }
    Ok(socket)
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
            let stream = connect(listener.local_addr().unwrap(), &options)
                .await
                .unwrap();
            assert!(stream.nodelay().unwrap());
            let socket = SockRef::from(&stream);
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
    fn a_refusal_blames_the_endpoint() {
        run(async {
            // A bound socket that does not listen refuses.
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let address = socket.local_addr().unwrap();
            let error = connect(address, &ConnectOptions::default())
                .await
                .unwrap_err();
            assert!(matches!(error, ConnectError::Refused(a) if a == address));
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
            let address = socket.local_addr().unwrap().as_socket().unwrap();
            let options = ConnectOptions {
                timeout: Duration::from_millis(50),
                ..ConnectOptions::default()
            };
            let mut held = Vec::new();
            let error = loop {
                match connect(address, &options).await {
                    Ok(stream) => held.push(stream),
                    Err(error) => break error,
                }
                assert!(held.len() < 16, "the backlog never filled");
            };
            assert!(matches!(error, ConnectError::TimedOut(..)), "{error}");
        });
    }
}
