use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, UdpSocket as StdSocket};
use std::thread;

use tokio::task::LocalSet;

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);

fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, future)
}

async fn until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < DEADLINE, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn peer() -> StdSocket {
    let socket = StdSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

/// An endpoint that answers with what it was sent, until it gets an empty datagram.
fn echo() -> (SocketAddr, thread::JoinHandle<()>) {
    let socket = peer();
    let address = socket.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        loop {
            let (n, from) = socket.recv_from(&mut buffer).unwrap();
            if n == 0 {
                return;
            }
            socket.send_to(&buffer[..n], from).unwrap();
        }
    });
    (address, thread)
}

fn stop(echo: (SocketAddr, thread::JoinHandle<()>)) {
    peer().send_to(&[], echo.0).unwrap();
    echo.1.join().unwrap();
}

#[derive(Default)]
struct Chosen {
    endpoints: RefCell<Vec<SocketAddr>>,
    picked: Cell<u32>,
    ended: Cell<u32>,
    refused: RefCell<Vec<SocketAddr>>,
    carried: RefCell<HashMap<SocketAddr, (u64, u64)>>,
}

struct Choose(Rc<Chosen>);

impl Endpoints for Choose {
    fn pick(&self, _client: SocketAddr) -> Option<Box<dyn Picked>> {
        let endpoint = self.0.endpoints.borrow().first().copied()?;
        self.0.picked.set(self.0.picked.get() + 1);
        Some(Box::new(One(Rc::clone(&self.0), endpoint)))
    }
}

struct One(Rc<Chosen>, SocketAddr);

impl Picked for One {
    fn address(&self) -> SocketAddr {
        self.1
    }

    fn refused(&self) {
        self.0.refused.borrow_mut().push(self.1);
        self.0.endpoints.borrow_mut().retain(|e| *e != self.1);
    }

    fn carried(&self, received: u64, sent: u64) {
        let mut carried = self.0.carried.borrow_mut();
        let (r, s) = carried.entry(self.1).or_default();
        *r += received;
        *s += sent;
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.0.ended.set(self.0.ended.get() + 1);
    }
}

struct Carrying {
    carrier: Rc<Carrier>,
    chosen: Rc<Chosen>,
    counters: Rc<UdpCounters>,
    port: u16,
}

fn start(listen: &str, endpoints: &[SocketAddr], settings: UdpSettings) -> Carrying {
    let bound = BoundUdp::open(listen.parse().unwrap()).unwrap();
    let chosen = Rc::new(Chosen::default());
    *chosen.endpoints.borrow_mut() = endpoints.to_vec();
    let counters = Rc::new(UdpCounters::default());
    let carrier = Carrier::new(
        bound,
        Box::new(Choose(Rc::clone(&chosen))),
        settings,
        Rc::clone(&counters),
        Rc::new(Pipes::default()),
    )
    .unwrap();
    let port = carrier.local_addr().port();
    tokio::task::spawn_local(Rc::clone(&carrier).run());
    Carrying {
        carrier,
        chosen,
        counters,
        port,
    }
}

/// Sends from `client` and waits for the answer, off the worker's thread.
async fn ask(client: &StdSocket, at: SocketAddr, text: &[u8]) -> (Vec<u8>, SocketAddr) {
    let (client, text) = (client.try_clone().unwrap(), text.to_vec());
    tokio::task::spawn_blocking(move || {
        client.send_to(&text, at).unwrap();
        let mut buffer = vec![0; 65_536];
        let (n, from) = client.recv_from(&mut buffer).unwrap();
        buffer.truncate(n);
        (buffer, from)
    })
    .await
    .unwrap()
}

#[test]
fn two_clients_each_hear_their_own_answers() {
    run(async {
        let echo = echo();
        let it = start("127.0.0.1:0", &[echo.0], UdpSettings::default());
        let at = it.carrier.local_addr();
        let (a, b) = (peer(), peer());
        for round in 0..20 {
            for (client, name) in [(&a, "a"), (&b, "b")] {
                let text = format!("{name}{round}");
                let (answer, from) = ask(client, at, text.as_bytes()).await;
                assert_eq!(answer, text.as_bytes());
                assert_eq!(from, at);
            }
        }
        assert_eq!(it.carrier.flows(), 2);
        assert_eq!(it.counters.received_datagrams.get(), 40);
        assert_eq!(it.counters.sent_datagrams.get(), 40);
        assert_eq!(it.chosen.picked.get(), 2);
        stop(echo);
    });
}

#[test]
fn the_largest_datagram_passes_whole_and_an_empty_one_too() {
    run(async {
        let sink = peer();
        let it = start(
            "127.0.0.1:0",
            &[sink.local_addr().unwrap()],
            UdpSettings::default(),
        );
        let at = it.carrier.local_addr();
        let client = peer();
        for length in [65_507, 0, 1] {
            client.send_to(&vec![9; length], at).unwrap();
            let sink = sink.try_clone().unwrap();
            let got = tokio::task::spawn_blocking(move || {
                sink.recv_from(&mut vec![0; 65_536]).unwrap().0
            });
            assert_eq!(got.await.unwrap(), length);
        }
    });
}

/// RFC 1122 §4.1.3.5: a reply comes from the address that was asked, also on a wildcard socket.
#[test]
fn a_wildcard_answers_from_the_address_that_was_asked() {
    run(async {
        let echo = echo();
        let it = start("0.0.0.0:0", &[echo.0], UdpSettings::default());
        let client = peer();
        for last in [1, 2, 3] {
            let at = SocketAddr::from(([127, 0, 0, last], it.port));
            let (answer, from) = ask(&client, at, b"who").await;
            assert_eq!(answer, b"who");
            assert_eq!(from, at);
        }
        assert_eq!(it.carrier.flows(), 3);
        stop(echo);
    });
}

#[test]
fn an_ipv6_wildcard_does_so_too() {
    let Ok(client) = StdSocket::bind("[::1]:0") else {
        assert!(
            std::env::var_os("GATEHOUSE_REQUIRE_ALL").is_none(),
            "needs IPv6"
        );
        eprintln!("SKIPPED an_ipv6_wildcard_does_so_too: needs IPv6");
        return;
    };
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    run(async {
        let echo = echo();
        let it = start("[::]:0", &[echo.0], UdpSettings::default());
        let at: SocketAddr = format!("[::1]:{}", it.port).parse().unwrap();
        let (answer, from) = ask(&client, at, b"who").await;
        assert_eq!((answer.as_slice(), from), (b"who".as_slice(), at));
        stop(echo);
    });
}

#[test]
fn a_flow_ends_after_silence() {
    run(async {
        let echo = echo();
        let settings = UdpSettings {
            idle_timeout: Duration::from_millis(100),
            ..UdpSettings::default()
        };
        let it = start("127.0.0.1:0", &[echo.0], settings);
        let begun = Instant::now();
        ask(&peer(), it.carrier.local_addr(), b"once").await;
        assert_eq!(it.carrier.flows(), 1);
        until("the end of the flow", || it.carrier.flows() == 0).await;
        assert!(begun.elapsed() >= Duration::from_millis(100));
        assert_eq!(it.counters.flows_closed.get(), 1);
        assert_eq!(it.chosen.ended.get(), 1);
        stop(echo);
    });
}

#[test]
fn flows_never_exceed_their_bound_and_answered_ones_stay() {
    run(async {
        let echo = echo();
        let silent = peer();
        let settings = UdpSettings {
            max_flows: 4,
            ..UdpSettings::default()
        };
        let it = start("127.0.0.1:0", &[echo.0], settings);
        let at = it.carrier.local_addr();
        let answered = peer();
        ask(&answered, at, b"here").await;
        *it.chosen.endpoints.borrow_mut() = vec![silent.local_addr().unwrap()];
        // A flood of sources that nobody answers.
        let flood: Vec<StdSocket> = (0..40).map(|_| peer()).collect();
        for client in &flood {
            client.send_to(b"x", at).unwrap();
        }
        until("the flood", || it.counters.flows_opened.get() == 41).await;
        assert_eq!(it.carrier.flows(), 4);
        assert_eq!(it.counters.flows_evicted.get(), 37);
        ask(&answered, at, b"still").await;
        assert_eq!(
            it.counters.flows_opened.get(),
            41,
            "the answered flow was lost"
        );
        stop(echo);
    });
}

#[test]
fn an_endpoint_that_refuses_is_reported_and_the_next_one_taken() {
    run(async {
        let gone = peer().local_addr().unwrap(); // closed at once
        let echo = echo();
        let it = start("127.0.0.1:0", &[gone, echo.0], UdpSettings::default());
        let at = it.carrier.local_addr();
        let client = peer();
        client.send_to(b"lost", at).unwrap();
        until("the refusal", || !it.chosen.refused.borrow().is_empty()).await;
        assert_eq!(*it.chosen.refused.borrow(), [gone]);
        assert_eq!(it.counters.flows_refused.get(), 1);
        let (answer, _) = ask(&client, at, b"again").await;
        assert_eq!(answer, b"again");
        assert_eq!((it.chosen.picked.get(), it.chosen.ended.get()), (2, 1));
        stop(echo);
    });
}

#[test]
fn without_an_endpoint_datagrams_are_counted_and_dropped() {
    run(async {
        let it = start("127.0.0.1:0", &[], UdpSettings::default());
        peer().send_to(b"x", it.carrier.local_addr()).unwrap();
        until("the drop", || it.counters.dropped_no_endpoint.get() == 1).await;
        assert_eq!(it.carrier.flows(), 0);
    });
}

#[test]
fn flows_to_vanished_endpoints_end_and_clients_go_elsewhere() {
    run(async {
        let (old, new) = (echo(), echo());
        let it = start("127.0.0.1:0", &[old.0], UdpSettings::default());
        let at = it.carrier.local_addr();
        let client = peer();
        ask(&client, at, b"one").await;
        *it.chosen.endpoints.borrow_mut() = vec![new.0];
        it.carrier.retain(|endpoint| endpoint == new.0);
        assert_eq!(it.carrier.flows(), 0);
        stop(old);
        let (answer, _) = ask(&client, at, b"two").await;
        assert_eq!(answer, b"two");
        stop(new);
    });
}

#[test]
fn bytes_are_reported_to_the_flow_s_own_endpoint() {
    run(async {
        let (a, b) = (echo(), echo());
        let it = start("127.0.0.1:0", &[a.0], UdpSettings::default());
        let at = it.carrier.local_addr();
        let (first, second) = (peer(), peer());
        ask(&first, at, b"12345").await;
        *it.chosen.endpoints.borrow_mut() = vec![b.0];
        ask(&second, at, b"123").await;
        ask(&first, at, b"67").await;
        assert!(it.chosen.carried.borrow().is_empty(), "not asked for yet");
        it.carrier.report();
        let told = |endpoint| it.chosen.carried.borrow().get(&endpoint).copied();
        assert_eq!((told(a.0), told(b.0)), (Some((7, 7)), Some((3, 3))));
        // The last bytes are told at the end.
        ask(&first, at, b"8").await;
        it.carrier.retain(|endpoint| endpoint != a.0);
        it.carrier.report();
        assert_eq!((told(a.0), told(b.0)), (Some((8, 8)), Some((3, 3))));
        stop(a);
        stop(b);
    });
}

#[test]
fn the_flows_end_with_the_carrier() {
    run(async {
        let echo = echo();
        let it = start("127.0.0.1:0", &[echo.0], UdpSettings::default());
        let bound = BoundUdp::open(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)).unwrap();
        let chosen = Rc::new(Chosen::default());
        *chosen.endpoints.borrow_mut() = vec![echo.0];
        let carrier = Carrier::new(
            bound,
            Box::new(Choose(Rc::clone(&chosen))),
            UdpSettings::default(),
            Rc::clone(&it.counters),
            Rc::new(Pipes::default()),
        )
        .unwrap();
        let at = carrier.local_addr();
        let running = tokio::task::spawn_local(carrier.run());
        ask(&peer(), at, b"x").await;
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
        assert_eq!(chosen.ended.get(), 1);
        stop(echo);
    });
}
