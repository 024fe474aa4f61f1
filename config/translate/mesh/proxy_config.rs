//! `defaultConfig`: trusted proxies, headers that the proxy adds, limits of connections.

use crate::api::istio::proxy_config::{
    ConnectionProfile, ConnectionSettings as ApiConnections, EscapedSlashAction,
    ForwardClientCert as ApiForward, MetadataExchange, ProxyConfig, ProxyHeaders as ApiHeaders,
    ProxyProtocolSettings, ServerHeader as ApiServer, Topology, UnderscoreAction,
};
use crate::codes;
use crate::finding::Level;
use crate::model::{
    ConnectionSettings, EscapedSlashes, ForwardClientCert, PathNormalization, Proxy, ServerHeader,
    Underscores,
};
use crate::translate::field_path::FieldPath;
use crate::translate::mesh::{positive, report_unused, without_effect};
use crate::translate::report::ObjectReport;

/// Trusted proxies that can be counted; more are surely a mistake.
const MOST_PROXIES: u32 = 100;

/// The smallest window of HTTP/2 that Envoy takes, which is also the one before any SETTINGS
/// (RFC 9113 §6.9.2).
const SMALLEST_WINDOW: i32 = 65_535;

/// Reads `defaultConfig`.
pub(super) fn apply(
    config: &ProxyConfig,
    path: &FieldPath<'_>,
    proxy: &mut Proxy,
    report: &mut ObjectReport<'_>,
) {
    let ProxyConfig {
        config_path,
        binary_path,
        service_cluster,
        tracing_service_name,
        drain_duration,
        discovery_address,
        discovery_refresh_delay,
        zipkin_address,
        statsd_udp_address,
        envoy_metrics_service_address,
        proxy_admin_port,
        availability_zone,
        control_plane_auth_policy,
        custom_config_file,
        stat_name_length,
        concurrency,
        proxy_bootstrap_template_path,
        interception_mode,
        tracing,
        sds,
        envoy_access_log_service,
        envoy_metrics_service,
        proxy_metadata,
        runtime_values,
        status_port,
        extra_stat_tags,
        gateway_topology,
        termination_drain_duration,
        mesh_id: _,
        readiness_probe,
        proxy_stats_matcher,
        hold_application_until_proxy_starts,
        ca_certificates_pem,
        image,
        private_key_provider,
        proxy_headers,
        file_flush_interval,
        file_flush_min_size_kb,
        stats_compression,
        connection_settings,
    } = config;
    without_effect! { report, path, "ProxyConfig":
        config_path = "configPath",
        binary_path = "binaryPath",
        service_cluster = "serviceCluster",
        tracing_service_name = "tracingServiceName",
        drain_duration = "drainDuration",
        discovery_address = "discoveryAddress",
        discovery_refresh_delay = "discoveryRefreshDelay",
        zipkin_address = "zipkinAddress",
        statsd_udp_address = "statsdUdpAddress",
        envoy_metrics_service_address = "envoyMetricsServiceAddress",
        proxy_admin_port = "proxyAdminPort",
        availability_zone = "availabilityZone",
        control_plane_auth_policy = "controlPlaneAuthPolicy",
        custom_config_file = "customConfigFile",
        stat_name_length = "statNameLength",
        concurrency = "concurrency",
        proxy_bootstrap_template_path = "proxyBootstrapTemplatePath",
        interception_mode = "interceptionMode",
        tracing = "tracing",
        sds = "sds",
        envoy_access_log_service = "envoyAccessLogService",
        envoy_metrics_service = "envoyMetricsService",
        proxy_metadata = "proxyMetadata",
        runtime_values = "runtimeValues",
        status_port = "statusPort",
        extra_stat_tags = "extraStatTags",
        termination_drain_duration = "terminationDrainDuration",
        readiness_probe = "readinessProbe",
        proxy_stats_matcher = "proxyStatsMatcher",
        hold_application_until_proxy_starts = "holdApplicationUntilProxyStarts",
        ca_certificates_pem = "caCertificatesPem",
        image = "image",
        private_key_provider = "privateKeyProvider",
        file_flush_interval = "fileFlushInterval",
        file_flush_min_size_kb = "fileFlushMinSizeKb",
        stats_compression = "statsCompression",
    }
    if let Some(topology) = gateway_topology {
        let path = path.field("gatewayTopology");
        apply_topology(topology, &path, proxy, report);
    }
    if let Some(headers) = proxy_headers {
        apply_headers(headers, &path.field("proxyHeaders"), proxy, report);
    }
    if let Some(settings) = connection_settings {
        let path = path.field("connectionSettings");
        apply_connections(settings, &path, proxy, report);
    }
}

fn apply_topology(
    topology: &Topology,
    path: &FieldPath<'_>,
    proxy: &mut Proxy,
    report: &mut ObjectReport<'_>,
) {
    let Topology {
        num_trusted_proxies,
        forward_client_cert_details,
        proxy_protocol,
    } = topology;
    if *num_trusted_proxies > MOST_PROXIES {
        let message = format!(
            "{num_trusted_proxies} trusted proxies are more than {MOST_PROXIES}; none is trusted."
        );
        let path = path.field("numTrustedProxies");
        report.add(codes::SCHEMA, Level::Error, &path, message, "");
    } else {
        proxy.trusted_proxies = *num_trusted_proxies;
    }
    proxy.client_certificates = match forward_client_cert_details {
        ApiForward::Undefined | ApiForward::SanitizeSet => ForwardClientCert::SanitizeSet,
        ApiForward::Sanitize => ForwardClientCert::Sanitize,
        ApiForward::ForwardOnly => ForwardClientCert::ForwardOnly,
        ApiForward::AppendForward => ForwardClientCert::AppendForward,
        ApiForward::AlwaysForwardOnly => ForwardClientCert::AlwaysForwardOnly,
    };
    if let Some(ProxyProtocolSettings {}) = proxy_protocol {
        proxy.proxy_protocol = true;
    }
}

fn apply_headers(
    headers: &ApiHeaders,
    path: &FieldPath<'_>,
    proxy: &mut Proxy,
    report: &mut ObjectReport<'_>,
) {
    let ApiHeaders {
        forwarded_client_cert,
        set_current_client_cert_details,
        request_id,
        server,
        attempt_count,
        envoy_debug_headers,
        metadata_exchange_headers,
        preserve_http1_header_case,
        x_forwarded_host,
        x_forwarded_port,
    } = headers;
    if *forwarded_client_cert != ApiForward::Undefined {
        report_unused(report, path, "ProxyHeaders", "forwardedClientCert");
    }
    if set_current_client_cert_details.is_some() {
        report_unused(report, path, "ProxyHeaders", "setCurrentClientCertDetails");
    }
    // gatehouse sends no such header at all, which is what IN_MESH means for what is outside.
    if let Some(MetadataExchange { mode: _ }) = metadata_exchange_headers {}
    let is_off = |header: &Option<crate::api::istio::proxy_config::Disabled>| {
        header.as_ref().and_then(|header| header.disabled) == Some(true)
    };
    let is_on = |header: &Option<crate::api::istio::proxy_config::Enabled>| {
        header.as_ref().and_then(|header| header.enabled) == Some(true)
    };
    let out = &mut proxy.headers;
    out.preserve_case = *preserve_http1_header_case == Some(true);
    out.request_id = !is_off(request_id);
    out.attempt_count = !is_off(attempt_count);
    out.debug = !is_off(envoy_debug_headers);
    out.forwarded_host = is_on(x_forwarded_host);
    out.forwarded_port = is_on(x_forwarded_port);
    if let Some(ApiServer { disabled, value }) = server {
        if *disabled == Some(true) {
            out.server = Some(ServerHeader::Upstream);
        } else if value.bytes().any(|b| b < 0x20 || b == 0x7f) {
            let message = "the value has control characters; it is not used.";
            let server = path.field("server");
            report.add(
                codes::SCHEMA,
                Level::Error,
                &server.field("value"),
                message,
                "",
            );
        } else if !value.is_empty() {
            out.server = Some(ServerHeader::Value(value.clone()));
        }
    }
}

fn apply_connections(
    settings: &ApiConnections,
    path: &FieldPath<'_>,
    proxy: &mut Proxy,
    report: &mut ObjectReport<'_>,
) {
    let ApiConnections {
        profile,
        listener_per_connection_buffer_limit_bytes,
        cluster_per_connection_buffer_limit_bytes,
        http_idle_timeout,
        http_max_connection_duration,
        http_drain_timeout,
        http_request_timeout,
        http_request_headers_timeout,
        http_stream_idle_timeout,
        http_max_stream_duration,
        http_max_concurrent_streams,
        http2_initial_stream_window_size,
        http2_initial_connection_window_size,
        http_headers_with_underscores_action,
        http_merge_slashes,
        http_path_with_escaped_slashes_action,
        listener_connection_limit,
        global_downstream_connection_limit,
    } = settings;
    without_effect! { report, path, "ConnectionSettings":
        listener_per_connection_buffer_limit_bytes = "listenerPerConnectionBufferLimitBytes",
        cluster_per_connection_buffer_limit_bytes = "clusterPerConnectionBufferLimitBytes",
        http_max_connection_duration = "httpMaxConnectionDuration",
        http_drain_timeout = "httpDrainTimeout",
        http_request_timeout = "httpRequestTimeout",
        http_max_stream_duration = "httpMaxStreamDuration",
        listener_connection_limit = "listenerConnectionLimit",
        global_downstream_connection_limit = "globalDownstreamConnectionLimit",
    }
    let edge = *profile == ConnectionProfile::Edge;
    let time = |time: Option<crate::api::jsonpb::Duration>, name, report: &mut ObjectReport<'_>| {
        time.and_then(|time| positive(time, &path.field(name), report))
    };
    let hour = std::time::Duration::from_secs(3600);
    let minute = std::time::Duration::from_secs(60);
    proxy.connections = ConnectionSettings {
        idle_timeout: time(*http_idle_timeout, "httpIdleTimeout", report).or(edge.then_some(hour)),
        head_timeout: time(
            *http_request_headers_timeout,
            "httpRequestHeadersTimeout",
            report,
        )
        .or(edge.then_some(minute)),
        stream_idle_timeout: time(*http_stream_idle_timeout, "httpStreamIdleTimeout", report)
            .or(edge.then_some(5 * minute)),
        // Envoy's limits, and its advice for a proxy at the edge.
        max_streams: number(
            *http_max_concurrent_streams,
            1,
            &path.field("httpMaxConcurrentStreams"),
            report,
        )
        .or(edge.then_some(100)),
        stream_window: number(
            *http2_initial_stream_window_size,
            SMALLEST_WINDOW,
            &path.field("http2InitialStreamWindowSize"),
            report,
        )
        .or(edge.then_some(64 * 1024)),
        connection_window: number(
            *http2_initial_connection_window_size,
            SMALLEST_WINDOW,
            &path.field("http2InitialConnectionWindowSize"),
            report,
        )
        .or(edge.then_some(1024 * 1024)),
        underscores: match http_headers_with_underscores_action {
            UnderscoreAction::Unspecified if edge => Underscores::Reject,
            UnderscoreAction::Unspecified | UnderscoreAction::Allow => Underscores::Allow,
            UnderscoreAction::RejectRequest => Underscores::Reject,
            UnderscoreAction::DropHeader => Underscores::Drop,
        },
        escaped_slashes: match http_path_with_escaped_slashes_action {
            EscapedSlashAction::Unspecified if edge => EscapedSlashes::Redirect,
            EscapedSlashAction::Unspecified | EscapedSlashAction::KeepUnchanged => {
                EscapedSlashes::Keep
            }
            EscapedSlashAction::RejectRequest => EscapedSlashes::Reject,
            EscapedSlashAction::UnescapeAndRedirect => EscapedSlashes::Redirect,
            EscapedSlashAction::UnescapeAndForward => EscapedSlashes::Decode,
        },
    };
    let merge = http_merge_slashes.unwrap_or(edge);
    if merge && proxy.path_normalization == PathNormalization::Base {
        proxy.path_normalization = PathNormalization::MergeSlashes;
    }
}

/// A number that may not be smaller than `least`.
fn number(
    value: Option<i32>,
    least: i32,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<u32> {
    let value = value?;
    if value < least {
        let message = format!("{value} is below {least}; the default stays in force.");
        report.add(codes::SCHEMA, Level::Error, path, message, "");
        return None;
    }
    u32::try_from(value).ok()
}
