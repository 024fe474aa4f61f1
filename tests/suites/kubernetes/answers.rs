//! What an API server may answer (409, 410, 429, 500, nothing), and others that write: nothing is
//! lost, no address is dealt twice.

use std::fs;
use std::time::{Duration, Instant};

use gatehouse_e2e::{DEADLINE, eventually};

use crate::between::Between;
use crate::robust::{POOL, dealt, numbered, quiet_versions, services, wait_for_dealt};
use crate::setup::{PATIENCE, Setup};

/// A fault of between.py.
pub fn fault(method: &str, path: &str, what: &str) -> String {
    format!("{{\"method\": \"{method}\", \"path\": \"{path}\", {what}}}\n")
}

#[test]
fn refused_writes_are_made_again() {
    let Some(setup) = Setup::new() else { return };
    let Some(between) = Between::start(&setup) else {
        return;
    };
    setup.server.install_crds();
    setup.server.apply(POOL);
    let gatehouse = between.gatehouse(&setup);
    for (number, what) in [
        r#""code": 409, "times": 4"#,
        r#""code": 429, "times": 4"#,
        r#""code": 500, "times": 4"#,
        r#""code": 503, "times": 4"#,
        r#""code": 0, "times": 4"#,
        r#""code": -1, "times": 1"#,
    ]
    .into_iter()
    .enumerate()
    {
        between.answer(&fault("PATCH", "/services/", what));
        let names = (0..3).map(|one| format!("f{number}-{one}"));
        setup.server.apply(&services(names));
        wait_for_dealt(&setup, (number + 1) * 3);
    }
    // Each was answered as told, not passed by.
    for code in [409, 429, 500, 503, 0] {
        let answered =
            between.requests("PATCH", &format!("/status?&fieldManager=gatehouse {code}"));
        assert_eq!(answered.len(), 4, "{code}: {answered:?}");
    }
    // While nothing can be written a finding says so, and what is served goes on.
    between.answer(&fault("PATCH", "/services/", r#""code": 500"#));
    setup.server.apply(&services(["waits".to_owned()]));
    eventually("a finding says why", DEADLINE, || {
        let findings = gatehouse.ask(&["get", "findings"]).stdout;
        (findings.contains("no status can be written now")
            && findings.contains("told to answer 500"))
        .then_some(())
    });
    assert_eq!(dealt(&setup).len(), 18);
    between.answer("");
    wait_for_dealt(&setup, 19);
    eventually("and then no more", PATIENCE, || {
        let findings = gatehouse.ask(&["get", "findings"]).stdout;
        (!findings.contains("written now")).then_some(())
    });
    // Events that cannot be written hold nothing up.
    between.answer(&fault("POST", "/events", r#""code": 500"#));
    setup.server.apply(&services(["quiet".to_owned()]));
    wait_for_dealt(&setup, 20);
}

#[test]
fn watches_that_break_begin_anew() {
    let Some(setup) = Setup::new() else { return };
    let Some(between) = Between::start(&setup) else {
        return;
    };
    setup.server.install_crds();
    setup.server.apply(POOL);
    setup.server.apply(&services(numbered(2)));
    // From the start: lists that fail, watches that are told that their version is gone.
    let faults = [
        fault(
            "GET",
            "/api/v1/services",
            r#""watch": false, "code": 500, "times": 2"#,
        ),
        fault(
            "GET",
            "/ipaddresspools",
            r#""watch": false, "code": 429, "times": 2"#,
        ),
        fault(
            "GET",
            "/api/v1/services",
            r#""watch": true, "code": 410, "times": 2"#,
        ),
        fault(
            "GET",
            "/api/v1/services",
            r#""watch": true, "stream": 410, "times": 2"#,
        ),
        fault(
            "GET",
            "/ipaddresspools",
            r#""watch": true, "code": 500, "times": 2"#,
        ),
        fault(
            "GET",
            "/ipaddresspools",
            r#""watch": true, "code": 0, "times": 2"#,
        ),
        fault(
            "GET",
            "/leases/",
            r#""watch": false, "code": 500, "times": 2"#,
        ),
    ];
    between.answer(&faults.concat());
    let gatehouse = between.gatehouse(&setup);
    wait_for_dealt(&setup, 2);
    // All of them were met, and what came meanwhile was seen.
    setup.server.apply(&services(["more".to_owned()]));
    wait_for_dealt(&setup, 3);
    eventually("every fault was met", PATIENCE, || {
        let met = [410, 500, 429].map(|code| {
            let requests = between.requests("GET", &format!(" {code}"));
            requests.len()
        });
        (met[0] == 4 && met[1] == 6 && met[2] == 2).then_some(())
    });
    eventually("no finding is left", PATIENCE, || {
        let findings = gatehouse.ask(&["get", "findings"]).stdout;
        (!findings.contains("API server") && !findings.contains("Lease")).then_some(())
    });
    // A watch that hangs at its beginning: the lists said what is, and another watch follows.
    let versions = quiet_versions(&setup, "services");
    gatehouse.kill();
    between.answer(&fault(
        "GET",
        "/api/v1/services",
        r#""watch": true, "code": -1, "times": 1"#,
    ));
    let _again = between.gatehouse(&setup);
    assert_eq!(quiet_versions(&setup, "services"), versions);
}

/// MetalLB's controller beside gatehouse: it writes a whole status, without ipMode, with an address
/// of its own choice.
#[test]
fn two_controllers_end_with_one_address_for_each() {
    let Some(setup) = Setup::new() else { return };
    let server = &setup.server;
    server.install_crds();
    server.apply(POOL);
    server.apply(&services(numbered(4)));
    let gatehouse = setup.start(&setup.nodes[0]);
    wait_for_dealt(&setup, 4);
    let mine = setup.address("s1", "default");
    // Its own choice; and the address of another Service.
    let theirs = setup.address("s2", "default");
    for address in ["192.168.8.170", theirs.as_str(), "192.168.8.170"] {
        replace_status(&setup, "s1", address);
        setup.wait_for_address("s1", "default", &mine);
    }
    assert_eq!(dealt(&setup).len(), 4);
    let mode = "{.status.loadBalancer.ingress[0].ipMode}";
    assert_eq!(setup.get("service/s1", "default", mode), "VIP");
    // Nobody else writes any more, and neither do we.
    let versions = quiet_versions(&setup, "services");
    assert_eq!(quiet_versions(&setup, "services"), versions);
    // What it wrote while nobody of ours was there is taken over, as with a migration; an address
    // that two claim stays with one.
    gatehouse.kill();
    replace_status(&setup, "s3", "192.168.8.190");
    replace_status(&setup, "s1", &theirs);
    let _again = setup.start(&setup.nodes[0]);
    eventually("each has one of its own", PATIENCE, || {
        let path = "jsonpath={range .items[*]}{.status.loadBalancer.ingress[*].ip} {end}";
        let text = server.kubectl(&["get", "services", "-o", path]).ok();
        let mut all: Vec<_> = text.split_whitespace().collect();
        all.sort_unstable();
        all.dedup();
        (all.len() == 4).then_some(())
    });
    assert_eq!(setup.address("s3", "default"), "192.168.8.190");
}

/// `PUT …/status` as MetalLB's controller sends it.
fn replace_status(setup: &Setup, name: &str, address: &str) {
    let path = format!("/api/v1/namespaces/default/services/{name}");
    let text = setup.server.kubectl(&["get", "--raw", &path]).ok();
    let mut service: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    service["status"]["loadBalancer"] = serde_json::json!({"ingress": [{"ip": address}]});
    service["metadata"]["annotations"]["metallb.io/ip-allocated-from-pool"] = "lan".into();
    let file = setup.server.folder().join("status.json");
    fs::write(&file, service.to_string()).expect("a file can be written there");
    let status = format!("{path}/status");
    let file = file.display().to_string();
    setup
        .server
        .kubectl(&["replace", "--raw", &status, "-f", &file])
        .ok();
}

fn lease(renewed: &str, number: u32) -> String {
    format!(
        "apiVersion: coordination.k8s.io/v1\nkind: Lease\n\
         metadata: {{name: gatehouse-allocator, namespace: gatehouse-system, annotations: {{n: \"{number}\"}}}}\n\
         spec: {{holderIdentity: ghost, leaseDurationSeconds: 15, renewTime: \"{renewed}\", \
         acquireTime: \"{renewed}\", leaseTransitions: 3}}\n"
    )
}

/// A holder whose clock is wrong is believed as long as it lives, and no longer.
#[test]
fn a_lease_of_a_node_with_a_wrong_clock_is_neither_stolen_nor_waited_for_for_ever() {
    let Some(setup) = Setup::new() else { return };
    let server = &setup.server;
    server.install_crds();
    server.apply(POOL);
    server.apply(&services(numbered(1)));
    let old = "1999-01-01T00:00:00.000000Z";
    server.apply(&lease(old, 0));
    let gatehouse = setup.start(&setup.nodes[0]);
    // It lives: its Lease is over by any clock but its own, and yet it is renewed.
    let begun = Instant::now();
    let mut number = 1;
    while begun.elapsed() < Duration::from_secs(18) {
        server.apply(&lease(old, number));
        number += 1;
        assert!(dealt(&setup).is_empty(), "a living node's Lease was taken");
        assert_eq!(setup.leader(), "ghost");
        std::thread::park_timeout(Duration::from_secs(3));
    }
    let waiting = gatehouse.service("s0").expect("the Service is known");
    let reason = waiting["pending_reason"].as_str().unwrap_or_default();
    assert!(reason.contains("node ghost deals addresses"), "{reason}");
    // It dies, and its last word is of another century.
    server.apply(&lease("2099-01-01T00:00:00.000000Z", number));
    let died = Instant::now();
    wait_for_dealt(&setup, 1);
    let took = died.elapsed();
    assert!(
        (Duration::from_secs(14)..Duration::from_secs(30)).contains(&took),
        "{took:?}"
    );
    assert_eq!(setup.leader(), "node1");
    assert_eq!(
        setup.get(
            "lease/gatehouse-allocator",
            "gatehouse-system",
            "{.spec.leaseTransitions}"
        ),
        "4"
    );
}
