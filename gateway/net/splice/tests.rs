use std::io::{Read, Write};
use std::net::TcpStream as StdStream;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpListener;
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

/// A connection: our end, and the peer's, blocking, with deadlines.
async fn pair() -> (TcpStream, StdStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = StdStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_read_timeout(Some(DEADLINE)).unwrap();
    peer.set_write_timeout(Some(DEADLINE)).unwrap();
    (listener.accept().await.unwrap().0, peer)
}

/// Bytes that differ at every place a transfer could go wrong.
fn pattern(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    (0..length)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}

/// The body arrives whole, and what follows it stays for the next reader.
fn exact_moves_neither_more_nor_less(pipes: &Pipes) {
    const LENGTH: usize = 3_000_001;
    run(async {
        let (from, mut sender) = pair().await;
        let (to, mut receiver) = pair().await;
        let body = pattern(LENGTH);
        let sent = body.clone();
        let writer = std::thread::spawn(move || {
            sender.write_all(&sent).unwrap();
            sender.write_all(b"next").unwrap();
            sender
        });
        let reader = std::thread::spawn(move || {
            let mut got = vec![0; LENGTH];
            receiver.read_exact(&mut got).unwrap();
            (got, receiver)
        });
        let counter = Cell::new(0);
        splice_exact(pipes, &from, &to, LENGTH as u64, &counter)
            .await
            .unwrap();
        assert_eq!(counter.get(), LENGTH as u64);
        let (got, _receiver) = reader.join().unwrap();
        assert!(got == body, "the body was changed on its way");
        let _sender = writer.join().unwrap();
        from.readable().await.unwrap();
        let mut next = [0; 8];
        assert_eq!(from.try_read(&mut next).unwrap(), 4);
        assert_eq!(&next[..4], b"next");
    });
}

#[test]
fn a_body_goes_through_a_pipe() {
    let pipes = Pipes::new(4);
    exact_moves_neither_more_nor_less(&pipes);
    assert_eq!(pipes.open(), 1);
    assert_eq!(pipes.refused(), 0);
}

#[test]
fn a_body_is_copied_where_no_pipe_is_to_be_had() {
    let pipes = Pipes::new(0);
    exact_moves_neither_more_nor_less(&pipes);
    assert_eq!(pipes.open(), 0);
    assert!(pipes.refused() > 0);
}

/// RFC 9112 §8: a body that ends early is incomplete, and the error says whose fault it is.
#[test]
fn an_early_end_is_an_error_of_the_side_read() {
    run(async {
        let pipes = Pipes::default();
        let (from, mut sender) = pair().await;
        let (to, mut receiver) = pair().await;
        sender.write_all(&pattern(1000)).unwrap();
        drop(sender);
        let counter = Cell::new(0);
        let error = splice_exact(&pipes, &from, &to, 1001, &counter)
            .await
            .unwrap_err();
        assert_eq!(error.side, Side::From);
        assert_eq!(error.error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(error.moved, 1000);
        let mut got = vec![0; 1000];
        receiver.read_exact(&mut got).unwrap();
        assert!(got == pattern(1000));
    });
}

#[test]
fn a_receiver_that_is_gone_is_an_error_of_the_side_written() {
    run(async {
        let pipes = Pipes::new(1);
        let (from, mut sender) = pair().await;
        let (to, receiver) = pair().await;
        socket2::SockRef::from(&receiver)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(receiver);
        to.readable().await.unwrap(); // the reset is here
        let writer = std::thread::spawn(move || {
            let _ = sender.write_all(&pattern(1 << 20));
        });
        let counter = Cell::new(0);
        let error = splice_exact(&pipes, &from, &to, 1 << 20, &counter)
            .await
            .unwrap_err();
        assert_eq!(error.side, Side::To);
        assert_eq!(pipes.open(), 0, "a pipe with bytes in it was kept");
        drop(from);
        writer.join().unwrap();
    });
}

/// A receiver that does not read stops the sender; memory stays at one pipe, and a transfer that
/// is given up leaves no bytes for the next one.
#[test]
fn a_slow_receiver_stops_the_sender_and_its_pipe_is_not_reused() {
    run(async {
        let pipes = Rc::new(Pipes::new(1));
        let (from, mut sender) = pair().await;
        let (to, mut receiver) = pair().await;
        const LENGTH: u64 = 64 << 20;
        // The kernel's own buffers would hide ours: it grows them to tens of MiB.
        let buffer = 128 << 10;
        socket2::SockRef::from(&sender)
            .set_send_buffer_size(buffer)
            .unwrap();
        socket2::SockRef::from(&from)
            .set_recv_buffer_size(buffer)
            .unwrap();
        let counter = Rc::new(Cell::new(0));
        let transfer = tokio::task::spawn_local({
            let (pipes, counter) = (Rc::clone(&pipes), Rc::clone(&counter));
            async move { splice_exact(&pipes, &from, &to, LENGTH, &counter).await }
        });
        sender
            .set_write_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        let writer = std::thread::spawn(move || {
            let chunk = vec![7; 1 << 20];
            let mut sent = 0;
            while sent < LENGTH {
                match sender.write(&chunk) {
                    Ok(n) => sent += n as u64,
                    Err(_) => break, // nobody takes anything any more
                }
            }
            (sent, sender)
        });
        while !writer.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let (sent, _sender) = writer.join().unwrap();
        assert!(sent < LENGTH, "nothing held the sender back");
        let buffered = sent - counter.get();
        assert!(buffered < 2 << 20, "{buffered} bytes are held");
        assert_eq!(pipes.open(), 1);

        // Given up: the pipe had bytes in it.
        transfer.abort();
        assert!(transfer.await.unwrap_err().is_cancelled());
        assert_eq!(pipes.open(), 0);
        let mut rest = Vec::new();
        receiver.read_to_end(&mut rest).unwrap();
        assert_eq!(rest.len() as u64, counter.get());
    });
    let pipes = Pipes::new(1);
    exact_moves_neither_more_nor_less(&pipes);
}

#[test]
fn until_eof_counts_what_went_through() {
    run(async {
        let pipes = Pipes::default();
        let (from, mut sender) = pair().await;
        let (to, mut receiver) = pair().await;
        const LENGTH: usize = 5 << 20;
        let writer = std::thread::spawn(move || sender.write_all(&pattern(LENGTH)).unwrap());
        let reader = std::thread::spawn(move || {
            let mut got = Vec::new();
            receiver.read_to_end(&mut got).unwrap();
            got
        });
        let counter = Cell::new(0);
        let moved = splice_until_eof(&pipes, &from, &to, &counter)
            .await
            .unwrap();
        assert_eq!(moved, LENGTH as u64);
        drop(to);
        writer.join().unwrap();
        assert!(reader.join().unwrap() == pattern(LENGTH));
    });
}
