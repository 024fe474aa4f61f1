//! externalTrafficPolicy Local, from YAML to the owner of an address.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::collections::BTreeMap;

use gatehouse_config::source::decode::decode_text;
use gatehouse_config::source::yaml::Limits;
use gatehouse_config::translate::{Settings, translate};
use gatehouse_config::{ObjectKey, Resources};
use gatehouse_lb_speaker::{Allocation, plan};

const OBJECTS: &str = "
{apiVersion: v1, kind: Node, metadata: {name: node-a}}
---
{apiVersion: v1, kind: Node, metadata: {name: node-b}}
---
{apiVersion: v1, kind: Node, metadata: {name: node-c}}
---
{apiVersion: metallb.io/v1beta1, kind: IPAddressPool, metadata: {name: lan, namespace: metallb-system}, spec: {addresses: [10.0.0.1/32]}}
---
{apiVersion: metallb.io/v1beta1, kind: L2Advertisement, metadata: {name: lan, namespace: metallb-system}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {type: LoadBalancer, externalTrafficPolicy: Local, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 80}]
endpoints:
- {addresses: [10.1.0.1], nodeName: node-a, conditions: {ready: true}}
- {addresses: [10.1.0.2], nodeName: node-b, conditions: {ready: false}}
- {addresses: [10.1.0.3], nodeName: node-c, conditions: {ready: false, serving: true, terminating: true}}
- {addresses: [10.1.0.4]}
";

/// The owner of 10.0.0.1, for which the order of all three is b, a, c.
fn owner(objects: &str) -> String {
    let mut resources = Resources::default();
    let file = decode_text(&"objects.yaml".into(), objects, &Limits::default());
    assert!(file.findings.is_empty(), "{:?}", file.findings);
    for object in file.objects {
        resources.insert(object);
    }
    let model = translate(&resources, &Settings::default()).model;
    let allocation = Allocation {
        addresses: vec!["10.0.0.1".parse().unwrap()],
        pool: "lan".to_owned(),
    };
    let holders = BTreeMap::from([(ObjectKey::new("default", "web"), allocation)]);
    let nodes = ["node-a", "node-b", "node-c"];
    let mut owners = nodes
        .into_iter()
        .filter(|node| !plan(&model, &holders, node).announcements.is_empty());
    let owner = owners.next().expect("somebody owns it");
    assert_eq!(owners.next(), None);
    owner.to_owned()
}

#[test]
fn the_owner_has_an_endpoint_that_serves() {
    assert_eq!(owner(OBJECTS), "node-a");
    // One that ends still serves.
    let ending = OBJECTS.replace(
        "nodeName: node-a, conditions: {ready: true}",
        "nodeName: node-a, conditions: {ready: false}",
    );
    assert_eq!(owner(&ending), "node-c");
    assert_eq!(owner(&OBJECTS.replace("Local", "Cluster")), "node-b");
    let unavailable = OBJECTS.replace(
        "metadata: {name: node-a}}",
        "metadata: {name: node-a}, status: {conditions: [{type: NetworkUnavailable, status: 'True'}]}}",
    );
    assert_eq!(owner(&unavailable), "node-c");
}
