//! What TLS told of a client, and how endpoints hear of it.

use std::borrow::Cow;

use data_encoding::{BASE64, HEXLOWER};
use gatehouse_config::model::TlsFact;
use rustls::CommonState;
use rustls::pki_types::CertificateDer;

use crate::tls::x509;

/// What is known of a connection that came through TLS.
#[derive(Debug)]
pub struct TlsConnection {
    /// The name that was asked for, in lower case.
    pub server_name: Option<Box<str>>,
    /// `TLSv1.3`, as Envoy prints it.
    pub version: &'static str,
    /// The suite, as OpenSSL names it.
    pub cipher_suite: &'static str,
    /// The client's certificate, judged to be good.
    pub client_certificate: Option<ClientCertificate>,
}

impl TlsConnection {
    /// Of a connection whose handshake is done.
    pub fn new(server_name: Option<Box<str>>, agreed: &CommonState) -> Self {
        let version = match agreed.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
            // No other is spoken.
            _ => "",
        };
        let suite = agreed.negotiated_cipher_suite();
        let certificates = agreed.peer_certificates();
        Self {
            server_name,
            version,
            cipher_suite: suite.map_or("", |suite| cipher_suite(suite.suite())),
            client_certificate: certificates
                .and_then(|chain| ClientCertificate::new(chain.first()?)),
        }
    }

    /// Of a connection whose TLS is carried on unopened.
    pub fn unopened(server_name: Option<Box<str>>) -> Self {
        Self {
            server_name,
            version: "",
            cipher_suite: "",
            client_certificate: None,
        }
    }

    /// What an operator asks for; empty where there is nothing.
    pub fn fact(&self, fact: TlsFact) -> Cow<'_, str> {
        match fact {
            TlsFact::ServerName => self.server_name.as_deref().unwrap_or_default().into(),
            TlsFact::Version => self.version.into(),
            TlsFact::CipherSuite => self.cipher_suite.into(),
            of_peer => match &self.client_certificate {
                None => "".into(),
                Some(certificate) => certificate.fact(of_peer).unwrap_or_default().into(),
            },
        }
    }
}

/// A suite in OpenSSL's name, which is what Envoy prints.
fn cipher_suite(suite: rustls::CipherSuite) -> &'static str {
    use rustls::CipherSuite as Suite;

    match suite {
        Suite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        Suite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        Suite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        Suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        Suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        Suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        // No other is spoken.
        _ => "",
    }
}

/// A client's certificate.
#[derive(Debug)]
pub struct ClientCertificate {
    der: CertificateDer<'static>,
    /// What `x-forwarded-client-cert` says of it.
    pub forwarded: Box<[u8]>,
}

impl ClientCertificate {
    fn new(der: &CertificateDer<'_>) -> Option<Self> {
        let read = x509::read(der)?;
        // What Istio's gateway says, in Envoy's order; a gateway's own certificate has no URI, so
        // there is no `By`.
        let mut forwarded = format!(
            "Hash={};Cert=\"{}\";Subject=\"{}\";URI={}",
            HEXLOWER.encode(&read.hash()),
            url_encoded_pem(der),
            read.subject(),
            unbroken(read.uris().next().unwrap_or_default()),
        );
        for name in read.dns_names() {
            forwarded.push_str(";DNS=");
            forwarded.push_str(&unbroken(name));
        }
        Some(Self {
            der: der.clone().into_owned(),
            forwarded: forwarded.into_bytes().into(),
        })
    }
}

impl ClientCertificate {
    fn fact(&self, fact: TlsFact) -> Option<String> {
        let read = x509::read(&self.der)?;
        let listed = |names: &mut dyn Iterator<Item = &str>| {
            let names: Vec<_> = names.map(unbroken).collect();
            names.join(",")
        };
        Some(match fact {
            TlsFact::ServerName | TlsFact::Version | TlsFact::CipherSuite => return None,
            TlsFact::PeerSubject => read.subject(),
            TlsFact::PeerIssuer => read.issuer(),
            TlsFact::PeerSerial => read.serial(),
            TlsFact::PeerFingerprint => HEXLOWER.encode(&read.hash()),
            TlsFact::PeerUris => listed(&mut read.uris()),
            TlsFact::PeerDnsNames => listed(&mut read.dns_names()),
            TlsFact::PeerCertificate => url_encoded_pem(&self.der),
        })
    }
}

/// Without what ends a value, a field or the header: names come from outside, even if a CA signed
/// them.
fn unbroken(name: &str) -> String {
    let fits = |c: &char| c.is_ascii_graphic() && !matches!(c, ';' | ',' | '"');
    name.chars().filter(fits).collect()
}

/// PEM (RFC 7468) in URL encoding, as far as it needs any.
fn url_encoded_pem(der: &[u8]) -> String {
    let mut encoded = String::from("-----BEGIN%20CERTIFICATE-----%0A");
    for (at, letter) in BASE64.encode(der).chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            encoded.push_str("%0A");
        }
        match letter {
            '+' => encoded.push_str("%2B"),
            '/' => encoded.push_str("%2F"),
            '=' => encoded.push_str("%3D"),
            letter => encoded.push(letter),
        }
    }
    encoded.push_str("%0A-----END%20CERTIFICATE-----%0A");
    encoded
}
