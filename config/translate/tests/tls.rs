//! Servers that speak TLS: which names are whose, and what they lead to.

use super::*;
use crate::model::{ChainContent, FilterChain, ServerContent, TcpRoute};

/// HTTPS on 443 for these hosts, with a certificate that is not there.
fn server(name: &str, hosts: &str) -> String {
    format!(
        "{{port: {{number: 443, name: {name}, protocol: HTTPS}}, hosts: [{hosts}], tls: {{mode: SIMPLE, credentialName: none}}}}"
    )
}

fn gateway(name: &str, servers: &[String]) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: {name}, \
         namespace: default}}\nspec: {{selector: {{istio: ingressgateway}}, servers: [{}]}}\n",
        servers.join(", ")
    )
}

fn to(name: &str, gateway: &str, host: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: default}}\nspec: {{hosts: [\"{host}\"], gateways: [default/{gateway}], http: [{{{TO_REVIEWS}}}]}}\n"
    )
}

/// The chains of 443.
fn chains(translation: &Translation) -> &[FilterChain] {
    let servers = translation.model.servers.iter();
    let mut on_443 = servers.filter(|server| server.port == 443);
    match on_443.next().map(|server| &server.serves) {
        Some(ServerContent::Tls(chains)) => chains,
        other => panic!("not TLS: {other:?}"),
    }
}

/// Each chain: its server, its names, and its virtual hosts.
fn shown(translation: &Translation) -> Vec<String> {
    let list = |domains: Vec<String>| domains.join(" ");
    let chains = chains(translation).iter();
    chains
        .map(|chain| {
            let names = chain.server_names.iter().map(ToString::to_string);
            let to = match &chain.serves {
                ChainContent::Http { virtual_hosts, .. } => {
                    let hosts = virtual_hosts.iter().map(|host| host.domain.to_string());
                    list(hosts.collect())
                }
                ChainContent::Tcp { route, .. } => format!("ended, {}", led(translation, route)),
                ChainContent::PassThrough(route) => led(translation, route),
            };
            format!(
                "{} [{}] {to}",
                chain.origin.port_name,
                list(names.collect())
            )
        })
        .collect()
}

/// A rule's index, and where it leads.
fn led(translation: &Translation, route: &TcpRoute) -> String {
    let shares = route.destinations.iter().map(|share| {
        let name = match &share.destination {
            Destination::Cluster(index) => &translation.model.clusters[index.0 as usize].name,
            Destination::Unknown { name } => name,
        };
        format!("{name}*{}", share.weight)
    });
    let shares: Vec<_> = shares.collect();
    format!("{}: {}", route.origin.rule, shares.join(" "))
}

#[test]
fn each_https_server_has_its_own_virtual_hosts() {
    let servers = [
        server("a", "A.lan, ns/b.lan, \"*.w.lan\""),
        server("any", "\"*\""),
    ];
    let yaml = gateway("g", &servers)
        + &to("one", "g", "A.lan")
        + &to("two", "g", "x.w.lan")
        + &to("three", "g", "b.lan");
    assert_eq!(
        shown(&translated(&base_and(&yaml))),
        [
            // b.lan is for VirtualServices of the namespace ns, and comes to no other chain.
            "a [a.lan b.lan *.w.lan] a.lan x.w.lan",
            "any [*] a.lan b.lan x.w.lan"
        ]
    );
}

#[test]
fn a_name_belongs_to_the_first_server_that_wants_it() {
    let yaml = gateway("g", &[server("a", "ns/a.lan"), server("b", "b.lan, c.lan")])
        + &gateway(
            "h",
            &[
                server("a", "other/a.lan, d.lan"),
                server("b", "B.lan"),
                server("c", "e.lan"),
            ],
        );
    let translation = translated(&base_and(&yaml));
    assert_eq!(
        shown(&translation),
        ["a [a.lan] ", "b [b.lan c.lan] ", "c [e.lan] "]
    );
    let found = findings(&translation);
    for expected in [
        "GH0108 spec.servers[0].hosts: the host `a.lan` on port 443 is taken by Gateway default/g",
        "GH0108 spec.servers[1].hosts: the host `b.lan` on port 443 is taken by Gateway default/g",
    ] {
        assert!(
            found.iter().any(|f| f.starts_with(expected)),
            "{expected}: {found:#?}"
        );
    }
}

#[test]
fn one_port_speaks_tls_or_does_not() {
    let plain = |number: u16| {
        format!("{{port: {{number: {number}, name: p, protocol: HTTP}}, hosts: [p.lan]}}")
    };
    let tls_first = translated(&gateway("g", &[server("a", "a.lan"), plain(443)]));
    assert_eq!(shown(&tls_first), ["a [a.lan] "]);
    assert_eq!(tls_first.model.servers.len(), 1);
    let found = findings(&tls_first);
    let expected = "GH0108 spec.servers[1].port: port 443 is taken by Gateway default/g for TLS";
    assert!(found.iter().any(|f| f.starts_with(expected)), "{found:#?}");
    let plain_first = translated(&gateway("g", &[plain(443), server("a", "a.lan")]));
    let serves = &plain_first.model.servers[0].serves;
    assert!(matches!(serves, ServerContent::Http(_)));
    assert_eq!(plain_first.model.servers.len(), 1);
}

/// A TLS server on 443 of this mode.
fn tls_server(name: &str, protocol: &str, hosts: &str, mode: &str) -> String {
    format!(
        "{{port: {{number: 443, name: {name}, protocol: {protocol}}}, hosts: [{hosts}], tls: {{{mode}}}}}"
    )
}

/// A VirtualService with these routes.
fn routed(name: &str, hosts: &str, routes: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: default}}\nspec: {{hosts: [{hosts}], gateways: [g], {routes}}}\n"
    )
}

#[test]
fn passed_through_connections_go_by_the_names_of_tls_routes() {
    let gateway = gateway(
        "g",
        &[
            tls_server("p", "TLS", "up.lan, \"*.w.lan\"", "mode: PASSTHROUGH"),
            tls_server("q", "HTTPS", "q.lan", "httpsRedirect: false"),
        ],
    );
    let yaml = gateway
        + &routed(
            "one",
            "up.lan, \"*.w.lan\"",
            "tls: [{match: [{sniHosts: [up.lan, up.lan]}, {port: 444, sniHosts: [x.w.lan]}, {gateways: [other], sniHosts: [x.w.lan]}, {port: 443, gateways: [g], sniHosts: [\"*.w.lan\"]}], \
             route: [{destination: {host: reviews}, weight: 3}, {destination: {host: none.lan}, weight: 1}]}, \
             {match: [{sniHosts: [y.w.lan]}], route: [{destination: {host: reviews, port: {number: 9080}}}]}]",
        )
        + &routed(
            "other",
            "z.lan",
            "tls: [{match: [{sniHosts: [z.lan]}], route: [{destination: {host: reviews}}]}]",
        )
        + &routed(
            "q",
            "q.lan",
            "tls: [{match: [{sniHosts: [q.lan]}], route: [{destination: {host: reviews}}]}]",
        )
        + &routed(
            "r",
            "q.lan",
            "tls: [{match: [{sniHosts: [q.lan]}], route: [{destination: {host: reviews}}]}]",
        );
    let translation = translated(&base_and(&yaml));
    let reviews = "outbound|9080||reviews.default.svc.cluster.local";
    let both = format!("0: {reviews}*3 outbound|443||none.lan*1");
    assert_eq!(
        shown(&translation),
        [
            format!("p [up.lan] {both}"),
            format!("p [*.w.lan] {both}"),
            format!("p [y.w.lan] 1: {reviews}*1"),
            format!("q [q.lan] 0: {reviews}*1"),
        ]
    );
    let found = findings(&translation);
    for expected in [
        "GH0108 spec.tls[0].match[0].sniHosts: the name `q.lan` on port 443 is taken by VirtualService default/q",
        "IST0101 spec.tls[0].route[1].destination.host: ",
    ] {
        assert!(
            found.iter().any(|f| f.starts_with(expected)),
            "{expected}: {found:#?}"
        );
    }
}

#[test]
fn what_comes_out_of_tls_is_carried_by_a_tcp_route() {
    let servers = [
        tls_server("t", "TLS", "a.lan", "mode: SIMPLE, credentialName: none"),
        tls_server("u", "tls", "b.lan", "mode: SIMPLE, credentialName: none"),
    ];
    let routes = "tls: [{match: [{sniHosts: [a.lan]}], route: [{destination: {host: none.lan}}]}], tcp: [{match: [{port: 443}], route: [{destination: {host: reviews}}]}]";
    let yaml = gateway("g", &servers) + &routed("one", "a.lan", routes);
    let translation = translated(&base_and(&yaml));
    let reviews = "outbound|9080||reviews.default.svc.cluster.local*1";
    assert_eq!(
        shown(&translation),
        [format!("t [a.lan] ended, 0: {reviews}")]
    );
    let found = findings(&translation);
    let expected = "GH0121 spec.servers[1].port: connections to this server are closed: no VirtualService of this Gateway has a tcp route";
    assert!(found.iter().any(|f| f.starts_with(expected)), "{found:#?}");
}

#[test]
fn modes_of_a_mesh_are_told_of_and_nothing_is_served_by_them() {
    let mutual = gateway(
        "g",
        &[tls_server("m", "HTTPS", "a.lan", "mode: ISTIO_MUTUAL")],
    );
    let translation = translated(&mutual);
    let [chain] = chains(&translation) else {
        panic!("one chain")
    };
    assert!(matches!(chain.serves, ChainContent::Http { tls: None, .. }));
    let found = findings(&translation);
    let expected = "GH0101 spec.servers[0].tls.mode: ISTIO_MUTUAL takes the certificates of a mesh";
    assert!(found.iter().any(|f| f.starts_with(expected)), "{found:#?}");
    let auto = gateway(
        "g",
        &[tls_server(
            "m",
            "TLS",
            "\"*.local\"",
            "mode: AUTO_PASSTHROUGH",
        )],
    );
    let translation = translated(&auto);
    assert_eq!(translation.model.servers.len(), 0);
    let found = findings(&translation);
    let expected = "GH0101 spec.servers[0].tls.mode: AUTO_PASSTHROUGH leads into the clusters";
    assert!(found.iter().any(|f| f.starts_with(expected)), "{found:#?}");
    let nowhere = gateway("g", &[tls_server("p", "TLS", "a.lan", "mode: PASSTHROUGH")]);
    let translation = translated(&nowhere);
    assert_eq!(translation.model.servers.len(), 0);
    let found = findings(&translation);
    let expected = "GH0121 spec.servers[0].port: connections to this server are closed: no VirtualService of this Gateway has a tls route";
    assert!(found.iter().any(|f| f.starts_with(expected)), "{found:#?}");
}
