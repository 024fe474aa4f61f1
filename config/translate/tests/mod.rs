//! What objects become, by rule; YAML in, model and findings out.

mod cors_policies;
mod delegates;
mod destinations;
mod faults;
mod gateway_services;
mod gateways;
mod hosts;
mod incremental;
mod mirrors;
mod refusals;
mod routes;
mod service_entries;
mod tcp;
mod tls;
mod traffic_policy;
mod upstream_tls;
mod virtual_service_rules;

use std::sync::Arc;

use crate::finding::Level;
use crate::model::{
    Action, AddressPart, Balancing, Destination, Domain, Forward, HeaderEdit, HeaderName,
    MatchedPath, Route, UpstreamProtocol, UriRewrite, ValuePiece,
};
use crate::source::decode::decode_text;
use crate::source::yaml::Limits;
use crate::translate::*;

/// Reads YAML that must be readable.
pub(crate) fn resources(yaml: &str) -> Resources {
    let file = decode_text(&Arc::from("test.yaml"), yaml, &Limits::default());
    assert_eq!(file.findings, [], "the test's own YAML is wrong");
    let mut resources = Resources::default();
    for object in file.objects {
        resources.insert(object);
    }
    resources
}

/// Translates YAML with the default settings.
pub(crate) fn translated(yaml: &str) -> Translation {
    translate(&resources(yaml), &Settings::default())
}

/// Findings as `code field: message hint`.
pub(crate) fn findings(translation: &Translation) -> Vec<String> {
    let findings = translation.findings.iter();
    findings
        .map(|f| format!("{} {}: {} {}", f.code, f.field, f.message, f.hint))
        .collect()
}

/// A Gateway on 8080 for any host, and reviews with three versions.
pub(crate) const BASE: &str = r#"
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 8080, name: http, protocol: HTTP}
    hosts: ["*"]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: reviews, namespace: default}
spec:
  hosts: [reviews.default.svc.cluster.local]
  resolution: STATIC
  ports: [{number: 9080, name: http, protocol: HTTP}]
  endpoints:
  - {address: 127.0.0.1, ports: {http: 9111}, labels: {version: v1}}
  - {address: 127.0.0.1, ports: {http: 9112}, labels: {version: v2}, weight: 3}
"#;

/// A VirtualService on [`BASE`]'s Gateway with these rules (a YAML flow list).
pub(crate) fn with_http(http: &str) -> String {
    virtual_service("vs", "2026-01-01T00:00:00Z", "[\"*\"]", http)
}

fn virtual_service(name: &str, created: &str, hosts: &str, http: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, \
         namespace: default, creationTimestamp: \"{created}\"}}\nspec:\n  hosts: {hosts}\n  \
         gateways: [istio-system/gw]\n  http: {http}\n"
    )
}

fn base_and(rest: &str) -> String {
    format!("{BASE}{rest}")
}

const TO_REVIEWS: &str = "route: [{destination: {host: reviews}}]";

/// What refuses a rule with this field beside its route.
fn refusal(field: &str) -> String {
    let rule = format!("[{{{field}, {TO_REVIEWS}}}]");
    let translation = translated(&base_and(&with_http(&rule)));
    let found = findings(&translation);
    assert_eq!(translation.refused.len(), 1, "{field}: {found:#?}");
    assert!(domains(&translation).is_empty(), "{field}");
    found
        .into_iter()
        .find(|finding| finding.starts_with("IST0106"))
        .expect("a refused object has a finding")
}

/// The only route of a rule with this field beside its route, and the findings.
fn only_route(field: &str) -> (Route, Vec<String>) {
    let rule = format!("[{{{field}, {TO_REVIEWS}}}]");
    let translation = translated(&base_and(&with_http(&rule)));
    let [route] = *routes(&translation, "*") else {
        panic!("one route: {field}")
    };
    (route.clone(), findings(&translation))
}

/// The routes of the first server's host.
fn routes<'t>(translation: &'t Translation, host: &str) -> Vec<&'t Route> {
    let server = translation.model.servers.first().expect("a server listens");
    let hosts = server.virtual_hosts();
    let mut found = hosts.filter(|virtual_host| virtual_host.domain.to_string() == host);
    let virtual_host = found.next().expect("the host has routes");
    virtual_host.routes.iter().map(|route| &**route).collect()
}

fn names(translation: &Translation, host: &str) -> Vec<String> {
    routes(translation, host)
        .iter()
        .map(|route| route.name.to_string())
        .collect()
}

fn forward(route: &Route) -> &Forward {
    match &route.action {
        Action::Forward(forward) => forward,
        other => panic!("not forwarded: {other:?}"),
    }
}

fn domains(translation: &Translation) -> Vec<String> {
    let hosts = translation
        .model
        .servers
        .iter()
        .flat_map(|server| server.virtual_hosts());
    hosts.map(|host| host.domain.to_string()).collect()
}
