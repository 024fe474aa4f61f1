//! Connections to endpoints: the idle ones of a worker, last in, first out.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use gatehouse_config::model::EndpointAddress;
use tokio::net::TcpStream;

use crate::http1::ReadBuffer;
use crate::upstream::EndpointState;

/// How many idle connections one worker keeps to one endpoint.
const MAX_IDLE: usize = 1024;

/// How long a connection may lie idle (Istio: one hour).
const MAX_IDLE_TIME: Duration = Duration::from_secs(3600);

/// A connection to an endpoint, in use by one exchange. Counts as an active request.
#[derive(Debug)]
pub struct Upstream {
    /// The socket.
    pub stream: TcpStream,
    /// Bytes that were read and not used yet.
    pub input: ReadBuffer,
    /// Our address; none on a socket of this host.
    pub local: Option<SocketAddr>,
    /// Whether it served a request before; if it fails now, the endpoint may just have closed it.
    pub reused: bool,
    active: Active,
}

/// One active request of an endpoint, for as long as it lives.
#[derive(Debug)]
pub struct Active(Rc<EndpointState>);

impl Active {
    fn new(endpoint: &Rc<EndpointState>) -> Self {
        endpoint.active.set(endpoint.active.get() + 1);
        Self(Rc::clone(endpoint))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get().saturating_sub(1));
    }
}

/// An idle connection. It has no unread bytes.
#[derive(Debug)]
pub struct Idle {
    stream: TcpStream,
    local: Option<SocketAddr>,
    since: Instant,
}

impl Upstream {
    /// The most recently used idle connection that is still open.
    pub fn idle(endpoint: &Rc<EndpointState>) -> Option<Self> {
        loop {
            let idle = endpoint.idle.borrow_mut().pop()?;
            if idle.is_open() {
                return Some(Self {
                    stream: idle.stream,
                    input: ReadBuffer::new(),
                    local: idle.local,
                    reused: true,
                    active: Active::new(endpoint),
                });
            }
        }
    }

    /// A new connection.
    pub fn new(stream: TcpStream, endpoint: &Rc<EndpointState>) -> io::Result<Self> {
        let local = match endpoint.address {
            EndpointAddress::Inet(_) => Some(stream.local_addr()?),
            EndpointAddress::Unix(_) => None,
        };
        Ok(Self {
            stream,
            input: ReadBuffer::new(),
            local,
            reused: false,
            active: Active::new(endpoint),
        })
    }

    /// Gives the connection back. The caller says that the last response was read to its end and
    /// that both sides want to keep the connection.
    pub fn release(self, now: Instant) {
        if !self.input.is_empty() {
            return; // bytes that nobody asked for: never used again
        }
        let Self {
            stream,
            local,
            active,
            ..
        } = self;
        let mut idle = active.0.idle.borrow_mut();
        if idle.len() < MAX_IDLE {
            idle.push(Idle {
                stream,
                local,
                since: now,
            });
        }
    }

    /// The socket, for a connection that changes its protocol, and the mark that keeps it counted.
    pub fn into_stream(self) -> (TcpStream, Active) {
        (self.stream, self.active)
    }
}

impl Idle {
    /// Nothing arrived and the other side did not close. Makes a system call only where the poller
    /// has reported something.
    fn is_open(&self) -> bool {
        let mut byte = [0_u8; 1];
        matches!(self.stream.try_read(&mut byte), Err(e) if e.kind() == io::ErrorKind::WouldBlock)
    }
}

/// Closes idle connections that ended or lay too long.
pub fn sweep(endpoint: &EndpointState, now: Instant) {
    endpoint
        .idle
        .borrow_mut()
        .retain(|idle| now.duration_since(idle.since) < MAX_IDLE_TIME && idle.is_open());
}
