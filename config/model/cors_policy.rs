//! What browsers are told about other origins.

use crate::model::Pattern;

/// `http[].corsPolicy`; lists are joined with `,` already, an empty one is not sent.
#[derive(Clone, Debug)]
pub struct CorsPolicy {
    /// The origins that may ask. One that matches `*` lets everyone in, as Envoy has it.
    pub origins: Vec<Pattern>,
    /// `access-control-allow-methods`.
    pub allow_methods: String,
    /// `access-control-allow-headers`.
    pub allow_headers: String,
    /// `access-control-expose-headers`.
    pub expose_headers: String,
    /// `access-control-max-age`: seconds.
    pub max_age: Option<u64>,
    /// `access-control-allow-credentials: true`.
    pub allow_credentials: bool,
    /// A preflight of another origin goes to the upstream; otherwise it is answered here, without
    /// CORS headers.
    pub forward_unmatched: bool,
}
