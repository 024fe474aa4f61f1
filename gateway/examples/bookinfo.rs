//! The data plane alone, serving bookinfo's routes from 127.0.0.1:9080 on the given port: for
//! profilers, and for looking at one part without the others.
//!
//! `cargo run --release -p gatehouse-gateway --example bookinfo -- 8004 1` (port, workers).

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use gatehouse_config::ObjectKey;
use gatehouse_config::model::{
    Action, Balancing, Cluster, ClusterIndex, Destination, DestinationLabels, Domain, Endpoint,
    Forward, HeaderEdits, MatchedPath, Model, Retry, RetryOn, Rewrite, Route, RouteMatch,
    RouteOrigin, Server, ServerContent, UpstreamProtocol, VirtualHost, WeightedDestination,
    WorkloadLabels,
};
use gatehouse_gateway::Gateway;
use gatehouse_gateway::compile::{Place, Placement};
use gatehouse_gateway::worker::WorkerSettings;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args()
        .skip(1)
        .map_while(|argument| argument.parse().ok());
    let port: u16 = arguments.next().unwrap_or(8004);
    let workers = usize::from(arguments.next().unwrap_or(1));
    let mut gateway = Gateway::start(workers, &WorkerSettings::default(), None)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let placement = Placement {
        places: vec![Place::Server { address, server: 0 }],
        ..Placement::default()
    };
    for finding in gateway.apply(&model(port), &placement) {
        eprintln!("{finding}");
    }
    loop {
        std::thread::park();
    }
}

fn model(port: u16) -> Model {
    let paths = [
        MatchedPath::Exact("/productpage".into()),
        MatchedPath::Prefix("/static".into()),
        MatchedPath::Prefix("/big".into()),
    ];
    let routes = paths
        .into_iter()
        .map(|path| Arc::new(route(path)))
        .collect();
    let host = VirtualHost {
        domain: Domain::Any,
        routes,
        require_tls: false,
    };
    Model {
        servers: vec![Server {
            port,
            bind: None,
            socket: None,
            grpc_web: false,
            origins: Vec::new(),
            serves: ServerContent::Http(vec![host]),
        }],
        clusters: vec![Arc::new(productpage())],
        ..Model::default()
    }
}

fn route(path: MatchedPath) -> Route {
    let destination = WeightedDestination {
        destination: Destination::Cluster(ClusterIndex(0)),
        weight: 1,
        authority: None,
        headers: HeaderEdits::default(),
    };
    let on = RetryOn {
        connect_failure: true,
        refused_stream: true,
        unavailable: true,
        cancelled: true,
        ..RetryOn::default()
    };
    let retry = Retry {
        attempts: 2,
        per_try_timeout: None,
        on,
        backoff: Duration::from_millis(25),
        ignore_previous_hosts: true,
        remote_localities: false,
    };
    Route {
        name: Box::default(),
        origin: RouteOrigin {
            virtual_service: Arc::new(ObjectKey::new("default", "bookinfo")),
            rule: 0,
            matched: Some(0),
            position: None,
            delegate: None,
        },
        matches: RouteMatch {
            path,
            ..RouteMatch::default()
        },
        action: Action::Forward(Arc::new(Forward {
            destinations: vec![destination],
            rewrite: Rewrite::default(),
            timeout: None,
            retry: Some(Arc::new(retry)),
            mirrors: Vec::new(),
        })),
        headers: None,
        fault: None,
        cors: None,
    }
}

fn productpage() -> Cluster {
    let text = |text: &str| text.to_owned();
    Cluster {
        name: text("outbound|9080||productpage.default.svc.cluster.local"),
        labels: Arc::new(DestinationLabels {
            service: text("productpage.default.svc.cluster.local"),
            service_name: text("productpage"),
            service_namespace: text("default"),
        }),
        endpoints: vec![Endpoint {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 9080)).into(),
            weight: 1,
            workload: Arc::new(WorkloadLabels {
                workload: text("productpage-v1"),
                namespace: text("default"),
                app: text("productpage"),
                version: text("v1"),
                canonical_service: text("productpage"),
                canonical_revision: text("v1"),
            }),
        }],
        balancing: Balancing::LeastRequest,
        protocol: UpstreamProtocol::Http1,
        grpc_web: false,
        connect_timeout: Duration::from_secs(10),
        policy: Arc::default(),
    }
}
