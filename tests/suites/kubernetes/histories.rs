//! Two histories of MetalLB's controller, replayed against the API server: the same holders, step
//! by step. All sixteen are replayed on the allocator alone, in lb-speaker/tests/histories.rs,
//! where the files are explained.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use gatehouse_e2e::eventually;
use serde_json::Value;

use crate::setup::{PATIENCE, Setup};

/// Addresses and pool of each Service; the order of addresses says nothing.
type Holds = BTreeMap<String, (BTreeSet<String>, String)>;

/// For so long the holders must stay what they are before the next step.
const STEADY: Duration = Duration::from_millis(150);

#[test]
fn shared_and_dual_stack_addresses_are_held_as_with_metallb() {
    replay("001");
}

#[test]
fn requested_addresses_are_held_as_with_metallb() {
    replay("008");
}

fn replay(history: &str) {
    let Some(setup) = Setup::new() else { return };
    setup.server.install_crds();
    for namespace in ["team-a", "team-b"] {
        setup
            .server
            .kubectl(&["create", "namespace", namespace])
            .ok();
    }
    let _gatehouse = setup.start(&setup.nodes[0]);
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../lb-speaker/tests/data/metallb"
    );
    let text = std::fs::read_to_string(format!("{folder}/{history}.jsonl"));
    for (number, line) in text.expect("the history is there").lines().enumerate() {
        let step: Value = serde_json::from_str(line).expect("a line is JSON");
        take(&setup, &step);
        let expected = recorded(&step["holds"]);
        let mut since: Option<Instant> = None;
        let mut last = Holds::new();
        let what = format!("{history} step {}: {line}", number + 1);
        eventually(&what, PATIENCE, || {
            last = held(&setup);
            if last != expected {
                since = None;
                return None;
            }
            let since = since.get_or_insert_with(Instant::now);
            (since.elapsed() > STEADY).then_some(())
        });
    }
}

fn take(setup: &Setup, step: &Value) {
    match step.get("apply") {
        // Server-side, as it was recorded: what a step leaves out goes.
        Some(object) => {
            setup.server.apply_server_side(&object.to_string());
        }
        None => {
            let [kind, namespace, name] =
                [0, 1, 2].map(|at| step["delete"][at].as_str().expect("a text"));
            let delete = ["delete", kind, name, "-n", namespace];
            setup.server.kubectl(&delete).ok();
        }
    }
}

fn recorded(holds: &Value) -> Holds {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let holds = holds.as_object().expect("an object");
    holds
        .iter()
        .map(|(service, held)| {
            let addresses = held[0].as_array().expect("a list").iter().map(text);
            (service.clone(), (addresses.collect(), text(&held[1])))
        })
        .collect()
}

fn held(setup: &Setup) -> Holds {
    let path = "jsonpath={range .items[?(@.metadata.name!='kubernetes')]}\
                {.metadata.namespace}/{.metadata.name}|{.status.loadBalancer.ingress[*].ip}|\
                {.metadata.annotations.metallb\\.io/ip-allocated-from-pool};{end}";
    let text = setup
        .server
        .kubectl(&["get", "services", "-A", "-o", path])
        .ok();
    text.split_terminator(';')
        .map(|entry| {
            let mut parts = entry.split('|');
            let mut next = || parts.next().unwrap_or_default();
            let (name, addresses, pool) = (next(), next(), next());
            let addresses = addresses.split_whitespace().map(str::to_owned).collect();
            (name.to_owned(), (addresses, pool.to_owned()))
        })
        .collect()
}
