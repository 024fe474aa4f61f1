//! What a cluster costs, in figures: the table of docs/performance.md, "In a cluster". Only with
//! `GATEHOUSE_LONG_TESTS=1`, and of use with a release build:
//!
//! ```text
//! GATEHOUSE_LONG_TESTS=1 GATEHOUSE_BIN=target/release/gatehouse \
//!     cargo test -p gatehouse-e2e --test kubernetes figures -- --nocapture
//! ```

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use gatehouse_e2e::{Gatehouse, eventually, http};

use crate::reports::endpoint;
use crate::robust::quiet_versions;
use crate::setup::Setup;

/// Until thousands of objects are made and written on a slow machine.
const LONG: Duration = Duration::from_secs(300);

const POOL: &str = "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\n\
    metadata: {name: lan, namespace: metallb-system}\nspec: {addresses: [10.99.0.0/18]}\n---\n\
    apiVersion: metallb.io/v1beta1\nkind: L2Advertisement\n\
    metadata: {name: lan, namespace: metallb-system}\n";

fn is_asked_for() -> bool {
    std::env::var_os("GATEHOUSE_LONG_TESTS").is_some_and(|value| value == "1")
}

fn row(what: &str, goal: &str, measured: &str) {
    println!("| {what} | {goal} | {measured} |");
}

/// A Service without ports of the node: there are not 5,000 of them.
fn service(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: default}}\n\
         spec: {{type: LoadBalancer, allocateLoadBalancerNodePorts: false, ports: [{{port: 80}}]}}\n"
    )
}

/// Makes objects, by four clients at once.
fn create(setup: &Setup, objects: impl Iterator<Item = String>) {
    let mut parts = [(); 4].map(|()| String::new());
    for (number, object) in objects.enumerate() {
        let _ = write!(parts[number % 4], "---\n{object}");
    }
    std::thread::scope(|scope| {
        for part in &parts {
            let create = ["create", "--validate=false", "-f", "-"];
            scope.spawn(move || setup.server.apply_with(&create, part));
        }
    });
}

/// What the server has counted: requests that write, by resource and by who can have sent them.
fn writes(setup: &Setup) -> u64 {
    let ours = [
        "resource=\"services\"",
        "resource=\"events\"",
        "resource=\"ipaddresspools\"",
        "resource=\"servicel2statuses\"",
        "resource=\"configurationstates\"",
        "resource=\"virtualservices\"",
        "resource=\"gateways\"",
    ];
    requests(setup, |line| {
        ours.iter().any(|resource| line.contains(resource))
    })
}

fn requests(setup: &Setup, counts: impl Fn(&str) -> bool) -> u64 {
    let text = setup.server.kubectl(&["get", "--raw", "/metrics"]).ok();
    let lines = text
        .lines()
        .filter(|line| line.starts_with("apiserver_request_total{"));
    lines
        .filter(|line| {
            let reads = ["\"GET\"", "\"LIST\"", "\"WATCH\""];
            !reads.iter().any(|verb| line.contains(verb)) && counts(line)
        })
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .map(|count| count as u64)
        .sum()
}

/// How many Services the pool says have an address; written behind the addresses.
fn assigned(setup: &Setup) -> usize {
    let count = setup.get(
        "ipaddresspool/lan",
        "metallb-system",
        "{.status.assignedIPv4}",
    );
    count.parse().unwrap_or(0)
}

/// How many Services the daemon knows to have an address.
fn with_address(gatehouse: &Gatehouse) -> usize {
    let rows = gatehouse.rows("services");
    rows.iter()
        .filter(|row| row["external_ip"].get(0).is_some())
        .count()
}

/// CPU seconds of a process so far, exact to the microsecond: what it uses at rest is less than the
/// hundredths that /proc/PID/stat counts.
fn cpu(process: u32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("the process is there");
    let nanoseconds = tasks.flatten().filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e9
}

/// The proportional memory of a process in MB.
fn memory(process: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup"));
    let text = text.expect("the process is there");
    let line = text.lines().find(|line| line.starts_with("Pss:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kilobytes.expect("a number") / 1024.0
}

#[test]
fn figures_of_5000_services() {
    if !is_asked_for() {
        return;
    }
    let Some(setup) = Setup::new() else { return };
    setup.server.install_crds();
    setup.server.apply(POOL);
    let count = 5000;
    create(
        &setup,
        (0..count).map(|number| service(&format!("s{number}"))),
    );
    let before = requests(&setup, |line| line.contains("resource=\"services\""));
    let started = Instant::now();
    let gatehouse = setup.start(&setup.nodes[0]);
    let ready = started.elapsed();
    eventually("all Services have addresses", LONG, || {
        (assigned(&setup) == count).then_some(())
    });
    let took = started.elapsed();
    let busy = cpu(gatehouse.id());
    let written = requests(&setup, |line| line.contains("resource=\"services\"")) - before;
    row(
        "5,000 Services from a start: all have an address, all are written",
        "≤ 30 s",
        &format!(
            "{:.1} s (ready after {:.1} s; {written} writes of Services, {:.0} a second; {busy:.1} s of CPU)",
            took.as_secs_f64(),
            ready.as_secs_f64(),
            written as f64 / took.as_secs_f64()
        ),
    );
    let begun = Instant::now();
    quiet_versions(
        &setup,
        "events,servicel2statuses,configurationstates,services",
    );
    println!(
        "events and reports: {:.1} s more",
        begun.elapsed().as_secs_f64()
    );
    println!(
        "memory with 5,000 Services: {:.1} MB",
        memory(gatehouse.id())
    );

    let before = writes(&setup);
    gatehouse.kill();
    let started = Instant::now();
    let gatehouse = setup.start(&setup.nodes[0]);
    eventually("all are taken over", LONG, || {
        (with_address(&gatehouse) == count).then_some(())
    });
    let took = started.elapsed();
    eventually("it deals", LONG, || {
        (setup.leader() == "node1").then_some(())
    });
    quiet_versions(
        &setup,
        "events,servicel2statuses,configurationstates,services",
    );
    row(
        "the same after kill -9 and a start: all are taken over",
        "≤ 3 s, no write",
        &format!(
            "{:.1} s, {} writes",
            took.as_secs_f64(),
            writes(&setup) - before
        ),
    );
}

#[test]
fn figures_of_1000_services_and_routes() {
    if !is_asked_for() {
        return;
    }
    let Some(setup) = Setup::new() else { return };
    setup.server.install_crds();
    setup.server.apply(POOL);
    setup.server.apply(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\n\
         metadata: {name: it, namespace: istio-system}\n\
         spec:\n  selector: {istio: ingressgateway}\n  servers:\n  \
         - port: {number: 8080, name: http, protocol: HTTP}\n    hosts: ['*']\n",
    );
    let count = 1000;
    create(
        &setup,
        (0..count).map(|number| {
            let name = format!("s{number}");
            format!(
                "{}---\n{}---\n{}",
                service(&name),
                endpoint(&name),
                route(&name, &name, "/")
            )
        }),
    );
    let gatehouse = setup.start(&setup.nodes[0]);
    eventually("all Services have addresses", LONG, || {
        (assigned(&setup) == count).then_some(())
    });
    eventually("all are announced", LONG, || {
        let rows = gatehouse.rows("addresses");
        (rows
            .iter()
            .filter(|row| row["state"] == "announced")
            .count()
            == count)
            .then_some(())
    });
    let all = "events,servicel2statuses,configurationstates,services,virtualservices";
    quiet_versions(&setup, all);
    let process = gatehouse.id();

    let mut took: Vec<Duration> = (0..20).map(|number| served_after(&setup, number)).collect();
    took.sort();
    row(
        "a VirtualService applied with kubectl is served (of 20; beside 1,000 others)",
        "≤ 200 ms",
        &format!(
            "median {} ms, longest {} ms",
            took[10].as_millis(),
            took[19].as_millis()
        ),
    );

    let (before, leases) = (writes(&setup), lease_writes(&setup));
    let (busy, begun) = (cpu(process), Instant::now());
    while begun.elapsed() < Duration::from_secs(60) {
        std::thread::park_timeout(Duration::from_secs(1));
    }
    let busy = (cpu(process) - busy) / begun.elapsed().as_secs_f64();
    row(
        "a node at rest, a minute: writes",
        "the Lease",
        &format!(
            "{} of Leases (the server's own among them), {} others",
            lease_writes(&setup) - leases,
            writes(&setup) - before
        ),
    );
    row(
        "a node at rest, which announces 1,000 addresses: CPU",
        "≤ 0.2 % of a core",
        &format!("{:.2} %", busy * 100.0),
    );
    row(
        "memory (PSS) with 1,000 Services and 1,000 VirtualServices",
        "≤ 40 MB",
        &format!("{:.1} MB", memory(process)),
    );
}

fn lease_writes(setup: &Setup) -> u64 {
    requests(setup, |line| line.contains("resource=\"leases\""))
}

fn route(name: &str, service: &str, path: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
         metadata: {{name: {name}, namespace: default}}\n\
         spec:\n  hosts: ['{name}.lan']\n  gateways: [istio-system/it]\n  http:\n  \
         - match: [{{uri: {{prefix: {path}}}}}]\n    \
         route: [{{destination: {{host: {service}, port: {{number: 80}}}}}}]\n"
    )
}

/// From the line by which kubectl says that the server has it to the first answer.
fn served_after(setup: &Setup, number: usize) -> Duration {
    let path = format!("/new{number}");
    let text = format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
         metadata: {{name: new, namespace: default}}\n\
         spec:\n  hosts: [new.lan]\n  gateways: [istio-system/it]\n  http:\n  \
         - match: [{{uri: {{exact: {path}}}}}]\n    directResponse: {{status: 207}}\n"
    );
    let mut command = setup.server.kubectl_command();
    command.args(["apply", "-f", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut kubectl = command.spawn().expect("kubectl can be started");
    let mut stdin = kubectl.stdin.take().expect("a pipe");
    stdin.write_all(text.as_bytes()).expect("kubectl reads it");
    drop(stdin);
    let mut line = String::new();
    let stdout = kubectl.stdout.take().expect("a pipe");
    BufReader::new(stdout)
        .read_line(&mut line)
        .expect("kubectl says what it did");
    let acknowledged = Instant::now();
    assert!(
        line.contains("virtualservice.networking.istio.io/new"),
        "{line}"
    );
    let at = SocketAddr::from((setup.nodes[0].v4(), 8080));
    setup.client.enter(|| {
        eventually("it is served", LONG, || {
            let answer = http::get(at, "new.lan", &path, &[]);
            answer
                .is_ok_and(|answer| answer.status == 207)
                .then_some(())
        });
    });
    let took = acknowledged.elapsed();
    let ended = kubectl.wait().expect("kubectl ends");
    assert!(ended.success());
    took
}
