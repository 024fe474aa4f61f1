//! The MeshConfig: read from a document of its own or from the ConfigMap `istio`, and turned into
//! settings of the proxy and defaults for everything else.
//!
//! What the command line says explicitly wins over it (docs/reference/MeshConfig.md).

mod proxy_config;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::api::istio::MeshConfig;
use crate::api::istio::mesh_config::{
    AccessLogEncoding, DefaultTrafficPolicy, ExtensionProvider, H2UpgradePolicy, MeshTls,
    NormalizationType, PathNormalization as ApiNormalization,
};
use crate::api::istio::traffic_policy::{ConnectionPool, LocalityBalancing, OutlierDetection};
use crate::codes;
use crate::finding::Level;
use crate::model::{PathNormalization, Proxy, Retry, TlsParameters};
use crate::reference::support;
use crate::resources::{ObjectKey, Resources};
use crate::source::yaml::{self, Dialect, Limits};
use crate::translate::Settings;
use crate::translate::field_path::FieldPath;
use crate::translate::report::{ObjectReport, Report};
use crate::translate::server_tls::parameters;
use crate::translate::virtual_service::retry;
use crate::translate::visibility::Visibility;

/// The ConfigMap in which Istio keeps its mesh settings, and the key in it.
pub(crate) const CONFIG_MAP: (&str, &str) = ("istio", "mesh");

/// What a MeshConfig says where other objects say nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MeshDefaults {
    /// `defaultVirtualServiceExportTo`; empty: everyone.
    pub virtual_service_export_to: Vec<String>,
    /// `defaultDestinationRuleExportTo`; empty: everyone.
    pub destination_rule_export_to: Vec<String>,
    /// `defaultServiceExportTo`, for ServiceEntries; empty: everyone.
    pub service_export_to: Vec<String>,
    /// `defaultHttpRetryPolicy`; none: Istio's own.
    pub retry: Option<DefaultRetry>,
    /// `connectTimeout`; none: Istio's own.
    pub connect_timeout: Option<Duration>,
    /// `h2UpgradePolicy`: endpoints of HTTP ports are spoken to in HTTP/2.
    pub upgrade_to_http2: bool,
    /// `defaultTrafficPolicy.connectionPool`.
    pub connection_pool: Option<ConnectionPool>,
    /// `defaultTrafficPolicy.outlierDetection`.
    pub outlier_detection: Option<OutlierDetection>,
    /// `localityLbSetting`.
    pub locality: Option<LocalityBalancing>,
    /// `tlsDefaults`: versions and algorithms of servers that say nothing of them.
    pub tls: TlsParameters,
    /// `tlsDefaults`: algorithms towards endpoints.
    pub endpoint_tls: TlsParameters,
    /// `extensionProviders`, as Telemetries name them.
    pub providers: Vec<ExtensionProvider>,
    /// `defaultProviders.accessLogging`.
    pub log_providers: Vec<String>,
    /// `defaultProviders.metrics`.
    pub metric_providers: Vec<String>,
    /// Where the mesh itself has access logs written to.
    pub access_log: Option<MeshLog>,
}

/// Retries of routes that say nothing of them.
#[derive(Clone, Debug, PartialEq)]
pub enum DefaultRetry {
    /// `attempts: 0`.
    Never,
    /// These.
    Policy(Arc<Retry>),
}

/// `accessLogFile` and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshLog {
    /// The file.
    pub file: String,
    /// `accessLogFormat`; empty: Istio's.
    pub format: String,
    /// `accessLogEncoding` is JSON.
    pub json: bool,
}

/// Reads the MeshConfig: the settings with its values in them, and the proxy's.
pub(crate) fn read(
    resources: &Resources,
    settings: &Settings,
    report: &mut Report,
) -> (Settings, Proxy) {
    let mut settings = settings.clone();
    let mut proxy = Proxy::default();
    let mut documents = resources.mesh_configs.values();
    let document = documents.next();
    for other in documents {
        let message = "another MeshConfig is in force, so this one is not.";
        let mut report = report.on("MeshConfig", &other.meta.key);
        let path = FieldPath::root("kind");
        report.add(
            codes::DUPLICATE_OBJECT,
            Level::Error,
            &path,
            message,
            "Keep one of them.",
        );
    }
    let key = ObjectKey::new(settings.root_namespace.clone(), CONFIG_MAP.0);
    let map = resources.config_maps.get(&key);
    let text = map.and_then(|map| map.body.data.as_ref()?.get(CONFIG_MAP.1));
    if let Some(document) = document {
        let mut report = report.on("MeshConfig", &document.meta.key);
        let path = FieldPath::root("spec");
        apply(
            &document.body,
            &path,
            &mut settings,
            &mut proxy,
            &mut report,
        );
    }
    if let Some(text) = text {
        let mut report = report.on("ConfigMap", &key);
        let data = FieldPath::root("data");
        let path = data.field(CONFIG_MAP.1);
        if document.is_some() {
            let message = "a document of `kind: MeshConfig` is in force, so this one is not.";
            report.add(codes::NO_EFFECT, Level::Info, &path, message, "");
        } else if let Some(mesh) = decode(text, &path, &mut report) {
            apply(&mesh, &path, &mut settings, &mut proxy, &mut report);
        }
    }
    (settings, proxy)
}

/// Reads the text of the ConfigMap's key.
fn decode(text: &str, path: &FieldPath<'_>, report: &mut ObjectReport<'_>) -> Option<MeshConfig> {
    let chunk = yaml::chunks(text).into_iter().next()?;
    let mut parsed = yaml::parse(chunk, &Limits::default());
    let wrong = |report: &mut ObjectReport<'_>, line: u32, message: &str, hint: &str| {
        let message = format!(
            "line {line} of the text: {message}; the mesh settings in it are not in force."
        );
        report.add(codes::SCHEMA, Level::Error, path, message, hint);
    };
    if let Some(error) = parsed.error {
        wrong(report, error.mark.line, &error.message, &error.hint);
        return None;
    }
    let document = match parsed.documents.len() {
        0 => return None,
        _ => parsed.documents.swap_remove(0),
    };
    if let Some(repeated) = document.repeated.first() {
        let message = format!("`{}` is written twice", repeated.path);
        wrong(report, repeated.mark.line, &message, "Remove one of them.");
        return None;
    }
    let decoded = yaml::decode::<MeshConfig>(&document.root, "", Dialect::Protobuf);
    for unknown in decoded.unknown {
        let hint = unknown
            .nearest
            .map(|near| format!("Did you mean `{near}`?"));
        let message = format!(
            "line {} of the text: unknown field `{}`; it has no effect",
            unknown.mark.line, unknown.path
        );
        report.add(
            codes::UNKNOWN_FIELD,
            Level::Warning,
            path,
            message,
            hint.unwrap_or_default(),
        );
    }
    match decoded.value {
        Ok(mesh) => Some(mesh),
        Err(error) => {
            let message = format!("`{}`: {}", error.path, error.message);
            wrong(report, error.mark.line, &message, &error.hint);
            None
        }
    }
}

/// Reports fields that are set and act nowhere here, each with the reason that the reference gives.
macro_rules! without_effect {
    ($report:expr, $path:expr, $message:literal: $($field:ident = $name:literal,)*) => {
        $(if !crate::api::jsonpb::is_default($field) {
            crate::translate::mesh::report_unused($report, $path, $message, $name);
        })*
    };
}
use without_effect;

pub(crate) fn report_unused(
    report: &mut ObjectReport<'_>,
    path: &FieldPath<'_>,
    message: &'static str,
    name: &'static str,
) {
    let (code, level, text) = match support::of(message, name) {
        Some(support::Support::NotYet(reason)) => (
            codes::NOT_SUPPORTED,
            Level::Warning,
            format!("{name} is not supported yet: {reason}."),
        ),
        support => {
            let reason = support.and_then(|support| support.reason());
            let reason = reason.unwrap_or("no gateway reads it");
            let text = format!("{name} has no effect here: {reason}.");
            (codes::NO_EFFECT, Level::Info, text)
        }
    };
    report.add(code, level, &path.field(name), text, "");
}

fn apply(
    mesh: &MeshConfig,
    path: &FieldPath<'_>,
    settings: &mut Settings,
    proxy: &mut Proxy,
    report: &mut ObjectReport<'_>,
) {
    let MeshConfig {
        proxy_listen_port,
        proxy_inbound_listen_port,
        proxy_http_port,
        connect_timeout,
        hbone_idle_timeout,
        protocol_detection_timeout,
        tcp_keepalive,
        ingress_class,
        ingress_service,
        ingress_controller_mode,
        ingress_selector,
        enable_tracing: _,
        access_log_file,
        access_log_format,
        access_log_encoding,
        enable_envoy_access_log_service,
        disable_envoy_listener_log,
        default_config,
        outbound_traffic_policy,
        inbound_traffic_policy,
        config_sources,
        enable_auto_mtls: _,
        trust_domain: _,
        trust_domain_aliases,
        ca_certificates,
        default_service_export_to,
        default_virtual_service_export_to,
        default_destination_rule_export_to,
        root_namespace,
        locality_lb_setting,
        zone_aware_lb_setting,
        dns_refresh_rate,
        h2_upgrade_policy,
        inbound_cluster_stat_name,
        outbound_cluster_stat_name,
        certificates,
        service_settings,
        service_scope_configs,
        enable_prometheus_merge: _,
        verify_certificate_at_client,
        ca,
        extension_providers,
        default_providers,
        discovery_selectors,
        path_normalization,
        default_http_retry_policy,
        mesh_mtls,
        tls_defaults,
        default_traffic_policy,
        service_entry_visibility,
    } = mesh;
    without_effect! { report, path, "MeshConfig":
        proxy_listen_port = "proxyListenPort",
        proxy_inbound_listen_port = "proxyInboundListenPort",
        proxy_http_port = "proxyHttpPort",
        hbone_idle_timeout = "hboneIdleTimeout",
        protocol_detection_timeout = "protocolDetectionTimeout",
        ingress_class = "ingressClass",
        ingress_service = "ingressService",
        ingress_controller_mode = "ingressControllerMode",
        ingress_selector = "ingressSelector",
        enable_envoy_access_log_service = "enableEnvoyAccessLogService",
        outbound_traffic_policy = "outboundTrafficPolicy",
        inbound_traffic_policy = "inboundTrafficPolicy",
        config_sources = "configSources",
        trust_domain_aliases = "trustDomainAliases",
        ca_certificates = "caCertificates",
        zone_aware_lb_setting = "zoneAwareLbSetting",
        dns_refresh_rate = "dnsRefreshRate",
        inbound_cluster_stat_name = "inboundClusterStatName",
        outbound_cluster_stat_name = "outboundClusterStatName",
        certificates = "certificates",
        service_settings = "serviceSettings",
        service_scope_configs = "serviceScopeConfigs",
        verify_certificate_at_client = "verifyCertificateAtClient",
        ca = "ca",
        discovery_selectors = "discoverySelectors",
        mesh_mtls = "meshMTLS",
        service_entry_visibility = "serviceEntryVisibility",
    }
    let defaults = &mut settings.mesh;
    defaults.connect_timeout =
        connect_timeout.and_then(|time| positive(time, &path.field("connectTimeout"), report));
    defaults.locality.clone_from(locality_lb_setting);
    if let Some(DefaultTrafficPolicy {
        connection_pool,
        outlier_detection,
    }) = default_traffic_policy
    {
        defaults.connection_pool.clone_from(connection_pool);
        defaults.outlier_detection.clone_from(outlier_detection);
    }
    if tcp_keepalive.is_some() {
        let pool = defaults.connection_pool.get_or_insert_default();
        let tcp = pool.tcp.get_or_insert_default();
        if tcp.tcp_keepalive.is_none() {
            tcp.tcp_keepalive.clone_from(tcp_keepalive);
        }
    }
    if let Some(retries) = default_http_retry_policy {
        let path = path.field("defaultHttpRetryPolicy");
        defaults.retry = Some(match retry::parse(retries, &path, report) {
            Some(policy) => DefaultRetry::Policy(policy),
            None => DefaultRetry::Never,
        });
    }
    for (list, name, default, allow_none) in [
        (
            default_service_export_to,
            "defaultServiceExportTo",
            &mut defaults.service_export_to,
            true,
        ),
        (
            default_virtual_service_export_to,
            "defaultVirtualServiceExportTo",
            &mut defaults.virtual_service_export_to,
            false,
        ),
        (
            default_destination_rule_export_to,
            "defaultDestinationRuleExportTo",
            &mut defaults.destination_rule_export_to,
            false,
        ),
    ] {
        Visibility::parse(list, "", allow_none, &path.field(name), report);
        default.clone_from(list);
    }
    if !root_namespace.is_empty() {
        settings.root_namespace.clone_from(root_namespace);
    }
    let defaults = &mut settings.mesh;
    defaults.upgrade_to_http2 = *h2_upgrade_policy == H2UpgradePolicy::Upgrade;
    if let Some(tls) = tls_defaults {
        let path = path.field("tlsDefaults");
        judge_tls(tls, &path, report);
        (defaults.tls, defaults.endpoint_tls) = parameters::of_mesh(tls, &path, report);
    }
    if let Some(ApiNormalization { normalization }) = path_normalization {
        proxy.path_normalization = match normalization {
            NormalizationType::None => PathNormalization::None,
            NormalizationType::Default | NormalizationType::Base => PathNormalization::Base,
            NormalizationType::MergeSlashes => PathNormalization::MergeSlashes,
            NormalizationType::DecodeAndMergeSlashes => PathNormalization::DecodeAndMergeSlashes,
        };
    }
    if !access_log_file.is_empty() {
        defaults.access_log = Some(MeshLog {
            file: access_log_file.clone(),
            format: access_log_format.clone(),
            json: *access_log_encoding == AccessLogEncoding::Json,
        });
    } else if !access_log_format.is_empty() {
        let message = "no accessLogFile is named, so the format has no effect unless a Telemetry \
                       asks for the provider `envoy`.";
        let path = path.field("accessLogFormat");
        report.questionable(&path, message, "Add `accessLogFile: /dev/stdout`.");
    }
    proxy.no_listener_log = *disable_envoy_listener_log;
    defaults.providers.clone_from(extension_providers);
    let path_of_providers = path.field("extensionProviders");
    for (i, provider) in extension_providers.iter().enumerate() {
        judge_provider(provider, &path_of_providers.index(i), report);
    }
    if let Some(providers) = default_providers {
        defaults.log_providers.clone_from(&providers.access_logging);
        defaults.metric_providers.clone_from(&providers.metrics);
        if !providers.tracing.is_empty() {
            let path = path.field("defaultProviders");
            report_unused(report, &path, "DefaultProviders", "tracing");
        }
    }
    proxy_config::apply(default_config, &path.field("defaultConfig"), proxy, report);
}

/// A duration that must be more than nothing (Istio: at least 1ms).
fn positive(
    time: crate::api::jsonpb::Duration,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<Duration> {
    if time.as_nanos() < 1_000_000 {
        let message = format!("{time} is shorter than 1ms; the default stays in force.");
        report.add(codes::SCHEMA, Level::Error, path, message, "");
        return None;
    }
    Some(time.to_std())
}

fn judge_tls(tls: &MeshTls, path: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    let MeshTls {
        min_protocol_version: _,
        ecdh_curves,
        cipher_suites,
    } = tls;
    for (name, values) in [("ecdhCurves", ecdh_curves), ("cipherSuites", cipher_suites)] {
        let path = path.field(name);
        for (i, value) in values.iter().enumerate() {
            if value.is_empty() {
                report.questionable(&path.index(i), "an empty name is left out.", "Remove it.");
            } else if values.iter().take(i).any(|before| before == value) {
                let message = format!("`{value}` is named twice.");
                report.questionable(&path.index(i), &message, "Remove one of them.");
            }
        }
    }
}

/// A provider has a name and is of one kind; those that are not served are told when a Telemetry
/// names them.
fn judge_provider(
    provider: &ExtensionProvider,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) {
    if provider.name.is_empty() {
        let message = "the provider has no name, so nothing can use it.";
        report.add(
            codes::SCHEMA,
            Level::Error,
            &path.field("name"),
            message,
            "",
        );
    }
    let kinds = provider.kinds();
    if kinds.len() != 1 {
        let message = format!(
            "a provider is of one kind, and this one is of {}; it is not used.",
            kinds.len()
        );
        report.add(codes::SCHEMA, Level::Error, path, message, "");
    }
}

impl ExtensionProvider {
    /// The kinds that are set: one, if it is right.
    pub(crate) fn kinds(&self) -> Vec<&'static str> {
        let Self {
            name: _,
            envoy_ext_authz_http,
            envoy_ext_authz_grpc,
            zipkin,
            lightstep,
            datadog,
            stackdriver,
            opencensus,
            skywalking,
            opentelemetry,
            prometheus,
            envoy_file_access_log,
            envoy_http_als,
            envoy_tcp_als,
            envoy_otel_als,
            sds,
        } = self;
        [
            ("envoyExtAuthzHttp", !envoy_ext_authz_http.is_null()),
            ("envoyExtAuthzGrpc", !envoy_ext_authz_grpc.is_null()),
            ("zipkin", !zipkin.is_null()),
            ("lightstep", !lightstep.is_null()),
            ("datadog", !datadog.is_null()),
            ("stackdriver", !stackdriver.is_null()),
            ("opencensus", !opencensus.is_null()),
            ("skywalking", !skywalking.is_null()),
            ("opentelemetry", !opentelemetry.is_null()),
            ("prometheus", prometheus.is_some()),
            ("envoyFileAccessLog", envoy_file_access_log.is_some()),
            ("envoyHttpAls", !envoy_http_als.is_null()),
            ("envoyTcpAls", !envoy_tcp_als.is_null()),
            ("envoyOtelAls", !envoy_otel_als.is_null()),
            ("sds", !sds.is_null()),
        ]
        .into_iter()
        .filter_map(|(kind, is_set)| is_set.then_some(kind))
        .collect()
    }
}
