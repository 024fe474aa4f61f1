//! Allocation as a user sees it: `gatehouse get services`, reasons, and addresses that stay.

use std::fmt::Write;

use gatehouse_e2e::{ConfigDir, DEADLINE, Gatehouse, Lan, Node, eventually};

const POOL: &str = "apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: small, namespace: metallb-system}
spec:
  addresses: [192.168.8.151-192.168.8.152]
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: lan, namespace: metallb-system}
";

/// One machine that allocates out of two addresses.
struct Setup {
    node: Node,
    config: ConfigDir,
    state: tempfile::TempDir,
    _lan: Lan,
}

impl Setup {
    fn new() -> Option<Self> {
        let mut lan = Lan::new(&[])?;
        let node = lan.node("node1", 11);
        let config = ConfigDir::new();
        config.write("pool.yaml", POOL);
        let state = tempfile::tempdir().expect("a temporary folder can be made");
        Some(Self {
            node,
            config,
            state,
            _lan: lan,
        })
    }

    fn start(&self) -> Gatehouse {
        Gatehouse::on(&self.node)
            .state(self.state.path())
            .start(self.config.path())
    }

    /// Writes a LoadBalancer Service; `more` are lines of its metadata and spec.
    fn service(&self, name: &str, annotation: &str, spec: &str) {
        let mut text = format!("apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n");
        if !annotation.is_empty() {
            writeln!(text, "  annotations: {{{annotation}}}").expect("a string can grow");
        }
        text.push_str("spec:\n  type: LoadBalancer\n  ports: [{port: 8080}]\n");
        if !spec.is_empty() {
            writeln!(text, "  {spec}").expect("a string can grow");
        }
        self.config.write(&format!("{name}.yaml"), &text);
    }
}

fn wait_for(gatehouse: &Gatehouse, service: &str, address: Option<&str>) {
    eventually(&format!("{service} has {address:?}"), DEADLINE, || {
        gatehouse.service(service)?;
        (gatehouse.external_ip(service).as_deref() == address).then_some(())
    });
}

fn reason(gatehouse: &Gatehouse, service: &str) -> String {
    let row = gatehouse.service(service);
    let reason = row.and_then(|row| row["pending_reason"].as_str().map(str::to_owned));
    reason.unwrap_or_default()
}

#[test]
fn an_exhausted_pool_leaves_a_service_pending_until_an_address_is_free() {
    let Some(setup) = Setup::new() else { return };
    for name in ["a", "b", "c"] {
        setup.service(name, "", "");
    }
    let gatehouse = setup.start();
    wait_for(&gatehouse, "a", Some("192.168.8.151"));
    wait_for(&gatehouse, "b", Some("192.168.8.152"));
    wait_for(&gatehouse, "c", None);
    let why = reason(&gatehouse, "c");
    assert!(!why.is_empty(), "the reason is given");
    let table = gatehouse.ask(&["get", "services"]).ok();
    let line = table.lines().find(|line| line.contains("<pending>"));
    assert!(
        line.is_some_and(|line| line.split_whitespace().any(|word| word == "c")),
        "{table}"
    );
    assert!(
        table.contains(&why),
        "the table gives the reason too: {table}"
    );

    // A Service that goes frees its address for the one that waits.
    setup.config.remove("a.yaml");
    wait_for(&gatehouse, "c", Some("192.168.8.151"));
    assert_eq!(gatehouse.external_ip("b").as_deref(), Some("192.168.8.152"));
    assert!(gatehouse.service("a").is_none());
    // A larger pool serves who comes next.
    setup.service("d", "", "");
    wait_for(&gatehouse, "d", None);
    setup
        .config
        .edit("pool.yaml", "192.168.8.152", "192.168.8.153");
    wait_for(&gatehouse, "d", Some("192.168.8.153"));
}

#[test]
fn addresses_can_be_asked_for() {
    let Some(setup) = Setup::new() else { return };
    setup.service("annotated", "metallb.io/loadBalancerIPs: 192.168.8.152", "");
    setup.service("by-field", "", "loadBalancerIP: 192.168.8.151");
    setup.service("outside", "metallb.io/loadBalancerIPs: 192.168.9.1", "");
    setup.service("nonsense", "metallb.io/loadBalancerIPs: over-there", "");
    setup.service("taken", "metallb.io/loadBalancerIPs: 192.168.8.152", "");
    setup.service("no-such-pool", "metallb.io/address-pool: missing", "");
    let gatehouse = setup.start();
    wait_for(&gatehouse, "annotated", Some("192.168.8.152"));
    wait_for(&gatehouse, "by-field", Some("192.168.8.151"));
    for (pending, because) in [
        ("outside", "192.168.9.1"),
        ("nonsense", "over-there"),
        ("taken", "192.168.8.152"),
        ("no-such-pool", "missing"),
    ] {
        wait_for(&gatehouse, pending, None);
        let why = reason(&gatehouse, pending);
        assert!(
            why.contains(because),
            "{pending}: {why:?} does not name {because}"
        );
    }
    // Asking for another address moves the Service there.
    setup.config.remove("by-field.yaml").remove("taken.yaml");
    setup.service("annotated", "metallb.io/loadBalancerIPs: 192.168.8.151", "");
    wait_for(&gatehouse, "annotated", Some("192.168.8.151"));
}

#[test]
fn a_pool_that_is_not_for_everyone_serves_who_names_it() {
    let Some(setup) = Setup::new() else { return };
    setup
        .config
        .edit("pool.yaml", "spec:\n", "spec:\n  autoAssign: false\n");
    setup.service("any", "", "");
    setup.service("named", "metallb.io/address-pool: small", "");
    let gatehouse = setup.start();
    wait_for(&gatehouse, "named", Some("192.168.8.151"));
    wait_for(&gatehouse, "any", None);
}

#[test]
fn services_share_an_address_when_both_say_so() {
    let Some(setup) = Setup::new() else { return };
    let shared = "metallb.io/allow-shared-ip: pair, metallb.io/loadBalancerIPs: 192.168.8.152";
    setup.service("one", shared, "");
    setup.service("two", shared, "");
    setup.config.edit("two.yaml", "port: 8080", "port: 8081");
    let gatehouse = setup.start();
    wait_for(&gatehouse, "one", Some("192.168.8.152"));
    wait_for(&gatehouse, "two", Some("192.168.8.152"));
    // The same port twice at one address does not work.
    setup.config.edit("two.yaml", "port: 8081", "port: 8080");
    wait_for(&gatehouse, "two", None);
    assert_eq!(
        gatehouse.external_ip("one").as_deref(),
        Some("192.168.8.152")
    );
}

#[test]
fn holders_are_adopted_before_anyone_new_is_served() {
    let Some(setup) = Setup::new() else { return };
    setup.service("m", "", "");
    let gatehouse = setup.start();
    wait_for(&gatehouse, "m", Some("192.168.8.151"));
    assert!(gatehouse.terminate().success());
    // `a` sorts first and asks for nothing; `z` asks for what `m` holds.
    setup.service("a", "", "");
    setup.service("z", "metallb.io/loadBalancerIPs: 192.168.8.151", "");
    let gatehouse = setup.start();
    wait_for(&gatehouse, "m", Some("192.168.8.151"));
    wait_for(&gatehouse, "a", Some("192.168.8.152"));
    wait_for(&gatehouse, "z", None);
    // A pool that vanishes for a moment takes nothing away.
    let pool = setup.config.read("pool.yaml");
    setup.config.write("pool.yaml", "not: [closed\n");
    setup.service("b", "", "");
    wait_for(&gatehouse, "b", None);
    setup.config.write("pool.yaml", &pool);
    wait_for(&gatehouse, "m", Some("192.168.8.151"));
    wait_for(&gatehouse, "a", Some("192.168.8.152"));
}

/// Issue: a damaged or unreadable state file must not deal an address twice, nor stop the daemon.
#[test]
fn a_damaged_state_file_is_reported_and_does_not_stop_the_daemon() {
    let Some(setup) = Setup::new() else { return };
    setup.service("m", "", "");
    let gatehouse = setup.start();
    wait_for(&gatehouse, "m", Some("192.168.8.151"));
    assert!(gatehouse.terminate().success());
    let files = std::fs::read_dir(setup.state.path()).unwrap().flatten();
    let mut damaged = 0;
    for file in files.filter(|file| file.path().is_file()) {
        std::fs::write(file.path(), "{\"cut sho").unwrap();
        damaged += 1;
    }
    assert!(damaged > 0, "there is a state file");
    let gatehouse = setup.start();
    wait_for(&gatehouse, "m", Some("192.168.8.151"));
    assert!(
        gatehouse
            .log()
            .contains(&*setup.state.path().to_string_lossy()),
        "it is reported"
    );
}

#[test]
fn a_pool_that_is_wrong_is_a_finding_and_takes_nothing_away() {
    let Some(setup) = Setup::new() else { return };
    setup.service("m", "", "");
    let gatehouse = setup.start();
    wait_for(&gatehouse, "m", Some("192.168.8.151"));
    let second = POOL
        .split("---")
        .next()
        .unwrap()
        .replace("name: small", "name: second");
    for (range, named) in [
        ("192.168.8.200-192.168.8.100", "192.168.8.200-192.168.8.100"),
        ("192.168.8.152-192.168.8.160", "small"),
    ] {
        setup.config.write(
            "second.yaml",
            &second.replace("192.168.8.151-192.168.8.152", range),
        );
        eventually(&format!("{range} is a finding"), DEADLINE, || {
            let findings = gatehouse.api("/api/v1/findings").json();
            let findings = findings.as_array()?;
            let texts = findings.iter().map(ToString::to_string);
            texts
                .into_iter()
                .find(|text| text.contains("second") && text.contains(named))
        });
        assert_eq!(gatehouse.external_ip("m").as_deref(), Some("192.168.8.151"));
    }
}
