//! `gatehouse demo --lan`: the story as a user sees it, and what is left of it afterwards.

use std::process::Command;

use gatehouse_e2e::{DEADLINE, Lan, Node, Process, eventually, gatehouse_binary};
use rustix::process::Signal;

const NAMESPACES: [&str; 4] = [
    "gatehouse-lan",
    "gatehouse-node",
    "gatehouse-backend",
    "gatehouse-client",
];

fn start() -> Process {
    let mut command = Command::new(gatehouse_binary());
    Process::start("gatehouse demo --lan", command.args(["demo", "--lan"]))
}

fn left_behind() -> Vec<&'static str> {
    let there = |name: &&str| std::path::Path::new("/var/run/netns").join(name).exists();
    NAMESPACES.into_iter().filter(there).collect()
}

/// One test, for the demo's names exist once on a machine.
#[test]
fn the_story_is_told_and_nothing_stays() {
    // Asks for root and the programs; the LAN itself is the demo's.
    if Lan::new(&["curl", "ping"]).is_none() {
        return;
    }
    let host = Node::host();
    let links = || host.sh("ip -o link | cut -d: -f2").ok();
    let before = links();

    let mut demo = start();
    demo.wait_for_line("Ctrl-C stops everything", DEADLINE * 3);
    let told = demo.output();
    for part in [
        "<pending>",
        "192.168.8.151",
        "192.168.8.152",
        "The Comedy of Errors",
        "Who has 192.168.8.151?",
        "http://192.168.8.152:20001/kiali",
        "ip netns exec gatehouse-client curl http://192.168.8.151/productpage",
    ] {
        assert!(told.contains(part), "{part} was not told");
    }
    // The lines for the user work as they are printed.
    let lines = told
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("ip netns exec"));
    let lines: Vec<String> = lines
        .map(|line| line.replace("ping ", "ping -c 1 "))
        .collect();
    assert!(lines.len() >= 4, "{told}");
    for line in &lines {
        host.sh(line).ok();
    }
    assert_eq!(
        links(),
        before,
        "the machine's own interfaces are untouched"
    );

    // A second one does not disturb the first.
    let mut second = start();
    assert!(!second.wait(DEADLINE).success());
    assert!(second.output().contains("another"), "{}", second.output());
    host.sh(&lines[0]).ok();

    demo.signal(Signal::INT);
    assert!(demo.wait(DEADLINE * 3).success(), "Ctrl-C is a good end");
    assert_eq!(left_behind(), [""; 0]);
    assert!(!std::path::Path::new("/run/gatehouse-demo-lan").exists());

    // Killed in the middle of the story, and started again.
    let mut crashed = start();
    crashed.wait_for_line("2. ", DEADLINE * 3);
    crashed.kill();
    assert_eq!(
        left_behind().len(),
        NAMESPACES.len(),
        "killed: all is left behind"
    );
    let mut demo = start();
    demo.wait_for_line("Ctrl-C stops everything", DEADLINE * 3);
    demo.signal(Signal::TERM);
    assert!(demo.wait(DEADLINE * 3).success());
    assert_eq!(left_behind(), [""; 0]);
    // Not even the processes of the one that crashed.
    eventually("no daemon of the demo runs", DEADLINE, || {
        let found = host
            .sh("pgrep -f 'run --config /run/gatehouse-demo-la[n]' || true")
            .ok();
        found.trim().is_empty().then_some(())
    });
}
