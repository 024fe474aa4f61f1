//! Servers that speak TLS: which names are whose, and what they lead to.

use super::*;
use crate::model::{ChainContent, FilterChain, ServerContent};

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
                other => format!("{other:?}"),
            };
            format!(
                "{} [{}] {to}",
                chain.origin.port_name,
                list(names.collect())
            )
        })
        .collect()
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
