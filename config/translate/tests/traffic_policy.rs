//! What a traffic policy means, and every rule of it with a wrong value.

use std::time::Duration;

use super::*;
use crate::model::{
    Cluster, HashCookie, HashPolicy, LocalityGroup, OutlierDetection, ProxyVersion, RetryBudget,
    TcpKeepalive, Warmup,
};
use crate::translate::mesh::MeshDefaults;

fn rule(policy: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: dr, \
         namespace: default}}\nspec: {{host: reviews, trafficPolicy: {policy}}}\n"
    )
}

fn with_policy(policy: &str) -> Translation {
    let http = with_http(&format!("[{{{TO_REVIEWS}}}]"));
    translated(&base_and(&format!("{}{http}", rule(policy))))
}

fn cluster(policy: &str) -> Cluster {
    let translation = with_policy(policy);
    assert_eq!(translation.refused, [], "{:#?}", findings(&translation));
    Cluster::clone(&translation.model.clusters[0])
}

#[test]
fn a_wrong_value_refuses_the_rule_and_names_the_field() {
    for (policy, expected) in [
        ("{}", ": the traffic policy is empty"),
        (
            "{tunnel: {targetHost: a.b, targetPort: 1}, proxyProtocol: {}}",
            ": tunnel and proxyProtocol exclude each other",
        ),
        (
            "{tunnel: {protocol: GET, targetHost: a.b, targetPort: 1}}",
            ".tunnel.protocol: `GET` is neither",
        ),
        (
            "{tunnel: {targetHost: 'a b', targetPort: 1}}",
            ".tunnel.targetHost: the host `a b` is wrong",
        ),
        (
            "{tunnel: {targetHost: a.b, targetPort: 70000}}",
            ".tunnel.targetPort: 70000 is not a port",
        ),
        (
            "{retryBudget: {percent: 101}}",
            ".retryBudget.percent: 101 is not from 0",
        ),
        (
            "{portLevelSettings: [{port: {number: 1}}]}",
            ".portLevelSettings[0]: nothing is written",
        ),
        (
            "{portLevelSettings: [{loadBalancer: {simple: RANDOM}}]}",
            ".portLevelSettings[0].port: the port is missing",
        ),
        (
            "{portLevelSettings: [{port: {number: 0}, loadBalancer: {simple: RANDOM}}]}",
            ".portLevelSettings[0].port.number: 0 is not a port",
        ),
        (
            "{connectionPool: {}}",
            ".connectionPool: the connection pool is empty",
        ),
        (
            "{connectionPool: {tcp: {maxConnections: -1}}}",
            ".connectionPool.tcp.maxConnections: -1 is below zero",
        ),
        (
            "{connectionPool: {tcp: {connectTimeout: 0s}}}",
            ".connectionPool.tcp.connectTimeout: 0s is not",
        ),
        (
            "{connectionPool: {tcp: {maxConnectionDuration: 1us}}}",
            ".connectionPool.tcp.maxConnectionDuration: ",
        ),
        (
            "{connectionPool: {tcp: {idleTimeout: 1us}}}",
            ".connectionPool.tcp.idleTimeout: ",
        ),
        (
            "{connectionPool: {tcp: {tcpKeepalive: {time: 1us}}}}",
            ".connectionPool.tcp.tcpKeepalive.time: ",
        ),
        (
            "{connectionPool: {http: {http1MaxPendingRequests: -1}}}",
            ".connectionPool.http.http1MaxPendingRequests: -1",
        ),
        (
            "{connectionPool: {http: {http2MaxRequests: -1}}}",
            ".connectionPool.http.http2MaxRequests: -1",
        ),
        (
            "{connectionPool: {http: {maxRequestsPerConnection: -1}}}",
            ".connectionPool.http.maxRequestsPerConnection: -1",
        ),
        (
            "{connectionPool: {http: {maxRetries: -1}}}",
            ".connectionPool.http.maxRetries: -1",
        ),
        (
            "{connectionPool: {http: {maxConcurrentStreams: -1}}}",
            ".connectionPool.http.maxConcurrentStreams: -1",
        ),
        (
            "{connectionPool: {http: {idleTimeout: 0s}}}",
            ".connectionPool.http.idleTimeout: 0s",
        ),
        (
            "{connectionPool: {http: {useClientProtocol: true, h2UpgradePolicy: UPGRADE}}}",
            ".connectionPool.http: useClientProtocol and",
        ),
        (
            "{connectionPool: {http: {http2KeepAlive: {timeout: 1s}}}}",
            ".connectionPool.http.http2KeepAlive.interval: the interval is missing",
        ),
        (
            "{connectionPool: {http: {http2KeepAlive: {interval: 1s}}}}",
            ".connectionPool.http.http2KeepAlive.timeout: the timeout is missing",
        ),
        (
            "{loadBalancer: {simple: RANDOM, consistentHash: {useSourceIp: true}}}",
            ".loadBalancer: only one of simple",
        ),
        (
            "{loadBalancer: {consistentHash: {useSourceIp: true, httpHeaderName: a}}}",
            ".loadBalancer.consistentHash: only one of",
        ),
        (
            "{loadBalancer: {consistentHash: {httpHeaderName: 'a b'}}}",
            ".loadBalancer.consistentHash.httpHeaderName: `a b`",
        ),
        (
            "{loadBalancer: {consistentHash: {httpQueryParameterName: ''}}}",
            ".loadBalancer.consistentHash.httpQueryParameterName: ",
        ),
        (
            "{loadBalancer: {consistentHash: {httpCookie: {ttl: 1s}}}}",
            ".loadBalancer.consistentHash.httpCookie.name: the cookie has no name",
        ),
        (
            "{loadBalancer: {consistentHash: {httpCookie: {name: 'a;b'}}}}",
            ".loadBalancer.consistentHash.httpCookie.name: `a;b` is not",
        ),
        (
            "{loadBalancer: {consistentHash: {httpCookie: {name: a, path: \"/\\r\\n\"}}}}",
            ".loadBalancer.consistentHash.httpCookie.path: `/\\r\\n` is not",
        ),
        (
            "{loadBalancer: {consistentHash: {httpCookie: {name: a, ttl: -1s}}}}",
            ".loadBalancer.consistentHash.httpCookie.ttl: -1s is below zero",
        ),
        (
            "{loadBalancer: {consistentHash: {httpCookie: {name: a, attributes: [{value: b}]}}}}",
            ".loadBalancer.consistentHash.httpCookie.attributes[0].name: the attribute has no name",
        ),
        (
            "{loadBalancer: {consistentHash: {httpCookie: {name: a, attributes: [{name: b}, {name: b}]}}}}",
            ".loadBalancer.consistentHash.httpCookie.attributes[1].name: the attribute `b` is written twice",
        ),
        (
            "{loadBalancer: {consistentHash: {useSourceIp: true, maglev: {}}}}",
            ".loadBalancer.consistentHash.maglev.tableSize: the table's size is missing",
        ),
        (
            "{loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 5000011}}}}",
            ".loadBalancer.consistentHash.maglev.tableSize: 5000011 is not below",
        ),
        (
            "{loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 65536}}}}",
            ".loadBalancer.consistentHash.maglev.tableSize: 65536 is not a prime",
        ),
        (
            "{loadBalancer: {consistentHash: {useSourceIp: true, minimumRingSize: 9, ringHash: {}}}}",
            ".loadBalancer.consistentHash.minimumRingSize: only one of",
        ),
        (
            "{loadBalancer: {consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 8388609}}}}",
            ".loadBalancer.consistentHash.ringHash.minimumRingSize: 8388609 places",
        ),
        (
            "{loadBalancer: {warmup: {}}}",
            ".loadBalancer.warmup.duration: the duration is missing",
        ),
        (
            "{loadBalancer: {warmup: {duration: 1s, minimumPercent: 101}}}",
            ".loadBalancer.warmup.minimumPercent: 101",
        ),
        (
            "{loadBalancer: {warmup: {duration: 1s, aggression: 0}}}",
            ".loadBalancer.warmup.aggression: 0 is not",
        ),
        (
            "{loadBalancer: {warmupDurationSecs: 1us}}",
            ".loadBalancer.warmupDurationSecs: ",
        ),
        (
            "{loadBalancer: {localityLbSetting: {}, zoneAwareLbSetting: {}}}",
            ".loadBalancer: only one of localityLbSetting",
        ),
        (
            "{loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {a: 100}}], failover: [{from: a, to: b}]}}}",
            ".loadBalancer.localityLbSetting: distribute and failover",
        ),
        (
            "{loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {a: 0, b: 100}}]}}}",
            ".loadBalancer.localityLbSetting.distribute[0].to.a: 0 is not",
        ),
        (
            "{loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {a: 99}}]}}}",
            ".loadBalancer.localityLbSetting.distribute[0].to: the shares come to 99",
        ),
        (
            "{loadBalancer: {localityLbSetting: {distribute: [{from: 'a*/b', to: {a: 100}}]}}}",
            ".loadBalancer.localityLbSetting.distribute: `a*/b`",
        ),
        (
            "{loadBalancer: {localityLbSetting: {distribute: [{from: a//b, to: {a: 100}}]}}}",
            ".loadBalancer.localityLbSetting.distribute: `a//b`",
        ),
        (
            "{loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {b: 50, b/c: 50}}]}}}",
            ".loadBalancer.localityLbSetting.distribute[0].to: ",
        ),
        (
            "{outlierDetection: {}, loadBalancer: {localityLbSetting: {failover: [{from: a, to: a}]}}}",
            ".loadBalancer.localityLbSetting.failover[0]: `a` cannot",
        ),
        (
            "{outlierDetection: {}, loadBalancer: {localityLbSetting: {failover: [{from: a, to: b/c}]}}}",
            ".loadBalancer.localityLbSetting.failover[0]: failover is from region",
        ),
        (
            "{outlierDetection: {}, loadBalancer: {localityLbSetting: {failover: [{from: a, to: 'b*'}]}}}",
            ".loadBalancer.localityLbSetting.failover[0]: a region may not",
        ),
        (
            "{outlierDetection: {}, loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}], failoverPriority: [topology.kubernetes.io/zone]}}}",
            ".loadBalancer.localityLbSetting.failoverPriority: ",
        ),
        (
            "{outlierDetection: {consecutiveLocalOriginFailures: 1}}",
            ".outlierDetection.consecutiveLocalOriginFailures: ",
        ),
        (
            "{outlierDetection: {interval: 1us}}",
            ".outlierDetection.interval: ",
        ),
        (
            "{outlierDetection: {baseEjectionTime: 0s}}",
            ".outlierDetection.baseEjectionTime: 0s",
        ),
        (
            "{outlierDetection: {maxEjectionPercent: 101}}",
            ".outlierDetection.maxEjectionPercent: 101",
        ),
        (
            "{outlierDetection: {minHealthPercent: -1}}",
            ".outlierDetection.minHealthPercent: -1",
        ),
        (
            "{outlierDetection: {outlierDetectionHttpErrorCodes: [500, 600]}}",
            ".outlierDetection.outlierDetectionHttpErrorCodes[1]: 600",
        ),
        (
            "{tls: {mode: MUTUAL, privateKey: a}}",
            ".tls.clientCertificate: mode MUTUAL needs",
        ),
        (
            "{tls: {mode: MUTUAL, clientCertificate: a}}",
            ".tls.privateKey: mode MUTUAL needs",
        ),
        (
            "{tls: {mode: SIMPLE, credentialName: a, caCertificates: b}}",
            ".tls.caCertificates: caCertificates and credentialName",
        ),
        (
            "{tls: {mode: SIMPLE, insecureSkipVerify: true, subjectAltNames: [a]}}",
            ".tls.insecureSkipVerify: ",
        ),
    ] {
        let translation = with_policy(policy);
        let found = findings(&translation);
        assert_eq!(translation.refused.len(), 1, "{policy}: {found:#?}");
        let expected = format!("IST0106 spec.trafficPolicy{expected}");
        assert!(
            found.iter().any(|f| f.starts_with(&expected)),
            "{policy}: {found:#?}"
        );
        // The service itself is served as if the rule were not there.
        assert_eq!(translation.model.clusters.len(), 1, "{policy}");
    }
}

#[test]
fn what_has_no_effect_here_is_said() {
    for (policy, expected) in [
        (
            "{loadBalancer: {simple: PASSTHROUGH}}",
            ".loadBalancer.simple: PASSTHROUGH",
        ),
        (
            "{loadBalancer: {consistentHash: {}}}",
            ".loadBalancer.consistentHash: nothing says",
        ),
        (
            "{loadBalancer: {simple: RANDOM, warmup: {duration: 1s}}}",
            ".loadBalancer.warmup: only ROUND_ROBIN",
        ),
        (
            "{loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}]}}}",
            ".loadBalancer.localityLbSetting: without outlierDetection",
        ),
        (
            "{loadBalancer: {zoneAwareLbSetting: {enabled: true}}}",
            ".loadBalancer.zoneAwareLbSetting: zones are weighed",
        ),
        (
            "{loadBalancer: {backendUtilization: {}}}",
            ".loadBalancer.backendUtilization: ",
        ),
        (
            "{outlierDetection: {consecutiveErrors: 3}}",
            ".outlierDetection.consecutiveErrors: consecutiveErrors is deprecated",
        ),
        (
            "{tls: {mode: ISTIO_MUTUAL}}",
            ".tls.mode: ISTIO_MUTUAL, which needs the certificates of a mesh, is not supported",
        ),
        (
            "{tls: {mode: SIMPLE, insecureSkipVerify: true, privateKey: /a}}",
            ".tls.privateKey: with SIMPLE no certificate of ours",
        ),
        (
            "{tls: {mode: SIMPLE, insecureSkipVerify: true, sni: 192.168.8.1}}",
            ".tls.sni: `192.168.8.1` is no DNS name",
        ),
    ] {
        let translation = with_policy(policy);
        let found = findings(&translation);
        assert_eq!(translation.refused, [], "{policy}: {found:#?}");
        let expected = format!(" spec.trafficPolicy{expected}");
        assert!(
            found.iter().any(|f| f.contains(&expected)),
            "{policy}: {found:#?}"
        );
    }
}

#[test]
fn load_balancers_are_what_istio_makes_of_them() {
    let balancer = |text: &str| {
        let cluster = cluster(&format!("{{loadBalancer: {text}}}"));
        (cluster.balancing, cluster.policy.hash.clone())
    };
    let ring = |minimum_size| Balancing::RingHash { minimum_size };
    let header = Some(HashPolicy::Header("x-user".to_owned()));
    let address = Some(HashPolicy::SourceAddress);
    let cookie = |ttl| {
        Some(HashPolicy::Cookie(HashCookie {
            name: "c".to_owned(),
            path: "/p".to_owned(),
            ttl,
            attributes: vec![("SameSite".to_owned(), "Lax".to_owned())],
        }))
    };
    for (text, expected) in [
        ("{simple: LEAST_CONN}", (Balancing::LeastRequest, None)),
        (
            "{consistentHash: {httpHeaderName: X-User}}",
            (ring(1024), header),
        ),
        (
            "{consistentHash: {useSourceIp: true, minimumRingSize: 9}}",
            (ring(9), address.clone()),
        ),
        (
            "{consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 7}}}",
            (ring(7), address.clone()),
        ),
        ("{consistentHash: {useSourceIp: false}}", (ring(1024), None)),
        (
            "{consistentHash: {useSourceIp: true, maglev: {tableSize: 65537}}}",
            (Balancing::Maglev { table_size: 65537 }, address),
        ),
        (
            "{consistentHash: {httpQueryParameterName: q}}",
            (ring(1024), Some(HashPolicy::QueryParameter("q".to_owned()))),
        ),
        (
            "{consistentHash: {httpCookie: {name: c, path: /p, ttl: 0s, attributes: [{name: SameSite, value: Lax}]}}}",
            (ring(1024), cookie(Some(Duration::ZERO))),
        ),
        (
            "{consistentHash: {httpCookie: {name: c, path: /p, attributes: [{name: SameSite, value: Lax}]}}}",
            (ring(1024), cookie(None)),
        ),
    ] {
        assert_eq!(balancer(text), expected, "{text}");
    }
    let warmup = |text: &str| cluster(&format!("{{loadBalancer: {text}}}")).policy.warmup;
    let expected = |minimum_percent, aggression| {
        Some(Warmup {
            duration: Duration::from_secs(60),
            minimum_percent,
            aggression,
        })
    };
    assert_eq!(warmup("{warmupDurationSecs: 60s}"), expected(10.0, 1.0));
    assert_eq!(
        warmup("{warmup: {duration: 60s, minimumPercent: 0, aggression: 2.5}}"),
        expected(0.0, 2.5)
    );
    assert_eq!(warmup("{simple: RANDOM, warmup: {duration: 60s}}"), None);
}

#[test]
fn limits_and_times_have_istios_defaults() {
    let plain = cluster("{loadBalancer: {simple: RANDOM}}").policy;
    assert!(plain.limits.is_unlimited());
    assert_eq!(plain.outlier_detection, None);
    assert_eq!(plain.localities, []);

    let policy = cluster(
        "{connectionPool: {tcp: {maxConnections: 1, maxConnectionDuration: 5s, idleTimeout: 0s, \
         tcpKeepalive: {probes: 3, time: 1500ms}}, http: {http1MaxPendingRequests: 2, \
         http2MaxRequests: 3, maxRequestsPerConnection: 4, maxRetries: 5}}, retryBudget: {}, \
         proxyProtocol: {version: V2}, outlierDetection: {}}",
    )
    .policy;
    let limits = &policy.limits;
    assert_eq!(
        [
            limits.max_connections,
            limits.max_pending_requests,
            limits.max_requests,
            policy.connections.max_requests,
            limits.max_retries
        ],
        [Some(1), Some(2), Some(3), Some(4), Some(5)]
    );
    assert_eq!(
        limits.retry_budget,
        Some(RetryBudget {
            percent: 20.0,
            interval: None,
            minimum: 3
        })
    );
    let connections = &policy.connections;
    assert_eq!(connections.max_duration, Some(Duration::from_secs(5)));
    // What is said of TCP holds for HTTP.
    assert_eq!(connections.idle_timeout, Some(Duration::ZERO));
    assert_eq!(connections.tcp_idle_timeout, Some(Duration::ZERO));
    let keepalive = TcpKeepalive {
        probes: Some(3),
        time: Some(Duration::from_secs(1)),
        interval: None,
    };
    assert_eq!(connections.keepalive, Some(keepalive));
    assert_eq!(policy.proxy_protocol, Some(ProxyVersion::V2));
    assert_eq!(
        policy.outlier_detection,
        Some(OutlierDetection {
            consecutive_5xx: 5,
            consecutive_gateway_errors: 0,
            split_local_origin: false,
            consecutive_local_origin_failures: 5,
            interval: Duration::from_secs(10),
            base_ejection_time: Duration::from_secs(30),
            max_ejection_percent: 10,
            min_health_percent: 0,
            error_codes: Vec::new(),
        })
    );
}

#[test]
fn a_ports_settings_replace_what_can_be_written_there_and_nothing_else() {
    let policy = cluster(
        "{proxyProtocol: {}, retryBudget: {percent: 5}, outlierDetection: {}, connectionPool: {tcp: \
         {maxConnections: 1}}, portLevelSettings: [{port: {number: 9080}, loadBalancer: {simple: RANDOM}}]}",
    )
    .policy;
    assert_eq!(policy.outlier_detection, None);
    assert_eq!(policy.limits.max_connections, None);
    assert_eq!(policy.proxy_protocol, Some(ProxyVersion::V1));
    assert_eq!(
        policy.limits.retry_budget.map(|budget| budget.percent),
        Some(5.0)
    );
}

#[test]
fn the_meshs_policy_lies_below_every_rules() {
    let http = with_http(&format!("[{{{TO_REVIEWS}}}]"));
    let mesh = |policy: &str| -> Option<crate::api::istio::traffic_policy::TrafficPolicy> {
        let of_rule = resources(&rule(policy));
        let object = of_rule.destination_rules.values().next();
        object.and_then(|object| object.body.traffic_policy.clone())
    };
    let found = |rules: &str, policy: &str| {
        let policy = mesh(policy);
        let settings = Settings {
            mesh: MeshDefaults {
                connection_pool: policy.and_then(|policy| policy.connection_pool),
                connect_timeout: Some(Duration::from_secs(7)),
                ..MeshDefaults::default()
            },
            ..Settings::default()
        };
        let translation = translate(&resources(&base_and(&format!("{rules}{http}"))), &settings);
        let cluster = &translation.model.clusters[0];
        (
            cluster.balancing,
            cluster.policy.limits.max_connections,
            cluster.connect_timeout.as_secs(),
        )
    };
    let policy = "{connectionPool: {tcp: {maxConnections: 9}}}";
    assert_eq!(found("", policy), (Balancing::LeastRequest, Some(9), 7));
    let own = rule("{connectionPool: {tcp: {connectTimeout: 3s}}}");
    assert_eq!(found(&own, policy), (Balancing::LeastRequest, None, 3));
    let own = rule("{loadBalancer: {simple: RANDOM}}");
    assert_eq!(found(&own, policy), (Balancing::Random, Some(9), 7));
}

#[test]
fn endpoints_are_grouped_by_where_they_stand() {
    let yaml = r#"---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: spread, namespace: default}
spec:
  hosts: [spread.lan]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints:
  - {address: 10.0.0.1, locality: us/a}
  - {address: 10.0.0.2, locality: eu/a}
  - {address: 10.0.0.3, labels: {istio-locality: eu.b}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: spread, namespace: default}
spec: {host: spread.lan, trafficPolicy: {outlierDetection: {}}}
"#;
    let http = with_http("[{route: [{destination: {host: spread.lan, port: {number: 80}}}]}]");
    let settings = Settings {
        locality: "eu/b".to_owned(),
        ..Settings::default()
    };
    let translation = translate(&resources(&base_and(&format!("{yaml}{http}"))), &settings);
    let cluster = &translation.model.clusters[0];
    let addresses: Vec<_> = cluster
        .endpoints
        .iter()
        .map(|endpoint| endpoint.address.to_string())
        .collect();
    assert_eq!(addresses, ["10.0.0.3:80", "10.0.0.2:80", "10.0.0.1:80"]);
    let group = |priority| LocalityGroup {
        endpoints: 1,
        priority,
        weight: None,
    };
    assert_eq!(cluster.policy.localities, [group(0), group(1), group(2)]);
}
