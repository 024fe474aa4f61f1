//! What objects become, by rule; YAML in, model and findings out.

use std::sync::Arc;

use super::*;
use crate::finding::Level;
use crate::model::{
    Action, Balancing, Destination, Domain, Forward, HeaderEdit, MatchedPath, RedirectPort, Route,
    UpstreamProtocol, UriRewrite,
};
use crate::source::decode::decode_text;
use crate::source::yaml::Limits;

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

/// The routes of the first server's host.
fn routes<'t>(translation: &'t Translation, host: &str) -> Vec<&'t Route> {
    let server = translation.model.servers.first().expect("a server listens");
    let hosts = server.virtual_hosts.iter();
    let mut found = hosts.filter(|virtual_host| virtual_host.domain.to_string() == host);
    let virtual_host = found.next().expect("the host has routes");
    virtual_host.routes.iter().map(|route| &**route).collect()
}

fn names(translation: &Translation, host: &str) -> Vec<String> {
    routes(translation, host)
        .iter()
        .map(|route| route.name.clone())
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
        .flat_map(|server| &server.virtual_hosts);
    hosts.map(|host| host.domain.to_string()).collect()
}

#[test]
fn bookinfo_becomes_one_virtual_host_and_one_cluster() {
    let mut yaml = String::new();
    for file in [
        include_str!("../examples/bookinfo/gateway.yaml"),
        include_str!("../examples/bookinfo/virtual-service.yaml"),
        include_str!("../examples/bookinfo/services.yaml"),
        include_str!("../examples/bookinfo/workloads.yaml"),
        include_str!("../examples/bookinfo/destination-rule.yaml"),
    ] {
        yaml.push_str(file);
        yaml.push_str("\n---\n");
    }
    let translation = translated(&yaml);
    assert_eq!(findings(&translation), Vec::<String>::new());
    assert_eq!(domains(&translation), ["*"]);
    assert_eq!(routes(&translation, "*").len(), 5);
    let [cluster] = translation.model.clusters.as_slice() else {
        panic!("one cluster: {:?}", translation.model.clusters)
    };
    assert_eq!(
        cluster.name,
        "outbound|9080||productpage.default.svc.cluster.local"
    );
    assert_eq!(cluster.labels.service_name, "productpage");
    let [endpoint] = cluster.endpoints.as_slice() else {
        panic!("one endpoint: {cluster:?}")
    };
    assert_eq!(endpoint.address.to_string(), "192.168.8.20:9080");
    assert_eq!(endpoint.workload.workload, "productpage-v1");
    assert_eq!(endpoint.workload.canonical_revision, "v1");
}

#[test]
fn a_virtual_host_is_the_narrower_of_each_pair_of_hosts() {
    for (server, service, expected) in [
        ("*", "[a.lan]", vec!["a.lan"]),
        ("a.lan", "[\"*\"]", vec!["a.lan"]),
        ("\"*.lan\"", "[a.lan, b.other]", vec!["a.lan"]),
        ("a.lan", "[\"*.lan\"]", vec!["a.lan"]),
        ("\"*.a.lan\"", "[\"*.lan\"]", vec!["*.a.lan"]),
        ("\"*.lan\"", "[\"*.a.lan\"]", vec!["*.a.lan"]),
        ("lan.test", "[\"*.lan\"]", vec![]),
        ("default/a.lan", "[a.lan]", vec!["a.lan"]),
        ("other/a.lan", "[a.lan]", vec![]),
        ("./a.lan", "[a.lan]", vec![]),
        ("\"*/a.lan\"", "[a.lan]", vec!["a.lan"]),
        ("\"*.lan\"", "[A.lan]", vec!["a.lan"]),
    ] {
        let server = if server == "*" { "\"*\"" } else { server };
        let base = BASE.replace("hosts: [\"*\"]", &format!("hosts: [{server}]"));
        let rules = format!("[{{{TO_REVIEWS}}}]");
        let yaml = format!(
            "{base}{}",
            virtual_service("vs", "2026-01-01T00:00:00Z", service, &rules)
        );
        assert_eq!(
            domains(&translated(&yaml)),
            expected,
            "{server} and {service}"
        );
    }
}

#[test]
fn older_virtual_services_come_first_and_catch_alls_last() {
    let yaml = base_and(&format!(
        "{}{}{}",
        virtual_service(
            "young",
            "2026-01-03T00:00:00Z",
            "[\"*\"]",
            &format!("[{{name: y1, match: [{{uri: {{prefix: /a/b}}}}], {TO_REVIEWS}}}]"),
        ),
        virtual_service(
            "old",
            "2026-01-01T00:00:00Z",
            "[\"*\"]",
            &format!(
                "[{{name: o1, match: [{{uri: {{prefix: /a}}}}], {TO_REVIEWS}}}, {{name: o2, {TO_REVIEWS}}}, \
                 {{name: never, match: [{{uri: {{prefix: /z}}}}], {TO_REVIEWS}}}]"
            ),
        ),
        virtual_service(
            "middle",
            "2026-01-02T00:00:00Z",
            "[\"*\"]",
            &format!(
                "[{{name: m0, match: [{{name: get, uri: {{prefix: /}}, method: {{exact: GET}}}}, {{name: re, uri: {{regex: \".*\"}}}}, \
                 {{name: gone, uri: {{exact: /x}}}}], {TO_REVIEWS}}}]"
            ),
        ),
    ));
    // Each stops at its own first catch-all; those go to the end, oldest first.
    assert_eq!(
        names(&translated(&yaml), "*"),
        ["o1", "m0.get", "y1", "o2", "m0.re"]
    );
}

#[test]
fn matches_of_other_listeners_are_left_out() {
    let yaml = base_and(&with_http(&format!(
        "[{{name: a, match: [{{name: port, port: 8080}}], {TO_REVIEWS}}}]"
    )));
    assert_eq!(names(&translated(&yaml), "*"), ["a.port"]);
    for condition in [
        "port: 8081",
        "gateways: [other]",
        "sourceLabels: {app: other}",
        "sourceNamespace: default",
    ] {
        let yaml = base_and(&with_http(&format!(
            "[{{name: a, match: [{{{condition}}}], {TO_REVIEWS}}}, {{name: b, {TO_REVIEWS}}}]"
        )));
        assert_eq!(names(&translated(&yaml), "*"), ["b"], "{condition}");
    }
    for condition in [
        "gateways: [istio-system/gw], sourceNamespace: ignored",
        "sourceLabels: {istio: ingressgateway}, sourceNamespace: istio-system",
    ] {
        let yaml = base_and(&with_http(&format!(
            "[{{name: a, match: [{{{condition}}}], {TO_REVIEWS}}}]"
        )));
        assert_eq!(names(&translated(&yaml), "*"), ["a"], "{condition}");
    }
}

#[test]
fn https_redirect_marks_whole_hosts_even_without_routes() {
    let yaml = BASE.replace(
        "    hosts: [\"*\"]",
        "    hosts: [r.lan, ns/only.lan]\n    tls: {httpsRedirect: true}\n  - port: {number: 8080, name: all, protocol: HTTP}\n    hosts: [\"*\"]",
    );
    let translation = translated(&format!(
        "{yaml}{}",
        with_http(&format!("[{{{TO_REVIEWS}}}]"))
    ));
    let hosts = &translation.model.servers[0].virtual_hosts;
    let found: Vec<_> = hosts
        .iter()
        .map(|host| (host.domain.to_string(), host.require_tls, host.routes.len()))
        .collect();
    assert_eq!(
        found,
        [("*".to_owned(), false, 1), ("r.lan".to_owned(), true, 1)]
    );
}

#[test]
fn servers_merge_per_port_and_bind_and_the_first_protocol_stands() {
    let translation = translated(
        r#"
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: a, namespace: default}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: one, protocol: HTTP}, hosts: ["*"]}
  - {port: {number: 80, name: grpc, protocol: GRPC}, hosts: ["*"]}
  - {port: {number: 80, name: tcp, protocol: TCP}, hosts: ["*"]}
  - {port: {number: 80, name: bound, protocol: HTTP}, bind: 10.0.0.1, hosts: ["*"]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: b, namespace: default}
spec:
  servers:
  - {port: {number: 80, name: one, protocol: HTTP2}, hosts: ["*"]}
  - {port: {number: 443, name: tls, protocol: HTTPS}, hosts: ["*"], tls: {mode: SIMPLE, credentialName: c}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: c, namespace: default}
spec:
  selector: {istio: egressgateway}
  servers:
  - {port: {number: 81, name: one, protocol: HTTP}, hosts: ["*"]}
"#,
    );
    let servers: Vec<_> = translation
        .model
        .servers
        .iter()
        .map(|server| {
            (
                server.port,
                server.bind.map(|ip| ip.to_string()),
                server.origins.len(),
            )
        })
        .collect();
    assert_eq!(
        servers,
        [(80, None, 3), (80, Some("10.0.0.1".to_owned()), 1)]
    );
    let found = findings(&translation);
    assert!(
        found.iter().any(|f| f.starts_with(
            "IST0145 spec.servers[2].port: port 80 is taken by Gateway default/a for HTTP"
        )),
        "{found:#?}"
    );
    assert!(found.iter().any(|f| f.starts_with("GH0101 spec.servers[1].port.protocol: TLS is not supported yet: this server does not listen")), "{found:#?}");
}

#[test]
fn exported_virtual_services_go_before_public_ones() {
    let with_export = |name: &str, created: &str, export: &str| {
        virtual_service(
            name,
            created,
            "[\"*\"]",
            &format!("[{{name: {name}, match: [{{uri: {{prefix: /{name}}}}}], {TO_REVIEWS}}}]"),
        )
        .replace("spec:\n", &format!("spec:\n  exportTo: [{export}]\n"))
    };
    let yaml = base_and(&format!(
        "{}{}{}",
        with_export("public", "2026-01-01T00:00:00Z", "\"*\""),
        with_export("exported", "2026-01-02T00:00:00Z", "istio-system"),
        with_export("hidden", "2026-01-01T00:00:00Z", "\".\""),
    ));
    let translation = translated(&yaml);
    assert_eq!(names(&translation, "*"), ["exported", "public"]);
    assert!(
        findings(&translation)
            .iter()
            .any(|f| f.starts_with("GH0202 spec.exportTo"))
    );
}

#[test]
fn destinations_lead_where_istios_do() {
    let yaml = base_and(
        r#"---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec:
  host: reviews
  subsets: [{name: v1, labels: {version: v1}}, {name: v9, labels: {version: v9}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: multi, namespace: default}
spec:
  hosts: [multi.lan]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 8080, name: grpc, protocol: GRPC, targetPort: 9}]
  endpoints: [{address: 10.0.0.1}]
"#,
    );
    for (destination, cluster, endpoints) in [
        (
            "host: reviews",
            "outbound|9080||reviews.default.svc.cluster.local",
            Some(2),
        ),
        (
            "host: reviews.default.svc.cluster.local, subset: v1",
            "outbound|9080|v1|reviews.default.svc.cluster.local",
            Some(1),
        ),
        (
            "host: reviews, subset: v9",
            "outbound|9080|v9|reviews.default.svc.cluster.local",
            Some(0),
        ),
        (
            "host: reviews, subset: zzz",
            "outbound|9080|zzz|reviews.default.svc.cluster.local",
            None,
        ),
        (
            "host: reviews, port: {number: 1}",
            "outbound|1||reviews.default.svc.cluster.local",
            None,
        ),
        ("host: nobody.lan", "outbound|8080||nobody.lan", None),
        // Several ports and none chosen: the listener's number.
        ("host: multi.lan", "outbound|8080||multi.lan", Some(1)),
        (
            "host: multi.lan, port: {number: 80}",
            "outbound|80||multi.lan",
            Some(1),
        ),
    ] {
        let translation = translated(&format!(
            "{yaml}{}",
            with_http(&format!(
                "[{{route: [{{destination: {{{destination}}}}}]}}]"
            ))
        ));
        let routes = routes(&translation, "*");
        let found = match &forward(routes[0]).destinations[0].destination {
            Destination::Cluster(index) => {
                let cluster = &translation.model.clusters[index.0 as usize];
                (cluster.name.as_str(), Some(cluster.endpoints.len()))
            }
            Destination::Unknown { name } => (name.as_str(), None),
        };
        assert_eq!(found, (cluster, endpoints), "{destination}");
        assert_eq!(
            findings(&translation)
                .iter()
                .filter(|f| f.starts_with("IST0101"))
                .count(),
            usize::from(endpoints.is_none()),
            "{destination}"
        );
    }
    let translation = translated(&format!(
        "{yaml}{}",
        with_http("[{route: [{destination: {host: multi.lan}}]}]")
    ));
    let cluster = &translation.model.clusters[0];
    assert_eq!(cluster.endpoints[0].address.to_string(), "10.0.0.1:9");
    assert_eq!(cluster.protocol, UpstreamProtocol::H2c);
}

#[test]
fn weights_of_zero_are_dropped_and_a_single_weight_means_nothing() {
    let split = "[{route: [{destination: {host: reviews}, weight: 0}, {destination: {host: reviews, port: {number: 9080}}, weight: 20}, {destination: {host: other.lan}, weight: 60}]}]";
    let translation = translated(&base_and(&with_http(split)));
    let found = routes(&translation, "*");
    let weights: Vec<_> = forward(found[0])
        .destinations
        .iter()
        .map(|d| d.weight)
        .collect();
    assert_eq!(weights, [20, 60]);
    let single = "[{route: [{destination: {host: reviews}, weight: 0}]}]";
    let translation = translated(&base_and(&with_http(single)));
    assert_eq!(forward(routes(&translation, "*")[0]).destinations.len(), 1);
    let none = "[{route: [{destination: {host: reviews}}, {destination: {host: other.lan}}]}]";
    let translation = translated(&base_and(&with_http(none)));
    assert_eq!(translation.refused.len(), 1);
    assert!(
        findings(&translation)[0]
            .starts_with("IST0106 spec.http[0].route: the weights sum to zero")
    );
}

#[test]
fn header_edits_are_in_envoys_order() {
    let rule = r#"[{headers: {request: {set: {x-b: "1", x-a: "%REQ(x-in)%", Host: set.lan}, add: {x-c: "a%%b"}, remove: [x-r]}},
        route: [{destination: {host: reviews}, headers: {request: {add: {x-d: "2"}, remove: [x-q]}, response: {set: {x-e: "3"}}}}]}]"#;
    let translation = translated(&base_and(&with_http(rule)));
    let found = routes(&translation, "*");
    let text: Vec<_> = found[0]
        .headers
        .request
        .iter()
        .map(|edit| match edit {
            HeaderEdit::Remove(name) => format!("-{name}"),
            HeaderEdit::Set(name, _) => format!("={name}"),
            HeaderEdit::Add(name, _) => format!("+{name}"),
        })
        .collect();
    assert_eq!(text, ["-x-r", "-x-q", "=x-a", "=x-b", "+x-c", "+x-d"]);
    assert_eq!(found[0].headers.response.len(), 1);
    assert!(forward(found[0]).destinations[0].headers.is_empty());
    assert_eq!(
        forward(found[0]).rewrite.authority.as_deref(),
        Some("set.lan")
    );
    let HeaderEdit::Add(_, value) = &found[0].headers.request[4] else {
        panic!("x-c is added")
    };
    assert_eq!(*value, crate::model::HeaderValueTemplate::literal("a%b"));
}

#[test]
fn a_rules_host_wins_over_a_destinations() {
    let authority = |rule: &str| {
        let translation = translated(&base_and(&with_http(rule)));
        let found = routes(&translation, "*");
        let forward = forward(found[0]);
        let of_destination = forward.destinations[0].authority.clone();
        (forward.rewrite.authority.clone(), of_destination)
    };
    let host = |name: &str| format!("headers: {{request: {{set: {{Host: {name}}}}}}}");
    let one = format!(
        "[{{route: [{{destination: {{host: reviews}}, {}}}]}}]",
        host("d.lan")
    );
    assert_eq!(authority(&one), (Some("d.lan".to_owned()), None));
    let two = format!(
        "[{{route: [{{destination: {{host: reviews}}, weight: 1, {}}}, {{destination: {{host: x.lan}}, weight: 1}}]}}]",
        host("d.lan")
    );
    assert_eq!(authority(&two), (None, Some("d.lan".to_owned())));
    let both = format!("[{{rewrite: {{authority: r.lan}}, {}", &two[2..]);
    assert_eq!(authority(&both), (Some("r.lan".to_owned()), None));
}

#[test]
fn redirects_name_no_port_that_the_scheme_has_anyway() {
    for (redirect, port) in [
        ("{uri: /x}", RedirectPort::ProtocolDefault),
        ("{port: 8443}", RedirectPort::Number(8443)),
        ("{port: 80}", RedirectPort::ProtocolDefault),
        ("{scheme: https, port: 443}", RedirectPort::ProtocolDefault),
        ("{scheme: https, port: 80}", RedirectPort::Number(80)),
        (
            "{derivePort: FROM_REQUEST_PORT}",
            RedirectPort::Number(8080),
        ),
        (
            "{scheme: https, derivePort: FROM_PROTOCOL_DEFAULT}",
            RedirectPort::ProtocolDefault,
        ),
    ] {
        let translation = translated(&base_and(&with_http(&format!(
            "[{{redirect: {redirect}}}]"
        ))));
        let found = routes(&translation, "*");
        let Action::Redirect(built) = &found[0].action else {
            panic!("{redirect}: no redirect")
        };
        assert_eq!((built.port, built.code), (port, 301), "{redirect}");
    }
}

#[test]
fn rewrites_timeouts_and_retries() {
    let rule = "[{match: [{uri: {regex: \"/re/([a-z]+)\"}, ignoreUriCase: true}], rewrite: {uriRegexRewrite: {match: \"^/re/([a-z]+)\", rewrite: '/\\1/x'}}, timeout: 0.1s, \
        retries: {attempts: 3, retryOn: \"503,gateway-error\", perTryTimeout: 1s}, route: [{destination: {host: reviews}}]}]";
    let translation = translated(&base_and(&with_http(rule)));
    let found = routes(&translation, "*");
    let MatchedPath::Regex(regex) = &found[0].matches.path else {
        panic!("a regex")
    };
    assert!(regex.is_match(b"/re/abc") && !regex.is_match(b"/re/abc/d"));
    let forward = forward(found[0]);
    assert_eq!(forward.timeout, Some(std::time::Duration::from_millis(100)));
    let Some(UriRewrite::Regex { replacement, .. }) = &forward.rewrite.uri else {
        panic!("a regex rewrite")
    };
    assert_eq!(replacement, "/${1}/x");
    let retry = forward.retry.as_ref().expect("retries are on");
    assert_eq!(
        (retry.attempts, retry.on.status_codes.as_slice()),
        (3, &[503][..])
    );
    assert!(retry.on.gateway_error && !retry.on.connect_failure);

    let off = "[{retries: {attempts: 0}, timeout: 0s, route: [{destination: {host: reviews}}]}]";
    let translation = translated(&base_and(&with_http(off)));
    let found = routes(&translation, "*");
    assert!(super::tests::forward(found[0]).retry.is_none());
    assert!(super::tests::forward(found[0]).timeout.is_none());
}

#[test]
fn a_destination_rule_of_the_gateways_namespace_goes_first() {
    let rule = |name: &str, namespace: &str, host: &str, extra: &str, balancer: &str| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
             spec: {{host: {host}{extra}, trafficPolicy: {{loadBalancer: {{simple: {balancer}}}, connectionPool: {{tcp: {{connectTimeout: 3s}}}}}}}}\n"
        )
    };
    let http = with_http(&format!("[{{{TO_REVIEWS}}}]"));
    let full = "reviews.default.svc.cluster.local";
    let own = rule("own", "default", "reviews", "", "ROUND_ROBIN");
    let root = rule("root", "istio-system", "\"*\"", "", "RANDOM");
    let private = rule(
        "private",
        "istio-system",
        full,
        ", exportTo: [\".\"]",
        "RANDOM",
    );
    let hidden = rule(
        "own",
        "default",
        "reviews",
        ", exportTo: [\".\"]",
        "ROUND_ROBIN",
    );
    for (rules, expected) in [
        (own.clone(), Balancing::RoundRobin),
        (format!("{own}{root}"), Balancing::RoundRobin),
        (root.clone(), Balancing::Random),
        (format!("{own}{private}"), Balancing::Random),
        (hidden.clone(), Balancing::LeastRequest),
        (format!("{hidden}{root}"), Balancing::Random),
    ] {
        let translation = translated(&base_and(&format!("{rules}{http}")));
        let cluster = &translation.model.clusters[0];
        assert_eq!(cluster.balancing, expected, "{rules}");
        let seconds = if expected == Balancing::LeastRequest {
            10
        } else {
            3
        };
        assert_eq!(cluster.connect_timeout.as_secs(), seconds);
    }
}

#[test]
fn port_settings_replace_and_subsets_inherit() {
    let rules = r#"---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: default, creationTimestamp: "2026-01-01T00:00:00Z"}
spec:
  host: reviews
  trafficPolicy:
    loadBalancer: {simple: ROUND_ROBIN}
    connectionPool: {tcp: {connectTimeout: 3s}}
  subsets:
  - {name: v1, labels: {version: v1}, trafficPolicy: {loadBalancer: {simple: RANDOM}}}
  - {name: ported, trafficPolicy: {portLevelSettings: [{port: {number: 9080}, loadBalancer: {simple: RANDOM}}]}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: b, namespace: default, creationTimestamp: "2026-01-02T00:00:00Z"}
spec:
  host: reviews
  trafficPolicy: {loadBalancer: {simple: RANDOM}}
  subsets: [{name: added, labels: {version: v2}}]
"#;
    for (subset, balancing, seconds, endpoints) in [
        ("v1", Balancing::Random, 3, 1),
        ("ported", Balancing::Random, 10, 2),
        ("added", Balancing::RoundRobin, 3, 1),
    ] {
        let http = with_http(&format!(
            "[{{route: [{{destination: {{host: reviews, subset: {subset}}}}}]}}]"
        ));
        let translation = translated(&base_and(&format!("{rules}{http}")));
        let cluster = &translation.model.clusters[0];
        let found = (
            cluster.balancing,
            cluster.connect_timeout.as_secs(),
            cluster.endpoints.len(),
        );
        assert_eq!(found, (balancing, seconds, endpoints), "{subset}");
    }
}

#[test]
fn objects_that_break_a_rule_are_refused_with_the_field() {
    for (http, expected) in [
        (
            "[{route: [{destination: {host: \"*\"}}]}]",
            "spec.http[0].route[0].destination.host: the destination host `*` is wrong",
        ),
        ("[{}]", "spec.http[0]: the rule does nothing"),
        (
            "[{redirect: {uri: /}, route: [{destination: {host: a}}]}]",
            "spec.http[0].route: a rule cannot have both redirect and route",
        ),
        (
            "[{redirect: {}}]",
            "spec.http[0].redirect: the redirect says nothing new",
        ),
        (
            "[{redirect: {uri: /, redirectCode: 399}}]",
            "spec.http[0].redirect.redirectCode: 399 is no status of a redirect",
        ),
        (
            "[{directResponse: {status: 199}}]",
            "spec.http[0].directResponse.status: the status 199",
        ),
        (
            "[{match: [{uri: {regex: \"(\"}}], route: [{destination: {host: a}}]}]",
            "spec.http[0].match[0].uri.regex: `(` is not a regular expression",
        ),
        (
            "[{match: [{uri: {exact: /a, prefix: /b}}], route: [{destination: {host: a}}]}]",
            "spec.http[0].match[0].uri: only one of",
        ),
        (
            "[{match: [{method: {prefix: \"\"}}], route: [{destination: {host: a}}]}]",
            "spec.http[0].match[0].method.prefix: the prefix is empty",
        ),
        (
            "[{timeout: 1us, route: [{destination: {host: a}}]}]",
            "spec.http[0].timeout: 0.000001s is not a whole number of milliseconds",
        ),
        (
            "[{retries: {attempts: 1, retryOn: gateway-eror}, route: [{destination: {host: a}}]}]",
            "spec.http[0].retries.retryOn: `gateway-eror` is no retry condition; the object is not used. Did you mean `gateway-error`?",
        ),
        (
            "[{headers: {response: {set: {host: a}}}, route: [{destination: {host: a}}]}]",
            "spec.http[0].headers.response.set.host: the Host header cannot be changed here",
        ),
        (
            "[{headers: {request: {set: {x.a: \"%REQ(\"}}}, route: [{destination: {host: a}}]}]",
            "spec.http[0].headers.request.set[\"x.a\"]: `%REQ(`: a `%` opens",
        ),
        (
            "[{rewrite: {authority: a, uri: /}, headers: {request: {set: {Host: b}}}, route: [{destination: {host: a}}]}]",
            "spec.http[0].rewrite.authority: the Host is set twice",
        ),
    ] {
        let translation = translated(&base_and(&with_http(http)));
        let found = findings(&translation);
        assert_eq!(translation.refused.len(), 1, "{http}: {found:#?}");
        assert!(
            found
                .iter()
                .any(|f| f.starts_with(&format!("IST0106 {expected}"))),
            "{http}: {found:#?}"
        );
        assert!(translation.model.servers[0].virtual_hosts.is_empty());
    }
}

#[test]
fn what_is_not_honoured_is_said_and_the_rest_served() {
    for (rule, level, served, expected) in [
        (
            "fault: {abort: {httpStatus: 418, percentage: {value: 100}}}",
            Level::Warning,
            true,
            "spec.http[0].fault",
        ),
        (
            "mirror: {host: a}",
            Level::Warning,
            true,
            "spec.http[0].mirror",
        ),
        (
            "corsPolicy: {allowOrigins: [{exact: a}]}",
            Level::Warning,
            true,
            "spec.http[0].corsPolicy",
        ),
        (
            "match: [{headers: {\"@request.auth.claims.a\": {exact: b}}}]",
            Level::Error,
            false,
            "spec.http[0].match[0].headers[\"@request.auth.claims.a\"]",
        ),
        (
            "headers: {request: {set: {x-a: \"%START_TIME%\"}}}",
            Level::Warning,
            true,
            "spec.http[0].headers.request.set.x-a",
        ),
    ] {
        let translation = translated(&base_and(&with_http(&format!(
            "[{{{rule}, {TO_REVIEWS}}}]"
        ))));
        let finding = &translation.findings[0];
        assert_eq!(
            (finding.code, finding.level, finding.field.as_str()),
            ("GH0101", level, expected)
        );
        assert!(translation.refused.is_empty(), "{rule}");
        assert_eq!(!domains(&translation).is_empty(), served, "{rule}");
    }
}

#[test]
fn domains_keep_their_form() {
    let yaml = BASE.replace("hosts: [\"*\"]", "hosts: [\"*.lan\", \"*\", 10.0.0.1]");
    let translation = translated(&format!(
        "{yaml}{}",
        with_http(&format!("[{{{TO_REVIEWS}}}]"))
    ));
    let found: Vec<_> = translation.model.servers[0]
        .virtual_hosts
        .iter()
        .map(|host| host.domain.clone())
        .collect();
    let expected = [
        Domain::Any,
        Domain::Suffix(".lan".to_owned()),
        Domain::Exact("10.0.0.1".to_owned()),
    ];
    assert_eq!(found, expected);
}
