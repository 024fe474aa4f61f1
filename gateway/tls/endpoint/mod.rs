//! TLS towards endpoints, ready for handshakes.

#[cfg(test)]
mod tests;
mod verifier;

use std::net::IpAddr;
use std::sync::Arc;

use gatehouse_config::model::{self, Authorities, ClientSni, EndpointAddress};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, DnsName, ServerName};
use rustls::{ClientConfig, RootCertStore};

use crate::route::without_port;
use crate::snapshot::{EndpointTls, Snapshot};
use crate::tls::endpoint::verifier::Judge;
use crate::tls::server::{provider, versions};

/// How many names a cluster's endpoints are known by at once, to resume their sessions.
const SESSIONS: usize = 256;

/// One way of speaking TLS to endpoints, shared by the workers. So are the sessions: what one
/// worker has agreed on with an endpoint, another one resumes.
#[derive(Debug)]
pub struct TlsClient {
    /// Connections that were made with another one are not used.
    pub id: TlsId,
    source: Arc<model::ClientTls>,
    /// One for each that is [spoken within](Within).
    configs: [Arc<ClientConfig>; 3],
    /// Who judges certificates for requests.
    judge: Arc<Judge>,
    authorities: Arc<RootCertStore>,
}

/// A [`TlsClient`] among all that there are and were in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsId {
    /// The generation that it came with.
    generation: u64,
    /// Its place there.
    number: u32,
}

/// What is spoken within TLS, which is offered alone (RFC 7301): the connection is of no use for
/// anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Within {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// Bytes that are carried, of which nothing is said.
    Bytes,
}

/// What a handshake with an endpoint goes by.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// The settings.
    pub config: Arc<ClientConfig>,
    /// Whom to ask for.
    pub name: ServerName<'static>,
}

impl TlsClient {
    /// What it was built of.
    pub fn source(&self) -> &model::ClientTls {
        &self.source
    }

    /// Whether what is asked for, or what the certificate must be for, is the request's Host.
    pub fn wants_host(&self) -> bool {
        self.source.verify_host || self.source.sni == ClientSni::FromHost
    }

    /// The handshake with an endpoint; `host` is that of the request, where there is one and it is
    /// [wanted](Self::wants_host). None where the Host is no name that could be asked for.
    pub fn handshake(
        &self,
        within: Within,
        host: Option<&str>,
        endpoint: &EndpointAddress,
    ) -> Option<Handshake> {
        // An address is never sent: it stands for no name.
        let address = endpoint.inet().map(|address| address.ip());
        let nobody = || ServerName::from(address.unwrap_or(IpAddr::from([0, 0, 0, 0])));
        let name = match (&self.source.sni, host) {
            (ClientSni::Name(sni), _) => match DnsName::try_from(sni.as_str()) {
                Ok(name) => ServerName::DnsName(name.to_owned()),
                // There is a finding.
                Err(_) => nobody(),
            },
            (ClientSni::FromHost, Some(host)) => match certificate_name(host) {
                Some(name) => name,
                None if self.source.verify_host => return None,
                None => nobody(),
            },
            (ClientSni::FromHost, None) if self.source.verify_host && within != Within::Bytes => {
                return None;
            }
            (ClientSni::FromHost, None) => nobody(),
        };
        let [http1, http2, bytes] = &self.configs;
        let config = match within {
            Within::Http1 => http1,
            Within::Http2 => http2,
            Within::Bytes => bytes,
        };
        let asks_for_another = matches!(self.source.sni, ClientSni::Name(_));
        let config = match asks_for_another && self.source.verify_host && within != Within::Bytes {
            false => Arc::clone(config),
            true => self.judging_by(host.and_then(certificate_name)?, config),
        };
        Some(Handshake { config, name })
    }

    /// The settings of a connection whose certificate must be for the Host, although the endpoint
    /// is asked for another name (DYNAMIC_DNS with `sni`; Istio: auto SAN validation without auto
    /// SNI). Sessions are known by the name that was asked for, and one that is resumed is judged
    /// no more: here that would let in the endpoint of another Host, so none is.
    fn judging_by(&self, host: ServerName<'static>, config: &ClientConfig) -> Arc<ClientConfig> {
        let mut config = config.clone();
        let judge = Arc::new(self.judge.of_host(host));
        config.dangerous().set_certificate_verifier(judge);
        config.resumption = Resumption::disabled();
        Arc::new(config)
    }
}

/// What a Host would have to be called in a certificate.
fn certificate_name(host: &str) -> Option<ServerName<'static>> {
    let host = host.strip_prefix('[').unwrap_or(host);
    let host = host.strip_suffix(']').unwrap_or(host);
    let name = ServerName::try_from(host).ok()?;
    Some(name.to_owned())
}

/// The name that a request's Host stands for: without the port, in lower case.
pub fn host_name(authority: &[u8]) -> Option<String> {
    let host = std::str::from_utf8(without_port(authority)).ok()?;
    Some(host.to_ascii_lowercase())
}

/// Makes [`TlsClient`]s, and takes over those of the last generation that did not change.
#[derive(Debug)]
pub struct Clients {
    generation: u64,
    made: u32,
    known: Vec<Arc<TlsClient>>,
}

impl Clients {
    /// With what `before` has.
    pub fn new(before: &Snapshot) -> Self {
        let mut known: Vec<Arc<TlsClient>> = Vec::new();
        for cluster in &before.clusters {
            if let EndpointTls::Spoken(client) = &cluster.tls
                && !known.iter().any(|other| other.id == client.id)
            {
                known.push(Arc::clone(client));
            }
        }
        Self {
            generation: before.generation + 1,
            made: 0,
            known,
        }
    }

    /// What speaks TLS as `tls` says.
    ///
    /// # Errors
    ///
    /// What was asked for cannot be had of the TLS library.
    pub fn get(&mut self, tls: &Arc<model::ClientTls>) -> Result<Arc<TlsClient>, rustls::Error> {
        if let Some(known) = self.known.iter().find(|known| known.source == *tls) {
            return Ok(Arc::clone(known));
        }
        let id = TlsId {
            generation: self.generation,
            number: self.made,
        };
        let client = Arc::new(self.build(tls, id)?);
        self.made += 1;
        self.known.push(Arc::clone(&client));
        Ok(client)
    }

    fn build(&self, tls: &Arc<model::ClientTls>, id: TlsId) -> Result<TlsClient, rustls::Error> {
        let provider = Arc::new(provider(&tls.parameters));
        let authorities = self.roots(&tls.verification.authorities);
        let of_requests = Arc::new(Judge::new(tls, true, &authorities, &provider)?);
        let of_bytes = Arc::new(Judge::new(tls, false, &authorities, &provider)?);
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions(&tls.parameters))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&of_requests) as Arc<_>);
        let mut config = match &tls.certificate {
            None => builder.with_no_client_auth(),
            Some(own) => builder.with_client_auth_cert(own.chain.clone(), own.key.clone_key())?,
        };
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        let offering = |alpn: &[u8]| {
            let mut config = config.clone();
            config.alpn_protocols = vec![alpn.to_vec()];
            Arc::new(config)
        };
        let mut bytes = config.clone();
        bytes.dangerous().set_certificate_verifier(of_bytes);
        Ok(TlsClient {
            id,
            source: Arc::clone(tls),
            configs: [offering(b"http/1.1"), offering(b"h2"), Arc::new(bytes)],
            judge: of_requests,
            authorities,
        })
    }

    /// The CAs, read once for all who trust the same: a system's are many.
    fn roots(&self, authorities: &Authorities) -> Arc<RootCertStore> {
        let same = |known: &&Arc<TlsClient>| known.source.verification.authorities == *authorities;
        if let Some(known) = self.known.iter().find(same) {
            return Arc::clone(&known.authorities);
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted(authorities).iter().cloned());
        Arc::new(roots)
    }
}

/// The certificates of those that are trusted.
fn trusted(authorities: &Authorities) -> &[CertificateDer<'static>] {
    match authorities {
        Authorities::None => &[],
        Authorities::These(these) => these,
    }
}
