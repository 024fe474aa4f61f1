//! The harness itself: a LAN that carries ARP, IPv6, HTTP, TCP and UDP, and leaves nothing.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use gatehouse_e2e::{
    DEADLINE, Echo, EchoPorts, Lan, Node, eventually, free_port, http, loopback_address,
};

#[test]
fn machines_of_the_lan_reach_each_other() {
    let Some(mut lan) = Lan::new(&["ping", "arping", "curl"]) else {
        return;
    };
    let client = lan.node("client", 100);
    let server = lan.node("backend", 21);
    let _echo = Echo::http(&server, "backend-v1", SocketAddr::from((server.v4(), 9080)));

    client
        .exec(["ping", "-c", "1", "-W", "5", "192.168.8.21"])
        .ok();
    client
        .exec(["ping", "-c", "1", "-W", "5", "fd00:8::15"])
        .ok();
    let arping = client
        .exec(["arping", "-c", "1", "-i", "eth0", "192.168.8.21"])
        .ok();
    assert!(
        arping.to_ascii_lowercase().contains(&server.mac()),
        "{arping}"
    );
    let page = client
        .exec(["curl", "-sS", "http://192.168.8.21:9080/a?b=c"])
        .ok();
    assert!(page.contains(r#""path":"/a?b=c""#), "{page}");
    let here = client.enter(|| http::get((server.v4(), 9080).into(), "a.lan", "/x", &[]));
    assert_eq!(here.unwrap().json()["name"], "backend-v1");

    lan.cable(&client, false);
    let cut = client.exec(["ping", "-c", "1", "-W", "1", "192.168.8.21"]);
    assert!(!cut.status.success(), "the cable is pulled");
    lan.cable(&client, true);
    eventually("the cable carries again", DEADLINE, || {
        let ping = client.exec(["ping", "-c", "1", "-W", "1", "192.168.8.21"]);
        ping.status.success().then_some(())
    });
}

#[test]
fn two_lans_are_two_networks_and_vanish_even_on_panic() {
    let Some(mut one) = Lan::new(&["ping"]) else {
        return;
    };
    let Some(mut two) = Lan::new(&[]) else { return };
    let here = one.node("a", 21);
    let there = two.node("a", 21);
    let namespaces = [here.namespace(), there.namespace()].map(|name| name.unwrap().to_owned());
    assert_ne!(namespaces[0], namespaces[1]);
    two.node("only-in-two", 22);
    let ping = here.exec(["ping", "-c", "1", "-W", "1", "192.168.8.22"]);
    assert!(!ping.status.success(), "LANs are separate");
    assert_eq!(here.sh("ip -br link | grep -c eth0").ok().trim(), "1");

    let process = here.spawn(["cat"]);
    let failed = std::thread::spawn(move || {
        let _lans = (one, two);
        panic!("a test fails (expected)");
    });
    assert!(failed.join().is_err());
    for name in namespaces {
        let path = format!("/var/run/netns/{name}");
        assert!(
            !std::path::Path::new(&path).exists(),
            "{path} was left behind"
        );
    }
    drop(process);
}

#[test]
fn the_echo_obeys_its_controls() {
    let address = loopback_address();
    let any = SocketAddr::from((address, 0));
    let listen = EchoPorts {
        http: vec![any],
        tcp: vec![any],
        udp: vec![any],
        ..EchoPorts::default()
    };
    let mut echo = Echo::start(&Node::host(), "api-v1", &listen);
    let at = echo.address();

    let steer = [
        "x-echo-status: 418",
        "x-echo-header: a=b,c=d",
        "x-echo-delay: 0.01",
    ];
    let answer = http::get(at, "a.lan", "/p?q", &steer).unwrap();
    assert_eq!((answer.status, answer.header("c")), (418, Some("d")));
    let seen = answer.json();
    assert_eq!(
        (&seen["method"], &seen["path"]),
        (&"GET".into(), &"/p?q".into())
    );
    assert_eq!(answer.seen("host").as_deref(), Some("a.lan"));
    let answer = http::get(at, "a.lan", "/", &["te: trailers", "x-echo-trailer: t=1"]).unwrap();
    assert_eq!(answer.trailers, [("t".to_owned(), "1".to_owned())]);
    let answer = http::get(at, "a.lan", "/", &["x-echo-size: 100000"]).unwrap();
    assert_eq!(answer.body.len(), 100_000);

    let mut client = http::Client::connect(at).unwrap();
    client
        .send(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n")
        .unwrap();
    assert_eq!(client.head().unwrap().status, 101);
    client.send(b"ping").unwrap();
    client.finish().unwrap();
    assert_eq!(client.until_closed().unwrap(), b"ping");

    let mut stream = TcpStream::connect(echo.ports().tcp[0]).unwrap();
    stream.write_all(b"tcp").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "tcp");

    let socket = UdpSocket::bind((loopback_address(), 0)).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.send_to(b"udp", echo.ports().udp[0]).unwrap();
    let mut buffer = [0; 16];
    let read = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..read], b"udp");

    echo.kill();
    assert!(
        TcpStream::connect_timeout(&at, DEADLINE).is_err(),
        "a killed echo refuses"
    );
}

#[test]
fn loopback_addresses_and_ports_are_not_shared() {
    let (one, two) = (loopback_address(), loopback_address());
    assert_ne!(one, two);
    assert!(one.is_loopback() && free_port(one) > 0);
}

#[test]
#[should_panic(expected = "not within")]
fn a_deadline_ends_the_waiting() {
    eventually("nothing", Duration::from_millis(20), || None::<()>);
}
