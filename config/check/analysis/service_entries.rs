//! ServiceEntries: addresses that a protocol needs (IST0134), and two that do not agree on a
//! port's protocol (IST0177).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Analysis;
use crate::api::istio::service_entry::Resolution;
use crate::codes;
use crate::finding::Level;
use crate::resources::ObjectKey;
use crate::translate::field_path::FieldPath;
use crate::translate::report::Report;

/// Scope, host and port.
type Place<'a> = (&'a str, &'a str, u32);

pub(super) fn check(analysis: &Analysis<'_>, report: &mut Report) {
    addresses(analysis, report);
    if analysis.settings.offline {
        warn_of_addresses(analysis, report);
    }
    protocols(analysis, report);
}

fn addresses(analysis: &Analysis<'_>, report: &mut Report) {
    // A gateway routes TCP by its own ports: only sidecars need the addresses.
    if !analysis.settings.offline || super::mesh::addresses_are_given(analysis) {
        return;
    }
    let spec = FieldPath::root("spec");
    let ports = spec.field("ports");
    for (key, object) in &analysis.resources.service_entries {
        let given = object.meta.status.as_ref().is_some_and(|s| s.has_addresses);
        if given || !object.body.addresses.is_empty() {
            continue;
        }
        let mut report = report.on("ServiceEntry", key);
        for (i, port) in object.body.ports.iter().enumerate() {
            if port.protocol.is_empty() || port.protocol.eq_ignore_ascii_case("TCP") {
                report.add(
                    codes::ADDRESSES_REQUIRED,
                    Level::Warning,
                    &ports.index(i),
                    format!(
                        "port {} carries TCP and the entry has no addresses: sidecars cannot tell its traffic from other traffic to this port.",
                        port.number
                    ),
                    "Add `addresses`; a gateway does not need them.",
                );
            }
        }
    }
}

/// Istio gives addresses by itself unless there is nothing to send to (resolution NONE).
fn warn_of_addresses(analysis: &Analysis<'_>, report: &mut Report) {
    let spec = FieldPath::root("spec");
    let ports = spec.field("ports");
    for (key, object) in &analysis.resources.service_entries {
        let entry = &object.body;
        if entry.resolution != Resolution::None || !entry.addresses.is_empty() {
            continue;
        }
        let mut report = report.on("ServiceEntry", key);
        let written = entry.ports.iter().enumerate();
        for (i, port) in written.filter(|(_, port)| matches!(&*port.protocol, "" | "TCP")) {
            report.add(
                codes::SCHEMA_WARNING,
                Level::Warning,
                &ports.index(i),
                format!("port {} carries TCP, and with resolution NONE nothing gives the entry addresses.", port.number),
                "Add `addresses`; a gateway does not need them.",
            );
        }
    }
}

fn protocols(analysis: &Analysis<'_>, report: &mut Report) {
    let mut index: HashMap<Place<'_>, Vec<(&str, &ObjectKey)>> = HashMap::new();
    for (key, object) in &analysis.resources.service_entries {
        let entry = &object.body;
        let scopes: BTreeSet<&str> = match entry.export_to.as_slice() {
            [] => BTreeSet::from(["*"]),
            some if some.iter().any(|scope| scope == "*") => BTreeSet::from(["*"]),
            some => some
                .iter()
                .map(|scope| match scope.as_str() {
                    "." => key.namespace.as_str(),
                    other => other,
                })
                .collect(),
        };
        for scope in scopes {
            for host in &entry.hosts {
                for port in &entry.ports {
                    let place = (scope, host.as_str(), port.number);
                    let of_place = index.entry(place).or_default();
                    of_place.push((&port.protocol, key));
                }
            }
        }
    }
    let mut found: BTreeMap<&ObjectKey, (Place<'_>, BTreeSet<String>, BTreeSet<&ObjectKey>)> =
        BTreeMap::new();
    let mut places: Vec<_> = index.iter().collect();
    places.sort_unstable_by_key(|(place, _)| **place);
    for (place, own) in places {
        let (scope, host, port) = *place;
        let everyone = match scope {
            "*" => None,
            _ => index.get(&("*", host, port)),
        };
        let all = || own.iter().chain(everyone.into_iter().flatten());
        let protocols: BTreeSet<_> = all().map(|(name, _)| name.to_ascii_uppercase()).collect();
        if protocols.len() < 2 {
            continue;
        }
        let keys: BTreeSet<_> = all().map(|(_, key)| *key).collect();
        for key in &keys {
            let told = (*place, protocols.clone(), keys.clone());
            found.entry(key).or_insert(told);
        }
    }
    for (key, ((_, host, port), protocols, keys)) in found {
        let others: Vec<_> = keys.iter().filter(|other| **other != key).collect();
        let others: Vec<_> = others.iter().map(ToString::to_string).collect();
        let protocols: Vec<_> = protocols.into_iter().collect();
        let whom = match others.as_slice() {
            [] => "it".to_owned(),
            some => format!("it and ServiceEntry {}", some.join(", ")),
        };
        report.on("ServiceEntry", key).add(
            codes::CONFLICTING_PROTOCOLS,
            Level::Warning,
            &FieldPath::root("spec").field("ports"),
            format!(
                "{whom} define `{host}` port {port} with different protocols ({}): the oldest one's is taken.",
                protocols.join(", ")
            ),
            "Give the port one protocol.",
        );
    }
}
