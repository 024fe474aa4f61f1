use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::*;

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[test]
fn accepted_connections_have_every_option() {
    run(async {
        let options = ListenOptions::default();
        let bound = BoundTcp::open(loopback(0), &options).unwrap();
        let listener = bound.listener().unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr()).unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        assert!(stream.nodelay().unwrap());
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), options.keepalive);
        // It would cut off a client that keeps its window closed for a while.
        assert_eq!(socket.tcp_user_timeout().unwrap(), None);
    });
}

#[test]
fn workers_share_a_port_and_each_gets_connections() {
    run(async {
        let all = BoundTcp::open_all(loopback(0), 4, &ListenOptions::default()).unwrap();
        let ports: BTreeSet<u16> = all.iter().map(|l| l.local_addr().port()).collect();
        assert_eq!(ports.len(), 1);
        let address = all[0].local_addr();
        let clients: Vec<_> = (0..200)
            .map(|_| std::net::TcpStream::connect(address).unwrap())
            .collect();
        // The kernel's choice is by hash: 200 connections leave none of 4 out.
        for bound in all {
            bound.listener().unwrap().accept().await.unwrap();
        }
        drop(clients);
    });
}

#[test]
fn a_taken_port_is_refused_and_its_owner_named() {
    let other = std::net::TcpListener::bind(loopback(0)).unwrap();
    let address = other.local_addr().unwrap();
    let error = BoundTcp::open_all(address, 2, &ListenOptions::default()).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, ListenError::InUse { .. }), "{text}");
    assert!(text.contains(&address.to_string()), "{text}");
    assert!(text.contains("this process itself"), "{text}");
}

/// SO_REUSEPORT alone would let a second gatehouse of the same user share the port unseen.
#[test]
fn a_port_shared_by_others_of_the_same_user_is_refused_too() {
    let options = ListenOptions::default();
    let first = BoundTcp::open_all(loopback(0), 1, &options).unwrap();
    let address = first[0].local_addr();
    let error = BoundTcp::open_all(address, 1, &options).unwrap_err();
    assert!(matches!(error, ListenError::InUse { .. }), "{error}");
    BoundTcp::open(address, &options).expect("a worker may join its own address");

    let first = BoundUdp::open_all(loopback(0), 1).unwrap();
    let address = first[0].local_addr();
    let error = BoundUdp::open_all(address, 1).unwrap_err();
    assert!(matches!(error, ListenError::InUse { .. }), "{error}");
    BoundUdp::open(address).expect("a worker may join its own address");
}

#[test]
fn a_vip_may_come_after_its_listener() {
    // TEST-NET-1 is on no interface.
    let address = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 77), 0));
    BoundTcp::open_all(address, 1, &ListenOptions::default()).unwrap();
    BoundUdp::open_all(address, 1).unwrap();
}

#[test]
fn both_wildcards_are_sockets_of_their_own() {
    let options = ListenOptions::default();
    let v6 = match BoundTcp::open_all("[::]:0".parse().unwrap(), 1, &options) {
        Err(ListenError::NoFamily { .. }) => {
            assert!(
                std::env::var_os("GATEHOUSE_REQUIRE_ALL").is_none(),
                "needs IPv6"
            );
            eprintln!("SKIPPED both_wildcards_are_sockets_of_their_own: needs IPv6");
            return;
        }
        other => other.unwrap(),
    };
    let port = v6[0].local_addr().port();
    let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    BoundTcp::open_all(v4, 1, &options).unwrap();
}

#[test]
fn errors_say_how_to_go_on() {
    let errno = |code: rustix::io::Errno| io::Error::from(code);
    let address = loopback(80);
    let text = explain(address, "TCP", "bind", errno(rustix::io::Errno::ACCESS)).to_string();
    for hint in [
        "127.0.0.1:80",
        "CAP_NET_BIND_SERVICE",
        "setcap",
        "ip_unprivileged_port_start=80",
    ] {
        assert!(text.contains(hint), "{hint} in: {text}");
    }
    let text = explain(address, "UDP", "socket", errno(rustix::io::Errno::MFILE)).to_string();
    assert!(text.contains("LimitNOFILE"), "{text}");
    let v6 = "[::1]:80".parse().unwrap();
    let text = explain(v6, "TCP", "socket", errno(rustix::io::Errno::AFNOSUPPORT)).to_string();
    assert!(text.contains("no IPv6"), "{text}");
}

#[test]
fn accept_errors_are_sorted_by_what_to_do() {
    use rustix::io::Errno;
    let sort = |code: Errno| AcceptError::sort(code.into());
    for code in [
        Errno::CONNABORTED,
        Errno::PROTO,
        Errno::NETDOWN,
        Errno::PERM,
    ] {
        assert!(matches!(sort(code), AcceptError::Connection(_)), "{code}");
    }
    for code in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
        assert!(matches!(sort(code), AcceptError::Exhausted(_)), "{code}");
    }
    for code in [Errno::BADF, Errno::INVAL] {
        assert!(matches!(sort(code), AcceptError::Listener(_)), "{code}");
    }
}

#[test]
fn a_socket_of_this_host_is_shared_and_taken_over_when_nobody_listens() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("front.sock");
    let path = path.to_str().unwrap();
    let stand_in = "[100::1]:0".parse().unwrap();
    drop(std::os::unix::net::UnixListener::bind(path).unwrap());
    let bound = BoundTcp::open_socket(path, stand_in, 2).unwrap();
    assert_eq!(bound.len(), 2);
    assert!(bound.iter().all(|bound| bound.local_addr() == stand_in));
    let taken = BoundTcp::open_socket(path, stand_in, 1).unwrap_err();
    assert!(matches!(taken, ListenError::Socket { .. }), "{taken}");
    assert!(taken.to_string().contains(path), "{taken}");
    drop(bound);
    BoundTcp::open_socket(path, stand_in, 1).unwrap();

    // What is no socket is not touched.
    let file = directory.path().join("file");
    std::fs::write(&file, "kept").unwrap();
    BoundTcp::open_socket(file.to_str().unwrap(), stand_in, 1).unwrap_err();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
}
