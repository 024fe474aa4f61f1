use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream as StdStream};
use std::rc::Rc;
use std::thread;

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, LocalSet};

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);

fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, future)
}

async fn pair() -> (TcpStream, StdStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = StdStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_read_timeout(Some(DEADLINE)).unwrap();
    peer.set_write_timeout(Some(DEADLINE)).unwrap();
    peer.set_nodelay(true).unwrap();
    (listener.accept().await.unwrap().0, peer)
}

/// A connection that is being carried, with both peers in hand.
struct Carrying {
    client: StdStream,
    upstream: StdStream,
    pipes: Rc<Pipes>,
    counters: Rc<TcpCounters>,
    task: JoinHandle<Carried>,
}

async fn start(settings: TcpSettings) -> Carrying {
    let (near, client) = pair().await;
    let (far, upstream) = pair().await;
    let pipes = Rc::new(Pipes::default());
    let counters = Rc::new(TcpCounters::default());
    let task = tokio::task::spawn_local({
        let (pipes, counters) = (Rc::clone(&pipes), Rc::clone(&counters));
        async move {
            let (mut near, mut far) = (near.into(), far.into());
            let memory = Memory {
                pipes: &pipes,
                buffers: &Buffers::default(),
            };
            carry(&mut near, &mut far, &settings, memory, &counters).await
        }
    });
    Carrying {
        client,
        upstream,
        pipes,
        counters,
        task,
    }
}

/// Numbered blocks of noise: a block lost, doubled or moved shows.
fn block(noise: &mut [u8], number: u64) {
    noise[..8].copy_from_slice(&number.to_be_bytes());
}

const BLOCK: usize = 65_521;

fn noise() -> Vec<u8> {
    let mut state = 1u64;
    (0..BLOCK)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}

fn send_blocks(mut to: StdStream, count: u64) -> StdStream {
    let mut noise = noise();
    for number in 0..count {
        block(&mut noise, number);
        to.write_all(&noise).unwrap();
    }
    to.shutdown(Shutdown::Write).unwrap();
    to
}

fn expect_blocks(mut from: StdStream, count: u64) -> StdStream {
    let mut noise = noise();
    let mut got = vec![0; BLOCK];
    for number in 0..count {
        block(&mut noise, number);
        from.read_exact(&mut got).unwrap();
        assert!(got == noise, "block {number} is not what was sent");
    }
    assert_eq!(from.read(&mut got).unwrap(), 0, "more came than was sent");
    from
}

#[test]
fn a_hundred_megabytes_each_way_arrive_unchanged() {
    const COUNT: u64 = 100_000_000 / BLOCK as u64;
    run(async {
        let carrying = start(TcpSettings::default()).await;
        let (client, upstream) = (carrying.client, carrying.upstream);
        let readers = [client.try_clone().unwrap(), upstream.try_clone().unwrap()];
        let threads: Vec<_> = [client, upstream]
            .into_iter()
            .map(|peer| thread::spawn(move || send_blocks(peer, COUNT)))
            .chain(
                readers
                    .into_iter()
                    .map(|peer| thread::spawn(move || expect_blocks(peer, COUNT))),
            )
            .collect();
        let carried = carrying.task.await.unwrap();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(carried.received, COUNT * BLOCK as u64);
        assert_eq!(carried.sent, COUNT * BLOCK as u64);
        assert!(matches!(carried.end, End::Closed(_)), "{carried:?}");
        let counters = &carrying.counters;
        assert_eq!(counters.received_bytes.get(), carried.received);
        assert_eq!(counters.sent_bytes.get(), carried.sent);
        assert_eq!(counters.connections_opened.get(), 1);
        assert_eq!(counters.connections_closed.get(), 1);
        assert!(carrying.pipes.open() > 0, "bulk was never spliced");
    });
}

/// RFC 9293 §3.6: a side that has closed may still receive.
#[test]
fn a_half_close_passes_and_the_other_half_goes_on() {
    for client_first in [true, false] {
        run(async {
            let carrying = start(TcpSettings::default()).await;
            let (mut first, mut second) = if client_first {
                (carrying.client, carrying.upstream)
            } else {
                (carrying.upstream, carrying.client)
            };
            let peers = thread::spawn(move || {
                first.write_all(b"question").unwrap();
                first.shutdown(Shutdown::Write).unwrap();
                let mut question = String::new();
                second.read_to_string(&mut question).unwrap();
                assert_eq!(question, "question");
                for _ in 0..3 {
                    second.write_all(b"answer ").unwrap();
                }
                second.shutdown(Shutdown::Write).unwrap();
                let mut answer = String::new();
                first.read_to_string(&mut answer).unwrap();
                assert_eq!(answer, "answer answer answer ");
            });
            let carried = carrying.task.await.unwrap();
            peers.join().unwrap();
            let first = if client_first {
                Peer::Client
            } else {
                Peer::Upstream
            };
            assert_eq!(carried.end, End::Closed(first));
            let (received, sent) = if client_first { (8, 21) } else { (21, 8) };
            assert_eq!((carried.received, carried.sent), (received, sent));
        });
    }
}

/// RFC 9293 §3.5.2: a reset is not an orderly end, and must not look like one on the other side.
#[test]
fn a_reset_passes_as_a_reset() {
    for client_resets in [true, false] {
        run(async {
            let carrying = start(TcpSettings::default()).await;
            let (mut dying, mut other) = if client_resets {
                (carrying.client, carrying.upstream)
            } else {
                (carrying.upstream, carrying.client)
            };
            let peers = thread::spawn(move || {
                dying.write_all(b"part").unwrap();
                let mut part = [0; 4];
                other.read_exact(&mut part).unwrap();
                socket2::SockRef::from(&dying)
                    .set_linger(Some(Duration::ZERO))
                    .unwrap();
                drop(dying);
                other.read(&mut part).unwrap_err().kind()
            });
            let carried = carrying.task.await.unwrap();
            assert_eq!(peers.join().unwrap(), io::ErrorKind::ConnectionReset);
            let peer = if client_resets {
                Peer::Client
            } else {
                Peer::Upstream
            };
            assert_eq!(carried.end, End::Reset(peer));
        });
    }
}

/// What an upstream said before it reset the connection still reaches the client, although the
/// client's own bytes found no taker.
#[test]
fn the_last_words_of_an_upstream_arrive() {
    run(async {
        let carrying = start(TcpSettings::default()).await;
        let (mut client, mut upstream) = (carrying.client, carrying.upstream);
        let peers = thread::spawn(move || {
            client.write_all(&[1; 4096]).unwrap();
            let mut some = [0; 16];
            upstream.read_exact(&mut some).unwrap();
            upstream.write_all(b"too large").unwrap();
            drop(upstream); // with unread bytes: a reset follows
            let mut words = [0; 9];
            client.read_exact(&mut words).unwrap();
            assert_eq!(&words, b"too large");
        });
        let carried = carrying.task.await.unwrap();
        peers.join().unwrap();
        assert_eq!(carried.sent, 9);
    });
}

#[test]
fn a_slow_reader_stops_the_sender() {
    run(async {
        let carrying = start(TcpSettings::default()).await;
        let (mut client, upstream) = (carrying.client, carrying.upstream);
        const LENGTH: u64 = 64 << 20;
        upstream
            .set_write_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        let writer = thread::spawn(move || {
            let mut upstream = upstream;
            let chunk = vec![7; 1 << 20];
            let mut sent = 0;
            while sent < LENGTH {
                match upstream.write(&chunk) {
                    Ok(n) => sent += n as u64,
                    Err(_) => break, // nobody takes anything any more
                }
            }
            sent
        });
        while !writer.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let sent = writer.join().unwrap();
        assert!(sent < LENGTH, "nothing held the sender back");
        assert!(carrying.pipes.open() <= 1);
        let reader = thread::spawn(move || {
            let mut all = Vec::new();
            client.read_to_end(&mut all).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            all.len() as u64
        });
        let carried = carrying.task.await.unwrap();
        assert_eq!(reader.join().unwrap(), sent);
        assert_eq!(carried.sent, sent);
    });
}

#[test]
fn many_tiny_writes_keep_their_order_and_take_no_pipe() {
    run(async {
        let carrying = start(TcpSettings::default()).await;
        let (mut client, mut upstream) = (carrying.client, carrying.upstream);
        let peers = thread::spawn(move || {
            let mut byte = [0];
            for n in 0..2000u32 {
                client.write_all(&[n as u8]).unwrap();
                upstream.read_exact(&mut byte).unwrap();
                upstream.write_all(&byte).unwrap();
                client.read_exact(&mut byte).unwrap();
                assert_eq!(byte, [n as u8]);
            }
        });
        let carried = carrying.task.await.unwrap();
        peers.join().unwrap();
        assert_eq!((carried.received, carried.sent), (2000, 2000));
        assert_eq!(carrying.pipes.open(), 0);
    });
}

#[test]
fn an_idle_connection_ends_and_a_busy_one_does_not() {
    run(async {
        let timeout = Duration::from_millis(200);
        let carrying = start(TcpSettings {
            idle_timeout: Some(timeout),
            ..TcpSettings::default()
        })
        .await;
        let (mut client, mut upstream) = (carrying.client, carrying.upstream);
        let begun = std::time::Instant::now();
        let peers = thread::spawn(move || {
            let mut byte = [0];
            // Busy for three timeouts.
            while begun.elapsed() < 3 * timeout {
                client.write_all(b"x").unwrap();
                upstream.read_exact(&mut byte).unwrap();
                thread::sleep(timeout / 20);
            }
            (
                client.read(&mut byte).unwrap(),
                upstream.read(&mut byte).unwrap(),
            )
        });
        let carried = carrying.task.await.unwrap();
        assert_eq!(carried.end, End::Idle);
        assert!(begun.elapsed() >= 4 * timeout, "it ended too early");
        assert_eq!(peers.join().unwrap(), (0, 0));
    });
}

#[test]
fn a_dropped_carry_closes_both_and_is_counted() {
    run(async {
        let carrying = start(TcpSettings::default()).await;
        let (mut client, mut upstream) = (carrying.client, carrying.upstream);
        tokio::task::yield_now().await;
        carrying.task.abort();
        assert!(carrying.task.await.unwrap_err().is_cancelled());
        let mut byte = [0];
        assert_eq!(client.read(&mut byte).unwrap(), 0);
        assert_eq!(upstream.read(&mut byte).unwrap(), 0);
        assert_eq!(carrying.counters.connections_opened.get(), 1);
        assert_eq!(carrying.counters.connections_closed.get(), 1);
    });
}

/// 10,000 idle connections are to cost little: the future is all that we hold for one.
#[test]
fn an_idle_connection_is_small() {
    run(async {
        let (near, _client) = pair().await;
        let (far, _upstream) = pair().await;
        let (settings, pipes) = (TcpSettings::default(), Pipes::default());
        let counters = TcpCounters::default();
        let (mut near, mut far) = (near.into(), far.into());
        let memory = Memory {
            pipes: &pipes,
            buffers: &Buffers::default(),
        };
        let future = carry(&mut near, &mut far, &settings, memory, &counters);
        let bytes = std::mem::size_of_val(&future);
        assert!(bytes <= 1024, "{bytes} bytes");
    });
}
