//! `trafficPolicy`: what is honoured of it, and findings for the rest.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::api::istio::traffic_policy::{
    ClientTls, ClientTlsMode, ConnectionPool, H2Upgrade, HttpSettings, LoadBalancer,
    PortTrafficPolicy, SimpleBalancer, TcpSettings, TrafficPolicy,
};
use crate::api::istio::virtual_service::PortSelector;
use crate::codes;
use crate::finding::Level;
use crate::model::Balancing;
use crate::translate::field_path::FieldPath;
use crate::translate::report::ObjectReport;
use crate::translate::virtual_service::{duration, port};

/// Istio's default for `connectTimeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A traffic policy with what is written for single ports.
#[derive(Clone, Debug, Default)]
pub(super) struct Policy {
    blocks: Blocks,
    ports: BTreeMap<u16, Blocks>,
}

/// The blocks that are inherited one by one.
#[derive(Clone, Debug, Default)]
struct Blocks {
    load_balancer: Option<Balancing>,
    connection_pool: Option<PoolSettings>,
}

#[derive(Clone, Debug, Default)]
struct PoolSettings {
    connect_timeout: Option<Duration>,
}

/// What a cluster is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EffectivePolicy {
    pub(crate) balancing: Balancing,
    pub(crate) connect_timeout: Duration,
}

impl Default for EffectivePolicy {
    fn default() -> Self {
        Self {
            balancing: Balancing::default(),
            connect_timeout: CONNECT_TIMEOUT,
        }
    }
}

/// What the levels come to for a port, the outer one first.
pub(super) fn effective<'p>(
    levels: impl Iterator<Item = &'p Policy>,
    port: u16,
) -> EffectivePolicy {
    let mut blocks = Blocks::default();
    for policy in levels {
        match policy.ports.get(&port) {
            Some(for_port) => blocks = for_port.clone(),
            None => {
                let own = policy.blocks.clone();
                blocks.load_balancer = own.load_balancer.or(blocks.load_balancer);
                blocks.connection_pool = own.connection_pool.or(blocks.connection_pool);
            }
        }
    }
    let timeout = blocks.connection_pool.and_then(|pool| pool.connect_timeout);
    EffectivePolicy {
        balancing: blocks.load_balancer.unwrap_or_default(),
        connect_timeout: timeout.unwrap_or(CONNECT_TIMEOUT),
    }
}

/// Reads a policy.
pub(super) fn parse(
    policy: &TrafficPolicy,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Policy {
    let TrafficPolicy {
        load_balancer,
        connection_pool,
        outlier_detection,
        tls,
        port_level_settings,
        tunnel,
        proxy_protocol,
        retry_budget,
    } = policy;
    if *policy == TrafficPolicy::default() {
        report.invalid(
            path,
            "the traffic policy is empty; the object is not used.",
            "Remove it.",
        );
    }
    if tunnel.is_some() && proxy_protocol.is_some() {
        report.invalid(
            path,
            "tunnel and proxyProtocol exclude each other; the object is not used.",
            "",
        );
    }
    let unsupported = [
        (
            tunnel.is_some(),
            "tunnel",
            "connections go straight to the endpoints",
        ),
        (
            proxy_protocol.is_some(),
            "proxyProtocol",
            "no PROXY header is sent to the endpoints",
        ),
        (
            retry_budget.is_some(),
            "retryBudget",
            "retries are not limited by it",
        ),
    ];
    for (is_set, field, effect) in unsupported {
        if is_set {
            report.unsupported(&path.field(field), field, effect);
        }
    }
    let blocks = parse_blocks(
        load_balancer.as_ref(),
        connection_pool.as_ref(),
        outlier_detection.is_some(),
        tls.as_ref(),
        path,
        report,
    );
    let mut ports = BTreeMap::new();
    let list_path = path.field("portLevelSettings");
    for (i, settings) in port_level_settings.iter().enumerate() {
        let path = list_path.index(i);
        let PortTrafficPolicy {
            port: selector,
            load_balancer,
            connection_pool,
            outlier_detection,
            tls,
        } = settings;
        let blocks = parse_blocks(
            load_balancer.as_ref(),
            connection_pool.as_ref(),
            outlier_detection.is_some(),
            tls.as_ref(),
            &path,
            report,
        );
        let Some(PortSelector { number }) = selector else {
            report.invalid(
                &path.field("port"),
                "the port is missing; the object is not used.",
                "",
            );
            continue;
        };
        if let Some(number) = port(*number, &path.field("port").field("number"), report) {
            ports.entry(number).or_insert(blocks);
        }
    }
    Policy { blocks, ports }
}

fn parse_blocks(
    load_balancer: Option<&LoadBalancer>,
    connection_pool: Option<&ConnectionPool>,
    outlier_detection: bool,
    tls: Option<&ClientTls>,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Blocks {
    if outlier_detection {
        report.unsupported(
            &path.field("outlierDetection"),
            "outlierDetection",
            "an endpoint that answers with errors keeps its share; one that refuses connections is left out anyway",
        );
    }
    match tls.map(|tls| tls.mode) {
        None | Some(ClientTlsMode::Disable) => {}
        // Only sidecars have the mesh's certificates to answer with.
        Some(ClientTlsMode::IstioMutual) => report.add(
            codes::NOT_SUPPORTED,
            Level::Warning,
            &path.field("tls"),
            "the mesh's own TLS is not supported: requests are sent in plain text.",
            "Without sidecars at the endpoints, remove it.",
        ),
        Some(_) => report.unsupported(
            &path.field("tls"),
            "TLS to the endpoints",
            "requests are sent in plain text, and an endpoint that expects TLS answers 400 or nothing",
        ),
    }
    Blocks {
        load_balancer: load_balancer
            .map(|settings| parse_balancer(settings, &path.field("loadBalancer"), report)),
        connection_pool: connection_pool
            .map(|settings| parse_pool(settings, &path.field("connectionPool"), report)),
    }
}

fn parse_balancer(
    settings: &LoadBalancer,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Balancing {
    let LoadBalancer {
        simple,
        consistent_hash,
        locality_lb_setting,
        zone_aware_lb_setting,
        warmup_duration_secs,
        warmup,
        backend_utilization,
    } = settings;
    let unsupported = [
        (
            consistent_hash.is_some(),
            "consistentHash",
            "a client does not stay at one endpoint; requests go to the less busy of two",
        ),
        (
            locality_lb_setting.is_some(),
            "localityLbSetting",
            "near and far endpoints get the same share",
        ),
        (
            zone_aware_lb_setting.is_some(),
            "zoneAwareLbSetting",
            "near and far endpoints get the same share",
        ),
        (
            warmup_duration_secs.is_some(),
            "warmupDurationSecs",
            "new endpoints get their full share at once",
        ),
        (
            warmup.is_some(),
            "warmup",
            "new endpoints get their full share at once",
        ),
        (
            backend_utilization.is_some(),
            "backendUtilization",
            "the endpoints' own load does not count",
        ),
    ];
    for (is_set, field, effect) in unsupported {
        if is_set {
            report.unsupported(&path.field(field), field, effect);
        }
    }
    match simple {
        None
        | Some(
            SimpleBalancer::Unspecified | SimpleBalancer::LeastConn | SimpleBalancer::LeastRequest,
        ) => Balancing::LeastRequest,
        Some(SimpleBalancer::RoundRobin) => Balancing::RoundRobin,
        Some(SimpleBalancer::Random) => Balancing::Random,
        Some(SimpleBalancer::Passthrough) => {
            report.add(
                codes::NOT_SUPPORTED,
                Level::Warning,
                &path.field("simple"),
                "PASSTHROUGH has no meaning at a gateway: requests go to the less busy of two endpoints.",
                "Use LEAST_REQUEST, ROUND_ROBIN or RANDOM.",
            );
            Balancing::LeastRequest
        }
    }
}

fn parse_pool(
    settings: &ConnectionPool,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> PoolSettings {
    let ConnectionPool { tcp, http } = settings;
    if tcp.is_none() && http.is_none() {
        report.invalid(
            path,
            "the connection pool is empty; the object is not used.",
            "Remove it.",
        );
    }
    if let Some(http) = http {
        check_http(http, &path.field("http"), report);
    }
    let mut connect = None;
    if let Some(settings) = tcp {
        let path = path.field("tcp");
        let TcpSettings {
            max_connections,
            connect_timeout,
            tcp_keepalive,
            max_connection_duration,
            idle_timeout,
        } = settings;
        non_negative(*max_connections, &path.field("maxConnections"), report);
        connect = connect_timeout
            .and_then(|timeout| duration(timeout, &path.field("connectTimeout"), report));
        let unsupported = [
            (
                *max_connections != 0,
                "maxConnections",
                "connections are not limited",
            ),
            (
                tcp_keepalive.is_some(),
                "tcpKeepalive",
                "the system's own settings hold",
            ),
            (
                max_connection_duration.is_some(),
                "maxConnectionDuration",
                "connections may grow old",
            ),
            (
                idle_timeout.is_some(),
                "idleTimeout",
                "idle connections are closed after the default time",
            ),
        ];
        for (is_set, field, effect) in unsupported {
            if is_set {
                report.unsupported(&path.field(field), field, effect);
            }
        }
    }
    PoolSettings {
        connect_timeout: connect,
    }
}

fn check_http(settings: &HttpSettings, path: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    let HttpSettings {
        http1_max_pending_requests,
        http2_max_requests,
        max_requests_per_connection,
        max_retries,
        idle_timeout,
        h2_upgrade_policy,
        use_client_protocol,
        max_concurrent_streams,
        http2_keep_alive,
    } = settings;
    let limits = [
        (*http1_max_pending_requests, "http1MaxPendingRequests"),
        (*http2_max_requests, "http2MaxRequests"),
        (*max_requests_per_connection, "maxRequestsPerConnection"),
        (*max_retries, "maxRetries"),
        (*max_concurrent_streams, "maxConcurrentStreams"),
    ];
    for (limit, field) in limits {
        let path = path.field(field);
        non_negative(limit, &path, report);
        if limit > 0 {
            report.unsupported(&path, field, "the limit is not kept");
        }
    }
    if *use_client_protocol && *h2_upgrade_policy == H2Upgrade::Upgrade {
        report.invalid(
            path,
            "useClientProtocol and h2UpgradePolicy UPGRADE exclude each other; the object is not used.",
            "",
        );
    }
    let unsupported = [
        (
            idle_timeout.is_some(),
            "idleTimeout",
            "idle connections are closed after the default time",
        ),
        (
            *h2_upgrade_policy == H2Upgrade::Upgrade,
            "h2UpgradePolicy",
            "the endpoints are spoken to in HTTP/1.1",
        ),
        (
            *use_client_protocol,
            "useClientProtocol",
            "the endpoints are spoken to in the port's own protocol",
        ),
        (
            http2_keep_alive.is_some(),
            "http2KeepAlive",
            "no HTTP/2 pings are sent",
        ),
    ];
    for (is_set, field, effect) in unsupported {
        if is_set {
            report.unsupported(&path.field(field), field, effect);
        }
    }
}

fn non_negative(number: i32, path: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    if number < 0 {
        report.invalid(
            path,
            format!("{number} is below zero; the object is not used."),
            "",
        );
    }
}
