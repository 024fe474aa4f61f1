//! How connections to a cluster's endpoints are made, for requests, copies and bytes alike.

use std::time::Duration;

use gatehouse_config::model::EndpointAddress;

use crate::net::{ConnectError, ConnectOptions, proxy_header};
use crate::snapshot::{Cluster, EndpointTls};
use crate::tls::{Within, host_name};
use crate::upstream::pool::{Origin, Purpose};

impl Purpose {
    /// What a connection to a cluster is made for: a client with these ends, and a request for
    /// this Host; none: bytes that are carried.
    pub fn new(to: &Cluster, ends: Origin, authority: Option<&[u8]>) -> Self {
        let host = match &to.tls {
            EndpointTls::Spoken(client) if client.wants_host() => authority.and_then(host_name),
            _ => None,
        };
        Self {
            origin: to.proxy_protocol.map(|_| ends),
            tls: to.tls.id(),
            host: host.map(Into::into),
        }
    }
}

/// How an endpoint of a cluster is connected to.
///
/// # Errors
///
/// TLS is asked for and cannot be spoken: plain text is never sent in its place.
pub fn connect_options(
    to: &Cluster,
    timeout: Duration,
    purpose: &Purpose,
    within: Within,
    endpoint: &EndpointAddress,
) -> Result<ConnectOptions, ConnectError> {
    let tls = match &to.tls {
        EndpointTls::Plain => None,
        EndpointTls::Impossible(why) => return Err(ConnectError::NoTls((&**why).into())),
        EndpointTls::Spoken(client) => {
            let handshake = client.handshake(within, purpose.host.as_deref(), endpoint);
            let no_name = "the Host is no name that a certificate could be for";
            Some(handshake.ok_or_else(|| ConnectError::NoTls(no_name.into()))?)
        }
    };
    Ok(ConnectOptions {
        timeout,
        keepalive: to.connections.keepalive,
        preface: match (to.proxy_protocol, purpose.origin) {
            (Some(version), Some((peer, local))) => proxy_header(version, peer, local),
            _ => Vec::new(),
        },
        tls,
        ..ConnectOptions::default()
    })
}
