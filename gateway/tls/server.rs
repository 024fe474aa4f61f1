//! How TLS is ended, ready for handshakes.
//!
//! Sessions are resumed with tickets, which rustls makes (RFC 5077 §4: AES-256-CBC with HMAC-SHA256).
//! It takes a new random key every six hours and still reads tickets of the one before, so that a
//! ticket is good for six to twelve hours; the change happens at the first ticket after that time, so
//! that the one who comes after a long silence may have an older one. Neither the time nor the clock
//! can be set from outside, so that no test of ours sees a change of keys: that is rustls' own
//! `TicketRotator`. What is ours is tested (`tests/suites/tls_clients/tickets.rs`): the workers share
//! the keys, a reload keeps them, and whoever judges clients otherwise gets new ones. So does a
//! restart. Who resumes is judged by the certificate of the first handshake, and not again.

use std::collections::HashMap;
use std::sync::Arc;

use gatehouse_config::model::{
    Certificate, ClientCertificates, ServerTls, TlsParameters, TlsVersion,
};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::server::{NoServerSessionStorage, ProducesTickets};

use crate::snapshot::Snapshot;
use crate::tls::certificates::Certificates;
use crate::tls::client_hello::ClientHello;
use crate::tls::verifier;
use crate::tls::{Chain, Ends};

/// One way of ending TLS.
#[derive(Debug)]
pub struct TlsServer {
    source: Arc<ServerTls>,
    offering: Arc<ServerConfig>,
    /// The same, for clients that offer no protocol that is spoken here: Envoy serves them as if
    /// they had offered none, where RFC 7301 §3.2 would have them refused.
    silent: Arc<ServerConfig>,
    tickets: Arc<dyn ProducesTickets>,
}

impl TlsServer {
    /// What a client's handshake goes by.
    pub fn config(&self, hello: &ClientHello) -> &Arc<ServerConfig> {
        let own = &self.source.alpn;
        let spoken = |offered: &[u8]| own.iter().any(|own| own == offered);
        if hello.protocols.iter().any(|offered| spoken(offered)) {
            &self.offering
        } else {
            &self.silent
        }
    }
}

/// Makes [`TlsServer`]s, and takes over those of the last generation that did not change.
#[derive(Debug)]
pub struct Servers<'s> {
    /// By the first certificate: the same text gives the same one.
    before: HashMap<*const Certificate, Vec<&'s Arc<TlsServer>>>,
    /// Tickets are good only where clients are judged alike: what one server let in must not get
    /// into another one, or past CAs that changed.
    tickets: Vec<(Option<ClientCertificates>, Arc<dyn ProducesTickets>)>,
}

impl<'s> Servers<'s> {
    /// With what `before` has.
    pub fn new(before: &'s Snapshot) -> Self {
        let mut servers = Self {
            before: HashMap::new(),
            tickets: Vec::new(),
        };
        let ports = before.servers.iter().filter_map(|s| s.tls.as_deref());
        for Chain { ends, .. } in ports.flat_map(|port| port.chains()) {
            let Ends::Here(server) = ends else { continue };
            servers.keep_tickets(server);
            if let Some(first) = server.source.certificates.first() {
                let with_first = servers.before.entry(Arc::as_ptr(first)).or_default();
                with_first.push(server);
            }
        }
        servers
    }

    /// A server that ends TLS as `tls` says.
    ///
    /// # Errors
    ///
    /// What was asked for cannot be had of the TLS library.
    pub fn get(&mut self, tls: &Arc<ServerTls>) -> Result<Arc<TlsServer>, rustls::Error> {
        let first = tls.certificates.first().map(Arc::as_ptr);
        let before = first.and_then(|first| self.before.get(&first));
        if let Some(before) = before.and_then(|all| all.iter().find(|server| server.source == *tls))
        {
            return Ok(Arc::clone(before));
        }
        let tickets = match self
            .tickets
            .iter()
            .find(|(clients, _)| *clients == tls.clients)
        {
            Some((_, tickets)) => Arc::clone(tickets),
            None => Ticketer::new()?,
        };
        let server = Arc::new(build(tls, tickets)?);
        self.keep_tickets(&server);
        Ok(server)
    }

    fn keep_tickets(&mut self, server: &TlsServer) {
        let clients = &server.source.clients;
        if !self.tickets.iter().any(|(known, _)| known == clients) {
            self.tickets
                .push((clients.clone(), Arc::clone(&server.tickets)));
        }
    }
}

fn build(
    tls: &Arc<ServerTls>,
    tickets: Arc<dyn ProducesTickets>,
) -> Result<TlsServer, rustls::Error> {
    let provider = Arc::new(provider(&tls.parameters));
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(&tls.parameters))?;
    let builder = match &tls.clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            builder.with_client_cert_verifier(verifier::of_clients(clients, provider)?)
        }
    };
    let certificates = Certificates::new(&tls.certificates)?;
    let mut silent = builder.with_cert_resolver(Arc::new(certificates));
    silent.ticketer = Arc::clone(&tickets);
    // Tickets are kept by the clients, so that any worker takes them and nothing grows here.
    silent.session_storage = Arc::new(NoServerSessionStorage {});
    let mut offering = silent.clone();
    offering.alpn_protocols.clone_from(&tls.alpn);
    Ok(TlsServer {
        source: Arc::clone(tls),
        offering: Arc::new(offering),
        silent: Arc::new(silent),
        tickets,
    })
}

/// The algorithms that may be used. Those of TLS 1.3 are not a matter of choice (as with Envoy).
pub(super) fn provider(parameters: &TlsParameters) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    let TlsParameters {
        min: _,
        max: _,
        cipher_suites,
        groups,
    } = parameters;
    if !cipher_suites.is_empty() {
        let place = |suite: u16| cipher_suites.iter().position(|asked| *asked == suite);
        let all = std::mem::take(&mut provider.cipher_suites);
        let (newest, mut others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|suite| suite.tls13().is_some());
        others.retain(|suite| place(u16::from(suite.suite())).is_some());
        others.sort_by_key(|suite| place(u16::from(suite.suite())));
        provider.cipher_suites = newest.into_iter().chain(others).collect();
    }
    if !groups.is_empty() {
        let all = aws_lc_rs::ALL_KX_GROUPS.iter();
        let place = |group: u16| groups.iter().position(|asked| *asked == group);
        let mut asked: Vec<_> = all
            .copied()
            .filter(|group| place(u16::from(group.name())).is_some())
            .collect();
        asked.sort_by_key(|group| place(u16::from(group.name())));
        provider.kx_groups = asked;
    }
    provider
}

/// The versions that are spoken.
pub(super) fn versions(
    parameters: &TlsParameters,
) -> Vec<&'static rustls::SupportedProtocolVersion> {
    let all = [
        (TlsVersion::V1_3, &rustls::version::TLS13),
        (TlsVersion::V1_2, &rustls::version::TLS12),
    ];
    let spoken = parameters.min..=parameters.max;
    let spoken = all
        .into_iter()
        .filter(|(version, _)| spoken.contains(version));
    spoken.map(|(_, version)| version).collect()
}
