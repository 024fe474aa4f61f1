//! Events of Services: each says what is true of its own moment.

use std::collections::BTreeMap;

use gatehouse_e2e::{DEADLINE, eventually};
use serde_json::Value as Json;

use crate::robust::{POOL, services};
use crate::setup::Setup;

/// Texts of a reason's events, and how often each was told.
pub fn told(setup: &Setup, reason: &str) -> BTreeMap<String, u64> {
    let events = ["get", "events", "-n", "default", "-o", "json"];
    let text = setup.server.kubectl(&events).ok();
    let all: Json = serde_json::from_str(&text).expect("JSON");
    let all = all["items"].as_array().cloned().unwrap_or_default();
    let mut told = BTreeMap::new();
    for event in all.iter().filter(|event| event["reason"] == reason) {
        let text = event["message"].as_str().unwrap_or_default().to_owned();
        let count = event["series"]["count"].as_u64().unwrap_or(1);
        *told.entry(text).or_default() += count;
    }
    told
}

#[test]
fn two_texts_of_one_reason_are_two_events_and_one_text_twice_is_counted() {
    let Some(setup) = Setup::new() else { return };
    let server = &setup.server;
    server.install_crds();
    server.apply(POOL);
    server.apply(&services(["web".to_owned()]));
    let _gatehouse = setup.start(&setup.nodes[0]);
    setup.wait_for_address("web", "default", "192.168.8.151");
    for address in ["192.168.8.155", "192.168.8.151"] {
        let wish = format!("metallb.io/loadBalancerIPs={address}");
        let annotate = [
            "annotate",
            "svc",
            "web",
            "-n",
            "default",
            "--overwrite",
            &wish,
        ];
        server.kubectl(&annotate).ok();
        setup.wait_for_address("web", "default", address);
    }
    let expected = BTreeMap::from([
        (r#"Assigned IP ["192.168.8.151"]"#.to_owned(), 2),
        (r#"Assigned IP ["192.168.8.155"]"#.to_owned(), 1),
    ]);
    eventually("both are told", DEADLINE, || {
        (told(&setup, "IPAllocated") == expected).then_some(())
    });
    // What people read.
    let shown = server.kubectl(&["describe", "svc", "web"]).ok();
    assert!(shown.contains("192.168.8.155\"]"), "{shown}");
}
