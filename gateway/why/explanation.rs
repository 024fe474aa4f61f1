//! What is told of a decision: data for people (`gatehouse why`) and programs (`-o json`).
//!
//! Fields may be added, never renamed.

use gatehouse_config::model::TransportProtocol;
use serde::{Deserialize, Serialize};

use crate::exchange::ResponseFlags;
use crate::exchange::reply::Reply;
use crate::snapshot::{Edit, Listener, Route, Serves, Snapshot};
use crate::why::Question;

/// What would become of a request, and why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Explanation {
    /// `GET http://bookinfo.lan/productpage`.
    pub request: String,
    /// Where the connection ends up; none: nobody listens there.
    pub listener: Option<ListenerRow>,
    /// The virtual host that has the request, and near ones that have not.
    pub hosts: Vec<HostRow>,
    /// Its routes in the order in which they are tried, up to the one that won.
    pub routes: Vec<RouteRow>,
    /// What acts before the route's action, in order.
    pub filters: Vec<FilterRow>,
    /// Where it goes; empty where it goes nowhere.
    pub destinations: Vec<DestinationRow>,
    /// What the client gets.
    pub answer: Answer,
    /// Why, in a sentence; the same words as `x-gatehouse-reason`.
    pub reason: String,
    /// The nearest fix; empty where there is none to name.
    pub hint: String,
}

/// A listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListenerRow {
    /// `192.168.8.151:80`.
    pub address: String,
    /// `http`, `tcp` or `udp`.
    pub protocol: String,
}

/// A virtual host that was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostRow {
    /// `bookinfo.lan`, `*.lan`, `*`.
    pub domain: String,
    /// Whether it has the request.
    pub chosen: bool,
    /// Why, or why not.
    pub why: String,
}

/// A route that was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteRow {
    /// Its name; empty when unnamed.
    pub name: String,
    /// `VirtualService default/bookinfo`.
    pub object: String,
    /// `spec.http[0].match[1]`.
    pub field: String,
    /// `file:line`; empty for objects from an API server.
    pub position: String,
    /// The first condition that the request fails; none: it fits.
    pub failed: Option<String>,
    /// Whether it has the request.
    pub chosen: bool,
}

/// Something that acts before the route's action, or on what passes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FilterRow {
    /// The API's field: `fault.delay`, `corsPolicy`, `mirrors`, `timeout`, `retries`, `headers`.
    pub name: String,
    /// What it does to this request.
    pub effect: String,
}

/// A place that the request may go to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DestinationRow {
    /// `outbound|9080|v1|reviews.default.svc.cluster.local`.
    pub cluster: String,
    /// How many of a hundred requests.
    pub percent: f64,
    /// How an endpoint is chosen.
    pub balancing: String,
    /// What the request is hashed by, with what it has of it; empty where nothing is hashed.
    pub hashed_by: Vec<String>,
    /// The address of the endpoint that the hash leads to; empty where chance decides.
    pub hashed_to: String,
    /// What acts on the way there: limits, a PROXY header, a tunnel.
    pub policies: Vec<FilterRow>,
    /// The endpoints.
    pub endpoints: Vec<EndpointRow>,
    /// What the upstream is sent; none where nothing is.
    pub upstream: Option<UpstreamRequest>,
    /// What the client gets if this destination is chosen.
    pub answer: Answer,
}

/// An endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointRow {
    /// `192.168.8.20:9080`, or the path of a socket.
    pub address: String,
    /// The workload behind it.
    pub workload: String,
    /// Its share beside the others of the cluster.
    pub weight: u32,
    /// Whether it may be chosen.
    pub available: bool,
}

/// A request as the upstream sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpstreamRequest {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Every field, Host included, in order.
    pub headers: Vec<Field>,
}

/// A field's name and value.
pub type Field = (String, String);

/// What the client gets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// By whom.
    pub outcome: Outcome,
    /// The status; 0 where only the upstream knows, or nobody answers.
    pub status: u16,
    /// Envoy's flags, as the access log prints them.
    pub flags: String,
    /// `%RESPONSE_CODE_DETAILS%`.
    pub details: String,
    /// The Location of a redirect.
    pub location: String,
}

/// Who answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Nobody: the connection is refused or closed.
    #[default]
    None,
    /// The upstream.
    Upstream,
    /// The gateway: a redirect, a direct response, a preflight's answer, or an error.
    Gateway,
    /// Whatever is at the other end: bytes are carried.
    Carried,
}

impl Explanation {
    pub(super) fn of(question: &Question) -> Self {
        let Question {
            method,
            scheme,
            authority,
            target,
            ..
        } = question;
        Self {
            request: format!("{method} {scheme}://{authority}{target}"),
            ..Self::default()
        }
    }

    pub(super) fn because(&mut self, why: String, hint: String) {
        self.reason = why;
        self.hint = hint;
    }

    pub(super) fn nobody_listens(&mut self, snapshot: &Snapshot, port: u16) {
        let tcp = |listener: &&Listener| listener.serves.transport() == TransportProtocol::Tcp;
        let mut all: Vec<_> = snapshot
            .listeners
            .iter()
            .filter(tcp)
            .map(|l| l.address)
            .collect();
        all.sort();
        let list: Vec<_> = all.iter().take(8).map(ToString::to_string).collect();
        self.because(
            if list.is_empty() {
                "nothing listens: no Gateway selects this daemon, or no Service has an address".to_owned()
            } else {
                format!("nothing listens there on port {port}; open are {}", list.join(", "))
            },
            format!("A Gateway needs a server with `port: {{number: {port}}}`, and its VirtualServices a route; `gatehouse get findings` tells what else stands in the way."),
        );
    }

    pub(super) fn carried(&mut self, listener: &Listener, destinations: Vec<DestinationRow>) {
        self.answer.outcome = Outcome::Carried;
        self.destinations = destinations;
        self.because(
            format!(
                "{} carries TCP as it comes, and looks at no URL",
                listener.address
            ),
            String::new(),
        );
    }

    pub(super) fn no_tls(&mut self, listener: &Listener) {
        self.because(
            format!(
                "{} speaks plain HTTP: a TLS handshake there fails",
                listener.address
            ),
            "Use http://, or add a server with `protocol: HTTPS` to the Gateway.".to_owned(),
        );
    }

    pub(super) fn plain_to_tls(&mut self, listener: &Listener) {
        self.answer = Answer {
            outcome: Outcome::Gateway,
            status: 400,
            flags: "-".to_owned(),
            details: "tls_plain_http".to_owned(),
            location: String::new(),
        };
        self.because(
            format!(
                "{} speaks TLS, and plain HTTP is refused there",
                listener.address
            ),
            "Use https://, or a plain HTTP server with `tls: {httpsRedirect: true}` for those who do not.".to_owned(),
        );
    }

    pub(super) fn unknown_name(&mut self, listener: &Listener, name: &str) {
        self.because(
            format!(
                "no server at {} is called `{name}`: the TLS handshake is refused",
                listener.address
            ),
            "Add the name to the `hosts` of an HTTPS server, or to the sniHosts of a tls route."
                .to_owned(),
        );
    }

    pub(super) fn no_certificate(&mut self, listener: &Listener, name: &str) {
        self.because(
            format!(
                "the server at {} for `{name}` has no certificate that can be used: the TLS handshake is refused",
                listener.address
            ),
            "`gatehouse get findings` says what is wrong with it.".to_owned(),
        );
    }

    pub(super) fn misdirected(&mut self, reply: &Reply, name: &str) {
        self.answered_here(reply);
        self.because(
            format!("the connection asks for `{name}`, and the Host belongs to another server of the same port"),
            "Ask for the host itself. With `--misdirected 404` the routes of the connection's own server are looked at, as with Istio.".to_owned(),
        );
    }

    pub(super) fn answered_here(&mut self, reply: &Reply) {
        self.answer = Answer::of(reply);
        self.reason = format!(
            "the gateway itself answers {}: {}",
            reply.status, reply.details
        );
    }

    pub(super) fn redirected(&mut self, code: u16, location: &[u8]) {
        self.answer = Answer {
            outcome: Outcome::Gateway,
            status: code,
            flags: "-".to_owned(),
            details: "direct_response".to_owned(),
            location: String::from_utf8_lossy(location).into_owned(),
        };
        self.reason = "the route is a redirect".to_owned();
    }

    pub(super) fn answered_directly(&mut self, status: u16, length: usize) {
        self.answer = Answer {
            outcome: Outcome::Gateway,
            status,
            flags: "-".to_owned(),
            details: "direct_response".to_owned(),
            location: String::new(),
        };
        self.reason = format!("the route is a direct response of {length} bytes");
    }

    /// Tells of the edits that a route asks for; of the request only where it is `sent` on.
    pub(super) fn edits(&mut self, route: &Route, sent: bool) {
        for (side, edits) in [
            ("request", &route.request_edits),
            ("response", &route.response_edits),
        ] {
            if edits.is_empty() || (side == "request" && !sent) {
                continue;
            }
            let names: Vec<_> = edits
                .iter()
                .map(|edit| match edit {
                    Edit::Set(name, _) => format!("set {name}"),
                    Edit::Add(name, _) => format!("add {name}"),
                    Edit::Remove(name) => format!("remove {name}"),
                })
                .collect();
            self.filters.push(FilterRow {
                name: format!("headers.{side}"),
                effect: names.join(", "),
            });
        }
    }
}

impl Answer {
    /// Adds the flag of a delay, which Envoy prints first.
    pub(super) fn delayed(&mut self) {
        let delayed = ResponseFlags::DI.to_string();
        self.flags = match &*self.flags {
            "" | "-" => delayed,
            others => format!("{delayed},{others}"),
        };
    }

    pub(super) fn of(reply: &Reply) -> Self {
        Self {
            outcome: Outcome::Gateway,
            status: reply.status,
            flags: reply.flags.to_string(),
            details: reply.details.to_owned(),
            location: reply
                .location
                .as_ref()
                .map(|location| String::from_utf8_lossy(location).into_owned())
                .unwrap_or_default(),
        }
    }

    pub(super) fn upstream() -> Self {
        Self {
            outcome: Outcome::Upstream,
            status: 0,
            flags: "-".to_owned(),
            details: "via_upstream".to_owned(),
            location: String::new(),
        }
    }
}

impl ListenerRow {
    pub(super) fn new(listener: &Listener) -> Self {
        let protocol = match listener.serves {
            Serves::Http(_) => "http",
            Serves::Tcp(_) | Serves::TcpServer(_) => "tcp",
            Serves::Tls(_) => "tls",
            Serves::Udp(_) => "udp",
        };
        Self {
            address: listener.address.to_string(),
            protocol: protocol.to_owned(),
        }
    }
}
