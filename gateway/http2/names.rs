//! Names that are known, as the `http` crate has them: nothing is parsed and no memory is taken.

use http::header::{self, HeaderName};

use crate::http1::KnownName;

/// What a known name is in HTTP/2.
pub(super) enum Name {
    /// This.
    Ready(&'static HeaderName),
    /// What its text says.
    Other,
    /// Nothing: it belongs to one connection of HTTP/1.1 (RFC 9113 §8.2.2), or is `:authority`.
    Left,
}

/// The name of a field.
pub(super) fn name_of(known: KnownName) -> Name {
    macro_rules! ready {
        ($name:expr) => {{
            static NAME: HeaderName = $name;
            Name::Ready(&NAME)
        }};
    }
    match known {
        KnownName::Connection
        | KnownName::KeepAlive
        | KnownName::ProxyConnection
        | KnownName::TransferEncoding
        | KnownName::Upgrade
        | KnownName::Host => Name::Left,
        KnownName::Accept => ready!(header::ACCEPT),
        KnownName::AcceptEncoding => ready!(header::ACCEPT_ENCODING),
        KnownName::Authorization => ready!(header::AUTHORIZATION),
        KnownName::CacheControl => ready!(header::CACHE_CONTROL),
        KnownName::ContentEncoding => ready!(header::CONTENT_ENCODING),
        KnownName::ContentLength => ready!(header::CONTENT_LENGTH),
        KnownName::ContentType => ready!(header::CONTENT_TYPE),
        KnownName::Cookie => ready!(header::COOKIE),
        KnownName::Date => ready!(header::DATE),
        KnownName::Location => ready!(header::LOCATION),
        KnownName::Server => ready!(header::SERVER),
        KnownName::SetCookie => ready!(header::SET_COOKIE),
        KnownName::UserAgent => ready!(header::USER_AGENT),
        KnownName::XEnvoyUpstreamServiceTime => {
            ready!(HeaderName::from_static("x-envoy-upstream-service-time"))
        }
        KnownName::XForwardedFor => ready!(HeaderName::from_static("x-forwarded-for")),
        KnownName::XForwardedProto => ready!(HeaderName::from_static("x-forwarded-proto")),
        KnownName::XRequestId => ready!(HeaderName::from_static("x-request-id")),
        _ => Name::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ready_is_the_name_that_is_known() {
        for &known in KnownName::ALL {
            if let Name::Ready(name) = name_of(known) {
                assert_eq!(name.as_str(), known.as_str());
            }
        }
    }
}
