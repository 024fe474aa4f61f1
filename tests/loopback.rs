//! Loopback addresses and ports that no other test uses.
//!
//! All of 127.0.0.0/8 leads to the machine itself, so every caller gets an address of its own
//! and a port that was free there cannot be taken by anyone else in between.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

static NEXT: AtomicU8 = AtomicU8::new(1);

/// A loopback address that this process has not used yet.
///
/// # Panics
///
/// After 254 addresses.
pub fn loopback_address() -> Ipv4Addr {
    let [.., high, low] = std::process::id().to_be_bytes();
    let last = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(
        (1..=254).contains(&last),
        "a test process has 254 loopback addresses"
    );
    // 127.64.0.0/10 upwards: far from 127.0.0.1 and from what the demo uses.
    Ipv4Addr::new(127, 64 | (high & 0x7f), low, last)
}

/// A TCP port that is free at `address`, and that this process was not given before: two calls
/// for one address would else get the same port now and then.
///
/// # Panics
///
/// When the address is not local.
pub fn free_port(address: Ipv4Addr) -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let port = TcpListener::bind(SocketAddr::from((address, 0)))
            .and_then(|listener| listener.local_addr())
            .unwrap_or_else(|error| panic!("no free port at {address}: {error}"))
            .port();
        let mut given = GIVEN.lock().expect("no test panics here");
        if given.insert(port) {
            return port;
        }
    }
}
