//! What fails at first, for a reason that no message of the kernel tells the end of, is tried again.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use gatehouse_lb_speaker::{AddressState, Speaker, SpeakerSettings};

use crate::harness::{allowed, announce, announced, eventually, run, wait_for};
use crate::{PROGRAMS, VIP, two_stations};

fn no_interface(state: &AddressState, because: &str) -> bool {
    matches!(state, AddressState::NoInterface { why } if why.contains(because))
}

#[test]
fn an_address_that_the_kernel_refused_is_put_on_the_host_later() {
    if !allowed(
        "an_address_that_the_kernel_refused_is_put_on_the_host_later",
        PROGRAMS,
    ) {
        return;
    }
    let lan = two_stations();
    // Of interfaces to come; without a link-local address, whose arrival would be told.
    let refuse = "net.ipv6.conf.default.disable_ipv6=1";
    let silent = "net.ipv6.conf.default.addr_gen_mode=1";
    lan.text("node", &["sysctl", "-qw", refuse, silent]);
    let speaker = lan.speaker("node", SpeakerSettings::new("node"));
    speaker.update(announce(&["fd08::151"]));
    wait_for(&speaker, "fd08::151", |state| {
        no_interface(state, "cannot be put on this host")
    });
    let allow = "net.ipv6.conf.gatehouse0.disable_ipv6=0";
    lan.text("node", &["sysctl", "-qw", allow]);
    wait_for(&speaker, "fd08::151", announced);
    lan.text("client", &["ping", "-6", "-c", "1", "-W", "2", "fd08::151"]);
    assert!(speaker.states().borrow().messages.is_empty());
    // Neighbours may know it as another node's.
    eventually("an announcement", || {
        let mut metrics = String::new();
        speaker.write_prometheus(&mut metrics);
        let sent = "metallb_layer2_gratuitous_sent{ip=\"fd08::151\"} ";
        match metrics.lines().find_map(|line| line.strip_prefix(sent)) {
            Some(count) if count != "0" => Ok(()),
            _ => Err(metrics),
        }
    });
}

/// Not a test of its own: the process of
/// [`a_socket_that_could_not_be_opened_is_opened_later`], which has few file descriptors.
#[test]
fn child_without_descriptors() {
    if std::env::var_os("GATEHOUSE_TEST_CHILD_WITHOUT_DESCRIPTORS").is_none() {
        return;
    }
    let speaker = Speaker::start(SpeakerSettings::new("node")).unwrap();
    speaker.update(announce(&[VIP, "fd08::151"]));
    wait_for(&speaker, VIP, |state| no_interface(state, "eth0"));
    let mut all: Vec<std::fs::File> =
        std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
    println!("\nnone is left");
    wait_for(&speaker, VIP, |state| no_interface(state, "no raw socket"));
    println!("\nit was tried");
    // The kernel has told everything about the interface.
    std::io::stdin().read_line(&mut String::new()).unwrap();
    // For ARP alone; then for the rest.
    all.pop();
    wait_for(&speaker, "fd08::151", |state| {
        no_interface(state, "no raw socket for IPv6")
    });
    all.clear();
    wait_for(&speaker, "fd08::151", announced);
    wait_for(&speaker, VIP, announced);
    println!("\nannounced");
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
    assert!(speaker.shutdown(Duration::from_secs(5)));
}

#[test]
fn a_socket_that_could_not_be_opened_is_opened_later() {
    if !allowed(
        "a_socket_that_could_not_be_opened_is_opened_later",
        PROGRAMS,
    ) {
        return;
    }
    let lan = two_stations();
    let node = lan.name("node");
    let eth0 = |state| run(&["ip", "-n", &node, "link", "set", "eth0", state]);
    let keep = "net.ipv6.conf.eth0.keep_addr_on_down=1";
    lan.text("node", &["sysctl", "-qw", keep]);
    eth0("down");
    let script = "ulimit -n 48 && exec \"$@\"";
    let mut child = Command::new("ip")
        .args(["netns", "exec", &node, "sh", "-c", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "failures::child_without_descriptors",
            "--nocapture",
        ])
        .env("GATEHOUSE_TEST_CHILD_WITHOUT_DESCRIPTORS", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut says = |what| said.any(|line| line.unwrap() == what);
    assert!(says("none is left"));
    eth0("up");
    assert!(says("it was tried"));
    eventually("the interface is ready", || {
        let shown = lan.text("node", &["ip", "address", "show", "dev", "eth0"]);
        let is_ready = shown.contains("state UP")
            && shown.contains("inet6 fe80")
            && !shown.contains("tentative");
        is_ready.then_some(()).ok_or(shown)
    });
    let mut goes_on = child.stdin.take().unwrap();
    goes_on.write_all(b"\n").unwrap();
    assert!(says("announced"));
    assert_eq!(lan.arping("client", VIP, 1), [lan.mac("node")]);
    lan.text("client", &["ping", "-6", "-c", "1", "-W", "2", "fd08::151"]);
    drop(goes_on);
    assert!(child.wait().unwrap().success());
}
