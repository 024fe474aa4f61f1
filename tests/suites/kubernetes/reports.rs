//! What the cluster is told beside addresses: who announces, whether the configuration can be used,
//! what is wrong with objects. Each only where it changed.

use gatehouse_e2e::{DEADLINE, eventually};

use crate::robust::{POOL, quiet_versions, services};
use crate::setup::{PATIENCE, Setup};

const ADVERTISEMENT: &str = "apiVersion: metallb.io/v1beta1\nkind: L2Advertisement\n\
    metadata: {name: lan, namespace: metallb-system}\nspec: {}\n";

/// An endpoint for the Service of this name, so that it is announced.
pub fn endpoint(name: &str) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: {name}-1, namespace: default, labels: {{kubernetes.io/service-name: {name}}}}}\n\
         addressType: IPv4\nports: [{{port: 9080, protocol: TCP}}]\n\
         endpoints: [{{addresses: [192.168.8.20], conditions: {{ready: true}}}}]\n"
    )
}

/// Node, Service and interfaces of every ServiceL2Status, by labels and by status.
fn announced(setup: &Setup) -> String {
    let path = "{range .items[*]}{.metadata.labels.metallb\\.io/node} {.status.node} \
                {.status.serviceNamespace}/{.status.serviceName}\
                {range .status.interfaces[*]} {.name}{end};{end}";
    setup.get("servicel2statuses", "gatehouse-system", path)
}

fn wait_for_announced(setup: &Setup, expected: &str) {
    eventually(&format!("ServiceL2Status: {expected}"), PATIENCE, || {
        (announced(setup) == expected).then_some(())
    });
}

fn wait_for_state(setup: &Setup, name: &str, expected: &str) {
    let object = format!("configurationstate/{name}");
    let path = "{.status.result} {.status.conditions[0].type}={.status.conditions[0].status}";
    eventually(&format!("{name} says {expected}"), PATIENCE, || {
        (setup.get(&object, "gatehouse-system", path) == expected).then_some(())
    });
}

#[test]
fn nodes_tell_what_they_announce_and_whether_the_configuration_can_be_used() {
    let Some(setup) = Setup::new() else { return };
    let server = &setup.server;
    server.install_crds();
    server.apply(POOL);
    let named = ADVERTISEMENT.replace("{}", "{interfaces: [eth0]}");
    server.apply(&named);
    server.apply(&services(["web".to_owned()]));
    server.apply(&endpoint("web"));
    let first = setup.start(&setup.nodes[0]);
    wait_for_announced(&setup, "node1 node1 default/web eth0;");
    eventually("an event tells of it", DEADLINE, || {
        let events = server.kubectl(&["describe", "svc", "web"]).ok();
        (events.contains("nodeAssigned")
            && events.contains(r#"announcing from node "node1" with protocol "layer2""#))
        .then_some(())
    });
    server.apply(ADVERTISEMENT);
    wait_for_announced(&setup, "node1 node1 default/web;");

    // Somebody edits it, somebody deletes it.
    let name = setup.get(
        "servicel2statuses",
        "gatehouse-system",
        "{.items[0].metadata.name}",
    );
    assert!(name.starts_with("l2-"), "{name}");
    let edit = r#"{"status":{"interfaces":[{"name":"eth9"}]}}"#;
    let object = format!("servicel2status/{name}");
    let patch = ["patch", &object, "-n", "gatehouse-system", "--type=merge"];
    let edited = server.kubectl(&[&patch[..], &["--subresource=status", "-p", edit]].concat());
    edited.ok();
    wait_for_announced(&setup, "node1 node1 default/web;");
    server
        .kubectl(&["delete", &object, "-n", "gatehouse-system"])
        .ok();
    wait_for_announced(&setup, "node1 node1 default/web;");

    let valid = [
        "Valid poolReconcilerValid=True",
        "Valid configReconcilerValid=True",
    ];
    wait_for_state(&setup, "controller", valid[0]);
    wait_for_state(&setup, "speaker-node1", valid[1]);
    server.apply(&POOL.replace("192.168.8.198", "192.168.8.1"));
    wait_for_state(&setup, "controller", "Invalid poolReconcilerValid=False");
    wait_for_state(
        &setup,
        "speaker-node1",
        "Invalid configReconcilerValid=False",
    );
    let summary = setup.get(
        "configurationstate/controller",
        "gatehouse-system",
        "{.status.errorSummary}",
    );
    assert!(
        summary.starts_with("configuration error: IPAddressPool metallb-system/lan spec.addresses"),
        "{summary}"
    );
    server.apply(POOL);
    wait_for_state(&setup, "controller", valid[0]);
    wait_for_state(&setup, "speaker-node1", valid[1]);
    let left = setup.get(
        "configurationstate/controller",
        "gatehouse-system",
        "{.status.errorSummary}",
    );
    assert_eq!(left, "");

    // What stands there is not written again.
    let versions = quiet_versions(&setup, REPORTS);
    first.kill();
    let again = setup.start(&setup.nodes[0]);
    eventually("it announces again", DEADLINE, || {
        (again.rows("addresses")[0]["state"] == "announced").then_some(())
    });
    assert_eq!(quiet_versions(&setup, REPORTS), versions);

    // Another node takes over from one that died: it tells of itself, and not of the other.
    again.kill();
    let second = setup.start(&setup.nodes[1]);
    wait_for_announced(&setup, "node2 node2 default/web;");
    wait_for_state(&setup, "speaker-node2", valid[1]);
    server.kubectl(&["delete", "svc", "web"]).ok();
    wait_for_announced(&setup, "");
    drop(second);
}

/// Kinds that reports stand in.
const REPORTS: &str = "servicel2statuses,configurationstates,virtualservices";

const ROUTE: &str = "apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
    metadata: {name: web, namespace: default}\n\
    spec:\n  hosts: [web.lan]\n  gateways: [istio-system/missing]\n  \
    http: [{directResponse: {status: 200}}]\n";
const GATEWAY: &str = "apiVersion: networking.istio.io/v1\nkind: Gateway\n\
    metadata: {name: missing, namespace: istio-system}\n\
    spec:\n  selector: {istio: ingressgateway}\n  servers:\n  \
    - {port: {number: 8080, name: http, protocol: HTTP}, hosts: ['*']}\n";

#[test]
fn what_is_wrong_with_an_object_stands_in_its_status() {
    let Some(setup) = Setup::new() else { return };
    let server = &setup.server;
    server.install_crds();
    server.apply(ROUTE);
    let theirs = r#"{"status":{"conditions":[{"type":"Theirs","status":"True"}]}}"#;
    let patch = ["patch", "virtualservice/web", "--type=merge", "-p", theirs];
    server
        .kubectl(&[&patch[..], &["--subresource=status"]].concat())
        .ok();
    let gatehouse = setup.start(&setup.nodes[0]);
    let told = |path: &str| setup.get("virtualservice/web", "default", path);
    let message = "{.status.validationMessages[0].level} {.status.validationMessages[0].type.code} \
                   {.status.validationMessages[0].type.name}";
    eventually("Istio's message stands there", PATIENCE, || {
        (told(message) == "ERROR IST0101 ReferencedResourceNotFound").then_some(())
    });
    let ours = "{.status.conditions[?(@.type=='GatehouseAccepted')].message}";
    assert!(told(ours).contains("missing"), "{}", told(ours));
    assert!(told("{.status.conditions[*].type}").contains("Theirs"));
    // It is no reason for another finding, and no change of what is in force.
    let findings = gatehouse.ask(&["get", "findings"]).stdout;
    assert!(!findings.contains("IST0171"), "{findings}");

    // Each is written when what is there of its kind was seen.
    eventually("all reports are written", PATIENCE, || {
        let states = setup.versions_of("configurationstates");
        (states.contains("controller") && states.contains("speaker-node1")).then_some(())
    });
    let versions = quiet_versions(&setup, REPORTS);
    gatehouse.kill();
    let gatehouse = setup.start(&setup.nodes[0]);
    assert_eq!(quiet_versions(&setup, REPORTS), versions);

    server.apply(GATEWAY);
    eventually("all is well", PATIENCE, || {
        let left = told("{.status.validationMessages}{.status.conditions[*].type}");
        (left == "Theirs").then_some(())
    });
    drop(gatehouse);
}

#[test]
fn old_annotations_are_told_and_absent_kinds_are_one_line() {
    let Some(setup) = Setup::new() else { return };
    let mut gatehouse = setup.start(&setup.nodes[0]);
    gatehouse.wait_for_log("kinds that the cluster has not got yet");
    setup.server.install_crds();
    setup.server.apply(POOL);
    let service = services(["old".to_owned()]).replace(
        "namespace: default",
        "namespace: default, annotations: {metallb.universe.tf/address-pool: lan}",
    );
    setup.server.apply(&service);
    setup.wait_for_address("old", "default", "192.168.8.151");
    eventually("an event tells of the annotation", DEADLINE, || {
        let events = setup.server.kubectl(&["describe", "svc", "old"]).ok();
        let text = "Service uses deprecated annotation metallb.universe.tf/address-pool";
        (events.contains("deprecatedAnnotation") && events.contains(text)).then_some(())
    });
    // The status that was written is no change of the configuration; who edits it changes nothing
    // for long.
    quiet_versions(&setup, "services");
    let in_force = |log: &str| log.matches("configuration in force").count();
    let before = in_force(&gatehouse.log());
    let foreign = r#"{"status":{"loadBalancer":{"ingress":[{"ip":"203.0.113.9"}]}}}"#;
    let patch = ["patch", "svc", "old", "--subresource=status", "-p", foreign];
    setup.server.kubectl(&patch).ok();
    setup.wait_for_address("old", "default", "192.168.8.151");
    quiet_versions(&setup, "services");
    let log = gatehouse.log();
    assert_eq!(in_force(&log), before, "{log}");
    assert!(!log.contains("Unsuccessful data error parse"), "{log}");
    let absent = log.matches("the cluster has no such kind").count();
    assert!(absent <= 2, "{log}");
}
