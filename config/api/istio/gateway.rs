//! Gateway: which ports are open, and for which hosts.

use std::collections::BTreeMap;

use crate::api::jsonpb::{enumeration, message};

message! {
    /// `spec` of a Gateway.
    pub struct Gateway {
        /// Labels that the gateway workload must carry; empty selects every one.
        pub selector: BTreeMap<String, String>,
        /// The ports it opens.
        pub servers: Vec<Server>,
    }
}

message! {
    /// One open port.
    pub struct Server {
        /// Its number, name and protocol.
        pub port: Option<Port>,
        /// The address to listen at; empty means every one.
        pub bind: String,
        /// The hosts served, each `host`, `namespace/host`, `./host` or `*/host`.
        pub hosts: Vec<String>,
        /// TLS settings, and the redirect to https.
        pub tls: Option<ServerTls>,
        /// Never implemented in Istio.
        #[serde(alias = "default_endpoint")]
        pub default_endpoint: String,
        /// A name for statistics.
        pub name: String,
    }
}

message! {
    /// A server's port.
    pub struct Port {
        /// 1 to 65535.
        pub number: u32,
        /// HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, MONGO, TCP, TLS, REDIS or MYSQL.
        pub protocol: String,
        /// Unique within the Gateway.
        pub name: String,
        /// Deprecated; has no effect.
        #[serde(alias = "target_port")]
        pub target_port: u32,
    }
}

message! {
    /// How a server speaks TLS.
    pub struct ServerTls {
        /// Answer every plain HTTP request with a 301 to https.
        #[serde(alias = "https_redirect")]
        pub https_redirect: bool,
        /// What is done with TLS; passed through when not set.
        pub mode: TlsMode,
        /// File of the certificate.
        #[serde(alias = "server_certificate")]
        pub server_certificate: String,
        /// File of the private key.
        #[serde(alias = "private_key")]
        pub private_key: String,
        /// File of the CAs that client certificates must come from.
        #[serde(alias = "ca_certificates")]
        pub ca_certificates: String,
        /// File of revoked client certificates.
        #[serde(alias = "ca_crl")]
        pub ca_crl: String,
        /// The Secret with certificate and key.
        #[serde(alias = "credential_name")]
        pub credential_name: String,
        /// Up to two Secrets, for an RSA and an ECDSA certificate.
        #[serde(alias = "credential_names")]
        pub credential_names: Vec<String>,
        /// The Secret or ConfigMap with the CAs for client certificates.
        #[serde(alias = "ca_cert_credential_name")]
        pub ca_cert_credential_name: String,
        /// Up to two pairs of files.
        #[serde(alias = "tls_certificates")]
        pub tls_certificates: Vec<TlsCertificate>,
        /// Names of which a client certificate must carry one.
        #[serde(alias = "subject_alt_names")]
        pub subject_alt_names: Vec<String>,
        /// SHA-256 hashes of accepted public keys, base64.
        #[serde(alias = "verify_certificate_spki")]
        pub verify_certificate_spki: Vec<String>,
        /// SHA-256 hashes of accepted certificates, hex.
        #[serde(alias = "verify_certificate_hash")]
        pub verify_certificate_hash: Vec<String>,
        /// The oldest version accepted.
        #[serde(alias = "min_protocol_version")]
        pub min_protocol_version: TlsProtocol,
        /// The newest version accepted.
        #[serde(alias = "max_protocol_version")]
        pub max_protocol_version: TlsProtocol,
        /// The suites of TLS 1.2, in BoringSSL's names.
        #[serde(alias = "cipher_suites")]
        pub cipher_suites: Vec<String>,
        /// The key exchange curves.
        #[serde(alias = "ecdh_curves")]
        pub ecdh_curves: Vec<String>,
        /// Ask for a client certificate, but do not verify it.
        #[serde(alias = "insecure_skip_verify")]
        pub insecure_skip_verify: Option<bool>,
    }
}

message! {
    /// A pair of certificate and key files.
    pub struct TlsCertificate {
        /// File of the certificate.
        #[serde(alias = "server_certificate")]
        pub server_certificate: String,
        /// File of the private key.
        #[serde(alias = "private_key")]
        pub private_key: String,
        /// File of the CAs for client certificates.
        #[serde(alias = "ca_certificates")]
        pub ca_certificates: String,
    }
}

enumeration! {
    /// What a server does with TLS.
    pub enum TlsMode {
        /// Carried on unopened, by SNI.
        Passthrough = 0 "PASSTHROUGH",
        /// Ended here.
        Simple = 1 "SIMPLE",
        /// Ended here; a client certificate is required.
        Mutual = 2 "MUTUAL",
        /// Carried on; the SNI names the cluster.
        AutoPassthrough = 3 "AUTO_PASSTHROUGH",
        /// Ended here with the mesh's own certificates.
        IstioMutual = 4 "ISTIO_MUTUAL",
        /// Ended here; a client certificate is verified if one is sent.
        OptionalMutual = 5 "OPTIONAL_MUTUAL",
    }
}

enumeration! {
    /// A TLS version.
    #[allow(missing_docs)] // the names say it
    pub enum TlsProtocol {
        Auto = 0 "TLS_AUTO",
        V1_0 = 1 "TLSV1_0",
        V1_1 = 2 "TLSV1_1",
        V1_2 = 3 "TLSV1_2",
        V1_3 = 4 "TLSV1_3",
    }
}
