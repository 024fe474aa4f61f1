//! From objects to a model, with the last good version of what is refused.

use std::collections::BTreeSet;
use std::sync::Arc;

use gatehouse_config::finding::Finding;
use gatehouse_config::resources::Resources;
use gatehouse_config::translate::{Settings, Translation};

use super::Control;
use crate::daemon::cluster::InCluster;
use crate::daemon::outdated::Outdated;

impl Control {
    /// Translates; objects that are refused fall back to their last good version.
    pub(super) fn translate(
        &mut self,
        resources: &mut Resources,
        findings: &mut Vec<Finding>,
    ) -> Translation {
        let mut settings = self.translate_settings();
        let newest = resources.clone();
        let mut outdated = Outdated::new(newest.clone(), self.files.contents());
        let mut first = true;
        loop {
            let translation = self.translator.translate(resources, &settings);
            if self.files.want(&translation.model.files) {
                settings.files = self.files.contents();
                outdated.read_again(self.files.contents());
                continue;
            }
            // Findings of the newest versions are what the user has to read; those of a version
            // that stays in force were read before.
            if first {
                let mut fresh = translation.findings.clone();
                self.sources.locate(&newest, &mut fresh);
                findings.extend(fresh);
                first = false;
            }
            let mut again = !translation.refused.is_empty();
            for object in &translation.refused {
                self.last_good.fall_back(resources, object);
            }
            for path in &translation.refused_files {
                let files = Arc::make_mut(&mut settings.files);
                again |= self.last_good_files.prefer(files, path);
            }
            for input in &translation.outdated {
                let objects = (&self.last_good, &mut *resources);
                let files = Arc::make_mut(&mut settings.files);
                again |= outdated.replace(input, objects, (&self.last_good_files, files));
            }
            if !again {
                self.files.want_only(&translation.model.files);
                self.last_good_files.accept(&settings.files);
                return translation;
            }
        }
    }

    fn translate_settings(&mut self) -> Settings {
        Settings {
            labels: self.labels.clone().unwrap_or_default(),
            namespace: self.settings.namespace.clone(),
            load_balancer_class: self.settings.load_balancer_class.clone(),
            service_namespaces: self.settings.service_namespaces(),
            root_namespace: self.settings.namespace.clone(),
            node: self.settings.node.clone(),
            locality: self.settings.locality.clone(),
            ignore_security_policies: self.settings.ignore_security_policies,
            holding_pools: self.holding_pools(),
            accepted_pools: self.last_good.accepted().ip_address_pools.clone(),
            names: self.dns.names(),
            files: self.files.contents(),
            ..Settings::default()
        }
    }

    /// The pools that somebody holds an address of.
    pub(super) fn holding_pools(&self) -> BTreeSet<String> {
        let here = self.allocator.holders().map(|(_, held)| &held.pool);
        let there = self.cluster.iter().flat_map(InCluster::pools);
        here.chain(there).cloned().collect()
    }
}
