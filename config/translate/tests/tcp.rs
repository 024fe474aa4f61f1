//! TCP servers and `tcp[]` routes; the rules of `tls[]`.

use super::*;

/// Two TCP ports of one Gateway, and two services behind them.
const TCP: &str = r#"
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ["*"]}
  - {port: {number: 9001, name: mongo, protocol: MONGO}, hosts: ["db/*.lan"]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: echo, namespace: default}
spec:
  hosts: [echo.lan]
  resolution: STATIC
  ports: [{number: 7, name: tcp, protocol: TCP}]
  endpoints: [{address: 10.0.0.1}]
"#;

/// A VirtualService with these `tcp` routes.
fn vs(name: &str, namespace: &str, hosts: &str, tcp: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, \
         namespace: {namespace}}}\nspec: {{hosts: {hosts}, gateways: [istio-system/gw], tcp: {tcp}}}\n"
    )
}

/// Each TCP server as `port: destination*weight …`.
fn carried(translation: &Translation) -> Vec<String> {
    let servers = translation.model.servers.iter();
    servers
        .filter_map(|server| {
            let route = server.tcp()?;
            let shares = route.destinations.iter().map(|share| {
                let name = match &share.destination {
                    Destination::Cluster(index) => {
                        translation.model.clusters[index.0 as usize].name.clone()
                    }
                    Destination::Unknown { name } => format!("!{name}"),
                };
                format!("{name}*{}", share.weight)
            });
            let shares: Vec<_> = shares.collect();
            Some(format!("{}: {}", server.port, shares.join(" ")))
        })
        .collect()
}

const TO_ECHO: &str = "route: [{destination: {host: echo.lan}}]";

#[test]
fn the_first_route_that_concerns_a_server_carries_it() {
    let echo = "outbound|7||echo.lan*1";
    for (services, expected) in [
        // Without a match it takes every port; the other server serves another namespace.
        (
            vs("a", "default", "[\"*\"]", &format!("[{{{TO_ECHO}}}]")),
            vec![format!("9000: {echo}")],
        ),
        (
            vs("a", "db", "[x.lan]", &format!("[{{{TO_ECHO}}}]")),
            vec![format!("9000: {echo}"), format!("9001: {echo}")],
        ),
        (
            vs(
                "a",
                "db",
                "[x.elsewhere]",
                &format!("[{{match: [{{port: 9001}}], {TO_ECHO}}}]"),
            ),
            vec![],
        ),
        // By port, and by gateway.
        (
            vs(
                "a",
                "db",
                "[x.lan]",
                &format!(
                    "[{{match: [{{port: 9001}}, {{port: 9}}], {TO_ECHO}}}, {{match: [{{port: 9000, gateways: [other]}}], {TO_ECHO}}}]"
                ),
            ),
            vec![format!("9001: {echo}")],
        ),
        // The first VirtualService by name, whatever comes after.
        (
            vs(
                "b",
                "default",
                "[\"*\"]",
                "[{route: [{destination: {host: other.lan}}]}]",
            ) + &vs("a", "default", "[\"*\"]", &format!("[{{{TO_ECHO}}}]")),
            vec![format!("9000: {echo}")],
        ),
        // Shares; one of nothing is left out, and one may lead to nothing.
        (
            vs(
                "a",
                "default",
                "[\"*\"]",
                "[{route: [{destination: {host: echo.lan}, weight: 20}, \
                {destination: {host: echo.lan}}, {destination: {host: none.lan}, weight: 80}]}]",
            ),
            vec!["9000: outbound|7||echo.lan*20 !outbound|9000||none.lan*80".to_owned()],
        ),
    ] {
        let translation = translated(&format!("{TCP}{services}"));
        assert_eq!(carried(&translation), expected, "{services}");
        assert!(translation.refused.is_empty(), "{:?}", translation.findings);
        let closed = findings(&translation);
        let closed = closed
            .iter()
            .filter(|finding| finding.starts_with("GH0121"));
        assert_eq!(closed.count() + expected.len(), 2, "{services}");
    }
}

#[test]
fn a_port_has_one_kind_of_server_and_the_first_stands() {
    let gateway = |name: &str, servers: &str| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: {name}, \
             namespace: default}}\nspec: {{servers: [{servers}]}}\n"
        )
    };
    let server = |protocol: &str, name: &str, rest: &str| {
        format!("{{port: {{number: 80, name: {name}, protocol: {protocol}}}, {rest}}}")
    };
    let http = server("HTTP", "h", "hosts: [\"*\"]");
    let tcp = server("TCP", "t", "hosts: [\"*\"]");
    let bound = server("TCP", "b", "hosts: [\"*\"], bind: 10.0.0.9");
    let tls = |name: &str, hosts: &str, mode: &str| {
        server(
            "TLS",
            name,
            &format!("hosts: [{hosts}], tls: {{mode: {mode}, credentialName: c}}"),
        )
    };
    let simple = |name: &str, hosts: &str| tls(name, hosts, "SIMPLE");
    let route = vs("v", "default", "[\"*\"]", &format!("[{{{TO_ECHO}}}]"))
        .replace("istio-system/gw", "a, b");
    for (first, second, conflict) in [
        (http.clone(), http.clone(), ""),
        (
            http.clone(),
            tcp.clone(),
            "port 80 is taken by Gateway default/a for HTTP, so this TCP",
        ),
        (
            tcp.clone(),
            http.clone(),
            "port 80 is taken by Gateway default/a for TCP, so this HTTP",
        ),
        (
            tcp.clone(),
            tcp.clone(),
            "port 80 is taken by a TCP server of Gateway default/a",
        ),
        (tcp, bound, ""),
        (http.clone(), simple("s", "a.lan"), "for HTTP, so this TLS"),
        (simple("s", "a.lan"), http, "for TLS, so this HTTP"),
        (simple("s", "a.lan"), simple("s", "b.lan"), ""),
        (
            simple("s", "a.lan, c.lan"),
            simple("s", "b.lan, c.lan"),
            "the host `c.lan` on port 80",
        ),
        // The client's SNI names no namespace.
        (
            simple("s", "x/a.lan"),
            simple("s", "y/a.lan"),
            "the host `a.lan` on port 80",
        ),
        (
            tls("s", "x/a.lan", "PASSTHROUGH"),
            tls("s", "y/a.lan", "PASSTHROUGH"),
            "",
        ),
    ] {
        let yaml = format!("{}{}{route}", gateway("a", &first), gateway("b", &second));
        let translation = translated(&yaml);
        let conflicts: Vec<_> = findings(&translation)
            .into_iter()
            .filter(|finding| finding.starts_with("GH0108"))
            .collect();
        match conflict {
            "" => assert_eq!(conflicts, [""; 0], "{yaml}"),
            text => assert!(
                conflicts.len() == 1 && conflicts[0].contains(text),
                "{conflicts:?}, not {text}"
            ),
        }
    }
}

#[test]
fn rules_of_tcp_and_tls_routes() {
    let sni = |names: &str| format!("tls: [{{match: [{{sniHosts: [{names}]}}], {TO_ECHO}}}]");
    for (routes, expected) in [
        (
            "tcp: [{}]".to_owned(),
            "spec.tcp[0].route: a TCP route needs destinations",
        ),
        (
            "tcp: [{route: [{}]}]".to_owned(),
            "spec.tcp[0].route[0]: a destination is missing",
        ),
        (
            "tcp: [{route: [{destination: {host: a}, weight: -1}]}]".to_owned(),
            "spec.tcp[0].route[0].weight: the weight -1 is below zero",
        ),
        (
            "tcp: [{route: [{destination: {host: a}}, {destination: {host: b}}]}]".to_owned(),
            "spec.tcp[0].route: the weights sum to zero",
        ),
        (
            format!("tcp: [{{match: [{{port: 70000}}], {TO_ECHO}}}]"),
            "spec.tcp[0].match[0].port: 70000 is not a port",
        ),
        (
            format!("tcp: [{{match: [{{gateways: [\"/x\"]}}], {TO_ECHO}}}]"),
            "spec.tcp[0].match[0].gateways[0]: `/x` is not a Gateway's name",
        ),
        (
            format!("tcp: [{{match: [{{destinationSubnets: [10.0.0.0/33]}}], {TO_ECHO}}}]"),
            "spec.tcp[0].match[0].destinationSubnets[0]: `10.0.0.0/33` is neither a subnet",
        ),
        (
            format!("tls: [{{{TO_ECHO}}}]"),
            "spec.tls[0].match: a TLS route needs a match",
        ),
        (
            "tls: [{match: [{sniHosts: [a.lan]}]}]".to_owned(),
            "spec.tls[0].route: a TLS route needs destinations",
        ),
        (
            sni(""),
            "spec.tls[0].match[0].sniHosts: a TLS match needs at least one name",
        ),
        (
            sni("\"a*\""),
            "spec.tls[0].match[0].sniHosts[0]: the name `a*` is wrong",
        ),
        (
            sni("c.lan"),
            "spec.tls[0].match[0].sniHosts[0]: the name `c.lan` is not among the object's hosts (a.lan, *.b.lan)",
        ),
        (
            sni("\"*.lan\""),
            "sniHosts[0]: the name `*.lan` is not among",
        ),
    ] {
        let yaml = format!(
            "{TCP}---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: v, \
             namespace: default}}\nspec: {{hosts: [a.lan, \"*.b.lan\"], gateways: [istio-system/gw], {routes}}}\n"
        );
        let translation = translated(&yaml);
        let found = findings(&translation);
        let refusal = found
            .iter()
            .any(|finding| finding.starts_with("IST0106") && finding.contains(expected));
        assert!(
            refusal && translation.refused.len() == 1,
            "{routes}: {found:?}"
        );
    }
}

#[test]
fn what_a_gateway_does_not_look_at_is_said() {
    let services = vs(
        "a",
        "default",
        "[\"*\"]",
        &format!(
            "[{{match: [{{destinationSubnets: [10.0.0.0/8, \"::1\"], sourceSubnet: 10.0.0.1, \
             sourceLabels: {{a: b}}, sourceNamespace: x}}], {TO_ECHO}}}]"
        ),
    );
    let translation = translated(&format!("{TCP}{services}"));
    assert_eq!(carried(&translation), ["9000: outbound|7||echo.lan*1"]);
    let found = findings(&translation);
    for field in [
        "destinationSubnets",
        "sourceSubnet",
        "sourceLabels",
        "sourceNamespace",
    ] {
        let path = format!("GH0120 spec.tcp[0].match[0].{field}:");
        assert!(
            found.iter().any(|f| f.starts_with(&path)),
            "{field}: {found:?}"
        );
    }
}
