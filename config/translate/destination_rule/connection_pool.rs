//! `connectionPool`: limits, and how long connections live.

use std::time::Duration;

use crate::api::istio::traffic_policy::{
    ConnectionPool as Api, H2Upgrade, Http2KeepAlive, HttpSettings, TcpKeepalive as ApiKeepalive,
    TcpSettings,
};
use crate::api::jsonpb;
use crate::model::{Connections, Http2, Limits, TcpKeepalive};
use crate::translate::field_path::FieldPath;
use crate::translate::report::ObjectReport;
use crate::translate::scalars::duration;

/// What the block comes to.
#[derive(Clone, Debug, Default)]
pub(super) struct ConnectionPool {
    pub(super) connect_timeout: Option<Duration>,
    pub(super) limits: Limits,
    pub(super) connections: Connections,
    pub(super) http2: Http2,
}

/// Reads the block.
pub(super) fn parse(
    settings: &Api,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> ConnectionPool {
    let Api { tcp, http } = settings;
    if tcp.is_none() && http.is_none() {
        report.invalid(
            path,
            "the connection pool is empty; the object is not used.",
            "Remove it.",
        );
    }
    let mut pool = ConnectionPool::default();
    if let Some(settings) = tcp {
        parse_tcp(&mut pool, settings, &path.field("tcp"), report);
    }
    if let Some(settings) = http {
        parse_http(&mut pool, settings, &path.field("http"), report);
    }
    // Istio: what is said of TCP holds for HTTP that says nothing.
    if pool.connections.idle_timeout.is_none() {
        pool.connections.idle_timeout = pool.connections.tcp_idle_timeout;
    }
    pool
}

fn parse_tcp(
    pool: &mut ConnectionPool,
    settings: &TcpSettings,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) {
    let TcpSettings {
        max_connections,
        connect_timeout,
        tcp_keepalive,
        max_connection_duration,
        idle_timeout,
    } = settings;
    pool.limits.max_connections = limit(*max_connections, &path.field("maxConnections"), report);
    pool.connect_timeout =
        connect_timeout.and_then(|time| duration(time, &path.field("connectTimeout"), report));
    pool.connections.max_duration = max_connection_duration
        .and_then(|time| duration(time, &path.field("maxConnectionDuration"), report));
    // Zero switches it off.
    pool.connections.tcp_idle_timeout = idle_timeout.and_then(|time| {
        if time.as_nanos() == 0 {
            return Some(Duration::ZERO);
        }
        duration(time, &path.field("idleTimeout"), report)
    });
    pool.connections.keepalive = tcp_keepalive
        .as_ref()
        .map(|settings| parse_keepalive(settings, &path.field("tcpKeepalive"), report));
}

/// Reads keep-alive settings; the mesh has them too.
pub(crate) fn parse_keepalive(
    settings: &ApiKeepalive,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> TcpKeepalive {
    let ApiKeepalive {
        probes,
        time,
        interval,
    } = settings;
    let mut seconds = |value: Option<jsonpb::Duration>, field: &str| {
        let value = value.filter(|value| value.as_nanos() != 0)?;
        let value = duration(value, &path.field(field), report)?;
        // The kernel knows whole seconds only, and none below one.
        Some(Duration::from_secs(value.as_secs().max(1)))
    };
    TcpKeepalive {
        probes: Some(*probes).filter(|probes| *probes != 0),
        time: seconds(*time, "time"),
        interval: seconds(*interval, "interval"),
    }
}

fn parse_http(
    pool: &mut ConnectionPool,
    settings: &HttpSettings,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) {
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
    let mut limit = |value: i32, field: &str| limit(value, &path.field(field), report);
    pool.limits.max_pending_requests =
        limit(*http1_max_pending_requests, "http1MaxPendingRequests");
    pool.limits.max_requests = limit(*http2_max_requests, "http2MaxRequests");
    pool.limits.max_retries = limit(*max_retries, "maxRetries");
    pool.connections.max_requests = limit(*max_requests_per_connection, "maxRequestsPerConnection");
    pool.http2.max_concurrent_streams = limit(*max_concurrent_streams, "maxConcurrentStreams");
    pool.connections.idle_timeout =
        idle_timeout.and_then(|time| duration(time, &path.field("idleTimeout"), report));
    if *use_client_protocol && *h2_upgrade_policy == H2Upgrade::Upgrade {
        report.invalid(
            path,
            "useClientProtocol and h2UpgradePolicy UPGRADE exclude each other; the object is not used.",
            "",
        );
    }
    pool.http2.upgrade = match h2_upgrade_policy {
        H2Upgrade::Default => None,
        H2Upgrade::DoNotUpgrade => Some(false),
        H2Upgrade::Upgrade => Some(true),
    };
    pool.http2.use_client_protocol = *use_client_protocol;
    pool.http2.keepalive = http2_keep_alive
        .as_ref()
        .and_then(|settings| parse_pings(settings, &path.field("http2KeepAlive"), report));
}

fn parse_pings(
    settings: &Http2KeepAlive,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<(Duration, Duration)> {
    let Http2KeepAlive { interval, timeout } = settings;
    let mut required = |value: Option<jsonpb::Duration>, field: &str| {
        let path = path.field(field);
        let Some(value) = value else {
            report.invalid(
                &path,
                format!("the {field} is missing; the object is not used."),
                "",
            );
            return None;
        };
        duration(value, &path, report)
    };
    let (interval, timeout) = (
        required(*interval, "interval"),
        required(*timeout, "timeout"),
    );
    Some((interval?, timeout?))
}

/// A limit; zero means that there is none.
fn limit(number: i32, path: &FieldPath<'_>, report: &mut ObjectReport<'_>) -> Option<u32> {
    if number < 0 {
        report.invalid(
            path,
            format!("{number} is below zero; the object is not used."),
            "",
        );
    }
    u32::try_from(number).ok().filter(|number| *number != 0)
}
