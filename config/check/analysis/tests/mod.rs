//! What each analyzer finds, and what it leaves alone. The expected lists are what Istio's own
//! analyzers give for the same objects, but for IST0162 of Pods that no Service selects.

mod annotations;
mod certificates;
mod conditions;
mod deployments;
mod deprecated;
mod destination_rules;
mod destinations;
mod envoy_filters;
mod gateways;
mod injection;
mod mesh_hosts;
mod policies;
mod port_names;
mod service_entries;
mod sidecars;
mod virtual_services;
mod webhooks;

use crate::translate::tests::resources;
use crate::translate::{Settings, translate};

/// A name, the objects, and what is found.
type Case = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

fn cases() -> impl Iterator<Item = &'static Case> {
    let analyzers = [
        virtual_services::CASES,
        destinations::CASES,
        destination_rules::CASES,
        gateways::CASES,
        certificates::CASES,
        service_entries::CASES,
        mesh_hosts::CASES,
        policies::CASES,
        envoy_filters::CASES,
        sidecars::CASES,
        port_names::CASES,
        annotations::CASES,
        injection::CASES,
        deployments::CASES,
        conditions::CASES,
        webhooks::CASES,
        deprecated::CASES,
    ];
    analyzers.into_iter().flatten()
}

/// The findings under Istio's codes as `code level object`, each once.
fn found(objects: &[&str], offline: bool) -> Vec<String> {
    let settings = Settings {
        offline,
        ..Settings::default()
    };
    let translation = translate(&resources(&objects.join("\n---\n")), &settings);
    let mut found: Vec<_> = translation
        .findings
        .iter()
        .filter(|finding| finding.code.starts_with("IST"))
        .map(|finding| {
            let object = finding.object.as_ref().map(ToString::to_string);
            let object = object.unwrap_or_default();
            format!("{} {} {object}", finding.code, finding.level)
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

#[test]
fn every_analyzer_gives_what_istios_gives() {
    for (name, objects, expected) in cases() {
        assert_eq!(found(objects, true), *expected, "{name}");
    }
}

#[test]
fn a_daemon_does_not_speak_of_sidecars_and_pods() {
    let case = |wanted: &str| {
        let found = cases().find(|(name, _, _)| *name == wanted);
        found.expect("a case of this name").1
    };
    for silent in [
        "mesh hosts",
        "telemetry nobody",
        "sidecar twice",
        "port name",
        "namespace plain",
        "policy for nobody",
        "gateways in conflict",
    ] {
        assert_eq!(found(case(silent), false), [""; 0], "{silent}");
    }
    // Another gateway may run elsewhere, and endpoints may come yet.
    let nobody = ["IST0101 warning Gateway default/g"];
    assert_eq!(found(case("gateway for nobody"), false), nobody);
    let subset = ["IST0173 warning DestinationRule default/d"];
    assert_eq!(found(case("subset without pods"), false), subset);
    // What is not served is told whatever the object asks for.
    assert_eq!(found(case("suppressed"), false).len(), 2);
}

/// The Service `a`.
const SERVICE: &str = r#"apiVersion: v1
kind: Service
metadata: {name: a, namespace: default}
spec: {ports: [{name: http, port: 80}], selector: {app: a}}"#;

/// A Gateway of the daemon's, for every host.
const GATEWAY: &str = r#"apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: default}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}"#;

/// A VirtualService of that Gateway, with one route to that Service.
const VIRTUAL_SERVICE: &str = r#"apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: default}
spec: {hosts: [x.lan], gateways: [g], http: [{route: [{destination: {host: a}}]}]}"#;

/// A Pod behind that Service, of version v1.
const POD: &str = r#"apiVersion: v1
kind: Pod
metadata: {name: p, namespace: default, labels: {app: a, version: v1}}
spec: {containers: [{name: c, image: i}]}"#;
