//! Services without an address in sight, addresses that nobody announces, and nothing behind them.

use std::net::IpAddr;

use crate::check::Configuration;
use crate::codes;
use crate::finding::Level;
use crate::model::{Pool, Service};
use crate::resources::ObjectKey;
use crate::translate::field_path::FieldPath;
use crate::translate::report::{ObjectReport, Report};
use crate::translate::suggest::did_you_mean;

pub(super) fn check(configuration: &Configuration<'_>, report: &mut Report) {
    let model = configuration.model;
    if model.pools.is_empty() && !model.services.is_empty() {
        let refused = !model.refused_pools.is_empty();
        let why = if refused {
            "no IPAddressPool is in force"
        } else {
            "there is no IPAddressPool"
        };
        report.general(
            codes::NO_POOL,
            Level::Error,
            format!(
                "{} an address, but {why}: nothing is dealt.",
                match model.services.len() {
                    1 => "1 Service of type LoadBalancer wants".to_owned(),
                    n => format!("{n} Services of type LoadBalancer want"),
                }
            ),
            if refused {
                "Mend the pool."
            } else {
                "Add an IPAddressPool with unused addresses of the LAN, such as `addresses: [192.168.8.151-192.168.8.198]`."
            },
        );
    }
    for pool in &model.pools {
        announced(configuration, pool, report);
    }
    for service in model.services.iter() {
        let mut report = report.on("Service", &service.key);
        if !model.pools.is_empty() {
            requested(configuration, service, &mut report);
        }
        endpoints(configuration, service, &mut report);
    }
}

/// A pool that no advertisement covers: addresses are given out, and nobody answers for them.
fn announced(configuration: &Configuration<'_>, pool: &Pool, report: &mut Report) {
    let mut advertisements = configuration.model.advertisements.iter();
    if advertisements.any(|advertisement| advertisement.pools.contains(&pool.name)) {
        return;
    }
    let key = pool_key(configuration, pool);
    let spec = FieldPath::root("spec");
    report.on("IPAddressPool", &key).add(
        codes::NOT_ANNOUNCED,
        Level::Warning,
        &spec.field("addresses"),
        "no L2Advertisement covers this pool: its addresses are given out, but nothing will answer ARP for them.",
        format!("Add an L2Advertisement with `ipAddressPools: [{}]`.", pool.name),
    );
}

fn pool_key(configuration: &Configuration<'_>, pool: &Pool) -> ObjectKey {
    let mut keys = configuration.resources.ip_address_pools.keys();
    let key = keys.find(|key| key.name == pool.name);
    key.cloned()
        .unwrap_or_else(|| ObjectKey::new("", pool.name.as_str()))
}

/// A request that no pool can fulfil.
fn requested(configuration: &Configuration<'_>, service: &Service, report: &mut ObjectReport<'_>) {
    let pools = &configuration.model.pools;
    let named = service.request.pool.as_deref();
    if let Some(name) = named
        && !pools.iter().any(|pool| pool.name == name)
    {
        let mut refused = configuration.model.refused_pools.iter();
        let (message, hint) = match refused.any(|pool| pool.name == name) {
            true => (
                format!(
                    "the pool `{name}` is wrong and not in force: the Service keeps what it has \
                     of it, and gets nothing new."
                ),
                "Mend the pool.".to_owned(),
            ),
            false => (
                format!("there is no pool `{name}`: the Service stays pending."),
                did_you_mean(name, pools.iter().map(|pool| pool.name.as_str())),
            ),
        };
        report.add_at(
            codes::REFERENCE,
            Level::Error,
            field(configuration, service, "address-pool"),
            message,
            hint,
        );
    }
    for address in &service.request.addresses {
        let field = field(configuration, service, "loadBalancerIPs");
        match pools.iter().find(|pool| holds(pool, *address)) {
            None => report.add_at(
                codes::OUTSIDE_POOLS,
                Level::Error,
                field,
                match configuration.model.refused_pools.is_empty() {
                    true => format!("it asks for {address}, which is in no pool: it gets no address."),
                    false => format!(
                        "it asks for {address}, which is in no pool that is in force: it gets no \
                         address but one that it has."
                    ),
                },
                format!("The pools have {}.{}", ranges(pools, *address), refused(configuration)),
            ),
            Some(pool) if named.is_some_and(|name| name != pool.name) => report.add_at(
                codes::OUTSIDE_POOLS,
                Level::Error,
                field,
                format!(
                    "it asks for {address} and for the pool `{}`, but the address is in the pool `{}`: it gets no address.",
                    named.unwrap_or_default(),
                    pool.name
                ),
                "Ask for one of the two.",
            ),
            Some(_) => {}
        }
    }
}

/// The end of a hint, where pools are not in force that may have what is asked for.
fn refused(configuration: &Configuration<'_>) -> String {
    let refused = configuration.model.refused_pools.iter();
    let names: Vec<_> = refused.map(|pool| format!("`{}`", pool.name)).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!(" Mend {}, if it is of that pool.", names.join(", ")),
    }
}

/// Where a request stands: the annotation of either prefix, else `spec.loadBalancerIP`.
fn field(configuration: &Configuration<'_>, service: &Service, annotation: &str) -> String {
    let object = configuration.resources.services.get(&service.key);
    let written = ["metallb.io/", "metallb.universe.tf/"]
        .iter()
        .map(|prefix| format!("{prefix}{annotation}"))
        .find(|key| object.is_some_and(|object| object.meta.annotations.contains_key(key)));
    match written {
        Some(key) => {
            let metadata = FieldPath::root("metadata");
            metadata.field("annotations").field(&key).to_string()
        }
        None => FieldPath::root("spec").field("loadBalancerIP").to_string(),
    }
}

fn holds(pool: &Pool, address: IpAddr) -> bool {
    pool.ranges.iter().any(|range| range.contains(address))
}

/// The first ranges of the address's family, for a hint.
fn ranges(pools: &[Pool], address: IpAddr) -> String {
    let all = pools.iter().flat_map(|pool| &pool.ranges);
    let same = all.filter(|range| range.first().is_ipv4() == address.is_ipv4());
    let text: Vec<_> = same
        .take(4)
        .map(|range| format!("{}-{}", range.first(), range.last()))
        .collect();
    if text.is_empty() {
        "no addresses of this family".to_owned()
    } else {
        text.join(", ")
    }
}

/// Ports that nothing is behind.
fn endpoints(configuration: &Configuration<'_>, service: &Service, report: &mut ObjectReport<'_>) {
    if service.is_gateway {
        return;
    }
    let empty: Vec<_> = service
        .ports
        .iter()
        .filter(|port| port.endpoints.is_empty())
        .map(|port| port.port.to_string())
        .collect();
    if empty.is_empty() {
        return;
    }
    let slice = configuration.registry.slice(&service.key);
    let hint = match (slice, service.selector.as_str()) {
        (Some(slice), _) => format!(
            "Look at EndpointSlice {}: its ports must have the names of the Service's ports, and an endpoint must be ready.",
            slice
        ),
        (None, "") => format!(
            "Add an EndpointSlice with the label `kubernetes.io/service-name: {}`.",
            service.key.name
        ),
        (None, selector) => {
            format!("Add an EndpointSlice, or a WorkloadEntry with the labels {selector}.")
        }
    };
    report.add(
        codes::NO_ENDPOINTS,
        Level::Warning,
        &FieldPath::root("spec").field("ports"),
        format!(
            "nothing is behind port {}: it gets an address, but connections there are closed.",
            empty.join(", ")
        ),
        hint,
    );
}
