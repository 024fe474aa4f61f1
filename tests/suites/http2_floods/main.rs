//! What clients of HTTP/2 can flood a gateway with: each has its limit, its answer and its counter,
//! and costs nobody else anything. Frames are made by hand: no library would send them.

mod frames;

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use frames::*;
use gatehouse_e2e::{DEADLINE, Echo, EchoPorts, Front, Node, eventually, loopback_address};

const RULES: &str = "- route: [{destination: {host: one.test}}]\n";

struct Setting {
    _echo: Echo,
    front: Front,
}

fn start() -> Setting {
    start_with(&[])
}

/// With further arguments of the daemon.
fn start_with(arguments: &[&str]) -> Setting {
    let any = SocketAddr::from((loopback_address(), 0));
    let listen = EchoPorts {
        http: vec![any],
        ..EchoPorts::default()
    };
    let echo = Echo::start(&Node::host(), "echo", &listen);
    let front = Front::start_with(RULES, &[("one.test", &[echo.address()])], |builder| {
        builder.arguments(&["--workers", "1"]).arguments(arguments)
    });
    Setting { _echo: echo, front }
}

impl Setting {
    fn connect(&self) -> Raw {
        Raw::connect(self.front.address, &[])
    }

    /// How often a limit was reached.
    fn reached(&self, limit: &str) -> u64 {
        self.counted(&format!("limit=\"{limit}\"}} "))
    }

    fn counted(&self, what: &str) -> u64 {
        let metrics = self.front.gatehouse.api("/stats/prometheus").text();
        let line = metrics.lines().find_map(|line| line.split_once(what));
        line.map_or(0, |(_, count)| count.parse().expect("a number"))
    }

    /// Others are served, and soon.
    fn serves_others(&self) {
        let start = Instant::now();
        assert_eq!(self.front.get("/", &[]).status, 200);
        let mut other = self.connect();
        other.send(&frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            1,
            &request("GET"),
        ));
        let answer = other
            .find(|frame| frame.kind == HEADERS)
            .expect("an answer");
        assert_eq!(answer.payload[0], 0x88, "200: {answer:?}");
        assert!(start.elapsed() < Duration::from_secs(5));
    }

    /// Memory of the daemon, in bytes.
    fn memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.front.gatehouse.id());
        let status = fs::read_to_string(path).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.expect("its memory") * 1024
    }
}

/// A block of a header list that never ends.
fn open_headers() -> Vec<u8> {
    frame(HEADERS, 0, 1, &request("POST"))
}

#[test]
fn floods_of_small_frames_are_ended() {
    let setting = start();
    let many = |frame: Vec<u8>| frame.repeat(5_000);
    let posted = frame(HEADERS, END_HEADERS, 1, &request("POST"));
    let cases: [(&str, Vec<u8>, &str); 8] = [
        (
            "PING",
            many(frame(PING, 0, 0, &[0; 8])),
            "http2_idle_frames",
        ),
        (
            "SETTINGS",
            many(frame(SETTINGS, 0, 0, &[])),
            "http2_idle_frames",
        ),
        (
            "WINDOW_UPDATE",
            many(frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
            "http2_idle_frames",
        ),
        (
            "PRIORITY",
            many(frame(PRIORITY, 0, 3, &[0, 0, 0, 1, 7])),
            "http2_idle_frames",
        ),
        (
            "unknown frames",
            many(frame(0xfa, 0, 0, b"?")),
            "http2_idle_frames",
        ),
        (
            "empty DATA",
            [posted, many(frame(DATA, 0, 1, &[]))].concat(),
            "http2_flood",
        ),
        (
            "empty CONTINUATION",
            [open_headers(), many(frame(CONTINUATION, 0, 1, &[]))].concat(),
            "http2_flood",
        ),
        (
            "CONTINUATION",
            [
                open_headers(),
                many(frame(CONTINUATION, 0, 1, &field("x-field", &[b'x'; 1000]))),
            ]
            .concat(),
            "http2_flood",
        ),
    ];
    for (what, bytes, limit) in cases {
        let before = setting.reached(limit);
        let mut client = setting.connect();
        client.send(&bytes);
        assert_eq!(client.goaway(), Some(ENHANCE_YOUR_CALM), "{what}");
        eventually(what, DEADLINE, || {
            (setting.reached(limit) == before + 1).then_some(())
        });
        setting.serves_others();
    }
}

#[test]
fn limits_are_those_of_the_command_line() {
    let setting = start_with(&[
        "--http2-idle-frames",
        "50",
        "--http2-resets",
        "3",
        "--max-connections",
        "5",
    ]);
    let mut client = setting.connect();
    client.send(&frame(PING, 0, 0, &[0; 8]).repeat(200));
    assert_eq!(client.goaway(), Some(ENHANCE_YOUR_CALM));
    let is_reached = |limit: &str| {
        eventually(limit, DEADLINE, || {
            (setting.reached(limit) == 1).then_some(())
        });
    };
    is_reached("http2_idle_frames");

    let mut client = setting.connect();
    let slow = [request("GET"), field("x-echo-delay", b"20")].concat();
    for number in 0..8_u32 {
        let stream = 1 + 2 * number;
        let ask = frame(HEADERS, END_HEADERS | END_STREAM, stream, &slow);
        let give_up = frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
        client.send(&ask);
        // What is given up must have been begun: a PING is answered after it.
        client.send(&frame(PING, 0, 0, &[7; 8]));
        let Some(_) = client.find(|frame| frame.kind == PING || frame.kind == GOAWAY) else {
            break;
        };
        client.send(&give_up);
    }
    is_reached("http2_resets");

    // Those before are gone, or will be; these are one too many by themselves.
    let clients: Vec<_> = (0..6).map(|_| setting.connect()).collect();
    eventually("more connections than there may be", DEADLINE, || {
        (setting.reached("max_connections") > 0).then_some(())
    });
    assert!(clients.len() <= 6, "{}", clients.len());
}

/// What a browser, or a gRPC client that measures its line, sends is none.
#[test]
fn what_clients_need_is_no_flood() {
    let setting = start();
    let mut client = setting.connect();
    let (ping, update) = (
        frame(PING, 0, 0, &[7; 8]),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 4, 0]),
    );
    for number in 0..1_000_u32 {
        let get = frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            1 + 2 * number,
            &request("GET"),
        );
        let bytes = [get, ping.clone(), update.clone(), update.clone()].concat();
        assert!(client.send(&bytes), "after {number}");
        let ended = |frame: &Frame| frame.kind == DATA && frame.flags & END_STREAM != 0;
        client
            .find(ended)
            .unwrap_or_else(|| panic!("ended after {number}"));
    }
    assert_eq!(setting.reached("http2_idle_frames"), 0);
}

#[test]
fn header_lists_have_an_end() {
    let setting = start();
    // Over the limit, but still read to its end: the other streams go on.
    let mut client = setting.connect();
    let long = field("x-long", &vec![b'x'; 80_000]);
    let (first, rest) = long.split_at(16_000);
    client.send(&frame(
        HEADERS,
        END_STREAM,
        1,
        &[&request("GET"), first].concat(),
    ));
    let pieces: Vec<&[u8]> = rest.chunks(16_000).collect();
    for (number, piece) in pieces.iter().enumerate() {
        let flags = if number + 1 == pieces.len() {
            END_HEADERS
        } else {
            0
        };
        client.send(&frame(CONTINUATION, flags, 1, piece));
    }
    let answer = client.next_answer();
    assert_eq!(answer.kind, HEADERS, "{answer:?}");
    // 431 in Huffman's code.
    assert!(answer.payload.ends_with(&[0x69, 0x90, 0xff]), "{answer:?}");
    // A field of 4 KiB in the table, and 1,000 times one byte that means it.
    let mut client = setting.connect();
    let mut bomb = request("GET");
    bomb.push(0x40);
    bomb.extend(&field("x-bomb", &[b'x'; 3_900])[1..]);
    bomb.extend([0xbe; 1_000]);
    client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb));
    assert_eq!(client.goaway(), Some(ENHANCE_YOUR_CALM));
    setting.serves_others();
}

#[test]
fn windows_are_kept_to_what_they_may_be() {
    let setting = start();
    for (what, bytes, code) in [
        (
            "nothing for the connection",
            frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
            PROTOCOL_ERROR,
        ),
        (
            "too much for the connection",
            frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]).repeat(2),
            FLOW_CONTROL_ERROR,
        ),
    ] {
        let mut client = setting.connect();
        client.send(&bytes);
        assert_eq!(client.goaway(), Some(code), "{what}");
    }
    for (what, bytes, code) in [
        (
            "nothing for a stream",
            frame(WINDOW_UPDATE, 0, 1, &[0; 4]),
            PROTOCOL_ERROR,
        ),
        (
            "too much for a stream",
            frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff]).repeat(2),
            FLOW_CONTROL_ERROR,
        ),
    ] {
        let mut client = setting.connect();
        let block = [request("POST"), field("x-echo-delay", b"5")].concat();
        client.send(&frame(HEADERS, END_HEADERS, 1, &block));
        client.send(&bytes);
        let ended = client.find(|frame| matches!(frame.kind, RST_STREAM | GOAWAY));
        assert_eq!(ended.expect("an end").code(), code, "{what}");
    }
    setting.serves_others();
}

#[test]
fn headers_without_a_request_are_no_way_to_keep_a_gateway_busy() {
    let setting = start();
    let mut client = setting.connect();
    let mut refused = 0;
    for number in 0..3_000_u32 {
        if !client.send(&frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            1 + 2 * number,
            &[],
        )) {
            break;
        }
    }
    let goaway = loop {
        match client.next() {
            Some(frame) if frame.kind == RST_STREAM => refused += 1,
            Some(frame) if frame.kind == GOAWAY => break frame.code(),
            Some(_) => {}
            None => panic!("cut after {refused}"),
        }
    };
    assert_eq!(goaway, ENHANCE_YOUR_CALM);
    setting.serves_others();
}

#[test]
fn streams_are_counted() {
    let setting = start();
    let mut client = setting.connect();
    let slow = [request("GET"), field("x-echo-delay", b"20")].concat();
    for number in 0..300_u32 {
        client.send(&frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            1 + 2 * number,
            &slow,
        ));
    }
    let mut refused = Vec::new();
    while refused.len() < 44 {
        let frame = client.next().expect("the connection lives");
        if frame.kind == RST_STREAM {
            assert_eq!(frame.code(), REFUSED_STREAM);
            refused.push(frame.stream);
        }
    }
    assert!(
        refused.iter().all(|stream| *stream > 2 * 256),
        "{refused:?}"
    );
    setting.serves_others();
}

/// Who opens many streams with next to no window makes the gateway keep no more of each than it
/// keeps of one, and holds up nobody.
#[test]
fn readers_of_a_byte_at_a_time_cost_little() {
    let setting = start();
    setting.serves_others();
    let before = setting.memory();
    // SETTINGS_INITIAL_WINDOW_SIZE = 1.
    let window = [0, 4, 0, 0, 0, 1];
    let mut clients: Vec<Raw> = (0..4)
        .map(|_| Raw::connect(setting.front.address, &window))
        .collect();
    let large = [request("GET"), field("x-echo-size", b"10000000")].concat();
    for client in &mut clients {
        for number in 0..50_u32 {
            client.send(&frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                1 + 2 * number,
                &large,
            ));
        }
        for _ in 0..50 {
            client.find(|frame| frame.kind == DATA).expect("one byte");
        }
        for number in 0..50_u32 {
            client.send(&frame(WINDOW_UPDATE, 0, 1 + 2 * number, &[0, 0, 0, 1]));
        }
        for _ in 0..50 {
            let data = client.find(|frame| frame.kind == DATA).expect("one more");
            assert_eq!(data.payload.len(), 1);
        }
    }
    setting.serves_others();
    let each = setting.memory().saturating_sub(before) / 200;
    eprintln!("{each} bytes for each of 200 streams that are not read");
    assert!(each < 256 * 1024, "{each} bytes");
}

impl Raw {
    /// The first frame that answers a request or ends the connection.
    fn next_answer(&mut self) -> Frame {
        self.find(|frame| matches!(frame.kind, HEADERS | RST_STREAM | GOAWAY))
            .expect("an answer")
    }
}
