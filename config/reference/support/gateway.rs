//! Gateway.

use super::Message;
use super::Support::{Ignored, Note, Supported};

const FILE: &str = "a relative path begins at the folder of the object's own file; a new version is served at once";
const SECRET: &str = "a Secret of the gateway's own namespace (`--namespace`)";
const OF_CLIENTS: &str =
    "with MUTUAL and OPTIONAL_MUTUAL; with SIMPLE no client is asked for a certificate";
const PINS: &str = "with MUTUAL and OPTIONAL_MUTUAL, beside a credentialName and beside files";
pub(super) const LISTS: &str = "a file; once a list in it has expired, certificates of its CA are not taken, as with Envoy, until there is a new one";
pub(super) const SUITES: &str = "the six with forward secrecy and AEAD (ECDHE with AES-GCM or CHACHA20); others are a finding and left out, and those of TLS 1.3 cannot be chosen";
pub(super) const CURVES: &str =
    "X25519, P-256, P-384 and X25519MLKEM768; others are a finding and left out";

pub(super) const MESSAGES: &[Message] = &[
    Message {
        name: "Gateway",
        fields: &[("selector", Supported), ("servers", Supported)],
    },
    Message {
        name: "Server",
        fields: &[
            ("port", Supported),
            (
                "bind",
                Note(
                    "an IP address, or a socket of this host: `unix:///path` or `unix://@name`, with port 0",
                ),
            ),
            ("hosts", Supported),
            ("tls", Supported),
            (
                "defaultEndpoint",
                Ignored("Istio does nothing with it either"),
            ),
            (
                "name",
                Ignored("it names statistics of Envoy's connection manager, which are not kept"),
            ),
        ],
    },
    Message {
        name: "Port",
        fields: &[
            ("number", Supported),
            (
                "protocol",
                Note(
                    "HTTP, HTTP2, GRPC and GRPC-WEB are one; HTTPS and TLS are told apart by what is behind them; MONGO, REDIS and MYSQL are carried as TCP",
                ),
            ),
            ("name", Supported),
            (
                "targetPort",
                Ignored("it is deprecated and Istio ignores it too"),
            ),
        ],
    },
    Message {
        name: "ServerTls",
        fields: &[
            ("httpsRedirect", Supported),
            (
                "mode",
                Note(
                    "AUTO_PASSTHROUGH and ISTIO_MUTUAL mean something in a mesh only: connections to such a server are closed",
                ),
            ),
            ("serverCertificate", Note(FILE)),
            ("privateKey", Note(FILE)),
            ("caCertificates", Note(FILE)),
            ("caCrl", Note(LISTS)),
            ("credentialName", Note(SECRET)),
            ("credentialNames", Note(SECRET)),
            (
                "caCertCredentialName",
                Note("`configmap://NAME` names a ConfigMap; it wins over `NAME-cacert`"),
            ),
            ("tlsCertificates", Supported),
            ("subjectAltNames", Note(OF_CLIENTS)),
            ("verifyCertificateSpki", Note(PINS)),
            ("verifyCertificateHash", Note(PINS)),
            (
                "minProtocolVersion",
                Note("TLS 1.2 is the oldest version that is spoken; an older one is a finding"),
            ),
            (
                "maxProtocolVersion",
                Note("connections to a server that may speak only TLS 1.1 or 1.0 are closed"),
            ),
            ("cipherSuites", Note(SUITES)),
            ("ecdhCurves", Note(CURVES)),
            (
                "insecureSkipVerify",
                Note("with MUTUAL: a certificate is asked for, and any is taken"),
            ),
        ],
    },
    Message {
        name: "TlsCertificate",
        fields: &[
            ("serverCertificate", Note(FILE)),
            ("privateKey", Note(FILE)),
            (
                "caCertificates",
                Note("that of the first pair, where the server names no CA itself"),
            ),
        ],
    },
];
