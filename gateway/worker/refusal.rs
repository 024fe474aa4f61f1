//! Connections to ports of TLS that are not served: what they are counted as, what the client is
//! told, and the line in the access log.

use std::time::Instant;

use thiserror::Error;

use crate::exchange::{Connection, ResponseFlags};
use crate::observe::Resolved;
use crate::observe::access_log::TcpConnection;
use crate::tls::{TlsConnection, failure};
use crate::worker::Worker;

/// What one learns who speaks HTTP to a port of TLS.
const PLAIN_HTTP: &str = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\
    content-type: text/plain\r\ncontent-length: 64\r\n\r\n\
    This port speaks TLS: ask again with https:// instead of http://\n";

/// Why a connection was not served.
#[derive(Debug, Error)]
pub(super) enum Refusal {
    #[error("the client left: {0}")]
    Gone(#[from] std::io::Error),
    #[error("plain HTTP to a port that speaks TLS")]
    PlainHttp,
    #[error("neither TLS nor HTTP")]
    NotTls,
    #[error("no ClientHello")]
    Malformed,
    #[error("no server is called {0:?}")]
    UnknownName(Option<Box<str>>),
    #[error("the certificate for {0:?} is missing or broken")]
    NoCertificate(Option<Box<str>>),
    #[error("handshake failed: {0}")]
    Handshake(std::io::Error),
}

impl Refusal {
    /// What it is counted as.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Gone(_) => "tls_client_gone",
            Self::PlainHttp => "tls_plain_http",
            Self::NotTls => "tls_not_tls",
            Self::Malformed => "tls_malformed_hello",
            Self::UnknownName(_) => "tls_unknown_name",
            Self::NoCertificate(_) => "tls_no_certificate",
            Self::Handshake(error) if is_of_certificate(error) => "tls_client_certificate",
            Self::Handshake(_) => "tls_handshake_failed",
        }
    }

    /// Whether no server takes the connection, which is what listeners log (Envoy: `NR`), and what
    /// Envoy says was wrong with the client's first bytes. Of a handshake that fails later Istio
    /// logs nothing.
    fn no_server(&self) -> Option<&'static str> {
        match self {
            Self::UnknownName(_) => Some(""),
            Self::PlainHttp => Some(
                "TLS_error|error:1000009c:SSL_routines:OPENSSL_internal:HTTP_REQUEST:TLS_error_end",
            ),
            Self::NotTls => Some(
                "TLS_error|error:100000f7:SSL_routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end",
            ),
            Self::Gone(_) | Self::Malformed | Self::NoCertificate(_) | Self::Handshake(_) => None,
        }
    }

    /// What the client is told; none where it would not listen or understand.
    pub(super) fn answer(&self) -> Option<Vec<u8>> {
        match self {
            Self::Gone(_) | Self::NotTls => None,
            Self::PlainHttp => Some(PLAIN_HTTP.into()),
            Self::Malformed => Some(alert(50)),
            Self::UnknownName(_) => Some(alert(112)),
            Self::NoCertificate(_) => Some(alert(80)),
            // Its own alert was sent, and is to be read before the end.
            Self::Handshake(_) => Some(Vec::new()),
        }
    }
}

/// Whether a handshake failed over the client's certificate: a bad one, or none where one is
/// required.
fn is_of_certificate(error: &std::io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref());
    error.is_some_and(failure::is_of_certificate)
}

/// A fatal alert before anything is agreed on (RFC 8446 §6.2: `decode_error` is 50,
/// `internal_error` 80, `unrecognized_name` 112).
fn alert(description: u8) -> Vec<u8> {
    vec![21, 3, 1, 0, 2, 2, description]
}

impl Worker {
    /// The line of a connection that no server takes, where the MeshConfig does not say that there
    /// is none. As with every line, one more than the writer's queue holds is dropped and counted.
    pub(super) fn log_refusal(&self, refusal: &Refusal, started: Instant, connection: &Connection) {
        let Some(downstream_failure) = refusal.no_server() else {
            return;
        };
        let view = self.view();
        let (Some(plan), Some(log)) = (&view.snapshot.access_log, &self.access_log) else {
            return;
        };
        if view.snapshot.proxy.no_listener_log {
            return;
        }
        let name = match refusal {
            Refusal::UnknownName(name) => name.clone(),
            _ => None,
        };
        let line = TcpConnection {
            started_at: self.clock.wall(started),
            duration: started.elapsed(),
            peer: connection.peer,
            local: connection.local,
            tls: Some(&TlsConnection::unopened(name)),
            upstream_local: None,
            flags: ResponseFlags::NR,
            details: "filter_chain_not_found",
            transport_failure: "",
            downstream_failure,
            received: 0,
            sent: 0,
            resolved: Resolved::default(),
        };
        log.borrow_mut().log_tcp(&line, plan);
    }
}
