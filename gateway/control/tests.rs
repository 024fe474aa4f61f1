use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Instant;

use gatehouse_config::model::Server;

use super::*;
use crate::compile::Place;

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
            origins: Vec::new(),
            virtual_hosts: Vec::new(),
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
        findings: Vec::new(),
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
    assert_eq!(block_on(counters.health()).len(), 1);
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
