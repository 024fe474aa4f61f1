//! What TLS told of a client, and how endpoints hear of it.

use data_encoding::{BASE64, HEXLOWER};
use rustls::ServerConnection;
use rustls::pki_types::CertificateDer;

use crate::tls::x509;

/// What is known of a connection that came through TLS.
#[derive(Debug)]
pub struct TlsConnection {
    /// The name that was asked for, in lower case.
    pub server_name: Option<Box<str>>,
    /// `TLSv1.3`, as Envoy prints it.
    pub version: &'static str,
    /// The suite, as IANA names it.
    pub cipher_suite: &'static str,
    /// The client's certificate, judged to be good.
    pub client_certificate: Option<ClientCertificate>,
}

impl TlsConnection {
    /// Of a connection whose handshake is done.
    pub fn new(server_name: Option<Box<str>>, connection: &ServerConnection) -> Self {
        let version = match connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
            // No other is spoken.
            _ => "",
        };
        let suite = connection.negotiated_cipher_suite();
        let cipher_suite = suite.and_then(|suite| suite.suite().as_str());
        let certificates = connection.peer_certificates();
        Self {
            server_name,
            version,
            cipher_suite: cipher_suite.unwrap_or_default(),
            client_certificate: certificates
                .and_then(|chain| ClientCertificate::new(chain.first()?)),
        }
    }
}

/// A client's certificate.
#[derive(Debug)]
pub struct ClientCertificate {
    /// SHA-256 of the whole (DER).
    pub hash: [u8; 32],
    /// The subject, as RFC 2253 writes it.
    pub subject: Box<str>,
    /// What `x-forwarded-client-cert` says of it.
    pub forwarded: Box<[u8]>,
}

impl ClientCertificate {
    fn new(der: &CertificateDer<'_>) -> Option<Self> {
        let read = x509::read(der)?;
        let (hash, subject) = (read.hash(), read.subject());
        // What Istio's gateway says, in Envoy's order; a gateway's own certificate has no URI, so
        // there is no `By`.
        let mut forwarded = format!(
            "Hash={};Cert=\"{}\";Subject=\"{subject}\";URI={}",
            HEXLOWER.encode(&hash),
            url_encoded_pem(der),
            unbroken(read.uris().next().unwrap_or_default()),
        );
        for name in read.dns_names() {
            forwarded.push_str(";DNS=");
            forwarded.push_str(&unbroken(name));
        }
        Some(Self {
            hash,
            subject: subject.into(),
            forwarded: forwarded.into_bytes().into(),
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
