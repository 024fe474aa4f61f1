//! ServiceEntries and WorkloadEntries: which endpoints they give, and what is refused.

use crate::resolved::{ResolveFailure, ResolvedName, ResolvedNames};

use super::*;

/// A ServiceEntry `s.lan` with this spec (the inside of a flow mapping), and a route to it.
fn entry(spec: &str) -> String {
    base_and(&format!(
        "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: s, \
         namespace: default}}\nspec: {{hosts: [s.lan], ports: [{{number: 80, name: http, protocol: \
         HTTP}}], {spec}}}\n{}",
        with_http("[{route: [{destination: {host: s.lan}}]}]")
    ))
}

/// The endpoints of the route's cluster, as `address*weight`.
fn endpoints(translation: &Translation) -> Vec<String> {
    let cluster = translation.model.clusters.first().expect("a cluster");
    let endpoints = cluster.endpoints.iter();
    endpoints
        .map(|endpoint| format!("{}*{}", endpoint.address, endpoint.weight))
        .collect()
}

#[test]
fn a_socket_of_this_host_is_an_endpoint() {
    let translation = translated(&entry(
        "resolution: STATIC, endpoints: [{address: 'unix:///run/app.sock'}, {address: 'unix://@app', weight: 2}]",
    ));
    assert_eq!(endpoints(&translation), ["/run/app.sock*1", "@app*2"]);
    assert_eq!(findings(&translation), [""; 0]);
}

/// The same, with the answers of DNS.
fn with_names(yaml: &str, names: &[(&str, &[&str])]) -> Translation {
    let mut resolved = ResolvedNames::default();
    for (name, addresses) in names {
        let addresses: Vec<_> = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        let known = ResolvedName {
            first: addresses.last().copied(),
            failure: addresses.is_empty().then(|| ResolveFailure {
                since: std::time::SystemTime::UNIX_EPOCH,
                error: "the name does not exist (NXDOMAIN)".to_owned(),
            }),
            addresses,
        };
        resolved.insert((*name).to_owned(), known);
    }
    let settings = Settings {
        names: Arc::new(resolved),
        ..Settings::default()
    };
    translate(&resources(yaml), &settings)
}

fn wanted(translation: &Translation) -> Vec<&str> {
    translation.model.names.keys().map(String::as_str).collect()
}

#[test]
fn names_are_wanted_and_their_addresses_used() {
    for (spec, names, expected) in [
        // Without endpoints the host itself.
        (
            "resolution: DNS",
            vec!["s.lan"],
            vec!["10.0.0.1:80*1", "10.0.0.2:80*1"],
        ),
        (
            "resolution: DNS_ROUND_ROBIN",
            vec!["s.lan"],
            vec!["10.0.0.2:80*1"],
        ),
        // Each address has the endpoint's weight and port; addresses need no lookup.
        (
            "resolution: DNS, endpoints: [{address: DB.lan, weight: 3, ports: {http: 99}}, {address: 10.9.9.9}]",
            vec!["db.lan"],
            vec!["10.1.0.1:99*3", "10.9.9.9:80*1"],
        ),
        (
            "resolution: DNS_ROUND_ROBIN, endpoints: [{address: db.lan}]",
            vec!["db.lan"],
            vec!["10.1.0.1:80*1"],
        ),
        (
            "resolution: DNS, endpoints: [{address: unknown.lan}]",
            vec!["unknown.lan"],
            vec![],
        ),
        ("resolution: STATIC", vec![], vec![]),
        ("resolution: NONE", vec![], vec![]),
    ] {
        let answers: &[(&str, &[&str])] = &[
            ("s.lan", &["10.0.0.1", "10.0.0.2"]),
            ("db.lan", &["10.1.0.1"]),
        ];
        let translation = with_names(&entry(spec), answers);
        assert_eq!(endpoints(&translation), expected, "{spec}");
        assert_eq!(wanted(&translation), names, "{spec}");
    }
    // Nobody routes there: nobody needs the address.
    let unused = entry("resolution: DNS").replace("{host: s.lan}", "{host: reviews}");
    assert_eq!(wanted(&with_names(&unused, &[])), [""; 0]);
}

#[test]
fn a_name_that_fails_is_told_where_it_is_written() {
    let failing: &[(&str, &[&str])] = &[("s.lan", &[]), ("db.lan", &[])];
    for (spec, place) in [
        ("resolution: DNS", "spec.hosts[0]"),
        (
            "resolution: DNS, endpoints: [{address: 10.0.0.1}, {address: db.lan}]",
            "spec.endpoints[1].address",
        ),
    ] {
        let translation = with_names(&entry(spec), failing);
        let found = findings(&translation);
        let told = format!("GH0122 {place}: `");
        assert!(
            found.iter().any(|f| f.starts_with(&told)
                && f.contains("since 1970-01-01T00:00:00Z: the name does not exist")),
            "{found:?}"
        );
    }
    // Not looked up yet: no news.
    assert_eq!(findings(&translated(&entry("resolution: DNS"))), [""; 0]);
}

#[test]
fn workload_entries_are_selected_in_their_namespace() {
    let workload = |name: &str, namespace: &str, labels: &str, spec: &str| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: {name}, \
             namespace: {namespace}, labels: {labels}}}\nspec: {{{spec}}}\n"
        )
    };
    let yaml = [
        entry("resolution: DNS, workloadSelector: {labels: {app: s}}"),
        // The object's own labels win over those of the spec.
        workload(
            "a",
            "default",
            "{app: s}",
            "address: 10.0.0.1, labels: {app: other}, weight: 2",
        ),
        workload(
            "b",
            "default",
            "{}",
            "address: db.lan, labels: {app: s}, ports: {http: 99}",
        ),
        workload(
            "c",
            "default",
            "{app: t}",
            "address: 10.0.0.3, labels: {app: s}",
        ),
        workload("d", "elsewhere", "{app: s}", "address: 10.0.0.4"),
    ]
    .concat();
    let translation = with_names(&yaml, &[("db.lan", &["10.1.0.1"])]);
    assert_eq!(endpoints(&translation), ["10.0.0.1:80*2", "10.1.0.1:99*1"]);
    assert_eq!(wanted(&translation), ["db.lan"]);
    let failing = with_names(&yaml, &[("db.lan", &[])]);
    let found = findings(&failing);
    assert!(
        found.iter().any(|f| f.starts_with("GH0122 spec.address:")),
        "{found:?}"
    );
}

#[test]
fn the_port_of_an_endpoint_is_its_own_then_the_target_then_the_number() {
    for (spec, expected) in [
        (
            "resolution: STATIC, endpoints: [{address: 10.0.0.1}]",
            "10.0.0.1:80*1",
        ),
        (
            "ports: [{number: 80, name: http, protocol: HTTP, targetPort: 81}], resolution: STATIC, endpoints: [{address: 10.0.0.1}]",
            "10.0.0.1:81*1",
        ),
        (
            "ports: [{number: 80, name: http, protocol: HTTP, targetPort: 81}], resolution: STATIC, endpoints: [{address: 10.0.0.1, ports: {http: 82}}]",
            "10.0.0.1:82*1",
        ),
    ] {
        let mut yaml = entry(spec);
        if spec.starts_with("ports") {
            yaml = yaml.replace("ports: [{number: 80, name: http, protocol: HTTP}], ", "");
        }
        assert_eq!(endpoints(&translated(&yaml)), [expected], "{spec}");
    }
}

#[test]
fn the_oldest_entry_of_a_host_wins_and_endpoints_of_a_namespace_add_up() {
    let entry = |name: &str, namespace: &str, created: u8, address: &str| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, \
             namespace: {namespace}, creationTimestamp: \"2026-01-0{created}T00:00:00Z\"}}\nspec: \
             {{hosts: [s.lan], ports: [{{number: 80, name: http, protocol: HTTP}}], resolution: STATIC, \
             endpoints: [{{address: {address}}}]}}\n"
        )
    };
    let yaml = [
        BASE.to_owned(),
        entry("a", "other", 2, "10.0.0.1"),
        entry("b", "older", 1, "10.0.0.2"),
        entry("c", "older", 3, "10.0.0.3"),
        with_http("[{route: [{destination: {host: s.lan}}]}]"),
    ]
    .concat();
    let translation = translated(&yaml);
    assert_eq!(endpoints(&translation), ["10.0.0.2:80*1", "10.0.0.3:80*1"]);
}

#[test]
fn rules_of_service_entries() {
    let refused = |spec: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: s, namespace: \
             default}}\nspec: {{{spec}}}\n"
        )
    };
    let port = "ports: [{number: 80, name: http, protocol: HTTP}]";
    let fixed = format!("hosts: [s.lan], {port}, resolution: STATIC");
    let dynamic = format!("{port}, resolution: DYNAMIC_DNS");
    for (spec, expected) in [
        (port.to_owned(), "spec.hosts: it has no hosts"),
        (format!("hosts: [\"*\"], {port}"), "spec.hosts[0]: the host `*` is wrong"),
        (format!("hosts: [a_b.lan], {port}"), "spec.hosts[0]: the host `a_b.lan` is wrong"),
        (format!("{fixed}, addresses: [10.0.0.256]"), "spec.addresses[0]: `10.0.0.256` is neither"),
        (
            format!("hosts: [s.lan], {port}, resolution: DNS, addresses: [10.0.0.0/8]"),
            "spec.addresses[0]: `10.0.0.0/8` is a subnet",
        ),
        ("hosts: [s.lan], ports: [{number: 0, name: http}]".to_owned(), "spec.ports[0].number: 0 is not a port"),
        ("hosts: [s.lan], ports: [{number: 1, name: a_b}]".to_owned(), "spec.ports[0].name: `a_b` is not"),
        (
            "hosts: [s.lan], ports: [{number: 1, name: a, protocol: SPDY}]".to_owned(),
            "spec.ports[0].protocol: `SPDY` is not",
        ),
        (
            "hosts: [s.lan], ports: [{number: 1, name: a, targetPort: 65536}]".to_owned(),
            "spec.ports[0].targetPort: 65536 is not a port",
        ),
        (
            "hosts: [s.lan], ports: [{number: 1, name: a}, {number: 2, name: a}]".to_owned(),
            "spec.ports[1]: the port 2 `a` is defined before",
        ),
        (
            "hosts: [s.lan], ports: [{number: 1, name: a}, {number: 1, name: b}]".to_owned(),
            "spec.ports[1]: the port 1 `b` is defined before",
        ),
        (
            format!("{fixed}, workloadSelector: {{labels: {{a: b}}}}, endpoints: [{{address: 10.0.0.1}}]"),
            "spec.workloadSelector: only one of",
        ),
        (
            format!("hosts: [s.lan], {port}, endpoints: [{{address: 10.0.0.1}}]"),
            "spec.endpoints: with resolution NONE",
        ),
        (format!("{fixed}, endpoints: [{{}}]"), "spec.endpoints[0].address: the address is missing"),
        (
            format!("{fixed}, endpoints: [{{address: db.lan}}]"),
            "spec.endpoints[0].address: the address `db.lan` is wrong: only IP addresses",
        ),
        (
            format!("{fixed}, endpoints: [{{address: 10.0.0.1, ports: {{htp: 1}}}}]"),
            "spec.endpoints[0].ports.htp: the service has no port named `htp`; the object is not used. Did you mean `http`?",
        ),
        (
            format!("{fixed}, endpoints: [{{address: 10.0.0.1, ports: {{http: 0}}}}]"),
            "spec.endpoints[0].ports.http: 0 is not a port",
        ),
        (
            format!("{fixed}, endpoints: [{{address: 10.0.0.1, labels: {{\"a b\": c}}}}]"),
            "spec.endpoints[0].labels: `a b` is not a label's name",
        ),
        (
            format!("{fixed}, endpoints: [{{address: 10.0.0.1, labels: {{a: \"-\"}}}}]"),
            "spec.endpoints[0].labels: `-` is not a label's value",
        ),
        (
            format!("{fixed}, endpoints: [{{address: \"unix://run/a\"}}]"),
            "spec.endpoints[0].address: the socket `run/a` is wrong",
        ),
        (
            format!("{fixed}, endpoints: [{{address: \"unix:///a\", ports: {{http: 1}}}}]"),
            "spec.endpoints[0].ports: an endpoint at a socket path has no ports",
        ),
        (
            "hosts: [s.lan], resolution: STATIC, ports: [{number: 1, name: a}, {number: 2, name: b}], endpoints: [{address: \"unix:///a\"}]".to_owned(),
            "spec.endpoints[0].address: an endpoint at a socket serves one port",
        ),
        (
            format!("hosts: [s.lan], {port}, resolution: DNS, endpoints: [{{address: \"unix:///a\"}}]"),
            "spec.endpoints[0].address: a socket is nothing that DNS",
        ),
        (
            format!("hosts: [s.lan], {port}, resolution: DNS, endpoints: [{{address: \"a_b\"}}]"),
            "spec.endpoints[0].address: the address `a_b` is wrong",
        ),
        (
            format!("hosts: [\"*.lan\"], {port}, resolution: DNS"),
            "spec.hosts[0]: `*.lan` cannot be looked up",
        ),
        (
            format!("hosts: [s.lan], {port}, resolution: DNS_ROUND_ROBIN, endpoints: [{{address: a.lan}}, {{address: b.lan}}]"),
            "spec.endpoints: DNS_ROUND_ROBIN takes at most one",
        ),
        (
            "hosts: [a.lan, b.lan], ports: [{number: 1, name: a, protocol: TCP}], resolution: DNS".to_owned(),
            "spec.ports[0]: a port that is neither HTTP nor TLS",
        ),
        (format!("hosts: [a.lan], {dynamic}"), "spec.hosts[0]: with DYNAMIC_DNS the host must be"),
        (
            format!("hosts: [\"*.lan\"], {dynamic}, addresses: [10.0.0.1]"),
            "spec.addresses: with DYNAMIC_DNS there are no addresses",
        ),
        (
            format!("hosts: [\"*.lan\"], {dynamic}, endpoints: [{{address: a.lan}}]"),
            "spec.endpoints: with DYNAMIC_DNS there are no endpoints",
        ),
        (
            "hosts: [\"*.lan\"], resolution: DYNAMIC_DNS, ports: [{number: 1, name: a, protocol: TCP}]".to_owned(),
            "spec.ports[0].protocol: with DYNAMIC_DNS a port is",
        ),
        (format!("{fixed}, exportTo: [\"*\", a]"), "spec.exportTo: exportTo says both"),
        (format!("{fixed}, exportTo: [\"~\", a]"), "spec.exportTo: exportTo says both"),
        (format!("{fixed}, exportTo: [., default]"), "spec.exportTo[1]: the namespace `default` is named twice"),
        (format!("{fixed}, exportTo: [a_b]"), "spec.exportTo[0]: `a_b` is neither"),
    ] {
        let translation = translated(&refused(&spec));
        let found = findings(&translation);
        let said = found
            .iter()
            .any(|f| f.starts_with("IST0106") && f.contains(expected));
        assert!(said && translation.refused.len() == 1, "{spec}: {found:?}");
    }
    // Allowed, but hardly meant so.
    for (spec, expected) in [
        (
            format!("hosts: [\"*s.lan\"], {port}, resolution: STATIC"),
            "IST0133 spec.hosts[0]: in `*s.lan`",
        ),
        (
            format!("hosts: [s.lan], {port}, workloadSelector: {{labels: {{a: b}}}}"),
            "IST0133 spec.workloadSelector: with resolution NONE",
        ),
        (
            format!("{fixed}, workloadSelector: {{}}"),
            "IST0133 spec.workloadSelector: it has no labels",
        ),
    ] {
        let translation = translated(&refused(&spec));
        let found = findings(&translation);
        assert!(
            found.iter().any(|f| f.starts_with(expected)),
            "{spec}: {found:?}"
        );
        assert!(translation.refused.is_empty(), "{spec}");
    }
}
