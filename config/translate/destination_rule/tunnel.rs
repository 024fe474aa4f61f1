//! `tunnel`, `proxyProtocol` and `retryBudget`.

use std::net::IpAddr;

use crate::api::istio::traffic_policy::{
    ProxyProtocol, ProxyVersion as ApiVersion, RetryBudget as ApiBudget, Tunnel as Api,
};
use crate::model::{ProxyVersion, RetryBudget, Tunnel};
use crate::translate::field_path::FieldPath;
use crate::translate::hosts;
use crate::translate::report::ObjectReport;
use crate::translate::scalars::{duration, port};

/// Reads a tunnel. It concerns TCP and TLS routes only (Istio).
pub(super) fn parse(settings: &Api, path: &FieldPath<'_>, report: &mut ObjectReport<'_>) -> Tunnel {
    let Api {
        protocol,
        target_host,
        target_port,
    } = settings;
    if !matches!(protocol.as_str(), "" | "CONNECT" | "POST") {
        report.invalid(
            &path.field("protocol"),
            format!("`{protocol}` is neither CONNECT nor POST; the object is not used."),
            "",
        );
    }
    if !hosts::is_ip(target_host)
        && let Some(wrong) = hosts::domain_error(target_host)
    {
        report.invalid(
            &path.field("targetHost"),
            format!("the host `{target_host}` is wrong: {wrong}; the object is not used."),
            hosts::nearest_valid(target_host),
        );
    }
    port(*target_port, &path.field("targetPort"), report);
    let host = match target_host.parse() {
        Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
        _ => target_host.clone(),
    };
    Tunnel {
        target: format!("{host}:{target_port}"),
        post: protocol == "POST",
    }
}

/// Reads the version of the PROXY header.
pub(super) fn proxy_protocol(settings: &ProxyProtocol) -> ProxyVersion {
    let ProxyProtocol { version } = settings;
    match version {
        ApiVersion::V1 => ProxyVersion::V1,
        ApiVersion::V2 => ProxyVersion::V2,
    }
}

/// Reads a retry budget.
pub(super) fn retry_budget(
    settings: &ApiBudget,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> RetryBudget {
    let ApiBudget {
        percent,
        min_retry_concurrency,
        budget_interval,
    } = settings;
    let percent = percent.unwrap_or(20.0);
    if !(0.0..=100.0).contains(&percent) {
        report.invalid(
            &path.field("percent"),
            format!("{percent} is not from 0 to 100; the object is not used."),
            "",
        );
    }
    // Zero is Envoy's default: only requests that are under way count.
    let interval = budget_interval.filter(|interval| interval.as_nanos() != 0);
    RetryBudget {
        percent,
        interval: interval
            .and_then(|interval| duration(interval, &path.field("budgetInterval"), report)),
        minimum: match min_retry_concurrency {
            0 => 3,
            minimum => *minimum,
        },
    }
}
