//! HTTP routes: when they match, and what they do.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use regex::bytes::Regex;

use crate::model::{
    ClusterIndex, CorsPolicy, Destination, Fault, FullMatch, HeaderEdits, HeaderName, Pattern,
    Percent,
};
use crate::resources::ObjectKey;

/// One route: a single HTTPMatchRequest of one HTTPRoute and what that route does.
///
/// A rule with several matches gives several routes, in order, as istiod builds them.
#[derive(Clone, Debug)]
pub struct Route {
    /// Envoy's route name: the rule's `name`, or `name.matchName`; empty when unnamed.
    pub name: Box<str>,
    /// Where it was written.
    pub origin: RouteOrigin,
    /// When it applies.
    pub matches: RouteMatch,
    /// What it does; the routes of one rule share it.
    pub action: Action,
    /// Header edits of the HTTPRoute (`headers`) and of its only destination, applied for every
    /// action; none for most routes.
    pub headers: Option<Arc<HeaderEdits>>,
    /// Faults injected before anything else is done.
    pub fault: Option<Arc<Fault>>,
    /// What browsers are told about other origins, whatever the action.
    pub cors: Option<Arc<CorsPolicy>>,
}

/// Where a route was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteOrigin {
    /// The VirtualService.
    pub virtual_service: Arc<ObjectKey>,
    /// The index in `spec.http`.
    pub rule: u32,
    /// The index in `spec.http[].match`; none for a rule without matches.
    pub matched: Option<u32>,
    /// Of the rule (the delegate's, where it has one); none for objects from an API server.
    pub position: Option<Line>,
    /// The VirtualService that the rule was delegated to.
    pub delegate: Option<Box<DelegateOrigin>>,
}

impl RouteOrigin {
    /// `file:line`; empty for objects from an API server.
    pub fn place(&self) -> String {
        self.position
            .as_ref()
            .map_or_else(String::new, Line::to_string)
    }
}

/// A line of a file; printed as `file:line`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The path as the user named it.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A rule of a delegate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelegateOrigin {
    /// The delegate.
    pub virtual_service: Arc<ObjectKey>,
    /// The index in its `spec.http`.
    pub rule: u32,
}

/// All conditions of one HTTPMatchRequest; every one must hold.
#[derive(Clone, Debug, Default)]
pub struct RouteMatch {
    /// On the normalised path without the query.
    pub path: MatchedPath,
    /// `ignoreUriCase`: exact and prefix compare without ASCII case.
    pub ignore_case: bool,
    /// Everything else; none for most routes.
    pub conditions: Option<Arc<Conditions>>,
    /// No condition: what its requests are counted under, apart from all others (`statPrefix`).
    pub stat_prefix: Option<Box<str>>,
}

/// The conditions besides the path.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    /// On the method.
    pub method: Option<Pattern>,
    /// On `:scheme` (`http` or `https`).
    pub scheme: Option<Pattern>,
    /// On the Host header as sent, port included.
    pub authority: Option<Pattern>,
    /// On header values; several fields of one name are joined with `,` first.
    pub headers: Vec<HeaderMatch>,
    /// `withoutHeaders`: these must not match; a missing header counts as an empty one, unless the
    /// pattern is [`Pattern::Present`].
    pub without_headers: Vec<HeaderMatch>,
    /// On the first value of a query parameter.
    pub query_params: Vec<(String, Pattern)>,
}

impl Conditions {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        let Self {
            method,
            scheme,
            authority,
            headers,
            without_headers,
            query_params,
        } = self;
        method.is_none()
            && scheme.is_none()
            && authority.is_none()
            && headers.is_empty()
            && without_headers.is_empty()
            && query_params.is_empty()
    }
}

/// The `uri` condition.
#[derive(Clone, Debug, Default)]
pub enum MatchedPath {
    /// No condition.
    #[default]
    Any,
    /// The whole path.
    Exact(Box<str>),
    /// A plain string prefix: `/foo` matches `/foobar`.
    Prefix(Box<str>),
    /// A full match of the path.
    Regex(Arc<FullMatch>),
}

/// A condition on a header.
#[derive(Clone, Debug)]
pub struct HeaderMatch {
    /// The header, in lower case; pseudo headers (`:method`, …) are allowed.
    pub name: HeaderName,
    /// The condition.
    pub pattern: Pattern,
}

/// What a route does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Send the request on.
    Forward(Arc<Forward>),
    /// Answer with a redirect.
    Redirect(Arc<Redirect>),
    /// Answer here.
    DirectResponse(Arc<DirectResponse>),
}

impl Action {
    /// Whether both are one and the same, not merely equal.
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Forward(one), Self::Forward(other)) => Arc::ptr_eq(one, other),
            (Self::Redirect(one), Self::Redirect(other)) => Arc::ptr_eq(one, other),
            (Self::DirectResponse(one), Self::DirectResponse(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// Sending a request on.
#[derive(Clone, Debug)]
pub struct Forward {
    /// At least one; the weights of several sum to more than zero and none of them is zero.
    pub destinations: Vec<WeightedDestination>,
    /// Changes to path and Host.
    pub rewrite: Rewrite,
    /// From the end of the request's head to the end of the response; none: unlimited.
    pub timeout: Option<Duration>,
    /// When to try again; none: never.
    pub retry: Option<Arc<Retry>>,
    /// Where copies go.
    pub mirrors: Vec<Mirror>,
}

impl Forward {
    /// The cluster that every request goes to, just as the route leaves it; none where more is
    /// done, or where the cluster is not known.
    pub fn plainly_to(&self) -> Option<ClusterIndex> {
        let Self {
            destinations,
            rewrite: Rewrite { uri, authority },
            timeout: _,
            retry: _,
            mirrors,
        } = self;
        let [only] = destinations.as_slice() else {
            return None;
        };
        let WeightedDestination {
            destination,
            weight: _,
            authority: own_authority,
            headers,
        } = only;
        let as_it_is = uri.is_none()
            && authority.is_none()
            && own_authority.is_none()
            && headers.is_empty()
            && mirrors.is_empty();
        match destination {
            Destination::Cluster(index) if as_it_is => Some(*index),
            _ => None,
        }
    }
}

/// `mirror` and `mirrors`: where a copy of some requests goes; its answer is thrown away.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// Where to; to an unknown one nothing is sent.
    pub destination: Destination,
    /// Of which share of the requests; never zero.
    pub percentage: Percent,
}

/// One share of a split.
#[derive(Clone, Debug)]
pub struct WeightedDestination {
    /// Where to.
    pub destination: Destination,
    /// The share, relative to the sum.
    pub weight: u32,
    /// Replaces the Host; only where [`Rewrite::authority`] does not.
    pub authority: Option<String>,
    /// Header edits of this destination alone.
    pub headers: HeaderEdits,
}

/// Changes to the path and the Host of a forwarded request.
#[derive(Clone, Debug, Default)]
pub struct Rewrite {
    /// `rewrite.uri` or `uriRegexRewrite`.
    pub uri: Option<Box<UriRewrite>>,
    /// `rewrite.authority`, or a `Host` set by `headers.request`.
    pub authority: Option<String>,
}

/// A change to the path; the query stays.
#[derive(Clone, Debug)]
pub enum UriRewrite {
    /// Replace what the prefix matched; after an exact or regex match, the whole path.
    Prefix(String),
    /// Replace every match; `\1` in the replacement was turned into `${1}`.
    Regex {
        /// What to replace.
        regex: Regex,
        /// By what, in the regex crate's syntax.
        replacement: String,
    },
}

/// When and how often a failed try is repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Tries after the first.
    pub attempts: u32,
    /// One try's limit; none: the route's.
    pub per_try_timeout: Option<Duration>,
    /// The failures that are repeated.
    pub on: RetryOn,
    /// The first pause; doubled up to ten times it (Envoy: 25 ms, at most 250 ms).
    pub backoff: Duration,
    /// Do not go to an endpoint that already failed this request.
    pub ignore_previous_hosts: bool,
    /// After two tries, go to endpoints of other localities too.
    pub remote_localities: bool,
}

/// The retry conditions, as Envoy names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the names are Envoy's
pub struct RetryOn {
    pub connect_failure: bool,
    pub refused_stream: bool,
    pub reset: bool,
    pub reset_before_request: bool,
    pub gateway_error: bool,
    pub retriable_4xx: bool,
    pub server_error: bool,
    pub cancelled: bool,
    pub deadline_exceeded: bool,
    pub internal: bool,
    pub resource_exhausted: bool,
    pub unavailable: bool,
    pub envoy_ratelimited: bool,
    /// Bare status codes.
    pub status_codes: Vec<u16>,
}

/// A redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub code: u16,
    /// `http` or `https`; none: the request's.
    pub scheme: Option<String>,
    /// Replaces the Host.
    pub authority: Option<String>,
    /// The port of the Location; none: that of the Host, without the old scheme's default where
    /// the scheme changes.
    pub port: Option<u16>,
    /// Replaces the whole path; a query in it replaces the request's.
    pub uri: Option<String>,
    /// Replaces the matched prefix.
    pub prefix_rewrite: Option<String>,
}

/// An answer given here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectResponse {
    /// 200 to 599.
    pub status: u16,
    /// The body; `content-type: text/plain` unless the route sets another.
    pub body: Vec<u8>,
}
