//! `trafficPolicy`: its blocks, how they are inherited, and what they come to for one cluster.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::api::istio::destination::PortSelector;
use crate::api::istio::traffic_policy::{
    ClientTls as ApiTls, ConnectionPool as ApiPool, LoadBalancer as ApiBalancer,
    OutlierDetection as ApiOutliers, PortTrafficPolicy, TrafficPolicy,
};
use crate::model::{
    Balancing, Connections, HashPolicy, Http2, Limits, OutlierDetection, ProxyVersion, RetryBudget,
    Tunnel, Warmup,
};
use crate::translate::destination_rule::client_tls::TlsSettings;
use crate::translate::destination_rule::connection_pool::{self, ConnectionPool};
use crate::translate::destination_rule::load_balancer::{self, LoadBalancer};
use crate::translate::destination_rule::locality_setting::LocalitySetting;
use crate::translate::destination_rule::{client_tls, outlier_detection, tunnel};
use crate::translate::field_path::FieldPath;
use crate::translate::report::ObjectReport;
use crate::translate::scalars::port;

/// Istio's default for `connectTimeout`.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A traffic policy with what is written for single ports.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policy {
    blocks: Blocks,
    ports: BTreeMap<u16, PortBlocks>,
}

/// The blocks that are inherited one by one.
#[derive(Clone, Debug, Default)]
struct Blocks {
    of_port: PortBlocks,
    tunnel: Option<Tunnel>,
    proxy_protocol: Option<ProxyVersion>,
    retry_budget: Option<RetryBudget>,
}

/// The blocks that `portLevelSettings` has too, and replaces all together.
#[derive(Clone, Debug, Default)]
struct PortBlocks {
    load_balancer: Option<LoadBalancer>,
    connection_pool: Option<ConnectionPool>,
    outlier_detection: Option<OutlierDetection>,
    /// None within: switched off.
    tls: Option<Option<Arc<TlsSettings>>>,
}

/// What a cluster is to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EffectivePolicy {
    pub(crate) balancing: Balancing,
    pub(crate) hash: Option<HashPolicy>,
    /// None: as the mesh has it.
    pub(crate) locality: Option<LocalitySetting>,
    pub(crate) warmup: Option<Warmup>,
    /// None: as the mesh has it.
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) limits: Limits,
    pub(crate) connections: Connections,
    pub(crate) http2: Http2,
    pub(crate) outlier_detection: Option<OutlierDetection>,
    pub(crate) proxy_protocol: Option<ProxyVersion>,
    /// None: plain text.
    pub(crate) tls: Option<Arc<TlsSettings>>,
    pub(crate) tunnel: Option<Tunnel>,
}

impl Default for EffectivePolicy {
    fn default() -> Self {
        effective(std::iter::empty(), 0)
    }
}

/// What the levels come to for a port, the outer one first.
///
/// Each block replaces the outer one's. What is written for a port replaces all blocks that can be
/// written there, also by nothing; the other blocks are inherited (Istio: `MergeTrafficPolicy`).
pub(super) fn effective<'p>(
    levels: impl Iterator<Item = &'p Policy>,
    port: u16,
) -> EffectivePolicy {
    let mut blocks = Blocks::default();
    for policy in levels {
        let own = policy.blocks.clone();
        blocks.tunnel = own.tunnel.or(blocks.tunnel);
        blocks.proxy_protocol = own.proxy_protocol.or(blocks.proxy_protocol);
        blocks.retry_budget = own.retry_budget.or(blocks.retry_budget);
        match policy.ports.get(&port) {
            Some(for_port) => blocks.of_port = for_port.clone(),
            None => {
                let (own, outer) = (own.of_port, &mut blocks.of_port);
                outer.load_balancer = own.load_balancer.or(outer.load_balancer.take());
                outer.connection_pool = own.connection_pool.or(outer.connection_pool.take());
                outer.outlier_detection = own.outlier_detection.or(outer.outlier_detection.take());
                outer.tls = own.tls.or(outer.tls.take());
            }
        }
    }
    let balancer = blocks.of_port.load_balancer.unwrap_or_default();
    let pool = blocks.of_port.connection_pool.unwrap_or_default();
    EffectivePolicy {
        balancing: balancer.balancing,
        hash: balancer.hash,
        locality: balancer.locality,
        warmup: balancer.warmup,
        connect_timeout: pool.connect_timeout,
        limits: Limits {
            retry_budget: blocks.retry_budget,
            ..pool.limits
        },
        connections: pool.connections,
        http2: pool.http2,
        outlier_detection: blocks.of_port.outlier_detection,
        proxy_protocol: blocks.proxy_protocol,
        tls: blocks.of_port.tls.flatten(),
        tunnel: blocks.tunnel,
    }
}

/// Reads a policy.
pub(crate) fn parse(
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
    let blocks = Blocks {
        of_port: PortBlocks::parse(
            load_balancer.as_ref(),
            connection_pool.as_ref(),
            outlier_detection.as_ref(),
            tls.as_ref(),
            path,
            report,
        ),
        tunnel: tunnel
            .as_ref()
            .map(|settings| tunnel::parse(settings, &path.field("tunnel"), report)),
        proxy_protocol: proxy_protocol.as_ref().map(tunnel::proxy_protocol),
        retry_budget: retry_budget
            .as_ref()
            .map(|budget| tunnel::retry_budget(budget, &path.field("retryBudget"), report)),
    };
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
        let without_port = PortTrafficPolicy {
            port: None,
            ..settings.clone()
        };
        if without_port == PortTrafficPolicy::default() {
            report.invalid(
                &path,
                "nothing is written for the port; the object is not used.",
                "Remove it.",
            );
        }
        let blocks = PortBlocks::parse(
            load_balancer.as_ref(),
            connection_pool.as_ref(),
            outlier_detection.as_ref(),
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

impl PortBlocks {
    fn parse(
        load_balancer: Option<&ApiBalancer>,
        connection_pool: Option<&ApiPool>,
        outliers: Option<&ApiOutliers>,
        tls: Option<&ApiTls>,
        path: &FieldPath<'_>,
        report: &mut ObjectReport<'_>,
    ) -> Self {
        let has_outliers = outliers.is_some();
        Self {
            load_balancer: load_balancer.map(|settings| {
                load_balancer::parse(settings, has_outliers, &path.field("loadBalancer"), report)
            }),
            connection_pool: connection_pool.map(|settings| {
                connection_pool::parse(settings, &path.field("connectionPool"), report)
            }),
            outlier_detection: outliers.map(|settings| {
                outlier_detection::parse(settings, &path.field("outlierDetection"), report)
            }),
            tls: tls.map(|settings| client_tls::parse(settings, &path.field("tls"), report)),
        }
    }
}
