//! Answers that are given here, as Envoy words them (reference: Istio §2.4).

use std::borrow::Cow;

use gatehouse_config::model::AbortStatus;

use crate::exchange::ResponseFlags;
use crate::http1::{BodyError, RequestError};
use crate::net::ConnectError;
use crate::tls::failure;

const TLS_FAILURE: &str =
    "upstream_reset_before_response_started{remote_connection_failure|TLS_error}";
const WRONG_CERTIFICATE: &str = "upstream_reset_before_response_started{remote_connection_failure|TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end}";

/// An answer given here.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The body, `text/plain`; empty for none.
    pub body: Cow<'static, [u8]>,
    /// The Location of a redirect.
    pub location: Option<Vec<u8>>,
    /// Envoy's flags.
    pub flags: ResponseFlags,
    /// `%RESPONSE_CODE_DETAILS%`.
    pub details: &'static str,
    /// What a gRPC call is told; none: what stands for the status.
    pub grpc_status: Option<u8>,
    /// `grpc-message`, for a call alone.
    pub grpc_message: Option<Vec<u8>>,
    /// The connection is closed after it.
    pub close: bool,
    /// A limit was reached, which `x-envoy-overloaded` says.
    pub overloaded: bool,
}

impl Reply {
    fn new(status: u16, flags: ResponseFlags, details: &'static str) -> Self {
        Self {
            status,
            body: Cow::Borrowed(b""),
            location: None,
            flags,
            details,
            grpc_status: None,
            grpc_message: None,
            close: false,
            overloaded: false,
        }
    }

    fn with_body(self, body: &'static str) -> Self {
        Self {
            body: Cow::Borrowed(body.as_bytes()),
            ..self
        }
    }

    /// A request that is no HTTP: closes.
    pub fn malformed(error: &RequestError) -> Self {
        Self {
            close: true,
            ..Self::new(error.status(), ResponseFlags::DPE, error.details())
        }
    }

    /// A body whose framing is broken: closes.
    pub fn malformed_body(error: BodyError) -> Self {
        Self {
            close: true,
            ..Self::new(error.status(), ResponseFlags::DPE, error.details())
        }
    }

    /// A grpc-web call whose text is no base64: closes.
    pub fn bad_grpc_web() -> Self {
        let flags = ResponseFlags::default();
        Self {
            close: true,
            ..Self::new(400, flags, "grpc_base_64_decode_failed")
                .with_body("Bad gRPC-web request, invalid base64 data.")
        }
    }

    /// A path that must not be forwarded: 400.
    pub fn bad_path() -> Self {
        Self::new(400, ResponseFlags::default(), "path_normalization_failed")
    }

    /// A header name with an underscore, where the settings refuse it: closes.
    pub fn underscore() -> Self {
        Self {
            close: true,
            ..Self::new(400, ResponseFlags::DPE, "http1.unexpected_underscore")
        }
    }

    /// A path with escaped slashes, where the settings send the client to the decoded one: 307.
    pub fn to_normal_path(location: Vec<u8>) -> Self {
        Self {
            location: Some(location),
            ..Self::new(307, ResponseFlags::default(), "path_normalization_failed")
        }
    }

    /// A host that a policy guards which is not enforced: 503.
    pub fn not_enforced(policy: &str) -> Self {
        let body = format!(
            "not served: {policy} guards this host, and gatehouse does not enforce its rules"
        );
        Self {
            body: Cow::Owned(body.into_bytes()),
            ..Self::new(
                503,
                ResponseFlags::default(),
                "security_policies_not_enforced",
            )
        }
    }

    /// The client did not send a whole head in time. Envoy has no flag for it.
    pub fn head_timeout() -> Self {
        Self {
            close: true,
            ..Self::new(408, ResponseFlags::default(), "request_header_timeout")
                .with_body("request header timeout")
        }
    }

    /// Nothing has moved for too long: 408 SI while the request was under way, and 504 SI once it
    /// was complete (Envoy: `maybeRequestTimeoutCode`).
    pub fn stalled(complete: bool) -> Self {
        let status = if complete { 504 } else { 408 };
        Self {
            close: true,
            ..Self::new(status, ResponseFlags::SI, "stream_idle_timeout")
                .with_body("stream timeout")
        }
    }

    /// HTTP/1.0.
    pub fn upgrade_required() -> Self {
        Self {
            close: true,
            ..Self::new(426, ResponseFlags::DPE, "low_version")
        }
    }

    /// An Upgrade that is not served.
    pub fn upgrade_forbidden() -> Self {
        Self::new(403, ResponseFlags::default(), "upgrade_failed")
    }

    /// No host or no route: 404 NR.
    pub fn no_route() -> Self {
        Self::new(404, ResponseFlags::NR, "route_not_found")
    }

    /// The host has connections of its own, with another certificate or other demands on clients:
    /// 421 (RFC 9110 §15.5.20). Browsers ask again there.
    pub fn misdirected() -> Self {
        Self::new(421, ResponseFlags::NR, "misdirected_request").with_body(
            "misdirected request: this host is served on TLS connections that ask for its own name",
        )
    }

    /// The destination is not defined: 503 NC.
    pub fn no_cluster() -> Self {
        Self::new(503, ResponseFlags::NC, "cluster_not_found")
    }

    /// The cluster has no endpoint: 503 UH.
    pub fn no_endpoint() -> Self {
        Self::new(503, ResponseFlags::UH, "no_healthy_upstream").with_body("no healthy upstream")
    }

    /// An injected abort.
    pub fn fault(status: AbortStatus) -> Self {
        let (status, grpc_status) = match status {
            AbortStatus::Http(status) => (status, None),
            AbortStatus::Grpc(status) => (200, Some(status)),
        };
        Self {
            grpc_status,
            ..Self::new(status, ResponseFlags::FI, "fault_filter_abort")
                .with_body("fault filter abort")
        }
    }

    /// The answer to a browser that asks what it may do.
    pub fn preflight() -> Self {
        Self::new(200, ResponseFlags::default(), "cors_response")
    }

    /// A redirect.
    pub fn redirect(status: u16, location: Vec<u8>) -> Self {
        Self {
            location: Some(location),
            ..Self::new(status, ResponseFlags::default(), "direct_response")
        }
    }

    /// A directResponse.
    pub fn direct(status: u16, body: &[u8]) -> Self {
        Self {
            body: Cow::Owned(body.to_vec()),
            ..Self::new(status, ResponseFlags::default(), "direct_response")
        }
    }

    /// No connection to any endpoint: 503 UF.
    pub fn connect_failure(retried: bool) -> Self {
        Self::new(
            503,
            ResponseFlags::UF,
            "upstream_reset_before_response_started{remote_connection_failure}",
        )
        .with_body(if retried {
            "upstream connect error or disconnect/reset before headers. retried and the latest \
             reset reason: remote connection failure"
        } else {
            "upstream connect error or disconnect/reset before headers. reset reason: remote \
             connection failure"
        })
    }

    /// TLS is asked for and cannot be spoken, and plain text would be a leak: 503 UF.
    pub fn no_tls() -> Self {
        Self {
            details: TLS_FAILURE,
            ..Self::connect_failure(false)
        }
    }

    /// TLS to an endpoint failed: 503 UF.
    pub fn handshake_failure(error: &ConnectError, retried: bool) -> Self {
        Self {
            details: match error {
                ConnectError::Tls(_, error) if failure::is_of_certificate(error) => {
                    WRONG_CERTIFICATE
                }
                _ => TLS_FAILURE,
            },
            ..Self::connect_failure(retried)
        }
    }

    /// The name of a dynamic endpoint cannot be looked up: 503 DF.
    pub fn dns_failure() -> Self {
        Self::new(503, ResponseFlags::DF, "dns_resolution_failure")
            .with_body("DNS resolution failure")
    }

    /// Too many names of dynamic endpoints are being looked up: 503 UO.
    pub fn dns_overflow() -> Self {
        Self::new(
            503,
            ResponseFlags::UO,
            "dynamic_forward_proxy_pending_request_overflow",
        )
        .with_body("Dynamic forward proxy pending request overflow")
    }

    /// A connect that took too long: 503 UF.
    pub fn connect_timeout(retried: bool) -> Self {
        Self::new(
            503,
            ResponseFlags::UF,
            "upstream_reset_before_response_started{connection_timeout}",
        )
        .with_body(if retried {
            "upstream connect error or disconnect/reset before headers. retried and the latest \
             reset reason: connection timeout"
        } else {
            "upstream connect error or disconnect/reset before headers. reset reason: connection \
             timeout"
        })
    }

    /// A limit of the cluster is reached: 503 UO.
    pub fn overflow(retried: bool) -> Self {
        Self {
            overloaded: true,
            ..Self::new(
                503,
                ResponseFlags::UO,
                "upstream_reset_before_response_started{overflow}",
            )
        }
        .with_body(if retried {
            "upstream connect error or disconnect/reset before headers. retried and the latest \
             reset reason: overflow"
        } else {
            "upstream connect error or disconnect/reset before headers. reset reason: overflow"
        })
    }

    /// The upstream closed before it answered: 503 UC.
    pub fn upstream_closed(retried: bool) -> Self {
        Self::new(
            503,
            ResponseFlags::UC,
            "upstream_reset_before_response_started{connection_termination}",
        )
        .with_body(if retried {
            "upstream connect error or disconnect/reset before headers. retried and the latest \
             reset reason: connection termination"
        } else {
            "upstream connect error or disconnect/reset before headers. reset reason: connection \
             termination"
        })
    }

    /// The upstream gave up on the request: 503 UR.
    pub fn upstream_reset(refused: bool, retried: bool) -> Self {
        let details = if refused {
            "upstream_reset_before_response_started{remote_refused_stream_reset}"
        } else {
            "upstream_reset_before_response_started{remote_reset}"
        };
        Self::new(503, ResponseFlags::UR, details).with_body(match (refused, retried) {
            (false, false) => {
                "upstream connect error or disconnect/reset before headers. reset reason: remote \
                 reset"
            }
            (false, true) => {
                "upstream connect error or disconnect/reset before headers. retried and the \
                 latest reset reason: remote reset"
            }
            (true, false) => {
                "upstream connect error or disconnect/reset before headers. reset reason: remote \
                 refused stream reset"
            }
            (true, true) => {
                "upstream connect error or disconnect/reset before headers. retried and the \
                 latest reset reason: remote refused stream reset"
            }
        })
    }

    /// The upstream's answer is no HTTP: 502 UPE.
    pub fn bad_response() -> Self {
        Self::new(
            502,
            ResponseFlags::UPE,
            "upstream_reset_before_response_started{protocol_error}",
        )
        .with_body(
            "upstream connect error or disconnect/reset before headers. reset reason: protocol \
             error",
        )
    }

    /// The route's timeout: 504 UT.
    pub fn timeout() -> Self {
        Self::new(504, ResponseFlags::UT, "response_timeout").with_body("upstream request timeout")
    }

    /// The timeout of one try: 504 UT.
    pub fn per_try_timeout() -> Self {
        Self::new(504, ResponseFlags::UT, "upstream_per_try_timeout")
            .with_body("upstream request timeout")
    }
}
