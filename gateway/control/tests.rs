use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};

use gatehouse_config::model::{Endpoint, Port, Server, ServerContent, Service, WorkloadLabels};
use gatehouse_config::resources::ObjectKey;

use super::*;
use crate::compile::{Host, Led, Place, place};

const DEADLINE: Duration = Duration::from_secs(20);

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// Drains on a thread of its own; the sign comes with the end.
fn drain(gateway: Gateway, min: Duration) -> std::sync::mpsc::Receiver<()> {
    let (end, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        block_on(gateway.drain(min, 2 * DEADLINE));
        let _ = end.send(());
    });
    ended
}

/// An address of this test alone, so that it may also bind the wildcard.
fn free_port() -> u16 {
    let socket = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    socket.local_addr().unwrap().port()
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// A server without hosts, which answers everything with 404.
fn model() -> Model {
    Model {
        servers: vec![Server {
            port: 80,
            bind: None,
            socket: None,
            grpc_web: false,
            origins: Vec::new(),
            serves: ServerContent::Http(Vec::new()),
        }],
        ..Model::default()
    }
}

fn at(addresses: &[SocketAddr]) -> Placement {
    let places = addresses.iter().map(|address| Place::Server {
        address: *address,
        server: 0,
    });
    Placement {
        places: places.collect(),
        ..Placement::default()
    }
}

fn gateway(workers: usize) -> Gateway {
    Gateway::start(workers, &WorkerSettings::default(), None).unwrap()
}

fn connect(address: SocketAddr) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    BufReader::new(stream)
}

/// One request; gives the head of the answer, empty at the connection's end.
fn ask(client: &mut BufReader<TcpStream>) -> String {
    client
        .get_mut()
        .write_all(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")
        .unwrap();
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && client.read_line(&mut head).unwrap() > 0 {}
    head
}

/// Whether the connection is still open, without a wait.
fn is_open(client: &BufReader<TcpStream>) -> bool {
    let stream = client.get_ref();
    stream.set_nonblocking(true).unwrap();
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// While it drains everybody is served, whoever was connected before and whoever comes; the end
/// closes idle connections, and one that has just come still gets its answer.
#[test]
fn a_drain_answers_until_its_end() {
    let address = loopback(free_port());
    let mut gateway = gateway(1);
    assert!(gateway.apply(&model(), &at(&[address])).is_empty());
    let [mut idle, mut kept] = [connect(address), connect(address)];
    for client in [&mut idle, &mut kept] {
        let head = ask(client);
        assert!(head.starts_with("HTTP/1.1 404"), "{head}");
        assert!(!head.contains("connection: close"), "{head}");
    }
    let counters = gateway.counters();
    let min = Duration::from_secs(2);
    let begun = Instant::now();
    let ended = drain(gateway, min);
    // A connection of the drain's time: from here on answers say close.
    loop {
        let head = ask(&mut connect(address));
        assert!(head.starts_with("HTTP/1.1 404"), "{head}");
        if head.contains("connection: close") {
            break;
        }
    }
    assert!(is_open(&idle), "idle connections wait for the end");
    let head = ask(&mut kept);
    assert!(head.contains("connection: close"), "{head}");

    // Commands are answered meanwhile.
    let metrics = block_on(counters.metrics());
    assert!(metrics.totals.connections >= 3, "{:?}", metrics.totals);
    assert_eq!(block_on(counters.endpoint_states()).len(), 1);
    assert!(
        begun.elapsed() < min,
        "the machine is too slow for this test"
    );

    // Connected, and silent until the drain's end has come.
    let mut late = connect(address);
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
    assert!(begun.elapsed() >= min, "{:?}", begun.elapsed());
    let head = ask(&mut late);
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");

    ended.recv_timeout(DEADLINE).unwrap();
}

#[test]
fn a_drain_ends_although_a_connection_never_asks() {
    let address = loopback(free_port());
    let mut gateway = gateway(1);
    gateway.apply(&model(), &at(&[address]));
    let mut silent = connect(address);
    let ended = drain(gateway, Duration::ZERO);
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
    ended.recv_timeout(DEADLINE).unwrap();
}

fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < DEADLINE, "never came: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn is_served(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok() && ask(&mut connect(address)).starts_with("HTTP/1.1 404")
}

#[test]
fn an_address_and_the_wildcard_may_share_a_port() {
    let port = free_port();
    let wildcard = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let other = SocketAddr::from(([127, 0, 0, 2], port));
    for both in [[wildcard, other], [other, wildcard]] {
        let mut gateway = gateway(2);
        let findings = gateway.apply(&model(), &at(&both));
        assert!(findings.is_empty(), "{findings:?}");
        assert_eq!(gateway.listeners().count(), 2);
        assert!(is_served(other) && is_served(loopback(port)));
        block_on(gateway.drain(Duration::ZERO, Duration::ZERO));
    }
}

/// There and back again, as fast as it can be asked: at no time is the port closed.
#[test]
fn a_server_moves_between_the_wildcard_and_an_address_at_once() {
    let port = free_port();
    let wildcard = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let mut gateway = gateway(2);
    let mut waiting = Vec::new();
    for round in 0..10 {
        for address in [wildcard, loopback(port)] {
            let findings = gateway.apply(&model(), &at(&[address]));
            assert!(findings.is_empty(), "round {round}: {findings:?}");
            // Some of these wait in the queue of a listener that is taken away meanwhile.
            waiting.push(connect(loopback(port)));
        }
    }
    for mut client in waiting {
        let head = ask(&mut client);
        assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    }
    let other = SocketAddr::from(([127, 0, 0, 2], port));
    eventually("the wildcard is closed", || {
        TcpStream::connect(other).is_err()
    });
}

#[test]
fn a_port_that_a_stranger_holds_is_opened_later_and_disturbs_nothing() {
    let (free, stranger) = (
        loopback(free_port()),
        TcpListener::bind(loopback(0)).unwrap(),
    );
    let taken = stranger.local_addr().unwrap();
    let mut gateway = gateway(2);
    let findings = gateway.apply(&model(), &at(&[free, taken]));
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].message.contains(&taken.to_string()));
    let open: Vec<SocketAddr> = gateway.listeners().map(|l| l.address).collect();
    assert_eq!(open, [free]);
    let before = Arc::clone(gateway.snapshot());
    assert_eq!(gateway.retry(), findings);
    drop(stranger);
    assert!(gateway.retry().is_empty());
    assert!(
        Arc::ptr_eq(gateway.snapshot(), &before),
        "nothing is compiled anew"
    );
    assert_eq!(gateway.listeners().count(), 2);
    assert!(is_served(free) && is_served(taken));
}

/// The listening sockets of this process at an address.
fn listening(address: SocketAddr) -> Vec<TcpListener> {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    let this = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|number| pidfd_getfd(&this, number, PidfdGetfdFlags::empty()).ok())
        .filter(|fd| rustix::net::sockopt::socket_acceptconn(fd).unwrap_or(false))
        .map(TcpListener::from)
        .filter(|socket| socket.local_addr().is_ok_and(|at| at == address))
        .collect()
}

#[test]
fn a_listener_that_a_worker_lost_is_opened_anew() {
    let address = loopback(free_port());
    let mut gateway = gateway(2);
    assert!(gateway.apply(&model(), &at(&[address])).is_empty());
    let mut kept = connect(address);
    assert!(ask(&mut kept).starts_with("HTTP/1.1 404"));
    for socket in listening(address) {
        // accept(2) says EINVAL from now on.
        rustix::net::shutdown(&socket, rustix::net::Shutdown::Both).unwrap();
    }
    eventually("both workers said so, and it was opened", || {
        let findings = gateway.retry();
        assert!(findings.is_empty(), "{findings:?}");
        (0..20).all(|_| TcpStream::connect(address).is_ok()) && is_served(address)
    });
    assert!(ask(&mut kept).starts_with("HTTP/1.1 404"), "as before");
}

fn udp_service(name: &str, port: u16, endpoints: &[SocketAddr]) -> Service {
    let workload = Arc::new(WorkloadLabels {
        workload: name.to_owned(),
        namespace: String::new(),
        app: String::new(),
        version: String::new(),
        canonical_service: String::new(),
        canonical_revision: String::new(),
    });
    let endpoints = endpoints.iter().map(|address| Endpoint {
        address: (*address).into(),
        weight: 1,
        workload: Arc::clone(&workload),
    });
    Service {
        key: ObjectKey::new("default", name),
        labels: Default::default(),
        namespace_labels: Default::default(),
        request: Default::default(),
        traffic_policy: Default::default(),
        selector: String::new(),
        is_gateway: false,
        keeps_ports: false,
        ports: vec![Port {
            name: String::new(),
            protocol: TransportProtocol::Udp,
            port,
            target_port: None,
            node_port: None,
            endpoints: endpoints.collect(),
        }],
        endpoint_nodes: std::collections::BTreeSet::new(),
        cluster_ip: None,
        sources: None,
        created: None,
    }
}

/// Kubernetes: `loadBalancerSourceRanges`; who is in none of them gets nothing, of either transport.
#[test]
fn clients_out_of_the_source_ranges_get_nothing() {
    let endpoint = udp();
    let address = udp().local_addr().unwrap();
    let mut service = udp_service("guarded", address.port(), &[endpoint.local_addr().unwrap()]);
    let over_tcp = Port {
        protocol: TransportProtocol::Tcp,
        ..service.ports[0].clone()
    };
    service.ports.push(over_tcp);
    let placed = |sources: Option<&str>| {
        let mut service = service.clone();
        service.sources = sources.map(|sources| [sources.parse().unwrap()].into());
        let given = [(service.key.clone(), vec![address.ip()])].into();
        let model = Model {
            services: Arc::new(vec![service]),
            ..Model::default()
        };
        let placement = place(&model, &given, Host::default());
        (model, placement)
    };
    let mut gateway = gateway(2);
    let (model, placement) = placed(Some("192.0.2.0/24"));
    assert!(gateway.apply(&model, &placement).is_empty());

    let client = udp();
    client.send_to(b"12345", address).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap_or_default(), 0, "closed");
    let counters = gateway.counters();
    eventually("both are counted", || {
        let seen = block_on(counters.metrics());
        seen.totals.refused == [("source_ranges", 2)] && seen.l4.is_empty()
    });

    // The list is another one: at once, without another socket.
    let (model, placement) = placed(Some("127.0.0.0/8"));
    assert!(gateway.apply(&model, &placement).is_empty());
    eventually("let in", || {
        client.send_to(b"123", address).unwrap();
        endpoint
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        endpoint.recv_from(&mut [0; 16]).is_ok()
    });
    let (model, placement) = placed(None);
    assert!(placement.sources.is_empty());
    assert!(gateway.apply(&model, &placement).is_empty());
    eventually(
        "TCP gets as far as to the endpoint, which nobody listens at",
        || {
            let _ = TcpStream::connect(address);
            let seen = block_on(counters.metrics());
            let totals = seen.l4.values();
            totals.map(|one| one.opened).sum::<u64>() >= 2
        },
    );
}

/// kube-proxy carries it where it runs: whoever has the port keeps it, after a new start as well.
#[test]
fn a_port_that_kube_proxy_serves_is_taken_from_nobody() {
    let has_it = udp();
    let address = has_it.local_addr().unwrap();
    let service = udp_service("led", address.port(), &[]);
    let led = [service.key.clone()].into();
    let given = [(service.key.clone(), vec![address.ip()])].into();
    let model = Model {
        services: Arc::new(vec![service]),
        ..Model::default()
    };
    let placed = |led| {
        let host = Host {
            led,
            ..Host::default()
        };
        place(&model, &given, host)
    };
    assert_eq!(placed(Led::LeftAlone(&led)).places, []);
    let mut gateway = gateway(1);
    let findings = gateway.apply(&model, &placed(Led::None));
    assert_eq!(findings[0].level, Level::Error, "{findings:?}");
    let placement = placed(Led::WherePortsAreFree(&led));
    let findings = gateway.apply(&model, &placement);
    assert_eq!(findings[0].level, Level::Info, "{findings:?}");
    assert!(findings[0].message.contains("kube-proxy"), "{findings:?}");
    drop(has_it);
    for _ in 0..2 {
        assert_eq!(gateway.retry(), findings);
        assert_eq!(gateway.apply(&model, &placement), findings);
    }
    assert!(UdpSocket::bind(address).is_ok(), "it has its port again");

    // It is another one's business now.
    assert!(
        gateway
            .apply(&Model::default(), &Placement::default())
            .is_empty()
    );
    assert!(gateway.apply(&model, &placement).is_empty());
    assert_eq!(gateway.listeners().count(), 1);
}

fn udp() -> UdpSocket {
    let socket = UdpSocket::bind(loopback(0)).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

/// Design: UDP is counted as TCP is, and a datagram that is dropped leaves a trace.
#[test]
fn udp_bytes_and_drops_are_in_the_metrics() {
    let endpoint = udp();
    let [served, empty] = [0; 2].map(|_| udp().local_addr().unwrap());
    let model = Model {
        services: Arc::new(vec![
            udp_service("served", served.port(), &[endpoint.local_addr().unwrap()]),
            udp_service("empty", empty.port(), &[]),
        ]),
        ..Model::default()
    };
    let places = [(served, 0), (empty, 1)].map(|(address, service)| Place::Service {
        address,
        service,
        port: (TransportProtocol::Udp, address.port()),
    });
    let placement = Placement {
        places: places.to_vec(),
        ..Placement::default()
    };
    let mut gateway = gateway(2);
    let findings = gateway.apply(&model, &placement);
    assert!(findings.is_empty(), "{findings:?}");

    let client = udp();
    client.send_to(b"12345", served).unwrap();
    let (n, from) = endpoint.recv_from(&mut [0; 16]).unwrap();
    assert_eq!(n, 5);
    endpoint.send_to(b"123", from).unwrap();
    assert_eq!(client.recv_from(&mut [0; 16]).unwrap().0, 3);
    client.send_to(b"lost", empty).unwrap();

    let counters = gateway.counters();
    let mut seen = MetricsSnapshot::default();
    eventually("the dropped datagram is counted", || {
        seen = block_on(counters.metrics());
        seen.totals.limits == [("udp_endpoints", 1)]
    });
    let all: Vec<_> = seen.l4.values().collect();
    assert_eq!(all.len(), 1, "{all:?}");
    let one = all[0];
    let counted = (one.opened, one.closed, one.received_bytes, one.sent_bytes);
    assert_eq!(counted, (1, 0, 5, 3));

    // The flow ends with its listener, and with it the endpoint's load.
    gateway.apply(&Model::default(), &Placement::default());
    eventually("the flow is closed", || {
        let seen = block_on(counters.metrics());
        seen.l4
            .values()
            .all(|one| (one.closed, one.sent_bytes) == (1, 3))
    });
}
