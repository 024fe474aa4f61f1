//! A client that asks every 10 ms, whatever became of the requests before, and the longest time in
//! which none was answered.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::node::Node;

const STEP: Duration = Duration::from_millis(10);
/// Who is not answered in this time is not answered.
const PATIENCE: Duration = Duration::from_millis(200);

/// A running client; it stops when dropped.
#[derive(Debug)]
pub struct Clockwork {
    answered: Arc<Mutex<Vec<Instant>>>,
    stop: Arc<AtomicBool>,
}

impl Clockwork {
    /// Begins to send GETs from a machine, each on a connection of its own.
    pub fn start(node: &Node, address: SocketAddr) -> Self {
        let answered = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (notes, told) = (Arc::clone(&answered), Arc::clone(&stop));
        let node = node.clone();
        std::thread::spawn(move || {
            node.enter(|| {
                let mut next = Instant::now();
                while !told.load(Ordering::Relaxed) {
                    let notes = Arc::clone(&notes);
                    // Born here, a thread is in the same network.
                    std::thread::spawn(move || {
                        let sent = Instant::now();
                        if asks(address).is_ok_and(|answered| answered) {
                            let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
                            notes.push(sent);
                        }
                    });
                    next += STEP;
                    std::thread::park_timeout(next.saturating_duration_since(Instant::now()));
                }
            });
        });
        Self { answered, stop }
    }

    fn sorted(&self) -> Vec<Instant> {
        let notes = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sorted = notes.clone();
        sorted.sort_unstable();
        sorted
    }

    /// The longest time between two requests that were answered, of which the second was sent after
    /// `since`; none: none was sent after it and answered.
    pub fn gap(&self, since: Instant) -> Option<Duration> {
        let sent = self.sorted();
        let pairs = sent.windows(2).filter(|pair| pair[1] > since);
        pairs.map(|pair| pair[1] - pair[0]).max()
    }

    /// Whether requests that were sent after a time are answered, for `long` without an end.
    pub fn goes_on(&self, since: Instant, long: Duration) -> bool {
        let sent = self.sorted();
        let after: Vec<_> = sent.iter().filter(|sent| **sent > since).collect();
        let first = after
            .windows(2)
            .rev()
            .take_while(|pair| *pair[1] - *pair[0] < STEP * 5);
        first
            .last()
            .is_some_and(|pair| after.last().is_some_and(|last| **last - *pair[0] >= long))
    }
}

impl Drop for Clockwork {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn asks(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a.lan\r\nconnection: close\r\n\r\n")?;
    let mut start = [0; 9];
    stream.read_exact(&mut start)?;
    Ok(start.starts_with(b"HTTP/1.1 "))
}
