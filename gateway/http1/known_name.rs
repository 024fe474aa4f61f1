//! Names that a proxy looks at, as small numbers.
//!
//! Invariant: a field of a known name always carries its number, so `Other` never has to be
//! compared with a known name.

macro_rules! known_names {
    ($($name:ident = $text:literal,)*) => {
        /// A field name that the gateway looks at.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum KnownName {
            /// Any name that is not in the list.
            #[default]
            Other,
            $(#[doc = concat!("`", $text, "`.")] $name,)*
        }

        impl KnownName {
            /// The name in lower case; empty for [`KnownName::Other`].
            pub const fn as_str(self) -> &'static str {
                match self {
                    Self::Other => "",
                    $(Self::$name => $text,)*
                }
            }

            /// Every known name.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

known_names! {
    Accept = "accept",
    AcceptEncoding = "accept-encoding",
    AltSvc = "alt-svc",
    Authorization = "authorization",
    CacheControl = "cache-control",
    Connection = "connection",
    ContentEncoding = "content-encoding",
    ContentLength = "content-length",
    ContentType = "content-type",
    Cookie = "cookie",
    Date = "date",
    Expect = "expect",
    Forwarded = "forwarded",
    GrpcStatus = "grpc-status",
    Host = "host",
    Http2Settings = "http2-settings",
    KeepAlive = "keep-alive",
    Location = "location",
    Origin = "origin",
    ProxyConnection = "proxy-connection",
    Referer = "referer",
    Server = "server",
    SetCookie = "set-cookie",
    Te = "te",
    Traceparent = "traceparent",
    Trailer = "trailer",
    TransferEncoding = "transfer-encoding",
    Upgrade = "upgrade",
    UserAgent = "user-agent",
    Via = "via",
    XEnvoyAttemptCount = "x-envoy-attempt-count",
    XEnvoyExpectedRqTimeoutMs = "x-envoy-expected-rq-timeout-ms",
    XEnvoyExternalAddress = "x-envoy-external-address",
    XEnvoyOriginalPath = "x-envoy-original-path",
    XEnvoyUpstreamServiceTime = "x-envoy-upstream-service-time",
    XForwardedClientCert = "x-forwarded-client-cert",
    XForwardedFor = "x-forwarded-for",
    XForwardedHost = "x-forwarded-host",
    XForwardedProto = "x-forwarded-proto",
    XRequestId = "x-request-id",
}

impl KnownName {
    /// The number of `name`, which is in lower case.
    pub fn of(name: &[u8]) -> Self {
        // By length first: most names are then told apart by one or two comparisons.
        let candidates: &[Self] = match name.len() {
            2 => &[Self::Te],
            3 => &[Self::Via],
            4 => &[Self::Host, Self::Date],
            6 => &[
                Self::Accept,
                Self::Cookie,
                Self::Server,
                Self::Expect,
                Self::Origin,
            ],
            7 => &[Self::Referer, Self::Upgrade, Self::Trailer, Self::AltSvc],
            8 => &[Self::Location],
            9 => &[Self::Forwarded],
            10 => &[
                Self::UserAgent,
                Self::Connection,
                Self::SetCookie,
                Self::KeepAlive,
            ],
            11 => &[Self::Traceparent, Self::GrpcStatus],
            12 => &[Self::ContentType, Self::XRequestId],
            13 => &[Self::CacheControl, Self::Authorization],
            14 => &[Self::ContentLength, Self::Http2Settings],
            15 => &[Self::AcceptEncoding, Self::XForwardedFor],
            16 => &[
                Self::ContentEncoding,
                Self::ProxyConnection,
                Self::XForwardedHost,
            ],
            17 => &[Self::TransferEncoding, Self::XForwardedProto],
            21 => &[Self::XEnvoyAttemptCount, Self::XEnvoyOriginalPath],
            23 => &[Self::XForwardedClientCert],
            24 => &[Self::XEnvoyExternalAddress],
            29 => &[Self::XEnvoyUpstreamServiceTime],
            30 => &[Self::XEnvoyExpectedRqTimeoutMs],
            _ => &[],
        };
        let found = candidates
            .iter()
            .find(|known| known.as_str().as_bytes() == name);
        found.copied().unwrap_or_default()
    }

    /// This name in a set of names.
    pub(super) const fn bit(self) -> u64 {
        1 << self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_found_by_its_text() {
        for &name in KnownName::ALL {
            assert_eq!(KnownName::of(name.as_str().as_bytes()), name);
            assert!((name as u8) < 64, "names are kept in a set of 64 bits");
        }
        assert_eq!(KnownName::of(b"x-other"), KnownName::Other);
        assert_eq!(KnownName::of(b""), KnownName::Other);
    }
}
