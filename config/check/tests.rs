//! Findings that only the whole configuration shows.

use crate::translate::tests::{BASE, findings, translated, with_http};

/// Asserts that a finding begins so; `rest` is put behind [`BASE`].
fn finds(rest: &str, expected: &str) {
    let translation = translated(&format!("{BASE}{rest}"));
    let found = findings(&translation);
    assert!(
        found.iter().any(|f| f.contains(expected)),
        "{expected}\nnot in {found:#?}"
    );
}

fn virtual_service(spec: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: vs, namespace: default}}\nspec: {spec}\n"
    )
}

fn object(api: &str, kind: &str, name: &str, rest: &str) -> String {
    format!(
        "---\napiVersion: {api}\nkind: {kind}\nmetadata: {{name: {name}, namespace: metallb-system}}\n{rest}\n"
    )
}

fn pool(name: &str, addresses: &str) -> String {
    object(
        "metallb.io/v1beta1",
        "IPAddressPool",
        name,
        &format!("spec: {{addresses: [{addresses}]}}"),
    )
}

fn load_balancer(name: &str, annotations: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: default, annotations: {{{annotations}}}}}\nspec: {{type: LoadBalancer, ports: [{{port: 80}}]{spec}}}\n"
    )
}

#[test]
fn references_that_lead_nowhere() {
    let route = "http: [{route: [{destination: {host: reviews}}]}]";
    finds(
        &virtual_service(&format!(
            "{{hosts: [a.lan], gateways: [istio-system/gv], {route}}}"
        )),
        "IST0101 spec.gateways[0]: there is no Gateway istio-system/gv, so these routes are not served through it. Did you mean `istio-system/gw`?",
    );
    finds(
        &virtual_service(&format!("{{hosts: [a.lan], gateways: [gw], {route}}}")),
        "there is no Gateway default/gw, so these routes are not served through it. Did you mean `istio-system/gw`?",
    );
    finds(
        &virtual_service(&format!("{{hosts: [a.lan], {route}}}")),
        "GH0201 spec: it names no gateway",
    );
    finds(
        &with_http("[{route: [{destination: {host: reviws}}]}]"),
        "IST0101 spec.http[0].route[0].destination.host: no Service and no ServiceEntry has the host `reviws.default.svc.cluster.local`: requests sent there get 503. Did you mean `reviews.default.svc.cluster.local`?",
    );
    finds(
        &with_http("[{route: [{destination: {host: reviews, port: {number: 9081}}}]}]"),
        "IST0101 spec.http[0].route[0].destination.port: `reviews.default.svc.cluster.local` has no port 9081 (it has 9080): requests sent there get 503. Did you mean 9080?",
    );
    finds(
        &with_http("[{route: [{destination: {host: reviews, subset: v1}}]}]"),
        "IST0101 spec.http[0].route[0].destination.subset: the subset `v1` of `reviews.default.svc.cluster.local` is not defined, no DestinationRule",
    );
}

#[test]
fn gateways_and_hosts_that_do_not_meet() {
    let gateway = BASE.replace("istio: ingressgateway", "istio: ingresgateway");
    let found = findings(&translated(&gateway));
    assert!(
        found.iter().any(|f| f.contains("IST0101 spec.selector")
            && f.contains("Did you mean `istio: ingressgateway`?")),
        "{found:#?}"
    );

    let gateway = BASE.replace("hosts: [\"*\"]", "hosts: [\"*.lan\"]");
    let service = virtual_service(
        "{hosts: [a.test], gateways: [istio-system/gw], http: [{route: [{destination: {host: reviews}}]}]}",
    );
    let found = findings(&translated(&format!("{gateway}{service}")));
    assert!(
        found
            .iter()
            .any(|f| f.starts_with("IST0132 spec.gateways[0]: none of its hosts")),
        "{found:#?}"
    );
}

#[test]
fn rules_that_are_never_used() {
    finds(
        &with_http(
            "[{name: all, route: [{destination: {host: reviews}}]}, {match: [{uri: {prefix: /a}}], route: [{destination: {host: reviews}}]}]",
        ),
        "IST0130 spec.http[1]: rule 1 is never used: rule 0 `all` before it has no match",
    );
    finds(
        &with_http(
            "[{match: [{uri: {prefix: /a}}], route: [{destination: {host: reviews}}]}, {match: [{uri: {prefix: /a}}], route: [{destination: {host: reviews}}]}]",
        ),
        "IST0130 spec.http[1]: rule 1 is never used: rules before it have all its matches",
    );
    finds(
        &with_http(
            "[{match: [{uri: {prefix: /a}}], route: [{destination: {host: reviews}}]}, {match: [{uri: {prefix: /ab}}], route: [{destination: {host: reviews}}]}]",
        ),
        "IST0131 spec.http[1].match[0]: the prefix `/ab` of rule 1 is never used",
    );
}

#[test]
fn a_match_that_is_never_used_is_not_named_as_the_one_that_takes_another() {
    let rules = ["/a", "/ab", "/abc"].map(|prefix| {
        format!("{{match: [{{uri: {{prefix: {prefix}}}}}], route: [{{destination: {{host: reviews}}}}]}}")
    });
    finds(
        &with_http(&format!("[{}]", rules.join(", "))),
        "IST0131 spec.http[2].match[0]: the prefix `/abc` of rule 2 is never used: the prefix `/a` of rule 0",
    );
}

#[test]
fn a_delegate_is_named_by_somebody() {
    let delegate = |name: &str| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: default}}\nspec: {{http: [{{route: [{{destination: {{host: reviews}}}}]}}]}}\n"
        )
    };
    let root = with_http("[{delegate: {name: named}}]");
    let all = format!("{root}{}{}", delegate("named"), delegate("idle"));
    let found = findings(&translated(&format!("{BASE}{all}")));
    let idle: Vec<_> = found.iter().filter(|f| f.starts_with("GH0208")).collect();
    assert_eq!(idle.len(), 1, "{found:#?}");
    assert!(
        idle[0].contains("delegate: {name: idle, namespace: default}"),
        "{idle:?}"
    );
}

#[test]
fn a_static_service_entry_has_endpoints() {
    let entry = |more: &str| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: s, namespace: default}}\nspec: {{hosts: [s.test], resolution: STATIC, ports: [{{number: 80, name: http, protocol: HTTP}}]{more}}}\n"
        )
    };
    finds(
        &entry(""),
        "GH0102 spec.endpoints: with resolution STATIC the endpoints stand in the entry, and it has neither",
    );
    for more in [
        ", endpoints: [{address: 192.0.2.1}]",
        ", workloadSelector: {labels: {app: a}}",
    ] {
        let found = findings(&translated(&format!("{BASE}{}", entry(more))));
        assert!(!found.iter().any(|f| f.starts_with("GH0102")), "{found:#?}");
    }
}

#[test]
fn destination_rules_for_nothing() {
    let rule = |spec: &str| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: dr, namespace: default}}\nspec: {spec}\n"
        )
    };
    finds(
        &rule("{host: reviwes}"),
        "IST0174 spec.host: no Service and no ServiceEntry has the host `reviwes.default.svc.cluster.local`, so the rule has no effect. Did you mean",
    );
    finds(
        &rule("{host: reviews, subsets: [{name: v7, labels: {version: v7}}]}"),
        "IST0173 spec.subsets[0].labels: no endpoint of `reviews.default.svc.cluster.local` has the labels version=v7",
    );
}

#[test]
fn pools_are_isolated_from_each_other() {
    let yaml = format!(
        "{}{}{}{}",
        pool("a", "192.168.8.151-192.168.8.198"),
        pool("b", "192.168.8.190-192.168.8.200"),
        pool("c", "192.168.8.200-192.168.8.100"),
        pool("d", "10.0.0.0/24"),
    );
    let translation = translated(&yaml);
    let names: Vec<_> = translation
        .model
        .pools
        .iter()
        .map(|pool| pool.name.as_str())
        .collect();
    assert_eq!(names, ["a", "d"]);
    let found = findings(&translation);
    let has = |text: &str| {
        assert!(
            found.iter().any(|f| f.contains(text)),
            "{text}\nnot in {found:#?}"
        )
    };
    has(
        "GH0107 spec.addresses[0]: `192.168.8.190-192.168.8.200` overlaps with 192.168.8.151-192.168.8.198 of pool `a`",
    );
    has("Did you mean `192.168.8.100-192.168.8.200`?");
    has("GH0204 spec.addresses: no L2Advertisement covers this pool");
    assert_eq!(translation.refused.len(), 2);
}

#[test]
fn advertisements_name_pools_that_exist() {
    let advertisement = object(
        "metallb.io/v1beta1",
        "L2Advertisement",
        "ad",
        "spec: {ipAddressPools: [lna], interfaces: [eth0]}",
    );
    let yaml = format!("{}{advertisement}", pool("lan", "10.0.0.0/24"));
    finds(
        &yaml,
        "IST0101 spec.ipAddressPools[0]: there is no pool `lna`, so this entry announces nothing. Did you mean `lan`?",
    );
    let all = object("metallb.io/v1beta1", "L2Advertisement", "ad", "spec: {}");
    let translation = translated(&format!("{}{all}", pool("lan", "10.0.0.0/24")));
    assert!(translation.model.advertisements[0].pools.contains("lan"));
    assert!(
        translation.findings.is_empty(),
        "{:#?}",
        findings(&translation)
    );
}

#[test]
fn services_that_get_no_address_or_have_nothing_behind() {
    finds(
        &load_balancer("web", "", ""),
        "GH0203 : 1 Service of type LoadBalancer wants an address, but there is no IPAddressPool",
    );
    let lan = pool("lan", "192.168.8.151-192.168.8.198");
    finds(
        &format!("{lan}{}", load_balancer("web", "", "")),
        "GH0206 spec.ports: nothing is behind port 80",
    );
    finds(
        &format!(
            "{lan}{}",
            load_balancer("web", "", ", loadBalancerIP: 192.168.9.1")
        ),
        "GH0205 spec.loadBalancerIP: it asks for 192.168.9.1, which is in no pool: it gets no address. The pools have 192.168.8.151-192.168.8.198.",
    );
    finds(
        &format!(
            "{lan}{}",
            load_balancer("web", "metallb.universe.tf/address-pool: lam", "")
        ),
        "IST0101 metadata.annotations[\"metallb.universe.tf/address-pool\"]: there is no pool `lam`: the Service stays pending. Did you mean `lan`?",
    );
    finds(
        &format!(
            "{lan}{}",
            load_balancer(
                "web",
                "metallb.io/loadBalancerIPs: \"192.168.8.151,192.168.8.152\"",
                ""
            )
        ),
        "GH0106 metadata.annotations[\"metallb.io/loadBalancerIPs\"]: 192.168.8.151 and 192.168.8.152 are of one family",
    );
    finds(
        &format!(
            "{lan}{}",
            load_balancer("web", "", ", loadBalancerClass: other/one")
        ),
        "GH0103 spec.loadBalancerClass",
    );
}

#[test]
fn a_pool_that_is_refused_is_not_said_to_be_missing() {
    let pools = format!(
        "{}{}",
        pool("broken", "192.168.8.200-192.168.8.100"),
        pool("broke", "10.0.0.0/24")
    );
    finds(
        &format!(
            "{pools}{}",
            load_balancer("web", "metallb.io/address-pool: broken", "")
        ),
        "the pool `broken` is wrong and not in force: the Service keeps what it has of it, and gets nothing new. Mend the pool.",
    );
    finds(
        &format!(
            "{pools}{}",
            load_balancer("web", "metallb.io/loadBalancerIPs: 192.168.8.150", "")
        ),
        "it asks for 192.168.8.150, which is in no pool that is in force: it gets no address but one that it has. The pools have 10.0.0.0-10.0.0.255. Mend `broken`, if it is of that pool.",
    );
}
