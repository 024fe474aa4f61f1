//! TLS: towards clients, who is asked for and how it is ended; towards endpoints, whom to ask for
//! and how their certificates are judged.
//!
//! A port that speaks TLS has [chains](Chain), chosen by the name that a client asks for before
//! anything is answered. Everything that can fail over a configuration (keys, CAs, suites) is built
//! on the control thread; a worker only looks up and shakes hands.

mod certificates;
mod client;
pub mod client_hello;
pub mod endpoint;
pub mod failure;
mod port;
mod server;
mod session;
mod verifier;
mod x509;

pub use client::{ClientCertificate, TlsConnection};
pub use endpoint::{Clients, Handshake, TlsClient, TlsId, Within, host_name};
pub use port::{Chain, Ends, TlsPort};
pub use server::{Servers, TlsServer};
pub use session::Session;
