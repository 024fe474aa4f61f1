//! Two VirtualServices of the mesh for one host (IST0109).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Analysis;
use super::hosts::full_name;
use crate::codes;
use crate::finding::Level;
use crate::resources::ObjectKey;
use crate::translate::field_path::FieldPath;
use crate::translate::hosts::overlap;
use crate::translate::report::Report;

pub(super) fn check(analysis: &Analysis<'_>, report: &mut Report) {
    let mut by_scope: HashMap<(&str, String), Vec<&ObjectKey>> = HashMap::new();
    for (key, object) in &analysis.resources.virtual_services {
        let service = &object.body;
        let for_mesh =
            service.gateways.is_empty() || service.gateways.iter().any(|name| name == "mesh");
        if !for_mesh {
            continue;
        }
        let export_to = &service.export_to;
        let scopes: BTreeSet<&str> =
            if export_to.is_empty() || export_to.iter().any(|scope| scope == "*") {
                BTreeSet::from(["*"])
            } else {
                let names = export_to.iter().map(|scope| match scope.as_str() {
                    "." => key.namespace.as_str(),
                    other => other,
                });
                names.collect()
            };
        for scope in scopes {
            for host in &service.hosts {
                let place = (scope, full_name(host, &key.namespace));
                by_scope.entry(place).or_default().push(key);
            }
        }
    }
    let mut found: BTreeMap<&ObjectKey, (String, BTreeSet<&ObjectKey>)> = BTreeMap::new();
    let mut places: Vec<_> = by_scope.iter().collect();
    places.sort_unstable_by_key(|(place, _)| *place);
    let public: Vec<_> = places
        .iter()
        .filter(|((scope, _), _)| *scope == "*")
        .collect();
    for ((scope, host), own) in &places {
        let mut keys = (*own).clone();
        if *scope != "*" {
            // Those that everyone sees may be under a wildcard.
            for ((_, other), others) in &public {
                if overlap(host, other) {
                    keys.extend(others.iter().copied());
                }
            }
        }
        if keys.len() < 2 {
            continue;
        }
        let all: BTreeSet<_> = keys.iter().copied().collect();
        for key in keys {
            found
                .entry(key)
                .or_insert_with(|| (host.clone(), all.clone()));
        }
    }
    for (key, (host, keys)) in found {
        let others: Vec<_> = keys.iter().filter(|other| **other != key).collect();
        let others: Vec<_> = others.iter().map(ToString::to_string).collect();
        let whom = match others.as_slice() {
            [] => "it names".to_owned(),
            some => format!("it and VirtualService {} name", some.join(", ")),
        };
        report.on("VirtualService", key).add(
            codes::MESH_HOST_CONFLICT,
            Level::Error,
            &FieldPath::root("spec").field("hosts"),
            format!("{whom} the host `{host}` for the mesh's sidecars, which take one of them only; at a gateway none of it acts."),
            "Merge them into one.",
        );
    }
}
