//! Every answer that was recorded from the real istiod and Envoy, asked of gatehouse over the wire.
//!
//! What the files of `data/observed` hold says the README there. The gateway runs once per
//! configuration, at a loopback address of its own that stands for 127.0.0.1 in the files: so
//! several run side by side, on the ports that were recorded. `data/observed/tls` is replayed
//! by the suite `tls`.

mod answer;
mod echo;

use std::fmt::Write as _;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use gatehouse_config::source::Directory;
use gatehouse_e2e::http::Client;
use gatehouse_e2e::{ConfigDir, Gatehouse, Lan, Node, loopback_address};
use serde_json::{Value, json};

/// The answers that differ on purpose: configuration, line (from 1), reason.
const ON_PURPOSE: &[(&str, usize, &str)] = &[];

/// Names configurations, to replay these alone.
const ONLY: &str = "GATEHOUSE_OBSERVED";

/// How many gateways run at a time.
const LANES: usize = 4;

/// So many answers were recorded; a file that is lost is noticed.
const RECORDED: usize = 2392;

/// How many differences are shown; one mistake has many.
const SHOWN: usize = 20;

/// What a configuration gave.
#[derive(Default)]
struct Replayed {
    lines: usize,
    differences: Vec<String>,
}

#[test]
fn every_recorded_answer_is_given() {
    // A network of its own keeps whoever else listens on every address of the machine away.
    let root = rustix::process::geteuid().is_root();
    let mut lan = root.then(|| Lan::new(&[])).flatten();
    let node = lan
        .as_mut()
        .map_or_else(Node::host, |lan| lan.node("observed", 21));
    let names = Mutex::new(configurations());
    let total = Mutex::new(Replayed::default());
    node.enter(|| {
        std::thread::scope(|scope| {
            for _ in 0..LANES {
                scope.spawn(|| {
                    while let Some(name) = take(&names) {
                        let replayed = replay(&node, &name);
                        let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                        total.lines += replayed.lines;
                        total.differences.extend(replayed.differences);
                    }
                });
            }
        });
    });
    let total = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    let wrong = total.differences.len();
    let said = format!(
        "observed: {} answers compared, {wrong} differ\n",
        total.lines
    );
    // Not println!, which the test runner swallows when a test passes.
    std::io::stderr()
        .write_all(said.as_bytes())
        .expect("stderr is open");
    let shown = total.differences.iter().take(SHOWN);
    let shown = shown.fold(String::new(), |mut text, difference| {
        writeln!(text, "{difference}").expect("a string can grow");
        text
    });
    assert_eq!(wrong, 0, "\n{shown}");
    if std::env::var_os(ONLY).is_none() {
        assert_eq!(total.lines, RECORDED);
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/observed")
}

/// The names of the configurations, or those in [`ONLY`] (separated by commas).
fn configurations() -> Vec<String> {
    if let Ok(names) = std::env::var(ONLY) {
        return names.split(',').map(str::to_owned).collect();
    }
    let entries = fs::read_dir(folder())
        .expect("the recorded answers")
        .flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some(name.strip_suffix(".jsonl")?.to_owned())
        })
        .collect();
    names.sort();
    names
}

fn take(names: &Mutex<Vec<String>>) -> Option<String> {
    let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
    names.pop()
}

/// Serves one configuration and asks all that was asked then.
fn replay(node: &Node, name: &str) -> Replayed {
    let read = |ending: &str| {
        let path = folder().join(format!("{name}.{ending}"));
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let own = loopback_address();
    let config = ConfigDir::new();
    let yaml = read("yaml").replace(answer::RECORDED_AT, &own.to_string());
    config.write("config.yaml", &yaml);
    let _upstreams = echo::Echoes::start(&endpoints(&config));
    let log = config.file("access.log");
    let gatehouse = Gatehouse::on(node)
        .admin(&format!("{own}:15000"))
        .arguments(&["--status", "off", "--health", "off", "--workers", "1"])
        .arguments(&["--listen", &own.to_string()])
        .arguments(&["--access-log", &log.to_string_lossy()])
        .arguments(&["--server-header", "istio-envoy"])
        .start(config.path());
    let mut replayed = Replayed::default();
    for (line, text) in (1..).zip(read("jsonl").lines()) {
        let recorded: Value = serde_json::from_str(text).expect("a line is JSON");
        let (wanted, given) = (
            answer::wanted(&recorded["answer"]),
            ask(own, &recorded["request"]),
        );
        replayed.lines += 1;
        let on_purpose = ON_PURPOSE
            .iter()
            .find(|(other, number, _)| (*other, *number) == (name, line));
        match on_purpose {
            None if given != wanted => replayed.differences.push(format!(
                "{name}.jsonl:{line}\n  asked  {}\n  wanted {wanted}\n  given  {given}",
                recorded["request"]
            )),
            Some((.., reason)) if given == wanted => replayed.differences.push(format!(
                "{name}.jsonl:{line} is as recorded, though it should differ: {reason}"
            )),
            None | Some(_) => {}
        }
    }
    drop(gatehouse);
    replayed
}

/// The upstreams of a configuration: their names and where they listen.
fn endpoints(config: &ConfigDir) -> Vec<(String, SocketAddr)> {
    let loaded = Directory::open(config.path()).expect("a directory").load();
    let mut found: Vec<(String, SocketAddr)> = Vec::new();
    for entry in loaded.resources.service_entries.values() {
        let host = entry.body.hosts.first().map_or("", String::as_str);
        let label = host.split('.').next().unwrap_or_default();
        for endpoint in &entry.body.endpoints {
            let version = endpoint.labels.get("version").map_or("v1", String::as_str);
            for port in endpoint.ports.values() {
                let port = u16::try_from(*port).expect("a port has 16 bits");
                let ip: Ipv4Addr = endpoint.address.parse().expect("endpoints are addresses");
                let address = SocketAddr::from((ip, port));
                // Port 1 is an endpoint that refuses; the first name of an address is its name.
                if port >= 1024 && found.iter().all(|(_, other)| *other != address) {
                    found.push((format!("{label}-{version}"), address));
                }
            }
        }
    }
    found
}

/// Sends a request as it was sent then, on a connection of its own.
fn ask(own: Ipv4Addr, request: &Value) -> Value {
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let (method, body) = (text(&request["method"]), text(&request["body"]));
    let mut head = format!("{method} {} HTTP/1.1\r\n", text(&request["path"]));
    let mut has_length = false;
    for pair in request["headers"].as_array().expect("a list") {
        let (key, value) = (text(&pair[0]), text(&pair[1]));
        has_length |= key.eq_ignore_ascii_case("content-length");
        write!(head, "{key}: {value}\r\n").expect("a string can grow");
    }
    if !body.is_empty() && !has_length {
        write!(head, "content-length: {}\r\n", body.len()).expect("a string can grow");
    }
    head.push_str("connection: close\r\n\r\n");
    head.push_str(&body);
    let port = request["port"]
        .as_u64()
        .and_then(|port| port.try_into().ok());
    let address = SocketAddr::from((own, port.expect("a port")));
    let answer = Client::connect(address).and_then(|mut client| {
        client.send(head.as_bytes())?;
        client.response(&method)
    });
    match answer {
        Ok(response) => answer::given(&response, own),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => json!({"error": "refused"}),
        Err(error) => json!({"error": error.to_string()}),
    }
}
