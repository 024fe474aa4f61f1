//! Where a destination leads, and what its DestinationRule says.

use super::*;

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
fn subsets_select_endpoints_by_the_labels_of_their_pods() {
    let translation = translated(&format!(
        "{}{}",
        base_and(&with_http(
            "[{route: [{destination: {host: web, subset: v2}}]}]"
        )),
        r"---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: default}
spec: {host: web, subsets: [{name: v2, labels: {version: v2}}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: default, labels: {app: web, version: v1}}
---
apiVersion: v1
kind: Pod
metadata: {name: web-2, namespace: default, labels: {app: web, version: v2}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-abc, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints:
- {addresses: [10.0.0.1], targetRef: {kind: Pod, name: web-1}}
- {addresses: [10.0.0.2], targetRef: {kind: Pod, name: web-2}}
- {addresses: [10.0.0.3], targetRef: {kind: Pod, name: not-seen}}
",
    ));
    let subset = "outbound|80|v2|web.default.svc.cluster.local";
    let clusters = translation.model.clusters.iter();
    let cluster = clusters.clone().find(|cluster| cluster.name == subset);
    let cluster = cluster.unwrap_or_else(|| panic!("{:?}", findings(&translation)));
    let addresses: Vec<_> = cluster
        .endpoints
        .iter()
        .map(|e| e.address.to_string())
        .collect();
    assert_eq!(addresses, ["10.0.0.2:8080"]);
}
