//! A DNS server on loopback whose answers the test decides.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, Record, RecordType};

use crate::loopback::loopback_address;

/// A running server; it is silent once dropped.
#[derive(Debug)]
pub struct Dns {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    names: Mutex<HashMap<String, Reply>>,
    asked: Mutex<HashMap<String, usize>>,
    closed: AtomicBool,
}

/// What is said of a name.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Its addresses, in this order, and their TTL in seconds.
    Addresses(Vec<IpAddr>, u32),
    /// SERVFAIL.
    Failure,
    /// NXDOMAIN; also what is said of every name that nobody told of.
    NoSuchName,
    /// Nothing at all.
    Silence,
}

impl Default for Dns {
    fn default() -> Self {
        Self::start()
    }
}

impl Dns {
    /// Starts one that knows no name.
    ///
    /// # Panics
    ///
    /// When it cannot listen.
    pub fn start() -> Self {
        let socket = UdpSocket::bind((loopback_address(), 0)).expect("loopback can be bound");
        let address = socket.local_addr().expect("a socket has an address");
        let timeout = Some(Duration::from_millis(50));
        socket
            .set_read_timeout(timeout)
            .expect("a timeout can be set");
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while !serving.closed.load(Ordering::SeqCst) {
                let Ok((read, client)) = socket.recv_from(&mut buffer) else {
                    continue; // nobody asked for a while
                };
                let query = Message::from_vec(&buffer[..read]).expect("the query is DNS");
                if let Some(answer) = serving.answer(&query) {
                    let bytes = answer.to_vec().expect("the answer can be written");
                    // Who asked may be gone.
                    let _ = socket.send_to(&bytes, client);
                }
            }
        });
        Self { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Says this of a name from now on.
    pub fn set(&self, name: &str, reply: Reply) {
        lock(&self.shared.names).insert(name.to_owned(), reply);
    }

    /// The same for addresses.
    ///
    /// # Panics
    ///
    /// When one is none.
    pub fn set_addresses(&self, name: &str, addresses: &[IpAddr], ttl: u32) {
        self.set(name, Reply::Addresses(addresses.to_vec(), ttl));
    }

    /// How often the IPv4 addresses of a name were asked for.
    pub fn asked(&self, name: &str) -> usize {
        lock(&self.shared.asked).get(name).copied().unwrap_or(0)
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn answer(&self, query: &Message) -> Option<Message> {
        let question = query.queries.first()?;
        let kind = question.query_type();
        let name = question.name().to_ascii().to_ascii_lowercase();
        let name = name.trim_end_matches('.');
        let reply = lock(&self.names).get(name).cloned();
        if kind == RecordType::A {
            *lock(&self.asked).entry(name.to_owned()).or_default() += 1;
        }
        let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
        answer.add_query(question.clone());
        answer.metadata.recursion_desired = query.metadata.recursion_desired;
        answer.metadata.recursion_available = true;
        match reply.unwrap_or(Reply::NoSuchName) {
            Reply::Silence => return None,
            Reply::Failure => answer.metadata.response_code = ResponseCode::ServFail,
            Reply::NoSuchName => answer.metadata.response_code = ResponseCode::NXDomain,
            Reply::Addresses(addresses, ttl) => {
                for address in addresses {
                    let data = RData::from(address);
                    if data.record_type() == kind {
                        let owner = question.name().clone();
                        answer.add_answer(Record::from_rdata(owner, ttl, data));
                    }
                }
            }
        }
        Some(answer)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
