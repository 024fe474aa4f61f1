//! The kernel beside the speaker: it must not answer for addresses that the speaker answers for.

use std::time::Duration;

use gatehouse_lb_speaker::SpeakerSettings;

use crate::harness::{allowed, announce, announced, eventually, run, wait_for};
use crate::{PROGRAMS, VIP, arp_settings, two_stations};

/// kube-proxy in IPVS mode puts the addresses of all Services on `kube-ipvs0`, on every node.
#[test]
fn what_kube_proxy_holds_is_announced_by_its_owner_alone() {
    if !allowed(
        "what_kube_proxy_holds_is_announced_by_its_owner_alone",
        PROGRAMS,
    ) {
        return;
    }
    let mut lan = two_stations();
    lan.station("second", 13);
    let held = format!("{VIP}/32");
    for node in ["node", "second"] {
        let name = lan.name(node);
        // As good as a dummy interface, which some kernels have not got.
        run(&[
            "ip",
            "-n",
            &name,
            "link",
            "add",
            "kube-ipvs0",
            "type",
            "bridge",
        ]);
        run(&["ip", "-n", &name, "link", "set", "kube-ipvs0", "arp", "off"]);
        run(&["ip", "-n", &name, "addr", "add", &held, "dev", "kube-ipvs0"]);
    }
    let second = lan.speaker("second", SpeakerSettings::new("second"));
    second.update(Vec::new());
    eventually("a quiet kernel", || {
        match lan.arping("client", VIP, 1).contains(&lan.mac("second")) {
            true => Err("it answers".to_owned()),
            false => Ok(()),
        }
    });
    let speaker = lan.speaker("node", SpeakerSettings::new("node"));
    speaker.update(announce(&[VIP]));
    wait_for(&speaker, VIP, announced);
    let answers = lan.arping("client", VIP, 3);
    assert_eq!(answers, vec![lan.mac("node"); 3]);
    // What is kube-proxy's stays with it.
    assert!(speaker.shutdown(Duration::from_secs(5)));
    let addresses = lan.text("node", &["ip", "addr", "show", "kube-ipvs0"]);
    assert!(addresses.contains(VIP), "{addresses}");
}

/// Not a test of its own: the process that runs where [`where_proc_is_read_only_the_kernel_is_quiet_all_the_same`]
/// made /proc/sys read-only; it ends with its input.
#[test]
fn child_that_ends() {
    let Some(directory) = std::env::var_os("GATEHOUSE_TEST_CHILD_THAT_ENDS") else {
        return;
    };
    let mut settings = SpeakerSettings::new("node");
    settings.state_dir = Some(directory.into());
    let speaker = gatehouse_lb_speaker::Speaker::start(settings).unwrap();
    speaker.update(announce(&[VIP]));
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
    assert!(speaker.shutdown(Duration::from_secs(5)));
}

/// As in a container that is not privileged.
#[test]
fn where_proc_is_read_only_the_kernel_is_quiet_all_the_same() {
    if !allowed(
        "where_proc_is_read_only_the_kernel_is_quiet_all_the_same",
        PROGRAMS,
    ) {
        return;
    }
    let lan = two_stations();
    let before = arp_settings(&lan);
    // The kernel answers for every address of the host, while nobody tells it not to.
    let other = "192.168.8.77";
    run(&[
        "ip",
        "-n",
        &lan.name("node"),
        "addr",
        "add",
        "192.168.8.77/32",
        "dev",
        "lo",
    ]);
    assert_eq!(lan.arping("client", other, 1), [lan.mac("node")]);
    let state = tempfile::tempdir().unwrap();
    // ip gives the command a mount namespace of its own.
    let script = "mount --make-rprivate / && mount --bind /proc/sys /proc/sys \
                  && mount -o remount,ro,bind /proc/sys /proc/sys \
                  && ! sysctl -qw net.ipv4.conf.eth0.arp_ignore=1 && exec \"$@\"";
    let mut child = std::process::Command::new("ip")
        .args(["netns", "exec", &lan.name("node"), "sh", "-c", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "kernel::child_that_ends", "--nocapture"])
        .env("GATEHOUSE_TEST_CHILD_THAT_ENDS", state.path())
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    eventually("the child's answer", || {
        match lan.arping("client", VIP, 1) {
            answers if answers.is_empty() => Err("none".to_owned()),
            _ => Ok(()),
        }
    });
    assert_eq!(arp_settings(&lan), "1 2");
    assert!(lan.arping("client", other, 1).is_empty());
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert_eq!(arp_settings(&lan), before);
    assert_eq!(lan.arping("client", other, 1), [lan.mac("node")]);
}
