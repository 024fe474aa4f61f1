//! Where a gateway listens that is reached through Services, as Istio's in its Pod: at its own
//! addresses, while somebody else (kube-proxy) leads a Service's ports to it.

use std::net::{IpAddr, SocketAddr};

use gatehouse_config::model::{Model, Port, Server, TransportProtocol};

use super::placement::{Builder, Placement};

/// Decides where is listened: at each of `listen`, at the number that the server has. Where
/// somebody `leads` Services' ports to their target ports (kube-proxy), at the target port of the
/// first port with that number, of a Service that selects the gateway (reference: Istio §2.1).
pub fn place_behind_services(model: &Model, listen: &[IpAddr], leads: bool) -> Placement {
    let mut builder = Builder::default();
    let bound_port = |server: &Server| match leads {
        true => target_port(model, server),
        false => server.port,
    };
    for (index, server) in (0_u32..).zip(&model.servers) {
        if let Some(bind) = server.bind {
            builder.server(SocketAddr::new(bind, bound_port(server)), index);
        }
    }
    for (index, server) in (0_u32..).zip(&model.servers) {
        if server.bind.is_some() {
            continue;
        }
        let before = builder.placement.places.len();
        for ip in listen {
            builder.server(SocketAddr::new(*ip, bound_port(server)), index);
        }
        if builder.placement.places.len() == before {
            builder.displaced(server);
        }
    }
    builder.placement
}

fn target_port(model: &Model, server: &Server) -> u16 {
    let own = model.services.iter();
    let own = own.filter(|service| service.is_gateway && !service.keeps_ports);
    let own = own.map(|service| (service.created, &service.key, &service.ports));
    let others = model.gateway_services.iter();
    let others = others.filter(|service| !service.keeps_ports);
    let others = others.map(|service| (service.created, &service.key, &service.ports));
    let with_port = own.chain(others).filter_map(|(created, key, ports)| {
        let leads_here =
            |port: &&Port| port.protocol == TransportProtocol::Tcp && port.port == server.port;
        Some(((created, key), ports.iter().find(leads_here)?))
    });
    let port = with_port.min_by_key(|(age, _)| *age).map(|(_, port)| port);
    // A target port that is a name is a number at the endpoints: this gateway is one of them.
    let at_endpoint = |port: &Port| port.endpoints.first()?.address.inet();
    port.and_then(|port| port.target_port.or_else(|| Some(at_endpoint(port)?.port())))
        .unwrap_or(server.port)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use gatehouse_config::model::{
        AddressRequest, Endpoint, GatewayService, ServerContent, ServerOrigin, Service,
        TrafficPolicy, WorkloadLabels,
    };
    use gatehouse_config::resources::ObjectKey;

    use super::*;

    fn server(port: u16) -> Server {
        Server {
            port,
            bind: None,
            socket: None,
            grpc_web: false,
            origins: vec![ServerOrigin {
                gateway: ObjectKey::new("default", "gw"),
                port_name: "http".to_owned(),
            }],
            serves: ServerContent::Http(Vec::new()),
        }
    }

    fn port(port: u16, target_port: Option<u16>) -> Port {
        Port {
            name: String::new(),
            protocol: TransportProtocol::Tcp,
            port,
            target_port,
            node_port: None,
            endpoints: Vec::new(),
        }
    }

    /// Its target port is a name, which is this number at the endpoint.
    fn named(number: u16, at_endpoint: u16) -> Port {
        let unknown = || "unknown".to_owned();
        let workload = WorkloadLabels {
            workload: unknown(),
            namespace: unknown(),
            app: unknown(),
            version: unknown(),
            canonical_service: unknown(),
            canonical_revision: unknown(),
        };
        let endpoint = Endpoint {
            address: SocketAddr::from(([10, 0, 0, 1], at_endpoint)).into(),
            weight: 1,
            workload: workload.into(),
        };
        Port {
            endpoints: vec![endpoint],
            ..port(number, None)
        }
    }

    #[test]
    fn a_server_is_served_where_its_service_leads() {
        let service = Service {
            key: ObjectKey::new("istio-system", "istio-ingressgateway"),
            labels: Default::default(),
            namespace_labels: Default::default(),
            request: AddressRequest::default(),
            traffic_policy: TrafficPolicy::Cluster,
            selector: "istio=ingressgateway".to_owned(),
            is_gateway: true,
            keeps_ports: false,
            ports: vec![port(80, Some(8080)), port(443, None), named(8443, 15443)],
            endpoint_nodes: BTreeSet::new(),
            cluster_ip: None,
            sources: None,
            created: None,
        };
        let model = Model {
            servers: vec![server(80), server(443), server(8443), server(9000)],
            services: vec![service].into(),
            ..Model::default()
        };
        let ports = |leads: bool| {
            let placement = place_behind_services(&model, &["10.0.0.1".parse().unwrap()], leads);
            assert_eq!(placement.findings, []);
            let places = placement.places.iter();
            places
                .map(|place| place.address().port())
                .collect::<Vec<_>>()
        };
        assert_eq!(ports(true), [8080, 443, 15443, 9000]);
        assert_eq!(ports(false), [80, 443, 8443, 9000]);
    }

    /// Istio asks among all Services that select the workload, the oldest one first, but for those
    /// whose label says that the gateway listens as it is written.
    #[test]
    fn a_service_of_any_type_leads_to_its_target_port() {
        let service = |name: &str, created: i64, ports: Vec<Port>| GatewayService {
            key: ObjectKey::new("istio-system", name),
            keeps_ports: name == "kept",
            ports,
            created: Some(created),
        };
        let model = Model {
            servers: vec![server(80), server(443), server(8443)],
            gateway_services: vec![
                service(
                    "kept",
                    0,
                    vec![port(80, Some(7080)), port(8443, Some(7443))],
                ),
                service("new", 2, vec![port(80, Some(9080)), port(443, Some(9443))]),
                service("old", 1, vec![port(80, Some(8080))]),
            ],
            ..Model::default()
        };
        let placement = place_behind_services(&model, &["10.0.0.1".parse().unwrap()], true);
        let places = placement.places.iter();
        let ports: Vec<u16> = places.map(|place| place.address().port()).collect();
        assert_eq!(ports, [8080, 9443, 8443]);
    }
}
