//! The data plane: from the model to bytes on sockets.
//!
//! ```text
//!            control thread                        │  one pinned thread per core
//! Model ──► compile ──► Arc<Snapshot> ──publish──► │  worker ── accept ──► exchange
//!                                                  │             Rc<View>   receive → route →
//!                                                  │                        filter → forward →
//!                                                  │                        answer → record
//! ```
//!
//! * [`compile`] turns the model into the immutable, index-linked tables of [`snapshot`];
//! * [`worker`] is one thread: its runtime, its view of the snapshot, its sockets and timers;
//! * [`http1`] is the HTTP/1.1 codec: bytes in, heads and body pieces out, no sockets;
//! * [`exchange`] is one request and its answer; [`route`] finds the route, [`filter`] holds one
//!   file per API feature, [`upstream`] chooses endpoints and keeps connections to them;
//! * [`l4`] carries TCP and UDP;
//! * [`observe`] counts and logs, [`admin`] shows.
//!
//! No lock and no atomic read-modify-write per request: what a worker touches is its own.

pub mod admin;
pub mod compile;
pub mod control;
pub mod exchange;
pub mod filter;
pub mod http1;
pub mod http2;
pub mod l4;
pub mod net;
pub mod observe;
pub mod route;
pub mod snapshot;
pub mod tls;
pub mod upstream;
pub mod why;
pub mod worker;

pub use control::{Counters, Gateway};
