//! Sessions over loopback, with rustls' ordinary connection as the client.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::thread::JoinHandle;

use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

type Client = StreamOwned<ClientConnection, std::net::TcpStream>;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

fn configs(version: &'static SupportedProtocolVersion) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let own = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(own.cert.der().clone()).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

/// A session, and its client at work in a thread.
async fn session<T: Send + 'static>(
    version: &'static SupportedProtocolVersion,
    client: impl FnOnce(Client) -> T + Send + 'static,
) -> (Session, JoinHandle<T>) {
    let (ours, theirs) = configs(version);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let name = ServerName::try_from("a.test").unwrap();
        let connection = ClientConnection::new(theirs, name).unwrap();
        let socket = std::net::TcpStream::connect(address).unwrap();
        client(StreamOwned::new(connection, socket))
    });
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut first = [0; 100];
    let count = socket.read(&mut first).await.unwrap();
    let session = Session::accept(ours, &first[..count], socket).await;
    (session.expect("hands are shaken"), thread)
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i % 251) as u8).collect()
}

#[tokio::test]
async fn what_is_sent_arrives_and_nothing_is_held_afterwards() {
    for version in VERSIONS {
        let (mut session, client) = session(version, |mut client| {
            client.write_all(&bytes(1 << 20)).unwrap();
            client.flush().unwrap();
            let mut all = vec![0; 3 << 20];
            client.read_exact(&mut all).unwrap();
            client.conn.send_close_notify();
            client.flush().unwrap();
            all
        })
        .await;
        let mut all = Vec::new();
        let mut some = [0; 777];
        while all.len() < 1 << 20 {
            let count = session.read(&mut some).await.unwrap();
            all.extend_from_slice(&some[..count]);
        }
        assert!(all == bytes(1 << 20));
        let answer = bytes(3 << 20);
        let mut rest = &answer[..];
        while !rest.is_empty() {
            let (head, body) = rest.split_at(rest.len().min(100));
            let slices = [IoSlice::new(head), IoSlice::new(&[]), IoSlice::new(body)];
            let count = session.write_vectored(&slices).await.unwrap();
            rest = &rest[count..];
        }
        session.flush().await.unwrap();
        assert_eq!(session.read(&mut some).await.unwrap(), 0, "close_notify");
        assert!(session.has_nothing_left() && session.outgoing.is_empty());
        assert!(client.join().unwrap() == answer);
    }
}

#[tokio::test]
async fn records_may_come_byte_by_byte() {
    for version in VERSIONS {
        let (mut session, client) = session(version, |mut client| {
            client.conn.complete_io(&mut client.sock).unwrap();
            client.sock.set_nodelay(true).unwrap();
            client.conn.writer().write_all(b"slowly").unwrap();
            let mut records = Vec::new();
            client.conn.write_tls(&mut records).unwrap();
            for byte in records {
                client.sock.write_all(&[byte]).unwrap();
                std::thread::yield_now();
            }
            client
        })
        .await;
        let mut said = [0; 6];
        session.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"slowly");
        drop(client.join());
    }
}

#[tokio::test]
async fn a_cut_is_no_end() {
    for version in VERSIONS {
        let (mut session, client) = session(version, |mut client| {
            client.write_all(b"half").unwrap();
            client.sock.shutdown(Shutdown::Both).unwrap();
        })
        .await;
        let mut all = Vec::new();
        let error = session.read_to_end(&mut all).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(all, b"half");
        client.join().unwrap();
    }
}

#[tokio::test]
async fn garbage_is_an_error_that_the_client_is_told_of() {
    for version in VERSIONS {
        let (mut session, client) = session(version, |mut client| {
            client.conn.complete_io(&mut client.sock).unwrap();
            client
                .sock
                .write_all(b"\x17\x03\x03\x00\x20garbage")
                .unwrap();
            client.sock.write_all(&[0; 25]).unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).unwrap_err().to_string()
        })
        .await;
        let error = session.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        // Whoever asks again hears of it again.
        session.read_u8().await.unwrap_err();
        session.write_all(b"more").await.unwrap_err();
        session.shutdown().await.unwrap();
        let told = client.join().unwrap();
        assert!(told.contains("BadRecordMac"), "{told}");
    }
}

#[tokio::test]
async fn keys_may_change_on_the_way() {
    let (mut session, client) = session(&rustls::version::TLS13, |mut client| {
        let mut answer = [0; 5];
        for _ in 0..3 {
            client.write_all(b"hello").unwrap();
            client.conn.refresh_traffic_keys().unwrap();
            client.write_all(b"again").unwrap();
            client.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"yes, ");
        }
    })
    .await;
    let mut said = [0; 10];
    for _ in 0..3 {
        session.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"helloagain");
        session.write_all(b"yes, ").await.unwrap();
    }
    client.join().unwrap();
}

/// What a client does not read is held once, not without end.
#[tokio::test]
async fn a_client_that_does_not_read_stops_the_writer() {
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let (mut session, client) = session(&rustls::version::TLS13, move |mut client| {
        client.write_all(b"talks").unwrap();
        // Until the test is over.
        let _ = stopped.recv();
    })
    .await;
    let many = bytes(1 << 20);
    let mut total = 0;
    poll_fn(|cx| {
        // The kernel's buffers are of some megabytes.
        while total < 64 << 20 {
            match Pin::new(&mut session).poll_write(cx, &many) {
                Poll::Ready(count) => total += count.unwrap(),
                Poll::Pending => return Poll::Ready(()),
            }
        }
        panic!("{total} bytes were taken");
    })
    .await;
    assert!(session.outgoing.len() <= RECORDS);
    // The other direction goes on: it may be what the client waits for.
    let mut said = [0; 5];
    session.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"talks");
    drop(stop);
    client.join().unwrap();
}
