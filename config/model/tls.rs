//! TLS: certificates, and what is asked of the other side.
//!
//! Everything here was read, and fits together: a key belongs to its certificate, a version is one
//! that is spoken.

use std::fmt;
use std::sync::Arc;

use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

/// A certificate with its key.
#[derive(PartialEq, Eq)]
pub struct Certificate {
    /// Where it came from, for findings and `get certificates`: `Secret default/web` or the file.
    pub source: String,
    /// The certificate itself, then those between it and its CA, in the order in which they are
    /// sent.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the first one; never printed.
    pub key: PrivateKeyDer<'static>,
    /// An OCSP answer to be sent along (DER).
    pub ocsp_staple: Option<Vec<u8>>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, chain, .. } = self;
        write!(f, "Certificate({source}, {} in the chain)", chain.len())
    }
}

/// How TLS is ended at a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// At least one; of several, the client's signature algorithms choose (RSA or ECDSA).
    pub certificates: Vec<Arc<Certificate>>,
    /// Whether clients are asked for a certificate, and how it is judged.
    pub clients: Option<ClientCertificates>,
    /// What is spoken.
    pub parameters: TlsParameters,
    /// The application protocols that are offered, the preferred one first.
    pub alpn: Vec<Vec<u8>>,
}

/// How certificates of clients are judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates {
    /// Without one there is no connection (MUTUAL); else a client may come without
    /// (OPTIONAL_MUTUAL).
    pub required: bool,
    /// The judgement of one that is sent.
    pub verification: Verification,
}

/// How the certificate of the other side is judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Whatever it is, it is taken (`insecureSkipVerify`).
    pub skip: bool,
    /// The CAs that are trusted.
    pub authorities: Authorities,
    /// Certificates that were revoked.
    pub revoked: Arc<[CertificateRevocationListDer<'static>]>,
    /// Names of which the certificate must carry one; empty: any will do.
    pub subject_alt_names: Vec<String>,
    /// SHA-256 of public keys (SubjectPublicKeyInfo) of which it must have one; empty: any.
    pub public_key_hashes: Vec<[u8; 32]>,
    /// SHA-256 of whole certificates of which it must be one; empty: any.
    pub certificate_hashes: Vec<[u8; 32]>,
}

/// Whom certificates are trusted from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Authorities {
    /// Nobody: where nothing is verified.
    #[default]
    None,
    /// These.
    These(Arc<[CertificateDer<'static>]>),
}

/// Versions and algorithms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsParameters {
    /// The oldest version.
    pub min: TlsVersion,
    /// The newest version, not older than `min`.
    pub max: TlsVersion,
    /// The suites of TLS 1.2, as IANA numbers them, the preferred one first; empty: the default.
    pub cipher_suites: Vec<u16>,
    /// The key exchange groups, as IANA numbers them; empty: the default.
    pub groups: Vec<u16>,
}

impl Default for TlsParameters {
    fn default() -> Self {
        Self {
            min: TlsVersion::V1_2,
            max: TlsVersion::V1_3,
            cipher_suites: Vec::new(),
            groups: Vec::new(),
        }
    }
}

/// A version that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// RFC 5246.
    V1_2,
    /// RFC 8446.
    V1_3,
}

/// What goes out to the endpoints of a cluster: plain text, or TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UpstreamTls {
    /// Plain text.
    #[default]
    Plain,
    /// TLS.
    Spoken(Arc<ClientTls>),
    /// TLS is asked for and cannot be spoken, so that nothing is sent: what is meant to be secret
    /// must not go out in plain text. Why, as part of a sentence.
    Impossible(Arc<str>),
}

/// What access logs and headers can tell of a client's TLS, as Envoy's operators name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsFact {
    /// `%REQUESTED_SERVER_NAME%`: also where TLS is passed through.
    ServerName,
    /// `%DOWNSTREAM_TLS_VERSION%`: `TLSv1.3`.
    Version,
    /// `%DOWNSTREAM_TLS_CIPHER%`, in OpenSSL's names.
    CipherSuite,
    /// `%DOWNSTREAM_PEER_SUBJECT%` of the client's certificate.
    PeerSubject,
    /// `%DOWNSTREAM_PEER_ISSUER%`.
    PeerIssuer,
    /// `%DOWNSTREAM_PEER_SERIAL%`, in hex.
    PeerSerial,
    /// `%DOWNSTREAM_PEER_FINGERPRINT_256%`: SHA-256, in hex.
    PeerFingerprint,
    /// `%DOWNSTREAM_PEER_URI_SAN%`: its URIs, separated by commas.
    PeerUris,
    /// `%DOWNSTREAM_PEER_DNS_SAN%`: its DNS names, separated by commas.
    PeerDnsNames,
    /// `%DOWNSTREAM_PEER_CERT%`: itself, PEM in URL encoding.
    PeerCertificate,
}

impl TlsFact {
    /// What an operator stands for.
    pub fn of_operator(name: &str) -> Option<Self> {
        Some(match name {
            "REQUESTED_SERVER_NAME" => Self::ServerName,
            "DOWNSTREAM_TLS_VERSION" => Self::Version,
            "DOWNSTREAM_TLS_CIPHER" => Self::CipherSuite,
            "DOWNSTREAM_PEER_SUBJECT" => Self::PeerSubject,
            "DOWNSTREAM_PEER_ISSUER" => Self::PeerIssuer,
            "DOWNSTREAM_PEER_SERIAL" => Self::PeerSerial,
            "DOWNSTREAM_PEER_FINGERPRINT_256" => Self::PeerFingerprint,
            "DOWNSTREAM_PEER_URI_SAN" => Self::PeerUris,
            "DOWNSTREAM_PEER_DNS_SAN" => Self::PeerDnsNames,
            "DOWNSTREAM_PEER_CERT" => Self::PeerCertificate,
            _ => return None,
        })
    }
}

/// TLS towards the endpoints of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTls {
    /// Our own certificate, for endpoints that ask for one.
    pub certificate: Option<Arc<Certificate>>,
    /// How theirs is judged.
    pub verification: Verification,
    /// What is spoken.
    pub parameters: TlsParameters,
    /// The name that is asked for.
    pub sni: ClientSni,
    /// Whether the certificate must carry the request's Host (Istio: auto SAN validation);
    /// connections that are carried have none.
    pub verify_host: bool,
}

/// The name that an endpoint is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientSni {
    /// Always this one.
    Name(String),
    /// The request's Host (Istio: auto SNI); none for connections that are carried.
    FromHost,
}
