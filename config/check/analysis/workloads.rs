//! Who runs: the Pods that are written, and the gateway itself.

use std::collections::{BTreeMap, HashMap};

use crate::labels::Labels;
use crate::resources::Resources;
use crate::translate::Settings;

/// A Pod, or the gateway.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workload<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) labels: &'a Labels,
    /// Whether this is the gateway itself.
    pub(super) is_gateway: bool,
}

/// Every workload.
pub(super) struct Workloads<'a> {
    all: Vec<Workload<'a>>,
    by_namespace: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Workloads<'a> {
    pub(super) fn new(resources: &'a Resources, settings: &'a Settings) -> Self {
        let pods = resources.pods.iter().map(|(key, pod)| Workload {
            namespace: &key.namespace,
            name: &key.name,
            labels: &pod.meta.labels,
            is_gateway: false,
        });
        let own = Workload {
            namespace: &settings.namespace,
            name: "gatehouse",
            labels: &settings.labels,
            is_gateway: true,
        };
        let all: Vec<_> = pods.chain([own]).collect();
        let mut by_namespace: HashMap<&str, Vec<usize>> = HashMap::new();
        for (i, workload) in all.iter().enumerate() {
            by_namespace.entry(workload.namespace).or_default().push(i);
        }
        Self { all, by_namespace }
    }

    /// Those of a namespace.
    pub(super) fn of(&self, namespace: &str) -> impl Iterator<Item = &Workload<'a>> {
        let indexes = self.by_namespace.get(namespace).into_iter().flatten();
        indexes.filter_map(|i| self.all.get(*i))
    }

    /// Those that a selector selects, in any namespace.
    pub(super) fn selected(
        &self,
        selector: &BTreeMap<String, String>,
    ) -> impl Iterator<Item = &Workload<'a>> {
        let all = self.all.iter();
        all.filter(move |workload| super::selects(selector, workload.labels))
    }
}
