//! Servers of Gateways, merged per port, and their virtual hosts.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use crate::model::{Destination, Domain, Route, RouteOrigin, ServerTls};
use crate::resources::ObjectKey;

/// Where a server was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerOrigin {
    /// The Gateway.
    pub gateway: ObjectKey,
    /// `servers[].port.name`.
    pub port_name: String,
}

/// One listener: all servers of Gateways on one port and bind address.
///
/// Istio merges HTTP servers of all Gateways on one port into one route table
/// (reference: Istio `MergeGateways`), and gives each server that ends TLS one of its own.
#[derive(Clone, Debug)]
pub struct Server {
    /// `servers[].port.number` as written; VirtualService `match.port` and redirects mean this one.
    pub port: u16,
    /// `servers[].bind`; none: wherever the placement says.
    pub bind: Option<IpAddr>,
    /// Of a server at a socket of this host: its path, or `@` and its name for an abstract one. The
    /// port is 0 then, and [`bind`](Self::bind) is the [stand-in](socket_stand_in) of the socket.
    pub socket: Option<Arc<str>>,
    /// Calls of grpc-web are turned into gRPC (`protocol: GRPC-WEB`).
    pub grpc_web: bool,
    /// The Gateway servers merged here, in merge order.
    pub origins: Vec<ServerOrigin>,
    /// What is spoken there, and where it leads.
    pub serves: ServerContent,
}

impl Server {
    /// Of a TCP server: where its connections go.
    pub fn tcp(&self) -> Option<&TcpRoute> {
        match &self.serves {
            ServerContent::Tcp(route) => Some(route),
            ServerContent::Http(_) | ServerContent::Tls(_) => None,
        }
    }

    /// The virtual hosts of all that is served here, those behind TLS too.
    pub fn virtual_hosts(&self) -> impl Iterator<Item = &VirtualHost> {
        let (plain, chains) = match &self.serves {
            ServerContent::Http(hosts) => (hosts.as_slice(), &[][..]),
            ServerContent::Tls(chains) => (&[][..], chains.as_slice()),
            ServerContent::Tcp(_) => (&[][..], &[][..]),
        };
        let behind_tls = chains.iter().flat_map(|chain| match &chain.serves {
            ChainContent::Http { virtual_hosts, .. } => virtual_hosts.as_slice(),
            ChainContent::Tcp { .. } | ChainContent::PassThrough(_) => &[],
        });
        plain.iter().chain(behind_tls)
    }
}

/// What is served on a port.
#[derive(Clone, Debug)]
pub enum ServerContent {
    /// HTTP as it comes. The domains of the virtual hosts are unique.
    Http(Vec<VirtualHost>),
    /// Whatever comes is carried.
    Tcp(TcpRoute),
    /// TLS. No two chains have a name in common.
    Tls(Vec<FilterChain>),
}

/// What becomes of connections that ask for certain names, on a port that speaks TLS (Envoy:
/// `FilterChain`).
#[derive(Clone, Debug)]
pub struct FilterChain {
    /// The Gateway's server.
    pub origin: ServerOrigin,
    /// The names that are asked for (SNI). An exact name comes before the longest suffix, that
    /// before [`Domain::Any`], which also takes a ClientHello without a name.
    pub server_names: Vec<Domain>,
    /// What is done with TLS, and what comes after it.
    pub serves: ChainContent,
}

/// What a chain does with its connections.
#[derive(Clone, Debug)]
pub enum ChainContent {
    /// TLS ends here, and HTTP comes out.
    Http {
        /// How TLS is ended; none: the certificate is missing or broken, and connections are
        /// closed until it is there.
        tls: Option<Arc<ServerTls>>,
        /// Its hosts, apart from those of all other chains.
        virtual_hosts: Vec<VirtualHost>,
    },
    /// TLS ends here, and what comes out is carried.
    Tcp {
        /// As for HTTP.
        tls: Option<Arc<ServerTls>>,
        /// Where to.
        route: TcpRoute,
    },
    /// TLS is carried as it comes (PASSTHROUGH).
    PassThrough(TcpRoute),
}

/// What stands for a socket where listeners are told apart by address: an address that nobody can
/// have (RFC 6666: the discard prefix), the same for the same socket.
pub fn socket_stand_in(socket: &str) -> IpAddr {
    let mut hasher = DefaultHasher::new();
    socket.hash(&mut hasher);
    let prefix = u128::from(0x0100_u16) << 112;
    IpAddr::from(Ipv6Addr::from(prefix | u128::from(hasher.finish())))
}

/// The routes of one host name (or wildcard) on one server.
#[derive(Clone, Debug)]
pub struct VirtualHost {
    /// Which hosts; a request goes to the most specific one and never falls through to another.
    pub domain: Domain,
    /// First match wins; catch-alls are last already. Hosts with the same routes share one list,
    /// and so do models that follow one another.
    pub routes: Arc<[Arc<Route>]>,
    /// `httpsRedirect`: plain requests get a 301 to https before any route is looked at.
    pub require_tls: bool,
}

/// Where carried connections go: one `tcp[]` or `tls[]` route of a VirtualService.
#[derive(Clone, Debug)]
pub struct TcpRoute {
    /// Where it was written; the rule is an index in `spec.tcp` or `spec.tls`.
    pub origin: RouteOrigin,
    /// At least one; chosen anew for each connection, by weight.
    pub destinations: Vec<TcpDestination>,
}

/// One share of a TCP split.
#[derive(Clone, Debug)]
pub struct TcpDestination {
    /// Where to.
    pub destination: Destination,
    /// The share, relative to the sum; not zero.
    pub weight: u32,
}
