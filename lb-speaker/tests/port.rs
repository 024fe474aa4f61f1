//! The port of heartbeats, while another program has it.

#![expect(clippy::disallowed_methods, reason = "a test, not the data plane")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use gatehouse_lb_speaker::members::{Own, Timing};
use gatehouse_lb_speaker::{Members, MembersSettings, Peers};
use tokio::time::timeout;

/// A node that cannot hear anybody must not take silence for death.
#[tokio::test(flavor = "current_thread")]
async fn without_its_port_a_node_owns_nothing_however_often_it_is_told_of_others() {
    let other = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = other.local_addr().expect("bound").port();
    let timing = Timing {
        settle: Duration::from_millis(50),
        ..Timing::default()
    };
    let members = Members::start(MembersSettings {
        node: "node-a".to_owned(),
        bind: Some(Ipv4Addr::LOCALHOST.into()),
        port,
        peers: Peers::Found,
        timing,
    });
    let members = members.expect("it waits for the port");
    let mut views = members.views();
    let patience = Duration::from_secs(20);
    let waits = views.wait_for(|view| view.trouble.is_some());
    let _ = timeout(patience, waits)
        .await
        .expect("it says so")
        .expect("it runs");

    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    for _ in 0..3 {
        members.set_peers(BTreeMap::from([("node-b".to_owned(), peer)]));
        // Ten times as long as it would wait to hear others.
        let able = views.wait_for(|view| view.own == Own::Able);
        assert!(timeout(timing.settle * 10, able).await.is_err());
    }

    drop(other);
    let able = views.wait_for(|view| view.own == Own::Able);
    let view = timeout(patience, able).await.expect("the port is free");
    assert_eq!(view.expect("it runs").trouble, None);
}
