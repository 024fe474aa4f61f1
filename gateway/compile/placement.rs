//! Where is listened: servers and carried Services, at the addresses that were given.
//!
//! A Gateway's server N is served at VIP:P for each LoadBalancer Service that selects the gateway
//! and has a port P whose number or target port leads to N (reference: Istio §2.1, port
//! translation). Without such a Service it is served at the host's own addresses.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use gatehouse_config::codes;
use gatehouse_config::finding::{Finding, Level};
use gatehouse_config::model::{Model, Port, Server, Service, TransportProtocol};
use gatehouse_config::resources::{ObjectKey, ObjectRef};
use ipnet::IpNet;

/// A place to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A Gateway's server.
    Server {
        /// Where.
        address: SocketAddr,
        /// The index in [`Model::servers`].
        server: u32,
    },
    /// A carried Service's port.
    Service {
        /// Where.
        address: SocketAddr,
        /// The index in [`Model::services`].
        service: u32,
        /// Which port of it.
        port: (TransportProtocol, u16),
    },
}

impl Place {
    /// Where.
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Server { address, .. } | Self::Service { address, .. } => *address,
        }
    }

    /// The index of the Gateway's server that is served here, if one is.
    pub fn server(&self) -> Option<u32> {
        match self {
            Self::Server { server, .. } => Some(*server),
            Self::Service { .. } => None,
        }
    }

    fn transport(&self) -> TransportProtocol {
        match self {
            Self::Server { .. } => TransportProtocol::Tcp,
            Self::Service { port, .. } => port.0,
        }
    }
}

/// All places, and what stands in the way of others.
#[derive(Clone, Debug, Default)]
pub struct Placement {
    /// At most one per address and transport.
    pub places: Vec<Place>,
    /// Who may connect there, where a Service says so (`loadBalancerSourceRanges`).
    pub sources: HashMap<(SocketAddr, TransportProtocol), Arc<[IpNet]>>,
    /// Places that somebody else (kube-proxy) serves where it runs: who has such a port already is
    /// not asked for it.
    pub optional: BTreeSet<(SocketAddr, TransportProtocol)>,
    /// Servers that listen nowhere, and why.
    pub findings: Vec<Finding>,
}

/// What a host has of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Host<'a> {
    /// Where servers are served that no Service leads to.
    pub listen: &'a [IpAddr],
    /// False where this process may not bring addresses up, so that nobody could reach them: then
    /// servers are served at `listen` too.
    pub holds_addresses: bool,
    /// Addresses that somebody (kube-proxy) may lead a Service's ClusterIP and NodePorts to: where
    /// one of them is an endpoint of a Service that selects the gateway, its servers are served
    /// there, at the endpoint's port.
    pub endpoints: &'a [IpAddr],
    /// Services that somebody else (kube-proxy) carries where it runs.
    pub led: Led<'a>,
}

/// What becomes here of Services that somebody else (kube-proxy) carries where it runs: the kernel's
/// rules take the packets then, and no socket sees them.
#[derive(Clone, Copy, Debug, Default)]
pub enum Led<'a> {
    /// There are none.
    #[default]
    None,
    /// These are carried all the same, for a cluster without one, but where the port is free.
    WherePortsAreFree(&'a BTreeSet<ObjectKey>),
    /// These are left alone.
    LeftAlone(&'a BTreeSet<ObjectKey>),
}

/// Decides where is listened. `addresses` holds the given addresses of each Service.
pub fn place(
    model: &Model,
    addresses: &BTreeMap<ObjectKey, Vec<IpAddr>>,
    host: Host<'_>,
) -> Placement {
    let mut builder = Builder::default();
    let gateways: Vec<&Service> = model.services.iter().filter(|s| s.is_gateway).collect();
    // Servers with an address of their own come first: they are the more specific ones there, as
    // the kernel would choose between an address and the wildcard.
    for (index, server) in (0_u32..).zip(&model.servers) {
        if let Some(bind) = server.bind {
            builder.server(SocketAddr::new(bind, server.port), index);
        }
    }
    for (index, server) in (0_u32..).zip(&model.servers) {
        if server.bind.is_some() {
            continue;
        }
        let before = builder.placement.places.len();
        let mut wanted = false;
        let mut led_to = false;
        for service in &gateways {
            let given = addresses
                .get(&service.key)
                .map(Vec::as_slice)
                .unwrap_or_default();
            for port in ports_leading_to(&service.ports, server, &model.servers) {
                led_to = true;
                for ip in given {
                    wanted = true;
                    builder.server(SocketAddr::new(*ip, port.port), index);
                }
                if given.is_empty() {
                    builder.pending(service, server);
                }
                builder.endpoints(port, host, index);
            }
        }
        for service in &model.gateway_services {
            for port in ports_leading_to(&service.ports, server, &model.servers) {
                builder.endpoints(port, host, index);
            }
        }
        if !led_to && !gateways.is_empty() {
            builder.no_port(&gateways, server);
        }
        if gateways.is_empty() || !host.holds_addresses {
            for ip in host.listen {
                wanted = true;
                builder.server(SocketAddr::new(*ip, server.port), index);
            }
        }
        if wanted && builder.placement.places.len() == before {
            builder.displaced(server);
        }
    }
    for (index, service) in (0_u32..).zip(model.services.iter()) {
        builder.guard(service, addresses);
        if service.is_gateway {
            continue;
        }
        let optional = match host.led {
            Led::None => false,
            Led::WherePortsAreFree(led) => led.contains(&service.key),
            Led::LeftAlone(led) if led.contains(&service.key) => continue,
            Led::LeftAlone(_) => false,
        };
        for ip in addresses.get(&service.key).into_iter().flatten() {
            for port in &service.ports {
                let address = SocketAddr::new(*ip, port.port);
                let is_new = builder.add(Place::Service {
                    address,
                    service: index,
                    port: (port.protocol, port.port),
                });
                if is_new && optional {
                    let optional = &mut builder.placement.optional;
                    optional.insert((address, port.protocol));
                }
            }
        }
    }
    builder.placement
}

/// The Service's ports at which a server is served: the number itself, or else those whose target
/// port is the server's, unless that port's own number is another server's.
fn ports_leading_to<'s>(ports: &'s [Port], server: &Server, servers: &[Server]) -> Vec<&'s Port> {
    let tcp = || {
        ports
            .iter()
            .filter(|port| port.protocol == TransportProtocol::Tcp)
    };
    if let Some(same) = tcp().find(|port| port.port == server.port) {
        return vec![same];
    }
    tcp()
        .filter(|port| port.target_port == Some(server.port))
        .filter(|port| !servers.iter().any(|other| other.port == port.port))
        .collect()
}

#[derive(Default)]
pub(super) struct Builder {
    pub(super) placement: Placement,
    taken: BTreeSet<(SocketAddr, TransportProtocol)>,
}

impl Builder {
    pub(super) fn server(&mut self, address: SocketAddr, server: u32) {
        self.add(Place::Server { address, server });
    }

    /// A server at the endpoints of a port that are this host.
    fn endpoints(&mut self, port: &Port, host: Host<'_>, server: u32) {
        let endpoints = port.endpoints.iter();
        for endpoint in endpoints.filter_map(|endpoint| endpoint.address.inet()) {
            if host.endpoints.contains(&endpoint.ip()) {
                self.server(endpoint, server);
            }
        }
    }

    fn add(&mut self, place: Place) -> bool {
        // The first wins; Services that share an address have no port in common, and servers are
        // merged per port, so that a second one is the same.
        let is_new = self.taken.insert((place.address(), place.transport()));
        if is_new {
            self.placement.places.push(place);
        }
        is_new
    }

    /// Whatever listens at the ports of a Service with source ranges asks who connects.
    fn guard(&mut self, service: &Service, addresses: &BTreeMap<ObjectKey, Vec<IpAddr>>) {
        let Some(sources) = &service.sources else {
            return;
        };
        for ip in addresses.get(&service.key).into_iter().flatten() {
            for port in &service.ports {
                let place = (SocketAddr::new(*ip, port.port), port.protocol);
                self.placement.sources.insert(place, Arc::clone(sources));
            }
        }
    }

    fn pending(&mut self, service: &Service, server: &Server) {
        let origin = server.origins.first();
        self.placement.findings.push(Finding {
            code: codes::LISTENER_PENDING,
            level: Level::Warning,
            object: origin.map(|origin| gateway_ref(&origin.gateway)),
            field: String::new(),
            position: None,
            message: format!(
                "port {} is not reachable on the LAN: its Service {} has no address yet.",
                server.port, service.key
            ),
            hint: "See `gatehouse get services` for the reason.".to_owned(),
        });
    }

    pub(super) fn displaced(&mut self, server: &Server) {
        let origin = server.origins.first();
        self.placement.findings.push(Finding {
            code: codes::CONFLICTING_GATEWAYS,
            level: Level::Error,
            object: origin.map(|origin| gateway_ref(&origin.gateway)),
            field: String::new(),
            position: None,
            message: format!(
                "port {} listens nowhere: servers with a `bind` of their own have all its \
                 addresses.",
                server.port
            ),
            hint: "Give one of them another port, or remove `bind`.".to_owned(),
        });
    }

    fn no_port(&mut self, gateways: &[&Service], server: &Server) {
        let names: Vec<String> = gateways
            .iter()
            .map(|service| service.key.to_string())
            .collect();
        self.placement.findings.push(Finding {
            code: codes::PORT_NOT_ON_SERVICE,
            level: Level::Warning,
            object: server
                .origins
                .first()
                .map(|origin| gateway_ref(&origin.gateway)),
            field: String::new(),
            position: None,
            message: format!(
                "port {} is not reachable: no port of Service {} leads to it.",
                server.port,
                names.join(", ")
            ),
            hint: format!(
                "Add a port with `port: {0}` or `targetPort: {0}` to the Service.",
                server.port
            ),
        });
    }
}

fn gateway_ref(key: &ObjectKey) -> ObjectRef {
    ObjectRef {
        kind: "Gateway".to_owned(),
        key: key.clone(),
    }
}

#[cfg(test)]
mod tests {
    use gatehouse_config::model::{
        AddressRequest, Endpoint, ServerContent, ServerOrigin, TrafficPolicy, WorkloadLabels,
    };

    use super::*;

    fn server(port: u16, bind: Option<&str>) -> Server {
        Server {
            port,
            bind: bind.map(|ip| ip.parse().unwrap()),
            socket: None,
            grpc_web: false,
            origins: vec![ServerOrigin {
                gateway: ObjectKey::new("default", "gw"),
                port_name: "http".to_owned(),
            }],
            serves: ServerContent::Http(Vec::new()),
        }
    }

    #[test]
    fn a_server_with_an_address_of_its_own_is_served_there_and_the_other_elsewhere() {
        let model = Model {
            servers: vec![server(80, None), server(80, Some("127.0.0.1"))],
            ..Model::default()
        };
        let place = |listen: &[&str]| {
            let listen: Vec<IpAddr> = listen.iter().map(|ip| ip.parse().unwrap()).collect();
            let host = Host {
                listen: &listen,
                holds_addresses: true,
                ..Host::default()
            };
            super::place(&model, &BTreeMap::new(), host)
        };
        let at = |placement: &Placement| -> Vec<(String, Option<u32>)> {
            let places = placement.places.iter();
            places
                .map(|place| (place.address().to_string(), place.server()))
                .collect()
        };
        let both = place(&["127.0.0.1", "127.0.0.2"]);
        assert_eq!(
            at(&both),
            [
                ("127.0.0.1:80".to_owned(), Some(1)),
                ("127.0.0.2:80".to_owned(), Some(0))
            ]
        );
        assert_eq!(both.findings, []);
        let displaced = place(&["127.0.0.1"]);
        assert_eq!(at(&displaced), [("127.0.0.1:80".to_owned(), Some(1))]);
        let codes: Vec<_> = displaced.findings.iter().map(|f| f.code).collect();
        assert_eq!(codes, [codes::CONFLICTING_GATEWAYS]);
    }

    /// kube-proxy leads the Service's ClusterIP and NodePorts there.
    #[test]
    fn a_server_is_served_at_the_endpoint_that_its_host_is_of_a_service() {
        let endpoint = |ip: &str| Endpoint {
            address: SocketAddr::new(ip.parse().unwrap(), 8089).into(),
            weight: 1,
            workload: WorkloadLabels {
                workload: "unknown".to_owned(),
                namespace: "unknown".to_owned(),
                app: "unknown".to_owned(),
                version: "unknown".to_owned(),
                canonical_service: "unknown".to_owned(),
                canonical_revision: "unknown".to_owned(),
            }
            .into(),
        };
        let port = Port {
            name: String::new(),
            protocol: TransportProtocol::Tcp,
            port: 80,
            target_port: Some(8080),
            node_port: None,
            endpoints: vec![endpoint("192.0.2.12"), endpoint("192.0.2.11")],
        };
        let service = Service {
            key: ObjectKey::new("istio-system", "istio-ingressgateway"),
            labels: Default::default(),
            namespace_labels: Default::default(),
            request: AddressRequest::default(),
            traffic_policy: TrafficPolicy::Cluster,
            selector: "istio=ingressgateway".to_owned(),
            is_gateway: true,
            keeps_ports: false,
            ports: vec![port],
            endpoint_nodes: BTreeSet::new(),
            cluster_ip: None,
            sources: None,
            created: None,
        };
        let given = BTreeMap::from([(service.key.clone(), vec!["192.0.2.151".parse().unwrap()])]);
        let model = Model {
            servers: vec![server(80, None)],
            services: vec![service].into(),
            ..Model::default()
        };
        let placement = super::place(
            &model,
            &given,
            Host {
                holds_addresses: true,
                endpoints: &["192.0.2.11".parse().unwrap()],
                ..Host::default()
            },
        );
        let places = placement.places.iter();
        let places: Vec<_> = places.map(|place| place.address().to_string()).collect();
        assert_eq!(places, ["192.0.2.151:80", "192.0.2.11:8089"]);
    }
}
