//! The story: a machine of the LAN reaches bookinfo and Kiali at addresses out of a pool, with
//! nothing but gatehouse between them.

mod interfaces;
mod setup;

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use gatehouse_e2e::http::{self, Client};
use gatehouse_e2e::{DEADLINE, Gatehouse, eventually};
use setup::{ECHO, INGRESS, KIALI, Story, listen_for_arp, traces};

#[test]
fn from_pending_to_a_page_on_another_machine() {
    let Some(story) = Story::new() else { return };
    story.config.remove("pool.yaml");
    let gatehouse = story.start();

    let table = gatehouse.ask(&["get", "services"]).ok();
    let line = table
        .lines()
        .find(|line| line.contains("istio-ingressgateway"));
    assert!(
        line.is_some_and(|line| line.contains("<pending>")),
        "{table}"
    );
    assert!(story.arping(INGRESS, 1).is_empty());

    let mut tcpdump = listen_for_arp(&story.client);
    story.config.write("pool.yaml", include_str!("pool.yaml"));
    story.wait_for_address(&gatehouse, "istio-ingressgateway", INGRESS);

    // Gratuitous ARP in both forms, from our MAC.
    let mac = story.node.mac();
    for form in [
        format!("Reply {INGRESS} is-at {mac}"),
        format!("who-has {INGRESS}"),
    ] {
        let line = tcpdump.wait_for_line(&form, DEADLINE);
        assert!(line.contains(&mac), "{line}");
    }
    // Exactly one answer per request, and always ours: neither the kernel answers nor another.
    eventually("somebody answers", DEADLINE, || {
        (!story.arping(INGRESS, 1).is_empty()).then_some(())
    });
    assert_eq!(story.arping(INGRESS, 3), [mac.as_str(), &mac, &mac]);

    let page = story.curl("http://192.168.8.151/productpage").ok();
    assert!(page.contains(r#""path":"/productpage""#), "{page}");
    // The real client address arrives, without externalTrafficPolicy.
    assert!(
        page.contains(r#"["x-forwarded-for","192.168.8.100"]"#),
        "{page}"
    );
    assert_eq!(story.curl("http://192.168.8.151/unknown").ok(), "");
    story
        .client
        .exec(["ping", "-c", "1", "-W", "5", INGRESS])
        .ok();
    let addresses = story.node.sh("ip -o addr show dev gatehouse0").ok();
    assert!(addresses.contains("192.168.8.151/32"), "{addresses}");
    // The node itself reaches it too, and an address that was not dealt is silent.
    let own = story.node.exec([
        "curl",
        "-sS",
        "--max-time",
        "5",
        "http://192.168.8.151/productpage",
    ]);
    assert!(own.ok().contains("/productpage"));
    assert!(story.arping("192.168.8.197", 1).is_empty());
}

#[test]
fn kiali_opens_within_a_second_of_the_edit() {
    let Some(story) = Story::new() else { return };
    let gatehouse = story.start();
    story.wait_for_address(&gatehouse, "istio-ingressgateway", INGRESS);
    assert_eq!(gatehouse.external_ip("kiali"), None);
    assert!(story.arping(KIALI, 1).is_empty());

    let edited = Instant::now();
    story.expose_kiali(true);
    let page = eventually("kiali opens", DEADLINE, || {
        let output = story.client.exec([
            "curl",
            "-sS",
            "--max-time",
            "0.5",
            "http://192.168.8.152:20001/kiali",
        ]);
        output.status.success().then_some(output.stdout)
    });
    let took = edited.elapsed();
    assert!(page.contains(r#""path":"/kiali""#), "{page}");
    assert!(
        took < Duration::from_secs(1),
        "Kiali opened {took:?} after the edit"
    );
    assert_eq!(gatehouse.external_ip("kiali").as_deref(), Some(KIALI));
    assert_eq!(story.arping(KIALI, 2).len(), 2);

    // And back: the address is withdrawn and free again.
    story.expose_kiali(false);
    eventually("nobody answers for it", DEADLINE, || {
        story.arping(KIALI, 1).is_empty().then_some(())
    });
    assert!(
        !story
            .node
            .sh("ip -o addr show dev gatehouse0")
            .ok()
            .contains(KIALI)
    );
}

#[test]
fn udp_and_tcp_are_carried_to_their_endpoints() {
    let Some(story) = Story::new() else { return };
    let gatehouse = story.start();
    story.wait_for_address(&gatehouse, "echo", ECHO);
    let target: SocketAddr = format!("{ECHO}:7").parse().unwrap();

    let sockets: Vec<UdpSocket> = story.client.enter(|| {
        let bind = || UdpSocket::bind("0.0.0.0:0").expect("a UDP socket can be bound");
        (0..3).map(|_| bind()).collect()
    });
    for (number, socket) in (0_u8..).zip(&sockets) {
        socket
            .set_read_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        socket.connect(target).unwrap();
        // UDP may be lost while ARP settles: asked again.
        eventually("the datagram comes back", DEADLINE, || {
            socket.send(&[number, 1, 2, 3]).ok()?;
            let mut buffer = [0; 16];
            let read = socket.recv(&mut buffer).ok()?;
            assert_eq!(
                &buffer[..read],
                [number, 1, 2, 3],
                "each client gets its own answers"
            );
            Some(())
        });
    }
    let back = story.client.enter(|| {
        let mut client = Client::connect(target).expect("the TCP port listens");
        client.send(b"through and back").unwrap();
        client.finish().unwrap();
        client.until_closed().unwrap()
    });
    assert_eq!(back, b"through and back");
}

/// Kubernetes: `loadBalancerSourceRanges`. Nobody but gatehouse is there to keep to it.
#[test]
fn only_clients_of_the_source_ranges_are_let_in() {
    let Some(story) = Story::new() else { return };
    let gatehouse = story.start();
    story.wait_for_page(&gatehouse);
    let echoed = |wait: u64| {
        story.client.enter(|| {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("a UDP socket can be bound");
            let wait = Some(Duration::from_millis(wait));
            socket.set_read_timeout(wait).unwrap();
            socket.send_to(b"there?", (ECHO, 7)).ok()?;
            socket.recv(&mut [0; 16]).ok()
        })
    };
    let page = "http://192.168.8.151/productpage";
    let before = story.config.read("services.yaml");
    let with = |ranges: &str| {
        let spec = "spec:\n  type: LoadBalancer\n";
        let guarded = format!("{spec}  loadBalancerSourceRanges: [{ranges}]\n");
        story
            .config
            .write("services.yaml", &before.replace(spec, &guarded));
    };
    with("192.168.8.0/26, fd00::/8");
    eventually("the client is kept out of the gateway", DEADLINE, || {
        (!story.curl(page).status.success()).then_some(())
    });
    eventually("and out of what is carried", DEADLINE, || {
        echoed(300).is_none().then_some(())
    });
    assert_eq!(echoed(300), None);
    let metrics = story
        .node
        .exec(["curl", "-sS", "http://127.0.0.1:15020/stats/prometheus"]);
    let metrics = metrics.ok();
    assert!(metrics.contains("source_ranges"), "{metrics}");

    with("192.168.8.100/32");
    story.wait_for_client();
    eventually("UDP too", DEADLINE, || echoed(300));

    with("over-there");
    eventually("a slip opens no door", DEADLINE, || {
        (!story.curl(page).status.success()).then_some(())
    });
    let findings = gatehouse.api("/api/v1/findings").text();
    assert!(findings.contains("GH0109"), "{findings}");
}

#[test]
fn a_restart_keeps_every_address() {
    let Some(story) = Story::new() else { return };
    story.expose_kiali(true);
    let gatehouse = story.start();
    for (service, address) in [
        ("istio-ingressgateway", INGRESS),
        ("kiali", KIALI),
        ("echo", ECHO),
    ] {
        story.wait_for_address(&gatehouse, service, address);
    }
    assert!(gatehouse.terminate().success());

    // A Service that sorts before all others must not take an address that was dealt.
    story.config.write(
        "early.yaml",
        "apiVersion: v1
kind: Service
metadata: {name: aaa, namespace: aaa}
spec:
  type: LoadBalancer
  ports: [{port: 80}]
",
    );
    let gatehouse = story.start();
    for (service, address) in [
        ("istio-ingressgateway", INGRESS),
        ("kiali", KIALI),
        ("echo", ECHO),
        ("aaa", "192.168.8.153"),
    ] {
        story.wait_for_address(&gatehouse, service, address);
    }
    story.wait_for_client();
    assert!(
        story
            .curl("http://192.168.8.152:20001/kiali")
            .ok()
            .contains("/kiali")
    );
    // The same after a crash.
    gatehouse.kill();
    let gatehouse = story.start();
    story.wait_for_address(&gatehouse, "kiali", KIALI);
    story.wait_for_address(&gatehouse, "aaa", "192.168.8.153");
}

#[test]
fn nothing_is_left_after_sigterm() {
    let Some(story) = Story::new() else { return };
    let before = traces(&story.node);
    let gatehouse = story.start();
    story.wait_for_address(&gatehouse, "istio-ingressgateway", INGRESS);
    assert_ne!(traces(&story.node), before);
    assert!(gatehouse.terminate().success());
    assert_eq!(traces(&story.node), before);
    assert!(!story.node.sh("ip link show gatehouse0").status.success());
    assert!(story.arping(INGRESS, 2).is_empty());
    assert!(
        !story
            .curl("http://192.168.8.151/productpage")
            .status
            .success()
    );
}

#[test]
fn a_start_after_kill_cleans_up_what_was_left() {
    let Some(story) = Story::new() else { return };
    let before = traces(&story.node);
    story.expose_kiali(true);
    // As at the very first start: the state folder is not there yet.
    let state = story.state.path().join("first");
    let start = || {
        Gatehouse::on(&story.node)
            .state(&state)
            .start(story.config.path())
    };
    let gatehouse = start();
    story.wait_for_address(&gatehouse, "kiali", KIALI);
    eventually("it is on the interface", DEADLINE, || {
        let shown = story.node.sh("ip -o addr show dev gatehouse0");
        shown.stdout.contains(KIALI).then_some(())
    });
    gatehouse.kill();
    assert!(
        story
            .node
            .sh("ip -o addr show dev gatehouse0")
            .ok()
            .contains(KIALI),
        "left behind"
    );

    // Meanwhile Kiali has gone: its address must not stay on the interface.
    story.expose_kiali(false);
    let gatehouse = start();
    story.wait_for_address(&gatehouse, "istio-ingressgateway", INGRESS);
    eventually("the old address is removed", DEADLINE, || {
        let shown = story.node.sh("ip -o addr show dev gatehouse0").ok();
        (shown.contains(INGRESS) && !shown.contains(KIALI)).then_some(())
    });
    assert!(story.arping(KIALI, 1).is_empty());
    // The values from before the first start come back, not those that the killed one had set.
    assert!(gatehouse.terminate().success());
    assert_eq!(traces(&story.node), before);
}

#[test]
fn the_traffic_shows_in_the_metrics() {
    let Some(story) = Story::new() else { return };
    let gatehouse = story.start();
    story.wait_for_page(&gatehouse);
    story.curl("http://192.168.8.151/nowhere").ok();
    let metrics = eventually("both requests are counted", DEADLINE, || {
        let metrics = story.node.enter(|| {
            http::get(
                "127.0.0.1:15020".parse().ok()?,
                "localhost",
                "/stats/prometheus",
                &[],
            )
            .ok()
        })?;
        let text = metrics.text();
        let both = text.contains("istio_requests_total") && text.contains(r#"response_code="404""#);
        both.then_some(text)
    });
    let served = metrics.lines().find(|line| {
        line.starts_with("istio_requests_total") && line.contains(r#"response_code="200""#)
    });
    let served = served.expect("the page was counted");
    for label in [
        r#"destination_service="productpage.default.svc.cluster.local""#,
        r#"destination_service_name="productpage""#,
        r#"destination_service_namespace="default""#,
        r#"request_protocol="http""#,
    ] {
        assert!(served.contains(label), "{label} in {served}");
    }
    let lost = r#"response_flags="NR""#;
    assert!(metrics.lines().any(|line| line.contains(lost)), "{lost}");
    for name in [
        "metallb_allocator_addresses_in_use_total",
        "metallb_layer2_requests_received",
    ] {
        assert!(metrics.contains(name), "{name} is missing");
    }
    let ready = story.node.enter(|| {
        http::get(
            "127.0.0.1:15021".parse().unwrap(),
            "localhost",
            "/healthz/ready",
            &[],
        )
    });
    assert_eq!(ready.unwrap().status, 200);
}

#[test]
fn the_state_survives_in_a_folder_that_is_made_for_it() {
    let Some(story) = Story::new() else { return };
    let state = story.state.path().join("not/yet/there");
    let gatehouse = Gatehouse::on(&story.node)
        .state(&state)
        .start(story.config.path());
    story.wait_for_address(&gatehouse, "istio-ingressgateway", INGRESS);
    assert!(gatehouse.terminate().success());
    let files = walk(&state);
    assert!(!files.is_empty(), "the state folder holds a file");
    let text: String = files
        .iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .collect();
    assert!(text.contains(INGRESS), "{text}");
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect()
}
