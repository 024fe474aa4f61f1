//! Numbers for label sets: the control thread interns them, workers count by number.
//!
//! A number keeps its meaning for the life of the process, so counters survive a reload.

use std::collections::HashMap;
use std::sync::Arc;

use gatehouse_config::model::{DestinationLabels, WorkloadLabels};

use crate::snapshot::LabelsId;

/// What Istio prints where it knows nothing; Kiali drops series with an absent label.
pub const UNKNOWN: &str = "unknown";

/// The label set of requests that had no destination: 404 NR, 503 NC (every field `unknown`).
pub const UNKNOWN_DESTINATION: LabelsId = LabelsId(0);

/// More sets than this are counted under the service alone, then as unknown: endpoints come and
/// go for as long as the process lives, memory does not.
pub const MAX_LABEL_SETS: usize = 65_536;

/// The destination side of a series. No field is empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LabelSet {
    /// What the service gives.
    pub destination: DestinationLabels,
    /// What the endpoint gives.
    pub workload: WorkloadLabels,
}

impl LabelSet {
    /// The set of a request that reached an endpoint, or (without a workload) only its service.
    ///
    /// Empty fields become `unknown`, an empty revision `latest` (Istio's istio_stats). An
    /// endpoint that does not name its namespace is taken to live in its service's; without any
    /// endpoint the workload's namespace stays `unknown`, as Kiali's first query expects.
    pub fn new(destination: &DestinationLabels, workload: Option<&WorkloadLabels>) -> Self {
        let known = |value: &str| if value.is_empty() { UNKNOWN } else { value }.to_owned();
        let destination = DestinationLabels {
            service: known(&destination.service),
            service_name: known(&destination.service_name),
            service_namespace: known(&destination.service_namespace),
        };
        let workload = match workload {
            Some(workload) => WorkloadLabels {
                workload: known(&workload.workload),
                namespace: match workload.namespace.as_str() {
                    "" => destination.service_namespace.clone(),
                    namespace => namespace.to_owned(),
                },
                app: known(&workload.app),
                version: known(&workload.version),
                canonical_service: known(&workload.canonical_service),
                canonical_revision: match workload.canonical_revision.as_str() {
                    "" => "latest".to_owned(),
                    revision => revision.to_owned(),
                },
            },
            None => WorkloadLabels {
                workload: UNKNOWN.to_owned(),
                namespace: UNKNOWN.to_owned(),
                app: UNKNOWN.to_owned(),
                version: UNKNOWN.to_owned(),
                canonical_service: UNKNOWN.to_owned(),
                canonical_revision: "latest".to_owned(),
            },
        };
        Self {
            destination,
            workload,
        }
    }

    /// Every field `unknown`.
    pub fn unknown() -> Self {
        let empty = DestinationLabels {
            service: String::new(),
            service_name: String::new(),
            service_namespace: String::new(),
        };
        Self::new(&empty, None)
    }
}

/// The sets by number, as they were when it was taken: index with a [`LabelsId`].
#[derive(Clone, Debug)]
pub struct Labels(Arc<Vec<Arc<LabelSet>>>);

impl Labels {
    /// The set of a number; the unknown one for a number given out after this was taken.
    pub fn get(&self, id: LabelsId) -> &LabelSet {
        self.0
            .get(id.index())
            .or_else(|| self.0.first())
            .expect("number 0 is given out by LabelTable::new")
    }

    /// How many sets have a number.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never: number 0 is always there.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Gives numbers to label sets; lives on the control thread, append-only.
#[derive(Debug)]
pub struct LabelTable {
    ids: HashMap<Arc<LabelSet>, LabelsId>,
    sets: Vec<Arc<LabelSet>>,
    shared: Labels,
    refused: u64,
}

impl Default for LabelTable {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for Labels {
    fn default() -> Self {
        LabelTable::new().shared
    }
}

impl LabelTable {
    /// A table with [`UNKNOWN_DESTINATION`] in it.
    pub fn new() -> Self {
        let unknown = Arc::new(LabelSet::unknown());
        let sets = vec![unknown.clone()];
        Self {
            ids: HashMap::from([(unknown, UNKNOWN_DESTINATION)]),
            shared: Labels(Arc::new(sets.clone())),
            sets,
            refused: 0,
        }
    }

    /// The number of a set; the same set always has the same number.
    ///
    /// Without a workload it is the number for requests that reached no endpoint of the service.
    /// Past [`MAX_LABEL_SETS`] a new set gets [`UNKNOWN_DESTINATION`] and is counted in
    /// [`refused`](Self::refused).
    pub fn intern(
        &mut self,
        destination: &DestinationLabels,
        workload: Option<&WorkloadLabels>,
    ) -> LabelsId {
        let set = LabelSet::new(destination, workload);
        if let Some(id) = self.ids.get(&set) {
            return *id;
        }
        let Ok(next) = u32::try_from(self.sets.len()) else {
            return UNKNOWN_DESTINATION;
        };
        if self.sets.len() >= MAX_LABEL_SETS {
            self.refused += 1;
            return UNKNOWN_DESTINATION;
        }
        let set = Arc::new(set);
        self.sets.push(set.clone());
        self.ids.insert(set, LabelsId(next));
        LabelsId(next)
    }

    /// The sets so far, to render with. Copies the list only when it has grown.
    pub fn labels(&mut self) -> Labels {
        if self.shared.len() != self.sets.len() {
            self.shared = Labels(Arc::new(self.sets.clone()));
        }
        self.shared.clone()
    }

    /// How often the limit refused a number.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

/// Who the gateway is: the `source_*` labels, and the cluster of both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `source_workload`.
    pub workload: String,
    /// `source_workload_namespace`.
    pub namespace: String,
    /// `source_canonical_service`.
    pub canonical_service: String,
    /// `source_canonical_revision`.
    pub canonical_revision: String,
    /// `source_app`.
    pub app: String,
    /// `source_version`.
    pub version: String,
    /// `source_cluster` and `destination_cluster`; Kiali ties a node to a cluster by it.
    pub cluster: String,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            workload: "istio-ingressgateway".to_owned(),
            namespace: "istio-system".to_owned(),
            canonical_service: "istio-ingressgateway".to_owned(),
            canonical_revision: "latest".to_owned(),
            app: "istio-ingressgateway".to_owned(),
            version: UNKNOWN.to_owned(),
            cluster: "Kubernetes".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str) -> DestinationLabels {
        DestinationLabels {
            service: format!("{name}.default.svc.cluster.local"),
            service_name: name.to_owned(),
            service_namespace: "default".to_owned(),
        }
    }

    fn workload(name: &str, namespace: &str, revision: &str) -> WorkloadLabels {
        WorkloadLabels {
            workload: name.to_owned(),
            namespace: namespace.to_owned(),
            app: String::new(),
            version: "v1".to_owned(),
            canonical_service: String::new(),
            canonical_revision: revision.to_owned(),
        }
    }

    #[test]
    fn a_set_keeps_its_number() {
        let mut table = LabelTable::new();
        let first = table.intern(&service("a"), None);
        let second = table.intern(&service("a"), Some(&workload("a-v1", "default", "v1")));
        assert_ne!(first, UNKNOWN_DESTINATION);
        assert_ne!(first, second);
        let before = table.labels();
        assert_eq!(table.intern(&service("a"), None), first);
        let third = table.intern(&service("b"), None);
        assert_eq!(table.labels().get(third).destination.service_name, "b");
        assert_eq!(before.get(second).workload.workload, "a-v1");
        // A number from after the copy is not somebody else's.
        assert_eq!(before.get(third).destination.service, UNKNOWN);
    }

    #[test]
    fn no_label_is_empty() {
        let set = LabelSet::new(&service("a"), Some(&workload("", "", "")));
        assert_eq!(set.workload.workload, UNKNOWN);
        assert_eq!(set.workload.app, UNKNOWN);
        assert_eq!(set.workload.canonical_service, UNKNOWN);
        assert_eq!(set.workload.canonical_revision, "latest");
        assert_eq!(set.workload.namespace, "default");
        let unknown = LabelSet::unknown();
        assert_eq!(unknown.destination.service, UNKNOWN);
        assert_eq!(unknown.workload.namespace, UNKNOWN);
    }

    #[test]
    fn the_table_is_bounded() {
        let mut table = LabelTable::new();
        for i in 0..MAX_LABEL_SETS + 10 {
            table.intern(&service(&format!("s{i}")), None);
        }
        assert_eq!(table.labels().len(), MAX_LABEL_SETS);
        assert_eq!(table.refused(), 11);
        assert_eq!(
            table.intern(&service("new"), None),
            UNKNOWN_DESTINATION,
            "a set past the limit is unknown"
        );
    }
}
