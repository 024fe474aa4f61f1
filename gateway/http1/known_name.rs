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
        // By length first, then against constants, which compile to a few loads each.
        macro_rules! one_of {
            ($($known:ident),*) => {{
                $(if name == const { Self::$known.as_str().as_bytes() } {
                    return Self::$known;
                })*
                Self::Other
            }};
        }
        match name.len() {
            2 => one_of!(Te),
            3 => one_of!(Via),
            4 => one_of!(Host, Date),
            6 => one_of!(Accept, Cookie, Server, Expect, Origin),
            7 => one_of!(Referer, Upgrade, Trailer, AltSvc),
            8 => one_of!(Location),
            9 => one_of!(Forwarded),
            10 => one_of!(UserAgent, Connection, SetCookie, KeepAlive),
            11 => one_of!(Traceparent, GrpcStatus),
            12 => one_of!(ContentType, XRequestId),
            13 => one_of!(CacheControl, Authorization),
            14 => one_of!(ContentLength, Http2Settings),
            15 => one_of!(AcceptEncoding, XForwardedFor),
            16 => one_of!(ContentEncoding, ProxyConnection, XForwardedHost),
            17 => one_of!(TransferEncoding, XForwardedProto),
            21 => one_of!(XEnvoyAttemptCount, XEnvoyOriginalPath),
            23 => one_of!(XForwardedClientCert),
            24 => one_of!(XEnvoyExternalAddress),
            29 => one_of!(XEnvoyUpstreamServiceTime),
            30 => one_of!(XEnvoyExpectedRqTimeoutMs),
            _ => Self::Other,
        }
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
