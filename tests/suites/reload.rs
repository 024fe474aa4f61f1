//! Hot reload: a change is served at once, nothing in flight notices, and what is wrong leaves the
//! last good version in service.

use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gatehouse_e2e::front::{gateway_yaml, routes_yaml};
use gatehouse_e2e::http::Client;
use gatehouse_e2e::{DEADLINE, Echo, Front, Node, eventually, free_port, loopback_address};

/// Two echo upstreams, `one` and `two`, and a gateway that sends everything to `one`.
struct Setup {
    front: Front,
    _upstreams: [Echo; 2],
}

impl Setup {
    fn start() -> Self {
        let upstreams = ["one", "two"].map(|name| {
            Echo::http(
                &Node::host(),
                name,
                SocketAddr::from((loopback_address(), 0)),
            )
        });
        let addresses = [upstreams[0].address(), upstreams[1].address()];
        let services = [("one.test", &addresses[..1]), ("two.test", &addresses[1..])];
        let front = Front::start_with(&all_to("one"), &services, |builder| {
            builder.arguments(&["--workers", "2"])
        });
        Self {
            front,
            _upstreams: upstreams,
        }
    }

    fn served_by(&self) -> String {
        self.front
            .get("/", &[])
            .header("x-echo")
            .unwrap_or("nobody")
            .to_owned()
    }

    /// Waits until another upstream answers; gives how long that took.
    fn wait_for(&self, name: &str) -> Duration {
        let started = Instant::now();
        eventually(&format!("{name} answers"), DEADLINE, || {
            (self.served_by() == name).then(|| started.elapsed())
        })
    }
}

fn all_to(name: &str) -> String {
    format!("- route: [{{destination: {{host: {name}.test}}}}]\n")
}

/// Issue: 10,000 requests during 20 reloads, none fails.
#[test]
fn ten_thousand_requests_during_twenty_reloads_do_not_fail() {
    const CLIENTS: usize = 4;
    let setup = Setup::start();
    let (done, reloading) = (AtomicUsize::new(0), AtomicBool::new(true));
    let client = |number: usize| {
        let mut wrong = Vec::new();
        let mut kept = setup.front.connect();
        // Until both are enough: requests and reloads.
        while reloading.load(Ordering::Relaxed) || done.load(Ordering::Relaxed) < 10_000 {
            let mut fresh;
            let fresh_one = number % 2 == 1;
            let client = if fresh_one {
                fresh = setup.front.connect();
                &mut fresh
            } else {
                &mut kept
            };
            if let Err(error) = one_request(client, fresh_one) {
                wrong.push(error);
            }
            done.fetch_add(1, Ordering::Relaxed);
        }
        wrong
    };
    let mut slowest = Duration::ZERO;
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| scope.spawn(move || client(number)))
            .collect();
        for number in 0..20 {
            let name = ["two", "one"][number % 2];
            match number % 3 {
                0 => setup.front.set_rules(&all_to(name)),
                1 => {
                    setup
                        .front
                        .config
                        .write_in_place("routes.yaml", &routes_yaml(&all_to(name)));
                }
                _ => {
                    let (from, to) = (["one", "two"][number % 2], name);
                    setup.front.config.edit(
                        "routes.yaml",
                        &format!("{from}.test"),
                        &format!("{to}.test"),
                    );
                }
            }
            slowest = slowest.max(setup.wait_for(name));
        }
        reloading.store(false, Ordering::Relaxed);
        clients
            .into_iter()
            .flat_map(|client| client.join().expect("no client panics"))
            .collect()
    });
    // Measured, not asserted: the machine of a test is busy.
    eprintln!(
        "20 reloads, the slowest served after {slowest:?}; {} requests",
        done.load(Ordering::Relaxed)
    );
    assert!(
        wrong.is_empty(),
        "{} failed, first: {:?}",
        wrong.len(),
        wrong.first()
    );
}

fn one_request(client: &mut Client, close: bool) -> Result<(), String> {
    let connection = if close { "close" } else { "keep-alive" };
    let head = format!("GET / HTTP/1.1\r\nhost: a.test\r\nconnection: {connection}\r\n\r\n");
    client
        .send(head.as_bytes())
        .map_err(|error| format!("cannot send: {error}"))?;
    let answer = client
        .response("GET")
        .map_err(|error| format!("no answer: {error}"))?;
    if answer.status == 200 {
        Ok(())
    } else {
        Err(format!("{answer:?}"))
    }
}

#[test]
fn a_request_in_flight_is_finished_by_the_configuration_it_began_with() {
    let setup = Setup::start();
    let mut client = setup.front.connect();
    client
        .send(b"GET /slow HTTP/1.1\r\nhost: a.test\r\nx-echo-delay: 1\r\n\r\n")
        .unwrap();
    setup.front.set_rules(&all_to("two"));
    setup.wait_for("two");
    setup.front.config.remove("services.yaml");
    assert_eq!(
        client.response("GET").unwrap().header("x-echo"),
        Some("one")
    );
    // The same connection is served by the new configuration.
    client
        .send(b"GET /next HTTP/1.1\r\nhost: a.test\r\n\r\n")
        .unwrap();
    assert_ne!(
        client.response("GET").unwrap().header("x-echo"),
        Some("one")
    );
}

#[test]
fn a_file_that_does_not_parse_leaves_the_last_good_version() {
    let mut setup = Setup::start();
    let broken = routes_yaml(&all_to("two")) + "\t- tabs: do not indent\n";
    setup.front.config.write("routes.yaml", &broken);
    let line = setup.front.gatehouse.wait_for_log("routes.yaml:");
    let place = line.split("routes.yaml:").nth(1).unwrap();
    let mut numbers = place.split(|c: char| !c.is_ascii_digit());
    let (row, column) = (numbers.next().unwrap(), numbers.next().unwrap());
    assert_eq!(row, broken.lines().count().to_string(), "{line}");
    assert!(column.parse::<u32>().is_ok(), "{line}");
    assert_eq!(setup.served_by(), "one");
    let findings = setup.front.gatehouse.api("/api/v1/findings").text();
    assert!(findings.contains("routes.yaml"), "{findings}");

    setup.front.set_rules(&all_to("two"));
    setup.wait_for("two");
    eventually("the finding goes", DEADLINE, || {
        let findings = setup.front.gatehouse.api("/api/v1/findings").text();
        (!findings.contains("routes.yaml")).then_some(())
    });
}

#[test]
fn a_wrong_object_keeps_its_last_good_version_and_lets_others_change() {
    let setup = Setup::start();
    // In one file: a VirtualService that is wrong now, and a Gateway with another port.
    let own = setup.front.address.ip();
    let std::net::IpAddr::V4(own) = own else {
        panic!("loopback is IPv4")
    };
    let other = SocketAddr::from((own, free_port(own)));
    let gateway = gateway_yaml(other.port()).replace("name: gw", "name: gw2");
    let wrong = routes_yaml("- route: [{destination: {host: two.test}, weight: -5}]\n");
    setup
        .front
        .config
        .write("routes.yaml", &format!("{wrong}---\n{gateway}"));
    eventually("the other object of the file is in force", DEADLINE, || {
        Client::connect(other).ok()
    });
    assert_eq!(setup.served_by(), "one");
}

#[test]
fn files_and_folders_come_and_go() {
    let setup = Setup::start();
    let config = &setup.front.config;
    config.remove("routes.yaml");
    eventually("no route is left", DEADLINE, || {
        (setup.front.get("/", &[]).status == 404).then_some(())
    });
    // A folder that is made after the start is watched too.
    std::fs::create_dir_all(config.file("deep/er")).unwrap();
    config.write("deep/er/routes.yml", &routes_yaml(&all_to("two")));
    setup.wait_for("two");
    config.write("deep/er/routes.yml", &routes_yaml(&all_to("one")));
    setup.wait_for("one");
    // Not YAML by its name, as editors leave them.
    config.write("deep/er/routes.yml~", &routes_yaml(&all_to("two")));
    std::fs::rename(config.file("deep"), config.file("moved")).unwrap();
    config.write("moved/er/routes.yml", &routes_yaml(&all_to("two")));
    setup.wait_for("two");
    std::fs::remove_dir_all(config.file("moved")).unwrap();
    eventually("no route is left", DEADLINE, || {
        (setup.front.get("/", &[]).status == 404).then_some(())
    });
}

/// As the kubelet writes a ConfigMap: files are links through `..data`, which is swapped.
#[test]
fn a_symlink_swap_is_noticed() {
    let setup = Setup::start();
    let config = &setup.front.config;
    config.remove("routes.yaml");
    let version = |name: &str, to: &str| {
        std::fs::create_dir(config.file(name)).unwrap();
        config.write(&format!("{name}/mapped.yaml"), &routes_yaml(&all_to(to)));
    };
    let swap = |name: &str| {
        let temporary = config.file("..data_tmp");
        symlink(Path::new(name), &temporary).unwrap();
        std::fs::rename(temporary, config.file("..data")).unwrap();
    };
    version("..2026_1", "two");
    swap("..2026_1");
    symlink("..data/mapped.yaml", config.file("mapped.yaml")).unwrap();
    setup.wait_for("two");
    version("..2026_2", "one");
    swap("..2026_2");
    std::fs::remove_dir_all(config.file("..2026_1")).unwrap();
    setup.wait_for("one");
    version("..2026_3", "two");
    swap("..2026_3");
    setup.wait_for("two");
}

#[test]
fn listeners_open_and_close_with_their_gateway() {
    let setup = Setup::start();
    let std::net::IpAddr::V4(own) = setup.front.address.ip() else {
        panic!("loopback is IPv4")
    };
    let other = SocketAddr::from((own, free_port(own)));
    let mut kept = setup.front.connect();
    kept.send(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")
        .unwrap();
    assert_eq!(kept.response("GET").unwrap().status, 200);

    setup
        .front
        .config
        .write("gateway.yaml", &gateway_yaml(other.port()));
    eventually("the new port answers", DEADLINE, || {
        let answer = gatehouse_e2e::http::get(other, "a.test", "/", &[]).ok()?;
        (answer.status == 200).then_some(())
    });
    eventually("the old port refuses", DEADLINE, || {
        Client::connect(setup.front.address).is_err().then_some(())
    });
    setup
        .front
        .config
        .write("gateway.yaml", &gateway_yaml(setup.front.address.port()));
    eventually("the old port answers again", DEADLINE, || {
        gatehouse_e2e::http::get(setup.front.address, "a.test", "/", &[]).ok()
    });
}

#[test]
fn endpoints_can_be_exchanged_under_load() {
    let setup = Setup::start();
    let stop = AtomicBool::new(false);
    let wrong = std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut client = setup.front.connect();
            let mut wrong = 0;
            while !stop.load(Ordering::Relaxed) {
                wrong += usize::from(one_request(&mut client, false).is_err());
            }
            wrong
        });
        let text = setup.front.config.read("services.yaml");
        let swapped = text
            .replace("one.test", "three.test")
            .replace("two.test", "one.test")
            .replace("three.test", "two.test");
        for _ in 0..5 {
            setup.front.config.write("services.yaml", &swapped);
            setup.wait_for("two");
            setup.front.config.write("services.yaml", &text);
            setup.wait_for("one");
        }
        stop.store(true, Ordering::Relaxed);
        client.join().expect("the client does not panic")
    });
    assert_eq!(wrong, 0);
}

/// Everything goes to one echo upstream; the arguments say how a stop is.
fn draining(arguments: &'static [&'static str]) -> (Echo, Front) {
    let at = SocketAddr::from((loopback_address(), 0));
    let echo = Echo::http(&Node::host(), "one", at);
    let endpoints = [echo.address()];
    let front = Front::start_with(&all_to("one"), &[("one.test", &endpoints)], |builder| {
        builder.arguments(arguments)
    });
    (echo, front)
}

/// While it drains it serves, says that it is not ready, and still tells what it counts.
#[test]
fn a_stop_is_told_to_whoever_asks_and_ends_what_was_begun() {
    let (_echo, mut front) = draining(&["--workers", "2", "--drain-min", "3"]);
    assert_eq!(front.gatehouse.api("/ready").status, 200);
    let mut idle = front.connect();
    assert!(one_request(&mut idle, false).is_ok());
    front.gatehouse.signal(rustix::process::Signal::TERM);
    eventually("it is not ready any more", DEADLINE, || {
        (front.gatehouse.api("/ready").status != 200).then_some(())
    });
    let metrics = front.gatehouse.api("/stats/prometheus");
    assert_eq!(metrics.status, 200);
    assert!(metrics.text().contains("istio_requests_total{"));
    // New connections are served, idle ones were kept, and both are told to go.
    for mut client in [front.connect(), idle] {
        client
            .send(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")
            .unwrap();
        let answer = client.response("GET").unwrap();
        assert_eq!(
            (answer.status, answer.header("connection")),
            (200, Some("close"))
        );
    }
    eventually("it ends by itself", DEADLINE, || {
        (!front.gatehouse.is_running()).then_some(())
    });
}

/// Who says it a second time is in a hurry.
#[test]
fn a_second_stop_waits_for_no_request() {
    let (_echo, mut front) = draining(&["--drain-min", "600", "--drain-max", "600"]);
    let mut begun = front.connect();
    begun
        .send(b"POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 5\r\n\r\nab")
        .unwrap();
    front.gatehouse.signal(rustix::process::Signal::TERM);
    front
        .gatehouse
        .wait_for_log("requests under way may finish");
    assert!(front.gatehouse.is_running());
    front.gatehouse.signal(rustix::process::Signal::TERM);
    front.gatehouse.wait_for_log("not waiting any longer");
    eventually("it ends", DEADLINE, || {
        (!front.gatehouse.is_running()).then_some(())
    });
}
