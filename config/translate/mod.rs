//! From objects as written to the model, with a finding for whatever is wrong.
//!
//! Pure: the same objects and settings give the same model. An object that breaks a rule of its
//! API is refused as a whole and listed, so that its last good version can stay; nothing else is
//! touched by it. Every API struct is taken apart field by field, so that a field which is not
//! honoured cannot be forgotten: it is a finding.

mod advertisement;
pub(crate) mod certificates;
pub(crate) mod clusters;
pub(crate) mod destination_rule;
pub(crate) mod field_path;
pub(crate) mod gateway;
pub(crate) mod hosts;
pub(crate) mod labels;
mod load_balancer;
pub(crate) mod locality;
pub(crate) mod memory;
pub mod mesh;
mod pool;
mod re2;
pub(crate) mod registry;
pub(crate) mod report;
pub(crate) mod scalars;
mod security;
pub(crate) mod server_tls;
mod source_ranges;
pub(crate) mod suggest;
mod tcp_server;
pub mod telemetry;
mod tls_server;
mod upstream_tls;
mod virtual_hosts;
pub(crate) mod virtual_service;
pub(crate) mod visibility;
mod workload;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use crate::api::metallb::IPAddressPool;
use crate::check;
use crate::files::FileContents;
use crate::finding::Finding;
use crate::labels::Labels;
use crate::model::Model;
use crate::resolved::ResolvedNames;
use crate::resources::{ObjectRef, Objects, Resources};
use certificates::Credentials;
use clusters::Clusters;
use destination_rule::DestinationRules;
pub use load_balancer::deprecated_annotations;
use memory::Memory;
pub use memory::Work;
use registry::Registry;
pub use report::Input;
use report::Report;
use virtual_service::VirtualServices;

/// What the daemon is told about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The labels that Gateways and Services select it by.
    pub labels: Labels,
    /// The namespace that it belongs to.
    pub namespace: String,
    /// The namespaces whose Services of a cluster may select it: there a selector matches Pods of the
    /// Service's own namespace alone. Files say nothing of where the gateway runs, so that any
    /// Service of theirs may.
    pub service_namespaces: Vec<String>,
    /// The `loadBalancerClass` of the Services that are served; none: those without one.
    pub load_balancer_class: Option<String>,
    /// The namespace whose DestinationRules are for everyone (Istio: `rootNamespace`).
    pub root_namespace: String,
    /// The end of a Service's full name: `name.namespace.svc.<this>`.
    pub cluster_domain: String,
    /// The node's name.
    pub node: String,
    /// Hosts that a policy guards which is not enforced are served all the same.
    pub ignore_security_policies: bool,
    /// What the MeshConfig says where other objects say nothing; filled in by [`translate`].
    pub mesh: mesh::MeshDefaults,
    /// Where it stands, `region/zone/subzone`; empty: as the Node object of its name says.
    pub locality: String,
    /// Pools that addresses were dealt from: one of these wins over a pool that overlaps with it,
    /// so that a new mistake takes no address away.
    pub holding_pools: BTreeSet<String>,
    /// Pools as they were accepted last: of two that overlap, the one that was edited since is the
    /// one that is wrong.
    pub accepted_pools: Objects<IPAddressPool>,
    /// What DNS said of the names that an earlier translation wanted.
    pub names: Arc<ResolvedNames>,
    /// What the files hold that an earlier translation wanted.
    pub files: Arc<FileContents>,
    /// The time that certificates are judged at.
    pub now: SystemTime,
    /// Whether this is `gatehouse check`, which is given everything there is: it also tells what
    /// concerns sidecars only, and takes a selector that selects nobody for an error. A daemon
    /// sees no Pods, and other gateways may run beside it.
    pub offline: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let labels = [("istio", "ingressgateway"), ("app", "istio-ingressgateway")];
        Self {
            labels: labels
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            namespace: "istio-system".to_owned(),
            service_namespaces: vec!["istio-system".to_owned()],
            load_balancer_class: None,
            root_namespace: "istio-system".to_owned(),
            cluster_domain: "cluster.local".to_owned(),
            node: String::new(),
            ignore_security_policies: false,
            mesh: mesh::MeshDefaults::default(),
            locality: String::new(),
            holding_pools: BTreeSet::new(),
            accepted_pools: Objects::default(),
            names: Arc::default(),
            files: Arc::default(),
            now: SystemTime::now(),
            offline: false,
        }
    }
}

/// What came of a set of objects.
#[derive(Debug, Default)]
pub struct Translation {
    /// What is in force.
    pub model: Model,
    /// What is wrong or not honoured; positions are still to be filled in.
    pub findings: Vec<Finding>,
    /// Objects that are not in the model because they break a rule of their API.
    pub refused: Vec<ObjectRef>,
    /// Files that hold nothing of use; their last good content is wanted.
    pub refused_files: Vec<String>,
    /// What is in the model, though its last good version would be better if there is one: an
    /// expired certificate.
    pub outdated: Vec<Input>,
}

/// Translates again and again, and does anew only what changed since the last time.
#[derive(Debug, Default)]
pub struct Translator {
    memory: Memory,
}

impl Translator {
    /// Turns objects into the model, and looks at the whole for what no single object shows. The
    /// result is that of [`translate`], whatever was translated before.
    pub fn translate(&mut self, resources: &Resources, settings: &Settings) -> Translation {
        translate_with(&mut self.memory, resources, settings)
    }

    /// What the last translation did anew.
    pub fn work(&self) -> Work {
        self.memory.work
    }
}

/// Turns objects into the model once.
pub fn translate(resources: &Resources, settings: &Settings) -> Translation {
    Translator::default().translate(resources, settings)
}

fn translate_with(memory: &mut Memory, resources: &Resources, settings: &Settings) -> Translation {
    let mut report = Report::default();
    let (settings, mut proxy) = mesh::read(resources, settings, &mut report);
    let settings = &settings;
    telemetry::apply(resources, settings, &mut proxy, &mut report);
    memory.begin(resources, settings);
    proxy.guards = security::guards(resources, settings, &mut report);
    let gateways = gateway::parse_all(resources, settings, &mut report);
    let services = VirtualServices::parse(resources, settings, memory, &mut report);
    let rules = DestinationRules::parse(resources, settings, &mut report);
    let registry = Registry::new(resources, settings, &mut report);

    let Memory {
        lists,
        clusters: known,
        certificates,
        work,
        read,
        ..
    } = memory;
    let mut credentials = Credentials::new(resources, settings, certificates);
    let mut clusters = Clusters::new(&registry, &rules, resources, settings, known);
    let merged = gateway::merge(&gateways, &mut report);
    let servers = merged
        .iter()
        .filter_map(|merged| match merged.protocol {
            gateway::Protocol::Tcp => {
                tcp_server::build(merged, &services, &mut clusters, &mut report)
            }
            gateway::Protocol::Http => Some(virtual_hosts::server(
                merged,
                &services,
                &mut clusters,
                lists,
                work,
            )),
            gateway::Protocol::Tls => tls_server::build(
                merged,
                &services,
                &mut clusters,
                lists,
                work,
                &mut credentials,
                &mut report,
            ),
        })
        .collect();
    let names = clusters.names();
    clusters.secure(&mut credentials, &mut report);
    let Credentials {
        files, look_again, ..
    } = credentials;
    let clusters = known.list();
    registry.report_names(&names, &mut report);
    let pools = pool::pools(resources, settings, &mut report);
    let refused_pools = pool::refused(resources, settings, &pools);
    let model = Model {
        servers,
        clusters,
        services: load_balancer::services(resources, &registry, settings, &mut report).into(),
        gateway_services: load_balancer::gateway_services(resources, &registry, settings),
        advertisements: advertisement::advertisements(
            resources,
            &pools,
            &refused_pools,
            &mut report,
        ),
        pools,
        refused_pools,
        unread_services: resources.unread_services.clone(),
        nodes: advertisement::nodes(resources),
        proxy,
        names,
        files,
        look_again,
    };
    check::check(
        &check::Configuration {
            settings,
            resources,
            gateways: &gateways,
            services: &services,
            rules: &rules,
            registry: &registry,
            model: &model,
        },
        read,
        &mut report,
    );
    drop(services);
    memory.end();
    Translation {
        model,
        findings: report.findings,
        refused: report.refused.into_iter().collect(),
        refused_files: report.refused_files.into_iter().collect(),
        outdated: report.outdated.into_iter().collect(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
