//! With what it is allowed: nobody at all, and exactly the three capabilities of the unit.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use gatehouse_e2e::http;
use gatehouse_e2e::{
    ConfigDir, DEADLINE, Echo, EchoPorts, Front, Gatehouse, Lan, Need, Node, Process, eventually,
    free_port, gatehouse_binary, loopback_address, satisfied,
};
use rustix::process::Signal;
use tempfile::TempDir;

/// Nobody: no capability, none to be had.
const NOBODY: &[&str] = &[
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    "--inh-caps=-all",
    "--bounding-set=-all",
    "--no-new-privs",
    "--",
];

/// The unit's user: three ambient capabilities, nothing else to be had.
const THREE: &[&str] = &[
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    "--inh-caps=-all,+net_raw,+net_admin,+net_bind_service",
    "--ambient-caps=-all,+net_raw,+net_admin,+net_bind_service",
    "--bounding-set=-all,+net_raw,+net_admin,+net_bind_service",
    "--no-new-privs",
    "--",
];

/// Others may not reach the folder in which the program was built: a copy for them.
fn binary_for_everyone() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let copy = folder.path().join("gatehouse");
    fs::copy(gatehouse_binary(), &copy).expect("the program can be copied");
    for path in [folder.path(), &copy] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("own files");
    }
    (folder, copy)
}

/// The user's own start of a program; as root, nobody's.
fn as_nobody(program: &PathBuf) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new(NOBODY[0]);
    command.args(&NOBODY[1..]).arg(program);
    command
}

fn needs() -> Vec<Need> {
    // Whoever is not root has no privileges to drop.
    let root = rustix::process::geteuid().is_root();
    if root {
        vec![Need::Program("setpriv")]
    } else {
        Vec::new()
    }
}

#[test]
fn the_demo_works_for_a_user_without_any_privilege() {
    if !satisfied(&needs()) {
        return;
    }
    let (_folder, program) = binary_for_everyone();
    // The demo serves on 127.0.0.1; the port is free there now, and the demo says so if not.
    let port = free_port(std::net::Ipv4Addr::LOCALHOST);
    let mut command = as_nobody(&program);
    command.args(["demo", "--port", &port.to_string()]);
    let mut demo = Process::start("gatehouse demo", &mut command);
    demo.wait_for_line("/productpage", DEADLINE);
    let at = SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, port));
    let page = eventually("the bookstore opens", DEADLINE, || {
        http::get(at, "localhost", "/productpage", &[])
            .ok()
            .filter(|page| page.status == 200)
    });
    assert!(
        page.text().contains("The Comedy of Errors"),
        "{}",
        page.text()
    );
    for (path, expected) in [("/api/v1/products", 200), ("/logout", 302)] {
        let status = http::get(at, "localhost", path, &[]).unwrap().status;
        assert_eq!(status, expected, "{path}");
    }
    let mut client = http::Client::connect(at).unwrap();
    client
        .send(
            b"POST /login HTTP/1.1\r\nhost: localhost\r\ncontent-length: 14\r\n\
              content-type: application/x-www-form-urlencoded\r\n\r\nusername=jason",
        )
        .unwrap();
    assert_eq!(client.response("POST").unwrap().status, 302);
    assert_eq!(
        http::get(at, "localhost", "/elsewhere", &[])
            .unwrap()
            .status,
        404
    );

    // A second one is told that the port is taken, and how to go on.
    let mut second = as_nobody(&program);
    second.args(["demo", "--port", &port.to_string()]);
    let mut second = Process::start("a second demo", &mut second);
    assert!(!second.wait(DEADLINE).success());
    let said = second.output();
    assert!(
        said.contains(&port.to_string()) && said.contains("--port"),
        "{said}"
    );

    demo.signal(Signal::INT);
    assert!(demo.wait(DEADLINE).success(), "Ctrl-C is a good end");
}

#[test]
fn the_gateway_serves_without_privileges_and_says_what_is_missing() {
    if !satisfied(&needs()) {
        return;
    }
    let upstream = Echo::http(
        &Node::host(),
        "api",
        SocketAddr::from((loopback_address(), 0)),
    );
    let root = rustix::process::geteuid().is_root();
    let (_folder, program) = binary_for_everyone();
    let rule = "- route: [{destination: {host: api.test}}]\n";
    let mut front = Front::start_with(rule, &[("api.test", &[upstream.address()])], |builder| {
        let builder = builder.program(&program);
        if root {
            builder.wrapped(NOBODY)
        } else {
            builder
        }
    });
    assert_eq!(front.get("/", &[]).header("x-echo"), Some("api"));
    let said = front.gatehouse.wait_for_log("CAP_NET_RAW");
    assert!(said.contains("announce"), "{said}");
    // Reload works for nobody as well.
    front.set_rules("- directResponse: {status: 200, body: {string: changed}}\n");
    eventually("the change is served", DEADLINE, || {
        (front.get("/", &[]).text() == "changed").then_some(())
    });
    assert!(front.gatehouse.terminate().success());
}

#[test]
fn the_three_capabilities_of_the_unit_are_enough() {
    let Some(mut lan) = Lan::new(&["setpriv", "arping", "curl"]) else {
        return;
    };
    let (client, node) = (lan.node("client", 100), lan.node("node1", 11));
    let backend = lan.node("backend", 21);
    let at = SocketAddr::from((backend.v4(), 9080));
    let _echo = Echo::start(
        &backend,
        "backend",
        &EchoPorts {
            http: vec![at],
            ..EchoPorts::default()
        },
    );
    let config = ConfigDir::new();
    config.write(
        "all.yaml",
        "apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  type: LoadBalancer
  ports: [{port: 80, targetPort: 9080}]
---
apiVersion: v1
kind: Endpoints
metadata: {name: web, namespace: default}
subsets:
- addresses: [{ip: 192.168.8.21}]
  ports: [{port: 9080}]
---
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: pool, namespace: metallb-system}
spec: {addresses: [192.168.8.151/32]}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: lan, namespace: metallb-system}
",
    );
    let (_folder, program) = binary_for_everyone();
    let gatehouse = Gatehouse::on(&node)
        .program(&program)
        .wrapped(THREE)
        .start(config.path());
    let status = fs::read_to_string(format!("/proc/{}/status", gatehouse.id())).unwrap();
    // CAP_NET_BIND_SERVICE 10, CAP_NET_ADMIN 12, CAP_NET_RAW 13.
    for line in [
        "CapEff:\t0000000000003400",
        "CapBnd:\t0000000000003400",
        "Uid:\t65534",
    ] {
        assert!(status.contains(line), "{line} in {status}");
    }
    eventually("the Service opens", DEADLINE, || {
        let curl = client.exec(["curl", "-sS", "--max-time", "1", "http://192.168.8.151/"]);
        curl.status.success().then_some(())
    });
    let arping = client
        .exec([
            "arping",
            "-c",
            "1",
            "-w",
            "2",
            "-i",
            "eth0",
            "192.168.8.151",
        ])
        .ok();
    assert!(
        arping.to_ascii_lowercase().contains(&node.mac()),
        "{arping}"
    );
    assert!(
        node.sh("ip -o addr show dev gatehouse0")
            .ok()
            .contains("192.168.8.151")
    );
    assert!(gatehouse.terminate().success());
    assert!(!node.sh("ip link show gatehouse0").status.success());
}
