//! An upstream on loopback whose every byte the test decides: what a real server would not send.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::loopback::loopback_address;
use crate::wait::DEADLINE;

/// A listening upstream; it refuses once dropped.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    closed: AtomicBool,
    connections: AtomicUsize,
    seen: Mutex<Vec<u8>>,
}

/// A connection that came in.
#[derive(Debug)]
pub struct Incoming {
    /// The how many-th it is, from 0.
    pub number: usize,
    stream: BufReader<TcpStream>,
    shared: Arc<Shared>,
}

impl Upstream {
    /// Listens at a free address and gives each connection to `serve` on a thread of its own.
    ///
    /// # Panics
    ///
    /// When it cannot listen.
    pub fn start(serve: impl Fn(Incoming) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((loopback_address(), 0)).expect("loopback can be bound");
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared::default());
        let serve = Arc::new(serve);
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.closed.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let number = accepting.connections.fetch_add(1, Ordering::SeqCst);
                let timeout = stream.set_read_timeout(Some(DEADLINE));
                timeout.expect("a deadline can be set");
                let shared = Arc::clone(&accepting);
                let incoming = Incoming {
                    number,
                    stream: BufReader::new(stream),
                    shared,
                };
                let serve = Arc::clone(&serve);
                // The gateway closing in the middle is part of what is tested.
                std::thread::spawn(move || {
                    let _ = serve(incoming);
                });
            }
        });
        Self { address, shared }
    }

    /// One that answers every request with `200` and its path as the body.
    pub fn well_behaved() -> Self {
        Self::start(|mut incoming| {
            while let Some(head) = incoming.request()? {
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let length = path.len();
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{path}");
                incoming.send(answer.as_bytes())?;
            }
            Ok(())
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections came in so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Every byte that was read so far, of all connections.
    pub fn seen(&self) -> String {
        let seen = self
            .shared
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&seen).into_owned()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts; it drops the listener.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

impl Incoming {
    /// The next request's head as text, its body (by length or chunked) read and passed over;
    /// none when the gateway has closed.
    ///
    /// # Errors
    ///
    /// When the connection breaks within a request.
    pub fn request(&mut self) -> io::Result<Option<String>> {
        let Some(head) = self.head()? else {
            return Ok(None);
        };
        let field = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(':'));
            let line = lines.find(|(key, _)| key.eq_ignore_ascii_case(name));
            line.map(|(_, value)| value.trim().to_owned())
        };
        if field("transfer-encoding").is_some() {
            loop {
                let line = self.line()?;
                let size = usize::from_str_radix(line.trim_end(), 16);
                let size = size.map_err(|_| io::ErrorKind::InvalidData)?;
                if size == 0 {
                    break;
                }
                self.exactly(size + 2)?;
            }
            while self.line()? != "\r\n" {}
        } else if let Some(length) = field("content-length") {
            self.exactly(length.parse().map_err(|_| io::ErrorKind::InvalidData)?)?;
        }
        Ok(Some(head))
    }

    /// The next request's head as text; its body is left on the wire.
    ///
    /// # Errors
    ///
    /// When the connection breaks within the head.
    pub fn head(&mut self) -> io::Result<Option<String>> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let line = match self.line() {
                Err(error) if head.is_empty() && error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Ok(None);
                }
                line => line?,
            };
            head.push_str(&line);
        }
        Ok(Some(head))
    }

    /// So many bytes.
    ///
    /// # Errors
    ///
    /// When the connection ends first.
    pub fn exactly(&mut self, bytes: usize) -> io::Result<Vec<u8>> {
        let mut body = vec![0; bytes];
        let read = self.stream.read_exact(&mut body);
        read.map(|()| self.note(&body))?;
        Ok(body)
    }

    /// Waits for the gateway to close; gives what it sent before.
    ///
    /// # Errors
    ///
    /// When it does not close within the deadline.
    pub fn until_closed(&mut self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        let read = self.stream.read_to_end(&mut all);
        self.note(&all);
        match read {
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(error),
            Ok(_) | Err(_) => Ok(all),
        }
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// When the gateway has closed.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    ///
    /// When the gateway has gone.
    pub fn finish(&mut self) -> io::Result<()> {
        self.stream.get_mut().shutdown(Shutdown::Write)
    }

    /// Resets the connection.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn reset(self) -> io::Result<()> {
        socket2::SockRef::from(self.stream.get_ref()).set_linger(Some(Duration::ZERO))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        self.note(&line);
        if line.last() != Some(&b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    fn note(&self, bytes: &[u8]) {
        let seen = self.shared.seen.lock();
        seen.unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
    }
}
