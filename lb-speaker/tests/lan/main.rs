//! The speaker on a LAN of network namespaces, asked by real clients. Needs root.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod failures;
mod harness;
mod kernel;

use std::time::{Duration, Instant};

use gatehouse_lb_speaker::announce::Mac;
use gatehouse_lb_speaker::announce::arp::{ArpFrame, Operation};
use gatehouse_lb_speaker::announce::ndp::NdpFrame;
use gatehouse_lb_speaker::link::socket::{PacketSocket, Protocol};
use gatehouse_lb_speaker::{AddressState, SpeakerSettings, Stations};

use harness::{Lan, allowed, announce, announced, eventually, run, wait_for};

const VIP: &str = "192.168.8.151";
const PROGRAMS: &[&str] = &["ip", "arping", "ping"];

fn two_stations() -> Lan {
    let mut lan = Lan::new();
    lan.station("node", 11);
    lan.station("client", 12);
    lan
}

#[test]
fn one_mac_answers_and_everything_is_taken_back() {
    if !allowed("one_mac_answers_and_everything_is_taken_back", PROGRAMS) {
        return;
    }
    let lan = two_stations();
    let before = arp_settings(&lan);
    let speaker = lan.speaker("node", SpeakerSettings::new("node"));
    speaker.update(announce(&[VIP, "fd08::151"]));
    wait_for(&speaker, VIP, announced);
    wait_for(&speaker, "fd08::151", announced);

    let answers = lan.arping("client", VIP, 3);
    assert_eq!(answers, vec![lan.mac("node"); 3]);
    lan.text("client", &["ping", "-c", "1", "-W", "2", VIP]);
    lan.text("client", &["ping", "-6", "-c", "1", "-W", "2", "fd08::151"]);
    lan.text("node", &["ping", "-c", "1", "-W", "2", VIP]);
    let addresses = lan.text("node", &["ip", "addr", "show", "gatehouse0"]);
    assert!(addresses.contains("192.168.8.151/32"), "{addresses}");
    assert!(addresses.contains("fd08::151/128"), "{addresses}");
    assert_eq!(arp_settings(&lan), "1 2");
    let mut metrics = String::new();
    speaker.write_prometheus(&mut metrics);
    for line in [
        "metallb_layer2_requests_received{ip=\"192.168.8.151\"} ",
        "metallb_layer2_gratuitous_sent{ip=\"192.168.8.151\"} ",
        "metallb_speaker_announced{service=\"default/web\",protocol=\"layer2\",node=\"node\",\
         ip=\"192.168.8.151\"} 1",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }

    assert!(speaker.shutdown(Duration::from_secs(5)));
    assert!(lan.arping("client", VIP, 1).is_empty());
    let links = lan.text("node", &["ip", "link"]);
    assert!(!links.contains("gatehouse0"), "{links}");
    assert_eq!(arp_settings(&lan), before);
}

fn arp_settings(lan: &Lan) -> String {
    lan.text(
        "node",
        &[
            "sysctl",
            "-n",
            "net.ipv4.conf.eth0.arp_ignore",
            "net.ipv4.conf.eth0.arp_announce",
        ],
    )
    .split_whitespace()
    .collect::<Vec<_>>()
    .join(" ")
}

#[test]
fn rfc5227_2_1_an_address_in_use_is_not_announced() {
    if !allowed("rfc5227_2_1_an_address_in_use_is_not_announced", PROGRAMS) {
        return;
    }
    let mut lan = two_stations();
    lan.station("other", 13);
    let held = format!("{VIP}/24");
    run(&[
        "ip",
        "-n",
        &lan.name("other"),
        "addr",
        "add",
        &held,
        "dev",
        "eth0",
    ]);
    let v6 = "fd08::151";
    run(&[
        "ip",
        "-n",
        &lan.name("other"),
        "addr",
        "add",
        "fd08::151/64",
        "dev",
        "eth0",
        "nodad",
    ]);
    let speaker = lan.speaker("node", SpeakerSettings::new("node"));
    speaker.update(announce(&[VIP, v6]));
    let other = lan.mac("other");
    for address in [VIP, v6] {
        wait_for(
            &speaker,
            address,
            |state| matches!(state, AddressState::Conflict { mac, .. } if *mac == other),
        );
    }
    assert_eq!(lan.arping("client", VIP, 1), [other]);
    let message = speaker.states().borrow().messages.join("\n");
    assert!(message.contains(&lan.mac("other")), "{message}");
}

#[test]
fn rfc5227_2_4_defended_once_then_withdrawn() {
    if !allowed("rfc5227_2_4_defended_once_then_withdrawn", PROGRAMS) {
        return;
    }
    let lan = two_stations();
    let speaker = lan.speaker("node", SpeakerSettings::new("node"));
    speaker.update(announce(&[VIP]));
    wait_for(&speaker, VIP, announced);
    let ours = lan.mac("node");
    let (defence, claimer) = lan.inside("client", move || {
        on_a_runtime(async move {
            let mac = eth0_mac();
            let socket = PacketSocket::open(eth0_index(), Protocol::Arp).expect("root");
            let claim = ArpFrame::gratuitous(mac, VIP.parse().unwrap(), Operation::Request);
            socket.send(&claim.encode()).unwrap();
            let defence = next_from(&socket, &ours).await;
            // Claim again until nobody answers back.
            loop {
                socket.send(&claim.encode()).unwrap();
                #[allow(clippy::disallowed_methods)] // not the data plane
                let quiet =
                    tokio::time::timeout(Duration::from_millis(100), next_from(&socket, &ours));
                if quiet.await.is_err() {
                    return (defence, mac);
                }
            }
        })
    });
    assert_eq!(defence.sender, VIP.parse::<std::net::Ipv4Addr>().unwrap());
    wait_for(
        &speaker,
        VIP,
        |state| matches!(state, AddressState::Conflict { mac, .. } if *mac == claimer.to_string()),
    );
    assert!(lan.arping("client", VIP, 1).is_empty());
    let addresses = lan.text("node", &["ip", "addr"]);
    assert!(!addresses.contains(VIP), "{addresses}");
}

#[test]
fn an_interface_that_comes_back_is_used_again() {
    if !allowed("an_interface_that_comes_back_is_used_again", PROGRAMS) {
        return;
    }
    let lan = two_stations();
    let speaker = lan.speaker("node", SpeakerSettings::new("node"));
    speaker.update(announce(&[VIP]));
    wait_for(&speaker, VIP, announced);

    run(&["ip", "-n", &lan.name("node"), "link", "del", "eth0"]);
    wait_for(&speaker, VIP, |state| {
        matches!(state, AddressState::NoInterface { .. })
    });
    lan.plug("node", 11);
    wait_for(&speaker, VIP, announced);
    assert_eq!(lan.arping("client", VIP, 1), [lan.mac("node")]);

    // A new MAC address is told and answered with.
    run(&[
        "ip",
        "-n",
        &lan.name("node"),
        "link",
        "set",
        "eth0",
        "address",
        "02:00:00:00:08:99",
    ]);
    wait_for(
        &speaker,
        VIP,
        |state| matches!(state, AddressState::Announced { on } if on[0].mac == "02:00:00:00:08:99"),
    );
    assert_eq!(lan.arping("client", VIP, 1), ["02:00:00:00:08:99"]);

    // Carrier lost and found: announced again at once.
    run(&[
        "ip",
        "-n",
        &lan.name("switch"),
        "link",
        "set",
        "p11",
        "down",
    ]);
    wait_for(&speaker, VIP, |state| {
        matches!(state, AddressState::NoInterface { .. })
    });
    run(&["ip", "-n", &lan.name("switch"), "link", "set", "p11", "up"]);
    wait_for(&speaker, VIP, announced);
    eventually("an answer", || match lan.arping("client", VIP, 1) {
        answers if answers == ["02:00:00:00:08:99"] => Ok(()),
        answers => Err(format!("{answers:?}")),
    });

    // Somebody removes the interface that holds the addresses: it is made again.
    run(&["ip", "-n", &lan.name("node"), "link", "del", "gatehouse0"]);
    eventually("gatehouse0", || {
        let output = lan.exec("node", &["ip", "addr", "show", "gatehouse0"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text.contains(VIP) {
            Ok(())
        } else {
            Err(text)
        }
    });
}

/// Who takes part in heartbeats, and hears nobody since the cable was pulled, has to hear first who
/// took over behind it.
#[test]
fn an_interface_that_comes_back_to_others_claims_nothing_unasked() {
    if !allowed(
        "an_interface_that_comes_back_to_others_claims_nothing_unasked",
        PROGRAMS,
    ) {
        return;
    }
    let lan = two_stations();
    let speaker = lan.speaker("node", SpeakerSettings::new("node"));
    let others = |heard: &[&str]| Stations {
        nodes: [(Mac([2, 0, 0, 0, 0, 13]), "other".to_owned())].into(),
        heard: heard.iter().map(ToString::to_string).collect(),
        ..Stations::default()
    };
    let switch = lan.name("switch");
    let port = |state| run(&["ip", "-n", &switch, "link", "set", "p11", state]);
    speaker.know(others(&["other"]));
    speaker.update(announce(&[VIP]));
    wait_for(&speaker, VIP, announced);
    for (heard, first_word) in [
        // The other one is heard all the time, by another way.
        (vec!["other"], VIP),
        (vec![], "0.0.0.0"),
    ] {
        speaker.know(others(&heard));
        port("down");
        wait_for(&speaker, VIP, |state| {
            matches!(state, AddressState::NoInterface { .. })
        });
        let ours = lan.mac("node");
        let (ready, is_ready) = std::sync::mpsc::channel();
        let switch_port = switch.clone();
        let said = lan.inside("client", move || {
            on_a_runtime(async move {
                let socket = PacketSocket::open(eth0_index(), Protocol::Arp).unwrap();
                std::thread::spawn(move || {
                    is_ready.recv().unwrap();
                    run(&["ip", "-n", &switch_port, "link", "set", "p11", "up"]);
                });
                ready.send(()).unwrap();
                let mut buffer = [0; 2048];
                loop {
                    let length = socket.receive(&mut buffer).await.unwrap();
                    if let Ok(frame) = ArpFrame::parse(&buffer[..length])
                        && frame.sender_mac.to_string() == ours
                        && frame.target.to_string() == VIP
                    {
                        return frame.sender.to_string();
                    }
                }
            })
        });
        assert_eq!(said, first_word, "{heard:?}");
        wait_for(&speaker, VIP, announced);
    }
}

/// Not a test of its own: the process that [`a_killed_speaker_leaves_nothing_for_long`] kills.
#[test]
fn child_that_is_killed() {
    let Some(directory) = std::env::var_os("GATEHOUSE_TEST_CHILD") else {
        return;
    };
    let mut settings = SpeakerSettings::new("node");
    settings.state_dir = Some(directory.into());
    let speaker = gatehouse_lb_speaker::Speaker::start(settings).unwrap();
    speaker.update(announce(&[VIP]));
    loop {
        std::thread::park();
    }
}

#[test]
fn a_killed_speaker_leaves_nothing_for_long() {
    if !allowed("a_killed_speaker_leaves_nothing_for_long", PROGRAMS) {
        return;
    }
    let lan = two_stations();
    let state = tempfile::tempdir().unwrap();
    let before = arp_settings(&lan);
    let mut child = std::process::Command::new("ip")
        .args(["netns", "exec", &lan.name("node")])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_is_killed", "--nocapture"])
        .env("GATEHOUSE_TEST_CHILD", state.path())
        .spawn()
        .unwrap();
    eventually("the child's answer", || {
        match lan.arping("client", VIP, 1) {
            answers if answers.is_empty() => Err("none".to_owned()),
            _ => Ok(()),
        }
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let links = lan.text("node", &["ip", "addr"]);
    assert!(
        links.contains(VIP),
        "a kill cannot be cleaned up after: {links}"
    );
    assert_ne!(arp_settings(&lan), before);

    let mut settings = SpeakerSettings::new("node");
    settings.state_dir = Some(state.path().to_owned());
    let speaker = lan.speaker("node", settings);
    eventually("the cleaning", || {
        let text = lan.text("node", &["ip", "addr"]);
        if text.contains(VIP) {
            Err(text)
        } else {
            Ok(())
        }
    });
    eventually("the sysctls", || match arp_settings(&lan) {
        now if now == before => Ok(()),
        now => Err(now),
    });
    assert!(speaker.shutdown(Duration::from_secs(5)));
    assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0);
}

/// The kernel takes the tag off a frame of a VLAN that has no interface here.
#[test]
fn a_question_on_another_vlan_is_not_answered() {
    if !allowed("a_question_on_another_vlan_is_not_answered", PROGRAMS) {
        return;
    }
    let lan = two_stations();
    let speaker = lan.speaker("node", SpeakerSettings::new("node"));
    let v6 = "fd08::151";
    speaker.update(announce(&[VIP, v6]));
    wait_for(&speaker, VIP, announced);
    wait_for(&speaker, v6, announced);
    let received = |address: &str| {
        let mut metrics = String::new();
        speaker.write_prometheus(&mut metrics);
        let name = format!("metallb_layer2_requests_received{{ip=\"{address}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        line.map_or(0, |count| count.parse::<u64>().unwrap())
    };
    let ours = lan.mac("node");
    let ask = |vlan: Option<u16>, directly: bool| {
        let ours = ours.clone();
        lan.inside("client", move || {
            on_a_runtime(async move {
                let mut arp = request(eth0_mac()).encode().to_vec();
                if directly {
                    arp[..6].copy_from_slice(&ours.parse::<Mac>().unwrap().0);
                }
                let solicitation = NdpFrame::probe(eth0_mac(), v6.parse().unwrap()).encode();
                let socket = PacketSocket::open(eth0_index(), Protocol::Arp).unwrap();
                for mut frame in [arp, solicitation] {
                    if let Some(vlan) = vlan {
                        let [high, low] = vlan.to_be_bytes();
                        frame.splice(12..12, [0x81, 0x00, high, low]);
                    }
                    socket.send(&frame).unwrap();
                }
            });
        });
    };
    // In order: when the later questions are answered, the earlier ones were looked at.
    let before = (received(VIP), received(v6));
    ask(Some(100), false);
    ask(Some(100), true);
    ask(None, false);
    ask(None, true);
    // A priority tag names no VLAN.
    ask(Some(0), false);
    let expected = (before.0 + 3, before.1 + 3);
    eventually("three answers", || match (received(VIP), received(v6)) {
        now if now.0 >= expected.0 && now.1 >= expected.1 => Ok(()),
        now => Err(format!("{now:?} of {expected:?}")),
    });
    assert_eq!((received(VIP), received(v6)), expected);
}

#[test]
fn malformed_frames_are_counted_and_nothing_stops() {
    if !allowed("malformed_frames_are_counted_and_nothing_stops", PROGRAMS) {
        return;
    }
    let lan = two_stations();
    let speaker = lan.speaker("node", SpeakerSettings::new("node"));
    speaker.update(announce(&[VIP]));
    wait_for(&speaker, VIP, announced);
    lan.inside("client", || {
        on_a_runtime(async {
            let socket = PacketSocket::open(eth0_index(), Protocol::Arp).unwrap();
            let request = request(eth0_mac()).encode();
            socket.send(&request[..30]).unwrap();
            let mut long = request.to_vec();
            long.resize(1400, 0);
            socket.send(&long).unwrap();
            let mut foreign = request;
            foreign[18] = 8;
            socket.send(&foreign).unwrap();
        });
    });
    eventually("the counts", || {
        let mut metrics = String::new();
        speaker.write_prometheus(&mut metrics);
        for reason in ["truncated", "oversized", "foreign"] {
            let line = format!("gatehouse_arp_dropped_total{{reason=\"{reason}\"}} 1");
            if !metrics.contains(&line) {
                return Err(metrics);
            }
        }
        Ok(())
    });
    assert_eq!(lan.arping("client", VIP, 1).len(), 1);
}

/// Prints what an answer takes; a figure to read, not a timed test.
#[test]
fn answer_latency() {
    if !allowed("answer_latency", PROGRAMS) {
        return;
    }
    let lan = two_stations();
    let speaker = lan.speaker("node", SpeakerSettings::new("node"));
    speaker.update(announce(&[VIP]));
    wait_for(&speaker, VIP, announced);
    let ours = lan.mac("node");
    let mut times = lan.inside("client", move || {
        on_a_runtime(async move {
            let socket = PacketSocket::open(eth0_index(), Protocol::Arp).unwrap();
            let frame = request(eth0_mac()).encode();
            let mut times = Vec::new();
            for _ in 0..500 {
                let start = Instant::now();
                socket.send(&frame).unwrap();
                let answer = next_from(&socket, &ours).await;
                assert_eq!(answer.operation, Operation::Reply);
                times.push(start.elapsed());
            }
            times
        })
    });
    times.sort_unstable();
    println!(
        "ARP answer: median {:?}, p99 {:?}, best {:?}",
        times[250], times[495], times[0]
    );
}

fn request(mac: Mac) -> ArpFrame {
    ArpFrame {
        sender: "192.168.8.12".parse().unwrap(),
        ..ArpFrame::probe(mac, VIP.parse().unwrap())
    }
}

async fn next_from(socket: &PacketSocket, mac: &str) -> ArpFrame {
    let mut buffer = [0; 2048];
    loop {
        let length = socket.receive(&mut buffer).await.unwrap();
        if let Ok(frame) = ArpFrame::parse(&buffer[..length])
            && frame.sender_mac.to_string() == mac
            && frame.sender.to_string() == VIP
        {
            return frame;
        }
    }
}

fn on_a_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

fn eth0_index() -> u32 {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )
    .unwrap();
    rustix::net::netdevice::name_to_index(&socket, "eth0").unwrap()
}

/// Of the thread's namespace: sysfs shows the one that it was mounted in.
fn eth0_mac() -> Mac {
    let output = std::process::Command::new("ip")
        .args(["-o", "link", "show", "eth0"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mac = text.split("link/ether ").nth(1).unwrap();
    let mut bytes = [0; 6];
    for (byte, hex) in bytes.iter_mut().zip(mac[..17].split(':')) {
        *byte = u8::from_str_radix(hex, 16).unwrap();
    }
    Mac(bytes)
}

#[test]
fn without_capabilities_nothing_is_announced_and_the_state_says_why() {
    if !allowed(
        "without_capabilities_nothing_is_announced_and_the_state_says_why",
        PROGRAMS,
    ) {
        return;
    }
    let lan = two_stations();
    let speaker = lan.inside("node", || {
        let mut sets = rustix::thread::capabilities(None).unwrap();
        sets.effective
            .remove(rustix::thread::CapabilitySet::NET_RAW);
        sets.permitted
            .remove(rustix::thread::CapabilitySet::NET_RAW);
        rustix::thread::set_capabilities(None, sets).unwrap();
        gatehouse_lb_speaker::Speaker::start(SpeakerSettings::new("node")).unwrap()
    });
    speaker.update(announce(&[VIP]));
    wait_for(
        &speaker,
        VIP,
        |state| matches!(state, AddressState::NotPermitted { why } if why.contains("CAP_NET_RAW")),
    );
    assert!(lan.arping("client", VIP, 1).is_empty());
    assert!(speaker.shutdown(Duration::from_secs(5)));
}
