//! What happens on the LAN, in order, and how it is told: every line is printed after the fact.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::LanError;
use super::fetch::fetch;
use super::network::{self, CLIENT, MACHINES, NODE};

const INGRESS: &str = "192.168.8.151";
const KIALI: &str = "192.168.8.152";
/// How many requests the traffic step sends.
const REQUESTS: u32 = 1000;

/// How long a step may take before the story ends.
const PATIENCE: Duration = Duration::from_secs(15);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// config/examples/lan; the pool is written later, in the story.
const FILES: [(&str, &str); 2] = [
    (
        "ingressgateway.yaml",
        include_str!("../../../config/examples/lan/ingressgateway.yaml"),
    ),
    (
        "bookinfo.yaml",
        include_str!("../../../config/examples/lan/bookinfo.yaml"),
    ),
];
const POOL: &str = include_str!("../../../config/examples/lan/addresses.yaml");
const KIALI_FILE: &str = include_str!("../../../config/examples/lan/kiali.yaml");

/// Writes the files with which the story begins: no pool, and kiali not exposed.
pub(super) fn write_config(config: &Path) -> io::Result<()> {
    fs::create_dir(config)?;
    for (name, content) in FILES {
        fs::write(config.join(name), content)?;
    }
    fs::write(config.join("kiali.yaml"), kiali("ClusterIP"))
}

/// Tells the story; `mac` is the node's.
pub(super) fn tell(program: &Path, config: &Path, mac: &str) -> Result<(), LanError> {
    let write = |name: &str, content: &str| {
        fs::write(config.join(name), content)
            .map_err(LanError::io("a file of the demo cannot be written"))
    };
    for ((name, address), runs) in MACHINES
        .iter()
        .zip(["gatehouse run", "bookinfo, kiali", "curl"])
    {
        println!("  {name:<18} {address:<14} {runs}");
    }

    step(
        1,
        "gatehouse runs; istio-ingressgateway is of type LoadBalancer, and there is no pool.",
    );
    until("gatehouse answers", || {
        row("istio-ingressgateway").is_some().then_some(())
    })?;
    print_services(program)?;

    step(
        2,
        "The IPAddressPool 192.168.8.151-192.168.8.198 is applied (addresses.yaml).",
    );
    let took = after(
        || write("addresses.yaml", POOL),
        "an address is given",
        || (address("istio-ingressgateway")? == INGRESS).then_some(()),
    )?;
    print_services(program)?;
    println!("  The address was there after {} ms.", took.as_millis());

    step(3, "The client runs: curl http://192.168.8.151/productpage");
    let book = until("the page opens", || page(INGRESS, 80, "/productpage"))?;
    println!("  200, {} bytes: {}", book.len(), title(&book));
    let learned = network::learned_mac(INGRESS)?;
    let learned = learned.unwrap_or_else(|| "nobody".to_owned());
    println!("  Who has {INGRESS}? {learned} has it: that is eth0 of {NODE} ({mac}).");
    if learned != mac {
        return Err(LanError::Story(format!(
            "ARP was answered by {learned}, not by {mac}"
        )));
    }

    step(
        4,
        "The Service kiali becomes a LoadBalancer (one line of kiali.yaml).",
    );
    let edit = || write("kiali.yaml", &kiali("LoadBalancer"));
    let mut kiali_page = String::new();
    let took = after(edit, "Kiali opens", || {
        kiali_page = page(KIALI, 20001, "/kiali")?;
        Some(())
    })?;
    print_services(program)?;
    println!(
        "  http://{KIALI}:20001/kiali opened after {} ms: {}",
        took.as_millis(),
        title(&kiali_page)
    );

    step(5, "The client asks for the page a thousand times.");
    let started = Instant::now();
    let at = SocketAddr::new(parse(INGRESS)?, 80);
    let fetched = fetch(CLIENT, at, "/productpage", REQUESTS);
    let (status, _) = fetched.map_err(LanError::io("the requests failed"))?;
    println!(
        "  {REQUESTS} answers of {status} in {} ms; the metrics say:",
        started.elapsed().as_millis()
    );
    let line = until("the requests are counted", || {
        metric("istio_requests_total", "200")
    })?;
    println!("  {line}");

    let config = config.display();
    println!(
        "
Now you, in another terminal, as root:

  ip netns exec {CLIENT} curl http://{INGRESS}/productpage
  ip netns exec {CLIENT} curl http://{KIALI}:20001/kiali
  ip netns exec {CLIENT} ping {INGRESS}
  ip netns exec {NODE} {program} get services
  ip netns exec {NODE} curl http://127.0.0.1:15000/

Edit {config}/kiali.yaml and see the address go and come.
Ctrl-C stops everything and removes the LAN.",
        program = program.display(),
    );
    Ok(())
}

fn step(number: u8, text: &str) {
    println!("\n{number}. {text}");
}

/// The Service kiali with another type.
fn kiali(kind: &str) -> String {
    KIALI_FILE.replacen("type: LoadBalancer", &format!("type: {kind}"), 1)
}

/// What `gatehouse get services` prints on the node.
fn print_services(program: &Path) -> Result<(), LanError> {
    let output = network::command(NODE)
        .arg(program)
        .args(["get", "services"])
        .output()
        .map_err(LanError::io("gatehouse get cannot be run"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(LanError::Story(format!(
            "gatehouse get services said: {said}"
        )));
    }
    println!("  $ gatehouse get services");
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        println!("  {line}");
    }
    Ok(())
}

/// Does something and waits for what follows from it; gives how long that took.
fn after(
    act: impl FnOnce() -> Result<(), LanError>,
    what: &str,
    seen: impl FnMut() -> Option<()>,
) -> Result<Duration, LanError> {
    let started = Instant::now();
    act()?;
    until(what, seen)?;
    Ok(started.elapsed())
}

fn until<T>(what: &str, mut seen: impl FnMut() -> Option<T>) -> Result<T, LanError> {
    let started = Instant::now();
    loop {
        if let Some(found) = seen() {
            return Ok(found);
        }
        if started.elapsed() > PATIENCE {
            return Err(LanError::Story(format!("not within {PATIENCE:?}: {what}")));
        }
        thread::sleep(PAUSE);
    }
}

/// The row of a Service, as the admin API on the node shows it.
fn row(service: &str) -> Option<Value> {
    let admin = SocketAddr::from(([127, 0, 0, 1], 15000));
    let (_, body) = fetch(NODE, admin, "/api/v1/services", 1).ok()?;
    let rows: Value = serde_json::from_str(&body).ok()?;
    rows.as_array()?
        .iter()
        .find(|row| row["name"] == service)
        .cloned()
}

/// The address of a Service.
fn address(service: &str) -> Option<String> {
    Some(row(service)?["external_ip"].get(0)?.as_str()?.to_owned())
}

/// A page as the client gets it, if it opens.
fn page(address: &str, port: u16, path: &'static str) -> Option<String> {
    let at = SocketAddr::new(address.parse().ok()?, port);
    let (status, body) = fetch(CLIENT, at, path, 1).ok()?;
    (status == 200).then_some(body)
}

/// The first line of a metric with a response code, as Prometheus would read it on the node.
fn metric(name: &str, code: &str) -> Option<String> {
    let at = SocketAddr::from(([127, 0, 0, 1], 15020));
    let (_, body) = fetch(NODE, at, "/stats/prometheus", 1).ok()?;
    let code = format!("response_code=\"{code}\"");
    let line = body
        .lines()
        .find(|line| line.starts_with(name) && line.contains(&code))?;
    // All labels would fill the screen: the name and the number tell the story.
    let value = line.rsplit(' ').next()?;
    Some(format!(
        "{name}{{destination_service_name=\"productpage\",{code},…}} {value}"
    ))
}

fn parse(address: &str) -> Result<std::net::IpAddr, LanError> {
    address
        .parse()
        .map_err(|error| LanError::Story(format!("{address}: {error}")))
}

/// What stands in `<title>`.
fn title(page: &str) -> &str {
    let inner = page
        .split_once("<title>")
        .and_then(|(_, rest)| rest.split_once("</title>"));
    inner.map_or("a page without a title", |(title, _)| title.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_story_begins_without_a_pool_and_with_kiali_inside() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = directory.path().join("config");
        write_config(&config).expect("it can be written");
        let text: String = fs::read_dir(&config)
            .expect("it is there")
            .flatten()
            .filter_map(|file| fs::read_to_string(file.path()).ok())
            .collect();
        assert!(!text.contains("IPAddressPool"));
        assert!(text.contains("  type: ClusterIP\n") && text.contains("kind: VirtualService"));
        assert!(POOL.contains("192.168.8.151-192.168.8.198"));
        assert_eq!(kiali("LoadBalancer"), KIALI_FILE);
        assert_ne!(kiali("ClusterIP"), KIALI_FILE);
    }

    #[test]
    fn a_title_is_found() {
        assert_eq!(title("<head><title> A page </title></head>"), "A page");
        assert_eq!(title("no"), "a page without a title");
    }
}
