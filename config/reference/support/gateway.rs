//! Gateway.

use super::Message;
use super::Support::{Ignored, NotYet, Note, Supported};

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
            ("tls", Note("httpsRedirect; the rest is not served yet")),
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
                    "HTTP, HTTP2, GRPC, GRPC-WEB and TCP (MONGO, REDIS, MYSQL as TCP); a server for HTTPS or TLS does not listen yet",
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
            ("mode", NotYet("it is judged, and TLS is not served")),
            (
                "serverCertificate",
                NotYet("it is judged, and TLS is not served"),
            ),
            ("privateKey", NotYet("it is judged, and TLS is not served")),
            (
                "caCertificates",
                NotYet("it is judged, and TLS is not served"),
            ),
            ("caCrl", NotYet("it is judged, and TLS is not served")),
            (
                "credentialName",
                NotYet("it is judged, and TLS is not served"),
            ),
            (
                "credentialNames",
                NotYet("it is judged, and TLS is not served"),
            ),
            (
                "caCertCredentialName",
                NotYet("it is judged, and TLS is not served"),
            ),
            (
                "tlsCertificates",
                NotYet("it is judged, and TLS is not served"),
            ),
            (
                "subjectAltNames",
                NotYet("it is judged, and TLS is not served"),
            ),
            (
                "verifyCertificateSpki",
                NotYet("it is judged, and TLS is not served"),
            ),
            (
                "verifyCertificateHash",
                NotYet("it is judged, and TLS is not served"),
            ),
            (
                "minProtocolVersion",
                NotYet("it is judged, and TLS is not served"),
            ),
            (
                "maxProtocolVersion",
                NotYet("it is judged, and TLS is not served"),
            ),
            (
                "cipherSuites",
                NotYet("it is judged, and TLS is not served"),
            ),
            ("ecdhCurves", NotYet("it is judged, and TLS is not served")),
            (
                "insecureSkipVerify",
                NotYet("it is judged, and TLS is not served"),
            ),
        ],
    },
    Message {
        name: "TlsCertificate",
        fields: &[
            (
                "serverCertificate",
                NotYet("it is judged, and TLS is not served"),
            ),
            ("privateKey", NotYet("it is judged, and TLS is not served")),
            (
                "caCertificates",
                NotYet("it is judged, and TLS is not served"),
            ),
        ],
    },
];
