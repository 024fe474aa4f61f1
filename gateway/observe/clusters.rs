//! What clusters with limits or outlier detection count, under Envoy's names.
//!
//! The counters belong to the clusters, not to the workers; they are read as they are.

use crate::observe::exposition::{Exposition, Kind, SampleLabels};
use crate::snapshot::{Cluster, Snapshot};
use crate::upstream::circuit_breaker::{CircuitBreaker, Resource};
use crate::upstream::outlier_detection::Ejections;

/// Renders the counters of every cluster that has any.
pub fn render(out: &mut Exposition, snapshot: &Snapshot) {
    let breakers: Vec<(SampleLabels, &CircuitBreaker)> = snapshot
        .clusters
        .iter()
        .filter_map(|cluster| Some((labels(cluster), cluster.breaker.as_deref()?)))
        .collect();
    for (name, help, resource) in [
        (
            "envoy_cluster_upstream_cx_overflow",
            "Connections that maxConnections did not allow.",
            Resource::Connection,
        ),
        (
            "envoy_cluster_upstream_rq_pending_overflow",
            "Requests refused because too many wait for a connection.",
            Resource::Pending,
        ),
        (
            "envoy_cluster_upstream_rq_active_overflow",
            "Requests refused because too many are under way.",
            Resource::Request,
        ),
        (
            "envoy_cluster_upstream_rq_retry_overflow",
            "Retries that maxRetries or the retry budget did not allow.",
            Resource::Retry,
        ),
    ] {
        if !breakers.is_empty() {
            out.family(name, help, Kind::Counter);
        }
        for (labels, breaker) in &breakers {
            out.integer(name, labels, breaker.overflows(resource));
        }
    }
    let detectors: Vec<(SampleLabels, Ejections)> = snapshot
        .clusters
        .iter()
        .filter_map(|cluster| Some((labels(cluster), cluster.outliers.as_ref()?.ejections())))
        .collect();
    type Count = fn(&Ejections) -> u64;
    let families: [(&str, &str, Kind, Count); 5] = [
        (
            "envoy_cluster_outlier_detection_ejections_active",
            "Endpoints that are left out now.",
            Kind::Gauge,
            |ejections| ejections.active.into(),
        ),
        (
            "envoy_cluster_outlier_detection_ejections_enforced_consecutive_5xx",
            "Endpoints left out for 5xx in a row.",
            Kind::Counter,
            |ejections| ejections.consecutive_5xx,
        ),
        (
            "envoy_cluster_outlier_detection_ejections_enforced_consecutive_gateway_failure",
            "Endpoints left out for 502, 503 and 504 in a row.",
            Kind::Counter,
            |ejections| ejections.consecutive_gateway_errors,
        ),
        (
            "envoy_cluster_outlier_detection_ejections_enforced_consecutive_local_origin_failure",
            "Endpoints left out for failed connections in a row.",
            Kind::Counter,
            |ejections| ejections.consecutive_local_origin_failures,
        ),
        (
            "envoy_cluster_outlier_detection_ejections_overflow",
            "Endpoints kept because too many are left out already.",
            Kind::Counter,
            |ejections| ejections.overflow,
        ),
    ];
    for (name, help, kind, count) in families {
        if !detectors.is_empty() {
            out.family(name, help, kind);
        }
        for (labels, ejections) in &detectors {
            out.integer(name, labels, count(ejections));
        }
    }
}

fn labels(cluster: &Cluster) -> SampleLabels {
    SampleLabels::new([("cluster_name", &*cluster.name)])
}
