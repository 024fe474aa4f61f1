//! Which routes a host has on a port, and in which order.

use super::*;

#[test]
fn bookinfo_becomes_one_virtual_host_and_one_cluster() {
    let mut yaml = String::new();
    for file in [
        include_str!("../../examples/bookinfo/gateway.yaml"),
        include_str!("../../examples/bookinfo/virtual-service.yaml"),
        include_str!("../../examples/bookinfo/services.yaml"),
        include_str!("../../examples/bookinfo/workloads.yaml"),
        include_str!("../../examples/bookinfo/destination-rule.yaml"),
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
    let hosts: Vec<_> = translation.model.servers[0].virtual_hosts().collect();
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
        [
            (80, None, 3),
            (80, Some("10.0.0.1".to_owned()), 1),
            (443, None, 1)
        ]
    );
    let found = findings(&translation);
    assert!(
        found.iter().any(|f| f.starts_with(
            "GH0108 spec.servers[2].port: port 80 is taken by Gateway default/a for HTTP"
        )),
        "{found:#?}"
    );
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
fn domains_keep_their_form() {
    let yaml = BASE.replace("hosts: [\"*\"]", "hosts: [\"*.lan\", \"*\", 10.0.0.1]");
    let translation = translated(&format!(
        "{yaml}{}",
        with_http(&format!("[{{{TO_REVIEWS}}}]"))
    ));
    let found: Vec<_> = translation.model.servers[0]
        .virtual_hosts()
        .map(|host| host.domain.clone())
        .collect();
    let expected = [
        Domain::Any,
        Domain::Suffix(".lan".to_owned()),
        Domain::Exact("10.0.0.1".to_owned()),
    ];
    assert_eq!(found, expected);
}

/// RFC 9110 §7.2: the value of a Host field.
#[test]
fn rfc9110_7_2_a_host_is_told_from_other_text() {
    use crate::translate::hosts::is_authority;
    for valid in [
        "a",
        "a_b.lan",
        "a.lan:8443",
        "10.0.0.1:80",
        "[::1]",
        "[2001:db8::1]:80",
    ] {
        assert!(is_authority(valid), "{valid}");
    }
    for wrong in [
        "", ":80", "a b", "a\r\nb", "a,b", "a/b", "u@a", "a:http", "a:99999", "a:+1", "::1",
        "[::1", "[a]", "[::1]x", "a:80:80",
    ] {
        assert!(!is_authority(wrong), "{wrong:?}");
    }
}

/// Istio looks for hosts that are taken wherever a server has a `tls` block, a plain one too.
#[test]
fn a_second_redirecting_server_with_a_taken_host_does_not_listen() {
    let yaml = r#"
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: a, protocol: HTTP}, hosts: [a.lan, b.lan], tls: {httpsRedirect: true}}
  - {port: {number: 80, name: b, protocol: HTTP}, hosts: [c.lan, b.lan], tls: {httpsRedirect: true}}
  - {port: {number: 80, name: c, protocol: HTTP}, hosts: [d.lan], tls: {httpsRedirect: true}}
"#;
    let translation = translated(yaml);
    let found = findings(&translation);
    let want = "GH0108 spec.servers[1].hosts: the host `b.lan` on port 80 is taken";
    assert!(found.iter().any(|f| f.starts_with(want)), "{found:#?}");
    assert_eq!(domains(&translation), ["a.lan", "b.lan", "d.lan"]);
}

#[test]
fn a_wrong_host_is_told_what_is_wrong_and_the_nearest_right_one() {
    use crate::translate::hosts::{nearest_valid, wildcard_domain_error};

    for (host, why, near) in [
        ("a..x", "two dots follow each other", "Did you mean `a.x`?"),
        (
            "-a.b",
            "begins or ends with a hyphen",
            "Did you mean `a.b`?",
        ),
        ("a_b.c", "`_` may not stand in it", "Did you mean `a-b.c`?"),
        (
            "http://a.b/c",
            "`:` may not stand in it",
            "Did you mean `a.b`?",
        ),
        ("a.b:80", "`:` may not stand in it", "Did you mean `a.b`?"),
        ("a.*.c", "a `*` may stand only at the very beginning", ""),
    ] {
        let error = wildcard_domain_error(host).unwrap_or_default();
        assert!(error.contains(why), "{host}: {error}");
        assert_eq!(nearest_valid(host), near, "{host}");
    }
}
