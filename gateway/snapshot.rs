//! The immutable tables that workers serve from.
//!
//! Everything is linked by index; nothing is parsed or compared as text later that could be
//! compiled now. Built by [`compile`](crate::compile), shared as `Arc<Snapshot>`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use gatehouse_config::model::{
    Balancing, Connections, CorsPolicy, DestinationLabels, DynamicDns, EndpointAddress, Fault,
    HashPolicy, Percent, Proxy, ProxyVersion, Retry, TransportProtocol, Tunnel, UpstreamProtocol,
    WorkloadLabels,
};
use ipnet::IpNet;
use regex::bytes::Regex;

use crate::filter::guard::Guards;
use crate::observe::LogPlan;
use crate::route::{HostTable, Matcher, RouteList};
use crate::tls::{TlsClient, TlsId, TlsPort};
use crate::upstream::{CircuitBreaker, Outliers, Selection};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $($(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl $name {
            /// As an index.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        })*
    };
}

ids! {
    /// A server, in [`Snapshot::servers`].
    ServerId;
    /// A virtual host, in [`Snapshot::hosts`].
    HostId;
    /// A cluster, in [`Snapshot::clusters`].
    ClusterId;
    /// An endpoint, in [`Snapshot::endpoints`].
    EndpointId;
    /// A set of destination labels, numbered for the life of the process by
    /// [`LabelTable`](crate::observe::LabelTable).
    LabelsId;
}

/// A route: its virtual host, and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId {
    /// The virtual host.
    pub host: HostId,
    /// Its place in the host's [`RouteList`].
    pub position: u32,
}

/// All tables of one generation of the configuration.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Counts the published configurations, from 1.
    pub generation: u64,
    /// Where is listened, and for what; addresses are unique per transport.
    pub listeners: Vec<Listener>,
    /// Listeners that are sockets of this host, by the stand-in of their address.
    pub sockets: Vec<(SocketAddr, Arc<str>)>,
    /// Who may connect, where not everybody may: the ports of Services with source ranges.
    pub sources: HashMap<(SocketAddr, TransportProtocol), Arc<[IpNet]>>,
    /// Route tables, one per Gateway port, in the order of the model; then those of the chains of
    /// ports that speak TLS.
    pub servers: Vec<Server>,
    /// Virtual hosts of all servers.
    pub hosts: Vec<VirtualHost>,
    /// Clusters.
    pub clusters: Vec<Cluster>,
    /// Endpoints of all clusters.
    pub endpoints: Vec<Endpoint>,
    /// Settings that hold for every request.
    pub proxy: Proxy,
    /// Which access logs get lines; none: nothing is logged.
    pub access_log: Option<Arc<LogPlan>>,
    /// Hosts that must not be served; none: all may.
    pub guards: Option<Box<Guards>>,
}

/// A socket address and what is served there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Listener {
    /// The address and port.
    pub address: SocketAddr,
    /// What is served.
    pub serves: Serves,
}

/// What a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Serves {
    /// HTTP, by the routes of a server.
    Http(ServerId),
    /// TCP, carried to a cluster.
    Tcp(ClusterId),
    /// TCP, carried by the route of a server.
    TcpServer(ServerId),
    /// TLS, by the [chains](crate::tls::Chain) of a server.
    Tls(ServerId),
    /// UDP, carried to a cluster.
    Udp(ClusterId),
}

/// What one Gateway port serves, or one chain of a port that speaks TLS.
#[derive(Debug, Default)]
pub struct Server {
    /// From a Host to its virtual host.
    pub table: HostTable,
    /// Calls of grpc-web are turned into gRPC.
    pub grpc_web: bool,
    /// Of a TCP server: where its connections go. Its table is empty then.
    pub tcp: Option<TcpRoute>,
    /// Of a port that speaks TLS: where the names that are asked for lead. All else is empty then.
    pub tls: Option<Box<TlsPort>>,
}

/// Where the connections of a TCP server go.
#[derive(Debug)]
pub struct TcpRoute {
    /// What it was compiled from.
    pub source: gatehouse_config::model::RouteOrigin,
    /// At least one, each with its share.
    pub destinations: Box<[(Destination, u32)]>,
    /// The sum of the shares; at least 1.
    pub total_weight: u32,
}

/// The routes of one host name.
#[derive(Debug)]
pub struct VirtualHost {
    /// `httpsRedirect`.
    pub require_tls: bool,
    /// What routes with a `statPrefix` are counted under, by their place; none for most hosts.
    pub stat_names: Option<Box<[Option<Arc<str>>]>>,
    /// In the API's order, with an index for literal paths.
    pub routes: Arc<RouteList>,
}

/// A route.
#[derive(Debug)]
pub struct Route {
    /// What it was compiled from: its name and origin, for the access log and for `gatehouse why`.
    pub source: Arc<gatehouse_config::model::Route>,
    /// When it applies.
    pub matcher: Matcher,
    /// What happens before the action; none for most routes.
    pub filters: Option<Box<Filters>>,
    /// What it does; the routes of one rule share it.
    pub action: Arc<Action>,
    /// Edits of the request that the route asks for.
    pub request_edits: Box<[Edit]>,
    /// Edits of the response that the route asks for.
    pub response_edits: Box<[Edit]>,
}

/// What may answer in place of a route's action, in this order.
#[derive(Debug)]
pub struct Filters {
    /// Faults injected on purpose.
    pub fault: Option<Arc<Fault>>,
    /// What browsers are told about other origins.
    pub cors: Option<Arc<CorsPolicy>>,
}

/// What a route does.
#[derive(Debug)]
pub enum Action {
    /// Send the request on.
    Forward(Forward),
    /// Answer with a redirect.
    Redirect(Redirect),
    /// Answer here.
    DirectResponse {
        /// The status.
        status: u16,
        /// The body.
        body: Box<[u8]>,
    },
}

/// Sending a request on.
#[derive(Debug)]
pub struct Forward {
    /// At least one.
    pub destinations: Box<[WeightedDestination]>,
    /// The sum of the weights; at least 1.
    pub total_weight: u32,
    /// Changes to the path.
    pub rewrite: Option<Box<UriRewrite>>,
    /// Replaces the Host.
    pub authority: Option<Box<[u8]>>,
    /// From the end of the request to the end of the response.
    pub timeout: Option<Duration>,
    /// When to try again.
    pub retry: Option<Arc<Retry>>,
    /// Where copies go.
    pub mirrors: Box<[Mirror]>,
}

/// Where a copy of some requests goes.
#[derive(Clone, Copy, Debug)]
pub struct Mirror {
    /// Where to.
    pub cluster: ClusterId,
    /// Of which share of the requests.
    pub percentage: Percent,
}

/// One share of a split.
#[derive(Debug)]
pub struct WeightedDestination {
    /// Where to.
    pub destination: Destination,
    /// The share.
    pub weight: u32,
    /// Replaces the Host where [`Forward::authority`] does not.
    pub authority: Option<Box<[u8]>>,
    /// Edits of the request for this destination alone.
    pub request_edits: Box<[Edit]>,
    /// Edits of the response for this destination alone.
    pub response_edits: Box<[Edit]>,
}

/// Where a route leads.
#[derive(Debug)]
pub enum Destination {
    /// A cluster.
    Cluster(ClusterId),
    /// Nothing defines it: 503 NC.
    Unknown {
        /// Its name, `outbound|9080|v1|host`, as the access log prints it.
        name: String,
    },
}

/// A change to the path.
#[derive(Debug)]
pub enum UriRewrite {
    /// Replace the matched prefix; after an exact or regex match the whole path.
    Prefix(Box<[u8]>),
    /// Replace every match.
    Regex {
        /// Of this.
        regex: Regex,
        /// By this.
        replacement: Box<[u8]>,
    },
}

/// A redirect.
#[derive(Debug)]
pub struct Redirect {
    /// The status.
    pub code: u16,
    /// `http` or `https`; none: the request's.
    pub scheme: Option<Box<str>>,
    /// Replaces the Host.
    pub authority: Option<Box<[u8]>>,
    /// The Location's port; none: the Host's.
    pub port: Option<u16>,
    /// Replaces the path.
    pub uri: Option<Box<[u8]>>,
    /// Replaces the matched prefix.
    pub prefix_rewrite: Option<Box<[u8]>>,
}

/// A header edit, ready to be applied.
#[derive(Debug)]
pub enum Edit {
    /// Overwrite.
    Set(Box<str>, Template),
    /// Append another field.
    Add(Box<str>, Template),
    /// Remove every field of the name.
    Remove(Box<str>),
}

/// A header value.
#[derive(Debug)]
pub enum Template {
    /// As is.
    Literal(Box<[u8]>),
    /// With operators.
    Pieces(Box<[gatehouse_config::model::ValuePiece]>),
}

/// A cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Istio's name: `outbound|<port>|<subset>|<host>`.
    pub name: Arc<str>,
    /// The destination side of its metrics as far as the service gives it.
    pub labels: Arc<DestinationLabels>,
    /// The labels of a request that reached no endpoint.
    pub no_endpoint_labels: LabelsId,
    /// Its endpoints: a contiguous run of [`Snapshot::endpoints`].
    pub endpoints: Range<u32>,
    /// Whether all endpoints have the same weight.
    pub even: bool,
    /// The sum of the endpoints' weights; at least 1.
    pub total_weight: u32,
    /// How an endpoint is chosen.
    pub balancing: Balancing,
    /// What is spoken to them.
    pub protocol: UpstreamProtocol,
    /// Calls of grpc-web are turned into gRPC.
    pub grpc_web: bool,
    /// Requests under way on one connection of HTTP/2; none: no limit but the endpoint's.
    pub max_streams: Option<u32>,
    /// Pings on connections of HTTP/2: how often, and how long an answer may take.
    pub keepalive: Option<(Duration, Duration)>,
    /// How long a connect may take.
    pub connect_timeout: Duration,
    /// How long connections live.
    pub connections: Connections,
    /// A PROXY header at the start of each connection.
    pub proxy_protocol: Option<ProxyVersion>,
    /// Carried connections go through an HTTP proxy.
    pub tunnel: Option<Box<Tunnel>>,
    /// The endpoint is looked up for each request's Host; there are no others.
    pub dynamic_dns: Option<Box<DynamicDns>>,
    /// What goes out to the endpoints: plain text, or TLS.
    pub tls: EndpointTls,
    /// What a request is hashed by.
    pub hash: Option<HashPolicy>,
    /// How endpoints are chosen, where the plain way is not enough.
    pub selection: Option<Box<Selection>>,
    /// Limits; none: nothing is counted.
    pub breaker: Option<Arc<CircuitBreaker>>,
    /// Who is left out; none: failures are not counted.
    pub outliers: Option<Arc<Outliers>>,
}

/// What goes out to the endpoints of a cluster.
#[derive(Clone, Debug, Default)]
pub enum EndpointTls {
    /// Plain text.
    #[default]
    Plain,
    /// TLS.
    Spoken(Arc<TlsClient>),
    /// TLS is asked for and cannot be spoken: nothing is sent. Why, as part of a sentence.
    Impossible(Arc<str>),
}

impl EndpointTls {
    /// With which TLS connections are made; none: plain text.
    pub fn id(&self) -> Option<TlsId> {
        match self {
            Self::Spoken(client) => Some(client.id),
            Self::Plain | Self::Impossible(_) => None,
        }
    }

    /// Why nothing is sent, if nothing is.
    pub fn impossible(&self) -> Option<&str> {
        match self {
            Self::Impossible(why) => Some(why),
            Self::Plain | Self::Spoken(_) => None,
        }
    }
}

/// An endpoint of one cluster.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Where.
    pub address: EndpointAddress,
    /// Its share; at least 1.
    pub weight: u32,
    /// The destination side of its metrics.
    pub labels: LabelsId,
    /// The workload behind it.
    pub workload: Arc<WorkloadLabels>,
}

impl Snapshot {
    /// The socket of a listener: its path, or `@` and its name; none for one that has an address.
    pub fn socket_at(&self, address: SocketAddr) -> Option<&Arc<str>> {
        let mut sockets = self.sockets.iter();
        let (_, socket) = sockets.find(|(stand_in, _)| *stand_in == address)?;
        Some(socket)
    }

    /// A server.
    pub fn server(&self, id: ServerId) -> &Server {
        &self.servers[id.index()]
    }

    /// A virtual host.
    pub fn host(&self, id: HostId) -> &VirtualHost {
        &self.hosts[id.index()]
    }

    /// A route.
    pub fn route(&self, id: RouteId) -> &Route {
        &self.host(id.host).routes.all()[id.position as usize]
    }

    /// What a route is counted under, apart from all others.
    pub fn stat_name(&self, id: RouteId) -> Option<&Arc<str>> {
        let names = self.host(id.host).stat_names.as_ref()?;
        names.get(id.position as usize)?.as_ref()
    }

    /// How many routes there are, each virtual host's counted.
    pub fn route_count(&self) -> usize {
        self.hosts.iter().map(|host| host.routes.all().len()).sum()
    }

    /// A cluster.
    pub fn cluster(&self, id: ClusterId) -> &Cluster {
        &self.clusters[id.index()]
    }

    /// An endpoint.
    pub fn endpoint(&self, id: EndpointId) -> &Endpoint {
        &self.endpoints[id.index()]
    }
}

/// A route that answers by itself, for tests of what stands around it.
#[cfg(test)]
pub(crate) fn test_route(matcher: Matcher) -> Route {
    use gatehouse_config::model;

    Route {
        source: Arc::new(model::Route {
            name: Box::default(),
            origin: model::RouteOrigin {
                virtual_service: Arc::default(),
                rule: 0,
                matched: None,
                position: None,
                delegate: None,
            },
            matches: model::RouteMatch::default(),
            action: model::Action::DirectResponse(Arc::new(model::DirectResponse {
                status: 200,
                body: Vec::new(),
            })),
            headers: None,
            fault: None,
            cors: None,
        }),
        matcher,
        filters: None,
        action: Arc::new(Action::DirectResponse {
            status: 200,
            body: Box::default(),
        }),
        request_edits: Box::default(),
        response_edits: Box::default(),
    }
}
