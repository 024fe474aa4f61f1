//! Statuses that do not stay as gatehouse writes them: what is written again, how often, and what is
//! told of it.

use std::time::{Duration, Instant};

use gatehouse_e2e::{DEADLINE, eventually};

use crate::between::Between;
use crate::events::told;
use crate::example;
use crate::robust::{POOL, services, wait_for_dealt};
use crate::setup::Setup;

/// k3s' ServiceLB, which writes the addresses of nodes over every other.
#[test]
fn a_second_controller_is_answered_less_and_less_often_and_named() {
    let Some(setup) = Setup::new() else { return };
    let Some(between) = Between::start(&setup) else {
        return;
    };
    setup.server.install_crds();
    setup.server.apply(POOL);
    setup.server.apply(&services(["web".to_owned()]));
    let gatehouse = between.gatehouse(&setup);
    wait_for_dealt(&setup, 1);
    let theirs = r#"{"status":{"loadBalancer":{"ingress":[{"ip":"192.168.8.11"}]}}}"#;
    let write = [
        "patch",
        "svc",
        "web",
        "-n",
        "default",
        "--subresource=status",
    ];
    let write = [&write[..], &["--field-manager=k3s", "-p", theirs]].concat();
    let begun = Instant::now();
    let mut rewritten = 0;
    while begun.elapsed() < Duration::from_secs(10) {
        if setup.address("web", "default") != "192.168.8.11" {
            setup.server.kubectl(&write).ok();
            rewritten += 1;
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    // At 0, 1, 3 and 7 s, and the first of all.
    let written = between.requests("PATCH", "/services/web/status").len();
    assert!((3..=6).contains(&written), "{written}");
    assert!((3..=6).contains(&rewritten), "{rewritten}");
    eventually("a finding names who it is and what to do", DEADLINE, || {
        let findings = gatehouse.ask(&["get", "findings"]).stdout;
        (findings.contains("k3s (field manager) writes status.loadBalancer")
            && findings.contains("default/web")
            && findings.contains("--disable servicelb"))
        .then_some(())
    });
    // Nothing was decided anew.
    assert_eq!(told(&setup, "IPAllocated").values().sum::<u64>(), 1);
}

/// As Kubernetes before 1.30 does with ipMode.
#[test]
fn what_the_server_forgets_is_written_once_and_told() {
    let Some(setup) = Setup::new() else { return };
    let Some(between) = Between::start(&setup) else {
        return;
    };
    let server = &setup.server;
    server.install_crds();
    between.answer("{\"method\": \"PATCH\", \"path\": \"/services/\", \"drop\": \"ipMode\"}\n");
    for file in ["bookinfo.yaml", "ingressgateway.yaml", "addresses.yaml"] {
        server.apply(&example(file));
    }
    let gatehouse = between.gatehouse(&setup);
    setup.wait_for_address("istio-ingressgateway", "istio-system", "192.168.8.151");
    eventually("a finding names the field and why", DEADLINE, || {
        let findings = gatehouse.ask(&["get", "findings"]).stdout;
        (findings.contains("status.loadBalancer.ingress[].ipMode") && findings.contains("1.30"))
            .then_some(())
    });
    let written = || between.requests("PATCH", "/services/istio-ingressgateway/status");
    assert_eq!(written().len(), 1, "{:?}", written());
    // Something else of the object changes: that is no reason.
    let label = [
        "label",
        "svc",
        "istio-ingressgateway",
        "-n",
        "istio-system",
        "a=b",
    ];
    server.kubectl(&label).ok();
    std::thread::park_timeout(Duration::from_secs(3));
    assert_eq!(written().len(), 1, "{:?}", written());
    // Another address is wanted: that is written, and told.
    let wish = "metallb.io/loadBalancerIPs=192.168.8.160";
    let annotate = [
        "annotate",
        "svc",
        "istio-ingressgateway",
        "-n",
        "istio-system",
        wish,
    ];
    server.kubectl(&annotate).ok();
    setup.wait_for_address("istio-ingressgateway", "istio-system", "192.168.8.160");
    assert_eq!(written().len(), 2, "{:?}", written());
}
