//! Which hosts there are, and who sees them (Istio: `InitServiceEntryHostMap`).

use std::collections::{BTreeMap, HashMap};

use crate::resources::Resources;
use crate::translate::hosts::is_wildcard;

/// The annotation that limits who sees a Service.
const EXPORT_TO: &str = "networking.istio.io/exportTo";
/// Istio's analyzers know no other domain.
const DOMAIN: &str = "svc.cluster.local";

/// What a host offers.
#[derive(Clone, Debug)]
pub(super) struct Known<'a> {
    /// Its ports.
    pub(super) ports: Vec<u32>,
    /// The labels of a ServiceEntry's workloads.
    pub(super) selector: Option<&'a BTreeMap<String, String>>,
}

/// Every host by name, with the scopes that see it.
pub(super) struct Hosts<'a> {
    by_name: HashMap<String, Vec<(&'a str, usize)>>,
    /// What follows the `*`, the scope, and the host.
    wildcards: Vec<(String, &'a str, usize)>,
    known: Vec<Known<'a>>,
}

impl<'a> Hosts<'a> {
    pub(super) fn new(resources: &'a Resources) -> Self {
        let mut hosts = Self {
            by_name: HashMap::new(),
            wildcards: Vec::new(),
            known: Vec::new(),
        };
        for object in resources.service_entries.values() {
            let namespace = object.meta.key.namespace.as_str();
            let entry = &object.body;
            let index = hosts.add(Known {
                ports: entry.ports.iter().map(|port| port.number).collect(),
                selector: entry.workload_selector.as_ref().map(|s| &s.labels),
            });
            let scopes = scopes(entry.export_to.iter().map(String::as_str), namespace);
            for host in &entry.hosts {
                for scope in &scopes {
                    hosts.see(full_name(host, namespace), scope, index);
                }
            }
        }
        for object in resources.services.values() {
            let namespace = object.meta.key.namespace.as_str();
            let ports = object.body.spec.iter().flat_map(|spec| &spec.ports);
            let numbers = ports
                .flatten()
                .filter_map(|port| u32::try_from(port.port).ok());
            let ports = numbers.collect();
            let index = hosts.add(Known {
                ports,
                selector: None,
            });
            let written = object.meta.annotations.get(EXPORT_TO);
            let written = written.map_or("", String::as_str).split(',').map(str::trim);
            let scopes = scopes(written.filter(|scope| !scope.is_empty()), namespace);
            let name = format!("{}.{namespace}.{DOMAIN}", object.meta.key.name);
            for scope in scopes {
                hosts.see(name.clone(), scope, index);
            }
        }
        hosts
    }

    fn add(&mut self, known: Known<'a>) -> usize {
        self.known.push(known);
        self.known.len() - 1
    }

    fn see(&mut self, name: String, scope: &'a str, index: usize) {
        if let Some(suffix) = name.strip_prefix('*') {
            self.wildcards.push((suffix.to_owned(), scope, index));
        }
        let scopes = self.by_name.entry(name).or_default();
        match scopes.iter_mut().find(|(other, _)| *other == scope) {
            Some((_, before)) => *before = index,
            None => scopes.push((scope, index)),
        }
    }

    /// What an object of `namespace` with this `exportTo` finds under `host`.
    pub(super) fn find(
        &self,
        host: &str,
        namespace: &str,
        export_to: &[String],
    ) -> Option<&Known<'a>> {
        let scopes = self.by_name.get(&full_name(host, namespace));
        let in_scope = |scope: &str| {
            let scopes = scopes?;
            let found = scopes.iter().find(|(other, _)| *other == scope);
            found.map(|(_, index)| *index)
        };
        let own = || match export_to {
            [] => in_scope(namespace),
            some => some.iter().find_map(|scope| match scope.as_str() {
                "." => in_scope(namespace),
                scope => in_scope(scope),
            }),
        };
        let wildcard = || {
            let text = host.strip_prefix('*').unwrap_or(host);
            let mut seen = self.wildcards.iter();
            let found = seen.find(|(suffix, scope, _)| {
                (*scope == "*" || *scope == namespace) && text.ends_with(suffix.as_str())
            });
            found.map(|(_, _, index)| *index)
        };
        let index = in_scope("*").or_else(own).or_else(wildcard)?;
        self.known.get(index)
    }

    /// Whether a wildcard covers any host at all.
    pub(super) fn has_one_below(&self, wildcard: &str) -> bool {
        let suffix = wildcard.strip_prefix('*').unwrap_or(wildcard);
        self.names().any(|name| name.ends_with(suffix))
    }

    /// Every name.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

/// A name without a dot is a Service of `namespace`.
pub(super) fn full_name(host: &str, namespace: &str) -> String {
    if is_wildcard(host) || host.contains('.') {
        host.to_owned()
    } else {
        format!("{host}.{namespace}.{DOMAIN}")
    }
}

/// Namespace and name of the Service that a host means (Istio: `GetResourceNameFromHost`).
pub(super) fn service_name<'h>(host: &'h str, namespace: &'h str) -> (&'h str, &'h str) {
    host.strip_suffix(".svc.cluster.local")
        .and_then(|rest| rest.rsplit_once('.'))
        .filter(|(name, namespace)| !name.is_empty() && !namespace.is_empty())
        .map_or((namespace, host), |(name, namespace)| (namespace, name))
}

/// The namespaces that see an object; `*` alone where all do.
fn scopes<'a>(export_to: impl Iterator<Item = &'a str>, namespace: &'a str) -> Vec<&'a str> {
    let mut scopes = Vec::new();
    for entry in export_to {
        match entry {
            "*" => return vec!["*"],
            "." => scopes.push(namespace),
            other => scopes.push(other),
        }
    }
    if scopes.is_empty() {
        scopes.push("*");
    }
    scopes
}
