//! The examples that follow Istio's samples, each doing what its name says: bookinfo's routes in
//! front of the demo's bookinfo, the others in front of echoes.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use gatehouse_e2e::http::{self, Client, Response};
use gatehouse_e2e::{
    ConfigDir, DEADLINE, Echo, Gatehouse, Node, Process, Upstream, eventually, free_port,
    gatehouse_binary, loopback_address,
};

/// What a delay or an answer takes where nothing is injected, at most.
const SOON: Duration = Duration::from_secs(5);

/// How many requests tell a share.
const SAMPLE: u32 = 500;

fn example(path: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/examples");
    let file = file.join(path);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// `gatehouse demo`, whose files the test edits as its user would.
struct Demo {
    page: SocketAddr,
    config: PathBuf,
    _process: Process,
}

/// A route that is in the demo's directory; it goes when this is dropped.
struct Added<'a> {
    demo: &'a Demo,
    file: PathBuf,
    host: String,
    probe: String,
}

impl Demo {
    fn start() -> Self {
        let own = loopback_address();
        let page = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(Ipv4Addr::LOCALHOST)));
        let admin = SocketAddr::from((own, free_port(own))).to_string();
        let mut command = Command::new(gatehouse_binary());
        command.args([
            "demo",
            "--port",
            &page.port().to_string(),
            "--admin",
            &admin,
        ]);
        let mut process = Process::start("gatehouse demo", &mut command);
        let line = process.wait_for_line("its files ", DEADLINE);
        let config = line.split_whitespace().last().map(PathBuf::from);
        Self {
            page,
            config: config.expect("the line says where"),
            _process: process,
        }
    }

    /// Adds a route and waits until it is served: `path` at `host` is no longer a 404.
    fn add(&self, name: &str, yaml: &str, host: &str, path: &str) -> Added<'_> {
        let file = self.config.join(format!("{name}.yaml"));
        let added = Added {
            demo: self,
            file,
            host: format!("{host}.bookinfo.lan"),
            probe: path.to_owned(),
        };
        assert_eq!(added.get(&[]).status, 404, "{name} is not there yet");
        std::fs::write(&added.file, yaml).expect("the demo's files are the user's");
        eventually(name, DEADLINE, || {
            (added.get(&[]).status != 404).then_some(())
        });
        added
    }

    /// Adds an example of bookinfo's routes.
    fn example(&self, name: &str, host: &str, path: &str) -> Added<'_> {
        let yaml = example(&format!("bookinfo-routes/{name}.yaml"));
        self.add(name, &yaml, host, path)
    }
}

impl Added<'_> {
    fn get(&self, headers: &[&str]) -> Response {
        let page = self.demo.page;
        http::get(page, &self.host, &self.probe, headers).expect("an answer")
    }

    /// How many of so many requests each version of reviews answers, by the pod it names.
    fn versions(&self, requests: u32, header: &str) -> BTreeMap<String, u32> {
        let mut client = Client::connect(self.demo.page).expect("it listens");
        let mut versions = BTreeMap::new();
        for _ in 0..requests {
            let (path, host) = (&self.probe, &self.host);
            let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{header}\r\n");
            client.send(request.as_bytes()).expect("sent");
            let answer = client.response("GET").expect("an answer");
            let pod = answer.json()["podname"].as_str().map(str::to_owned);
            *versions.entry(pod.expect("a name")).or_default() += 1;
        }
        versions
    }

    /// All requests that carry a header are answered by one version.
    fn always(&self, header: &str, version: &str) {
        let versions = self.versions(30, header);
        assert_eq!(versions, BTreeMap::from([(version.to_owned(), 30)]));
    }
}

impl Drop for Added<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        std::fs::remove_file(&self.file).expect("it is there");
        let what = format!("{} is gone", self.file.display());
        eventually(&what, DEADLINE, || {
            (self.get(&[]).status == 404).then_some(())
        });
    }
}

/// Whether so many of so many are a share in percent, give or take five standard deviations.
fn is_share(found: u32, of: u32, percent: u32) -> bool {
    let (of, share) = (f64::from(of), f64::from(percent) / 100.0);
    let deviation = (of * share * (1.0 - share)).sqrt();
    (f64::from(found) - of * share).abs() <= 5.0 * deviation
}

const JASON: &str = "end-user: jason\r\n";

#[test]
fn bookinfos_routes_do_what_their_names_say() {
    let demo = Demo::start();
    everything_is_version_1(&demo);
    reviews_are_split(&demo);
    jason_has_reviews_of_his_own(&demo);
    jason_waits_for_ratings(&demo);
    jason_gets_no_ratings(&demo);
    details_are_version_2(&demo);
}

fn everything_is_version_1(demo: &Demo) {
    let added = demo.example("all-v1", "reviews", "/reviews/0");
    added.always("", "reviews-v1");
    for (host, path, part) in [
        ("productpage", "/productpage", "The Comedy of Errors"),
        ("ratings", "/ratings/0", "Reviewer1"),
        ("details", "/details/0", "ISBN-10"),
    ] {
        let host = format!("{host}.bookinfo.lan");
        let answer = http::get(demo.page, &host, path, &[]).expect("an answer");
        assert_eq!(answer.status, 200, "{host}");
        assert!(answer.text().contains(part), "{host}: {}", answer.text());
    }
}

fn reviews_are_split(demo: &Demo) {
    for (name, rest, other, percent) in [
        ("reviews-90-10", "reviews-v1", "reviews-v2", 10),
        ("reviews-80-20", "reviews-v1", "reviews-v2", 20),
        ("reviews-50-v3", "reviews-v1", "reviews-v3", 50),
    ] {
        let versions = demo
            .example(name, "reviews", "/reviews/0")
            .versions(SAMPLE, "");
        let share = versions.get(other).copied().unwrap_or_default();
        assert!(is_share(share, SAMPLE, percent), "{name}: {versions:?}");
        assert_eq!(versions.get(rest), Some(&(SAMPLE - share)), "{name}");
    }
    let v3 = demo.example("reviews-v3", "reviews", "/reviews/0");
    v3.always("", "reviews-v3");
}

fn jason_has_reviews_of_his_own(demo: &Demo) {
    for (name, others) in [
        ("reviews-test-v2", "reviews-v1"),
        ("reviews-jason-v2-v3", "reviews-v3"),
    ] {
        let added = demo.example(name, "reviews", "/reviews/0");
        added.always(JASON, "reviews-v2");
        added.always("", others);
        added.always("end-user: jasonas\r\n", others);
    }
}

fn jason_waits_for_ratings(demo: &Demo) {
    let added = demo.example("ratings-test-delay", "ratings", "/ratings/0");
    let began = Instant::now();
    assert_eq!(added.get(&["end-user: anna"]).status, 200);
    assert!(began.elapsed() < SOON);
    let began = Instant::now();
    assert_eq!(added.get(&["end-user: jason"]).status, 200);
    assert!(began.elapsed() >= Duration::from_secs(7));
}

fn jason_gets_no_ratings(demo: &Demo) {
    let added = demo.example("ratings-test-abort", "ratings", "/ratings/0");
    let answer = added.get(&["end-user: jason"]);
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (500, "fault filter abort")
    );
    assert_eq!(added.get(&[]).status, 200);
}

fn details_are_version_2(demo: &Demo) {
    let echo = echo("details-v2");
    let yaml = example("bookinfo-routes/details-v2.yaml");
    let yaml = at(&yaml, "192.168.8.20", 9086, echo.address());
    let added = demo.add("details-v2", &yaml, "details", "/details/0");
    for _ in 0..10 {
        assert_eq!(added.get(&[]).header("x-echo"), Some("details-v2"));
    }
}

fn echo(name: &str) -> Echo {
    let address = SocketAddr::from((loopback_address(), 0));
    Echo::http(&Node::host(), name, address)
}

/// An example with one of its places, `address: IP` and `NAME: PORT`, moved.
fn at(yaml: &str, ip: &str, port: u16, to: SocketAddr) -> String {
    let mut moved = yaml.to_owned();
    for (from, to) in [
        (
            format!("address: {ip}\n"),
            format!("address: {}\n", to.ip()),
        ),
        (
            format!(": {port}\n  labels"),
            format!(": {}\n  labels", to.port()),
        ),
    ] {
        assert_eq!(moved.matches(&from).count(), 1, "{from:?}");
        moved = moved.replace(&from, &to);
    }
    moved
}

/// A gateway that serves one example, its port moved to a free one.
struct Served {
    address: SocketAddr,
    _config: ConfigDir,
    _gatehouse: Gatehouse,
}

impl Served {
    fn start(yaml: &str, port: u16) -> Self {
        let own = loopback_address();
        let address = SocketAddr::from((own, free_port(own)));
        let config = ConfigDir::new();
        for from in [format!("number: {port}\n"), format!("port: {port}\n")] {
            assert!(yaml.matches(&from).count() <= 1, "{from:?} is the server's");
        }
        let yaml = yaml.replace(
            &format!("number: {port}\n"),
            &format!("number: {}\n", address.port()),
        );
        let yaml = yaml.replace(
            &format!("port: {port}\n"),
            &format!("port: {}\n", address.port()),
        );
        config.write("example.yaml", &yaml);
        let gatehouse = Gatehouse::on(&Node::host())
            .admin(&SocketAddr::from((own, free_port(own))).to_string())
            .arguments(&["--status", "off", "--health", "off", "--workers", "1"])
            .arguments(&["--listen", &own.to_string()])
            .start(config.path());
        Self {
            address,
            _config: config,
            _gatehouse: gatehouse,
        }
    }

    fn get(&self, host: &str, path: &str, headers: &[&str]) -> Response {
        http::get(self.address, host, path, headers).expect("an answer")
    }
}

#[test]
fn helloworlds_versions_take_turns() {
    let (one, two) = (echo("helloworld-v1"), echo("helloworld-v2"));
    let yaml = example("helloworld/helloworld.yaml");
    let yaml = at(&yaml, "192.168.8.21", 5001, one.address());
    let yaml = at(&yaml, "192.168.8.22", 5002, two.address());
    let served = Served::start(&yaml, 8080);
    let mut versions: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..60 {
        let answer = served.get("hello.lan", "/hello", &[]);
        let name = answer.header("x-echo").expect("an echo").to_owned();
        *versions.entry(name).or_default() += 1;
    }
    assert_eq!(versions.len(), 2, "{versions:?}");
    assert!(versions.values().all(|share| *share >= 10), "{versions:?}");
    for path in ["/", "/hello/", "/hello2"] {
        assert_eq!(served.get("hello.lan", path, &[]).status, 404, "{path}");
    }
}

#[test]
fn httpbin_is_open_under_its_name() {
    let echo = echo("httpbin");
    let yaml = at(
        &example("httpbin/httpbin.yaml"),
        "192.168.8.23",
        5003,
        echo.address(),
    );
    let served = Served::start(&yaml, 8080);
    let teapot = served.get("httpbin.lan", "/status/418", &["x-echo-status: 418"]);
    assert_eq!(
        (teapot.status, teapot.header("x-echo")),
        (418, Some("httpbin"))
    );
    assert_eq!(served.get("httpbin.lan", "/delay/1", &[]).status, 200);
    assert_eq!(served.get("httpbin.lan", "/headers", &[]).status, 404);
    assert_eq!(served.get("other.lan", "/status/200", &[]).status, 404);
}

#[test]
fn a_fifth_of_the_connections_reach_the_second_tcp_echo() {
    let named = |name: &'static str| {
        Upstream::start(move |mut incoming| {
            let text = incoming.until_closed()?;
            incoming.send(name.as_bytes())?;
            incoming.send(&text)
        })
    };
    let (one, two) = (named("one "), named("two "));
    let yaml = example("tcp-echo/tcp-echo.yaml");
    let yaml = at(&yaml, "192.168.8.24", 9001, one.address());
    let yaml = at(&yaml, "192.168.8.25", 9002, two.address());
    let served = Served::start(&yaml, 31400);
    let mut second = 0;
    for _ in 0..SAMPLE {
        let mut stream = TcpStream::connect(served.address).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("set");
        stream.write_all(b"hello").expect("sent");
        stream.shutdown(Shutdown::Write).expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an echo");
        match text.as_str() {
            "one hello" => {}
            "two hello" => second += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(is_share(second, SAMPLE, 20), "{second} of {SAMPLE}");
}

#[test]
fn an_external_service_is_reached_under_its_own_name() {
    let echo = echo("books");
    let yaml = example("external/external.yaml");
    // An address in place of the name: names are looked up in the suite `dns`.
    let place = format!("- address: {}\n", echo.address().ip());
    let yaml = yaml.replace("- address: books.example.com\n", &place);
    let yaml = yaml.replace(
        "      http: 80\n",
        &format!("      http: {}\n", echo.address().port()),
    );
    let served = Served::start(&yaml, 8080);
    let answer = served.get("books.lan", "/a", &[]);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.seen("host").as_deref(), Some("books.example.com"));
    let began = Instant::now();
    assert_eq!(
        served.get("books.lan", "/b", &["x-echo-delay: 30"]).status,
        504
    );
    assert!((Duration::from_secs(3)..Duration::from_secs(15)).contains(&began.elapsed()));
    assert_eq!(served.get("other.lan", "/", &[]).status, 404);
}
