//! Istio's analyzers, on the objects as they are written: the same code, level and object as
//! `istioctl analyze` gives.
//!
//! Unlike the checks beside it, which look at what the gateway serves, these look at all objects,
//! also at refused ones and at those for sidecars. Istio puts in a workload for its own ingress
//! gateway; here that is the daemon itself.

mod annotations;
mod certificates;
mod conditions;
mod deployments;
mod deprecated;
mod destination_rules;
mod destinations;
mod envoy_filters;
mod gateways;
mod hosts;
mod injection;
mod mesh;
mod mesh_hosts;
mod policies;
mod port_names;
mod service_entries;
mod sidecars;
#[cfg(test)]
mod tests;
mod virtual_services;
mod webhooks;
mod workloads;

pub(crate) use injection::INJECTOR;

use crate::check::Configuration;
use crate::resources::Resources;
use crate::translate::Settings;
use crate::translate::memory::ReadServices;
use crate::translate::report::Report;
use hosts::Hosts;
use workloads::Workloads;

/// What all analyzers share.
struct Analysis<'a> {
    resources: &'a Resources,
    settings: &'a Settings,
    hosts: Hosts<'a>,
    workloads: Workloads<'a>,
}

/// Reports what Istio's analyzers find.
pub(super) fn check(
    configuration: &Configuration<'_>,
    read: &mut ReadServices,
    report: &mut Report,
) {
    let Configuration {
        resources,
        settings,
        ..
    } = *configuration;
    let analysis = Analysis {
        resources,
        settings,
        hosts: Hosts::new(resources),
        workloads: Workloads::new(resources, settings),
    };
    virtual_services::check(&analysis, read, report);
    destinations::check(&analysis, read, report);
    gateways::check(&analysis, report);
    destination_rules::check(&analysis, configuration.registry, report);
    service_entries::check(&analysis, report);
    certificates::check(&analysis, report);
    deprecated::check(&analysis, read, report);
    envoy_filters::check(&analysis, report);
    policies::check(&analysis, report);
    conditions::check(&analysis, report);
    if !settings.offline {
        return;
    }
    mesh_hosts::check(&analysis, report);
    annotations::check(&analysis, report);
    deployments::check(&analysis, report);
    injection::check(&analysis, report);
    port_names::check(&analysis, report);
    sidecars::check(&analysis, report);
    webhooks::check(&analysis, report);
}

/// Whether `labels` has every pair of `selector`; an empty selector selects everything.
use crate::translate::labels::is_subset as selects;
