//! TCP servers of a Gateway, by the `tcp` routes of VirtualServices.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use gatehouse_e2e::front::services_yaml;
use gatehouse_e2e::{
    ConfigDir, DEADLINE, Gatehouse, Node, Upstream, eventually, free_port, loopback_address,
};

/// A gateway with one TCP server and these `tcp` routes.
struct Tcp {
    config: ConfigDir,
    gatehouse: Gatehouse,
    address: SocketAddr,
}

fn routes(tcp: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: routes, namespace: default}}
spec: {{hosts: ['*'], gateways: [istio-system/gw], tcp: {tcp}}}
"
    )
}

fn start(tcp: &str, services: &[(&str, &[SocketAddr])]) -> Tcp {
    let own = loopback_address();
    let address = SocketAddr::from((own, free_port(own)));
    let config = ConfigDir::new();
    config.write(
        "gateway.yaml",
        &format!(
            "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gw, namespace: istio-system}}
spec:
  servers: [{{port: {{number: {}, name: tcp, protocol: TCP}}, hosts: ['*']}}]
",
            address.port()
        ),
    );
    config.write("services.yaml", &services_yaml(services));
    config.write("routes.yaml", &routes(tcp));
    let admin = SocketAddr::from((own, free_port(own))).to_string();
    let status = SocketAddr::from((own, free_port(own))).to_string();
    let log = config.file("access.log");
    let gatehouse = Gatehouse::on(&Node::host())
        .admin(&admin)
        .arguments(&["--status", &status, "--health", "off", "--workers", "1"])
        .arguments(&["--listen", &own.to_string()])
        .arguments(&["--access-log", log.to_str().expect("the path is text")])
        .start(config.path());
    Tcp {
        config,
        gatehouse,
        address,
    }
}

/// An upstream that says its name and then returns what it is sent.
fn named(name: &'static str) -> Upstream {
    Upstream::start(move |mut incoming| {
        incoming.send(name.as_bytes())?;
        let text = incoming.until_closed()?;
        incoming.send(&text)
    })
}

/// What a connection brings after `line` was sent; an error where it was cut.
fn talk(address: SocketAddr, line: &[u8]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(line)?;
    stream.shutdown(Shutdown::Write)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn line_of_log(tcp: &Tcp, part: &str) -> String {
    eventually(part, DEADLINE, || {
        let text = std::fs::read_to_string(tcp.config.file("access.log")).unwrap_or_default();
        let mut lines = text.lines();
        lines.find(|line| line.contains(part)).map(str::to_owned)
    })
}

#[test]
fn connections_are_carried_by_weight() {
    let (a, b) = (named("a "), named("b "));
    let tcp = start(
        "[{route: [{destination: {host: a.test}, weight: 80}, {destination: {host: b.test}, weight: 20}]}]",
        &[("a.test", &[a.address()]), ("b.test", &[b.address()])],
    );
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..300 {
        *counts
            .entry(talk(tcp.address, b"x\n").expect("carried"))
            .or_default() += 1;
    }
    let share = counts.get("b x\n").copied().unwrap_or_default();
    // Five sigma around 60.
    assert!(
        (25..=95).contains(&share) && counts.len() == 2,
        "{counts:?}"
    );
    let line = line_of_log(&tcp, "outbound|80||b.test");
    assert!(line.contains("\"- - -\" 0 - - - \"-\" 2 4 "), "{line}");
    assert!(line.contains(&format!("\"{}\"", b.address())), "{line}");
    let rows = tcp.gatehouse.rows("routes");
    assert_eq!(rows[0]["action"], "carry");
}

#[test]
fn what_leads_nowhere_closes_the_connection() {
    let tcp = start(
        "[{route: [{destination: {host: nobody.test}}]}]",
        &[("empty.test", &[])],
    );
    let cut = |address| match talk(address, b"x\n") {
        Ok(text) => text.is_empty(),
        Err(error) => matches!(
            error.kind(),
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::NotConnected
        ),
    };
    assert!(cut(tcp.address));
    let line = line_of_log(&tcp, "\"- - -\" 0 NC ");
    assert!(
        line.contains(" \"-\" - "),
        "no upstream, no cluster: {line}"
    );
    tcp.config.write(
        "routes.yaml",
        &routes("[{route: [{destination: {host: empty.test}}]}]"),
    );
    eventually("the empty service", DEADLINE, || {
        assert!(cut(tcp.address));
        let text = std::fs::read_to_string(tcp.config.file("access.log")).unwrap_or_default();
        text.contains("\"- - -\" 0 UH ").then_some(())
    });
    // Without a route the port is closed.
    tcp.config.write(
        "routes.yaml",
        &routes("[{match: [{port: 1}], route: [{destination: {host: empty.test}}]}]"),
    );
    eventually("the port is closed", DEADLINE, || {
        let refused = TcpStream::connect(tcp.address).err()?;
        (refused.kind() == ErrorKind::ConnectionRefused).then_some(())
    });
}

/// An HTTP proxy that grants one tunnel and says first what it was asked.
fn proxy(answer: &'static str) -> Upstream {
    Upstream::start(move |mut incoming| {
        let head = incoming.head()?.unwrap_or_default();
        let asked = head.lines().next().unwrap_or_default().to_owned();
        let host = head.lines().find(|line| line.starts_with("host: "));
        let told = format!("{asked} {}\n", host.unwrap_or_default());
        if !answer.contains("chunked") {
            incoming.send(format!("{answer}{told}").as_bytes())?;
            let text = incoming.until_closed()?;
            return incoming.send(&text);
        }
        let chunk = |text: &[u8]| {
            let mut chunk = format!("{:x}\r\n", text.len()).into_bytes();
            chunk.extend_from_slice(text);
            chunk.extend_from_slice(b"\r\n");
            chunk
        };
        incoming.send(answer.as_bytes())?;
        incoming.send(&chunk(told.as_bytes()))?;
        // The client's bytes, as they are framed: it ends its side with the last chunk.
        let mut seen = Vec::new();
        while !seen.ends_with(b"0\r\n\r\n") {
            seen.extend(incoming.exactly(1)?);
        }
        incoming.send(&chunk(&seen))?;
        incoming.send(b"0\r\n\r\n")
    })
}

/// With this policy for the upstream.
fn under(proxy: &Upstream, settings: &str) -> Tcp {
    let tcp = start(
        "[{route: [{destination: {host: proxy.test}}]}]",
        &[("proxy.test", &[proxy.address()])],
    );
    tcp.config.write(
        "rule.yaml",
        &format!(
            "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: proxy, namespace: default}}
spec: {{host: proxy.test, trafficPolicy: {settings}}}
"
        ),
    );
    tcp
}

#[test]
fn a_tunnel_goes_through_a_proxy_by_connect_and_by_post() {
    let connect = proxy("HTTP/1.1 200 Connection established\r\n\r\n");
    let tcp = under(&connect, "{tunnel: {targetHost: db.lan, targetPort: 5432}}");
    let expected = "CONNECT db.lan:5432 HTTP/1.1 host: db.lan:5432\nhello\n";
    eventually("CONNECT", DEADLINE, || {
        (talk(tcp.address, b"hello\n").ok()? == expected).then_some(())
    });
    let line = line_of_log(&tcp, &format!("6 {} ", expected.len()));
    assert!(line.contains("outbound|80||proxy.test"), "{line}");

    let post = proxy("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    let tcp = under(
        &post,
        "{tunnel: {protocol: POST, targetHost: 'fd00::1', targetPort: 5432}}",
    );
    let expected = "POST / HTTP/1.1 host: [fd00::1]:5432\n6\r\nhello\n\r\n0\r\n\r\n";
    eventually("POST", DEADLINE, || {
        (talk(tcp.address, b"hello\n").ok()? == expected).then_some(())
    });
}

#[test]
fn a_proxy_that_refuses_is_an_upstream_that_failed() {
    let refusing = proxy("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
    let tcp = under(
        &refusing,
        "{tunnel: {targetHost: db.lan, targetPort: 5432}}",
    );
    eventually("the refusal", DEADLINE, || {
        talk(tcp.address, b"hello\n").is_err().then_some(())
    });
    line_of_log(&tcp, "\"- - -\" 0 UF,URX ");
}

fn connect(tcp: &Tcp) -> TcpStream {
    let stream = TcpStream::connect(tcp.address).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    stream
}

/// Reads the upstream's name; none where the connection is cut.
fn greeting(stream: &mut TcpStream) -> Option<u8> {
    let mut byte = [0];
    stream.read_exact(&mut byte).ok().map(|()| byte[0])
}

/// The log's lines that have this part.
fn lines_of_log(tcp: &Tcp, part: &str) -> usize {
    let text = std::fs::read_to_string(tcp.config.file("access.log")).unwrap_or_default();
    text.lines().filter(|line| line.contains(part)).count()
}

#[test]
fn connections_are_limited_in_number() {
    let upstream = named("a");
    let tcp = under(&upstream, "{connectionPool: {tcp: {maxConnections: 1}}}");
    let mut first = eventually("the rule is in force", DEADLINE, || {
        let mut first = connect(&tcp);
        greeting(&mut first)?;
        match greeting(&mut connect(&tcp)) {
            None => Some(first),
            Some(_) => None,
        }
    });
    assert!(lines_of_log(&tcp, "\"- - -\" 0 UO ") > 0 || !line_of_log(&tcp, " UO ").is_empty());
    assert_eq!(greeting(&mut connect(&tcp)), None, "still one too many");
    first.write_all(b"x").expect("the first goes on");
    drop(first);
    eventually("room again", DEADLINE, || greeting(&mut connect(&tcp)));
}

/// Whether a new connection is greeted, and then closed by the gateway.
fn is_closed_for(tcp: &Tcp) -> Option<()> {
    let mut stream = connect(tcp);
    greeting(&mut stream)?;
    stream
        .set_read_timeout(Some(std::time::Duration::from_secs(5)))
        .ok()?;
    let closed = stream.read(&mut [0; 1]);
    matches!(closed, Ok(0)).then_some(())
}

#[test]
fn connections_end_when_they_are_old_and_when_they_are_silent() {
    let upstream = named("a");
    let tcp = under(
        &upstream,
        "{connectionPool: {tcp: {maxConnectionDuration: 400ms}}}",
    );
    eventually("old ones are closed", DEADLINE, || is_closed_for(&tcp));
    line_of_log(&tcp, "\"- - -\" 0 DT ");

    let tcp = under(&upstream, "{connectionPool: {tcp: {idleTimeout: 400ms}}}");
    eventually("silent ones are closed", DEADLINE, || is_closed_for(&tcp));
    // Envoy has no flag for it.
    line_of_log(&tcp, "\"- - -\" 0 - - - \"-\" 0 1 ");
    assert_eq!(lines_of_log(&tcp, " DT "), 0);
}

/// What the kernel says of the connection to `upstream`: its timer and when it fires, in ticks of
/// a hundredth of a second.
fn kernel_timer(upstream: SocketAddr) -> Option<(u8, u64)> {
    let SocketAddr::V4(to) = upstream else {
        return None;
    };
    let address = u32::from_le_bytes(to.ip().octets());
    let remote = format!("{address:08X}:{:04X}", to.port());
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let established = |line: &&str| {
        let mut words = line.split_whitespace().skip(2);
        words.next() == Some(&remote) && words.next() == Some("01")
    };
    let line = table.lines().find(established)?;
    let (kind, when) = line.split_whitespace().nth(5)?.split_once(':')?;
    Some((kind.parse().ok()?, u64::from_str_radix(when, 16).ok()?))
}

#[test]
fn the_kernel_probes_as_the_rule_asks() {
    let upstream = named("a");
    let tcp = under(
        &upstream,
        "{connectionPool: {tcp: {tcpKeepalive: {time: 1000s, interval: 7s, probes: 2}}}}",
    );
    eventually("the probes' timer", DEADLINE, || {
        let mut stream = connect(&tcp);
        greeting(&mut stream)?;
        let (kind, when) = kernel_timer(upstream.address())?;
        // 2: keep-alive; the daemon's own are far shorter.
        (kind == 2 && (90_000..=100_000).contains(&when)).then_some(())
    });
}
