//! Near and far endpoints: where the daemon and the endpoints stand, and the order that follows.
//!
//! As istiod does it (`pilot/pkg/networking/core/loadbalancer`): the result is groups of endpoints,
//! each with a priority and perhaps a share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::labels::Labels;
use crate::model::LocalityGroup;
use crate::resources::{ObjectKey, Resources};
use crate::translate::Settings;
use crate::translate::destination_rule::LocalitySetting;
use crate::translate::registry::Backend;

/// Istio's label for a locality; `.` may stand for `/`, which labels cannot hold.
pub(crate) const LABEL: &str = "istio-locality";

const REGION: &str = "topology.kubernetes.io/region";
const ZONE: &str = "topology.kubernetes.io/zone";
const SUBZONE: &str = "topology.istio.io/subzone";

/// Where something stands; empty parts are not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Locality {
    pub(crate) region: String,
    pub(crate) zone: String,
    pub(crate) subzone: String,
}

impl Locality {
    /// Reads `region/zone/subzone`; none for the empty text.
    pub(crate) fn parse(text: &str) -> Option<Arc<Self>> {
        let mut parts = text.splitn(3, '/').map(str::to_owned);
        let locality = Self {
            region: parts.next().unwrap_or_default(),
            zone: parts.next().unwrap_or_default(),
            subzone: parts.next().unwrap_or_default(),
        };
        (!text.is_empty()).then(|| Arc::new(locality))
    }

    /// What labels say: Istio's own, else those of a Node.
    pub(crate) fn of_labels(labels: &Labels) -> Option<Arc<Self>> {
        if let Some(text) = labels.get(LABEL) {
            let text = if text.contains('/') {
                text.clone()
            } else {
                text.replace('.', "/")
            };
            return Self::parse(&text);
        }
        let part = |key| labels.get(key).cloned().unwrap_or_default();
        let locality = Self {
            region: part(REGION),
            zone: part(ZONE),
            subzone: part(SUBZONE),
        };
        (locality != Self::default()).then(|| Arc::new(locality))
    }

    /// Whether it is one of those that a rule's text means.
    fn is_meant(&self, rule: &str) -> bool {
        let mut parts = rule.splitn(3, '/');
        let region = parts.next().unwrap_or_default();
        let (zone, subzone) = (parts.next(), parts.next());
        let fits = |rule: Option<&str>, own: &str| {
            rule.is_none_or(|rule| rule.is_empty() || rule == "*" || rule == own)
        };
        (region == "*" || region == self.region)
            && fits(zone, &self.zone)
            && fits(subzone, &self.subzone)
    }

    /// 0: the same subzone; 1: the zone; 2: the region; 3: nothing.
    fn distance(&self, other: &Self) -> u32 {
        if self.region != other.region {
            3
        } else if self.zone != other.zone {
            2
        } else if self.subzone != other.subzone {
            1
        } else {
            0
        }
    }
}

/// What the daemon's place makes of the endpoints.
pub(crate) struct Nearness {
    /// None: not known, and no endpoint is near.
    own: Option<Arc<Locality>>,
    labels: Labels,
    mesh: LocalitySetting,
}

impl Nearness {
    /// Where the daemon stands, by its settings, its labels or its Node.
    pub(crate) fn new(resources: &Resources, settings: &Settings) -> Self {
        let node = resources
            .nodes
            .get(&ObjectKey::new("", settings.node.as_str()));
        let own = Locality::parse(&settings.locality)
            .or_else(|| {
                let label = settings.labels.get(LABEL)?;
                Locality::of_labels(&Labels::from([(LABEL.to_owned(), label.clone())]))
            })
            .or_else(|| Locality::of_labels(&node?.meta.labels));
        let mut labels = settings.labels.clone();
        if let Some(own) = &own {
            add_topology(&mut labels, own);
        }
        if !settings.node.is_empty() {
            labels.insert("kubernetes.io/hostname".to_owned(), settings.node.clone());
        }
        let mesh = settings.mesh.locality.as_ref();
        Self {
            own,
            labels,
            mesh: mesh.map(LocalitySetting::of_mesh).unwrap_or_default(),
        }
    }

    /// Orders a cluster's endpoints; no groups where all are alike. `setting` is the rule's own.
    pub(crate) fn group<'b>(
        &self,
        endpoints: Vec<&'b Backend>,
        setting: Option<&LocalitySetting>,
        has_outliers: bool,
    ) -> (Vec<&'b Backend>, Vec<LocalityGroup>) {
        let setting = setting.unwrap_or(&self.mesh);
        if setting.disabled {
            return (endpoints, Vec::new());
        }
        if !setting.distribute.is_empty() {
            return match &self.own {
                Some(own) => distribute(endpoints, own, setting),
                None => (endpoints, Vec::new()),
            };
        }
        if !has_outliers {
            return (endpoints, Vec::new());
        }
        self.prioritize(endpoints, setting)
    }

    fn prioritize<'b>(
        &self,
        endpoints: Vec<&'b Backend>,
        setting: &LocalitySetting,
    ) -> (Vec<&'b Backend>, Vec<LocalityGroup>) {
        let by_labels = !setting.failover_priority.is_empty();
        // With labels alone the localities do not count; with neither, they do.
        let by_locality = !by_labels || !setting.failover.is_empty();
        let nowhere = Locality::default();
        let mut ordered: Vec<(u32, &Locality, &Backend)> = Vec::with_capacity(endpoints.len());
        for backend in endpoints {
            let mut priority = 0;
            if by_labels {
                priority = self.label_distance(backend, &setting.failover_priority);
            }
            let at = backend.locality.as_deref().unwrap_or(&nowhere);
            if let (true, Some(own)) = (by_locality, &self.own) {
                let mut distance = own.distance(at);
                let failover = setting
                    .failover
                    .iter()
                    .find(|(from, _)| *from == own.region);
                if let (3, Some((_, to))) = (distance, failover)
                    && at.region != *to
                {
                    distance = 4;
                }
                priority = priority * 5 + distance;
            }
            ordered.push((priority, at, backend));
        }
        let used: BTreeSet<u32> = ordered.iter().map(|(priority, ..)| *priority).collect();
        if used.len() < 2 {
            return (ordered.into_iter().map(|(.., b)| b).collect(), Vec::new());
        }
        // A rule that says where to fail over has localities weighed, by their endpoints.
        let weighed = !(setting.failover.is_empty() && setting.failover_priority.is_empty());
        if weighed {
            ordered.sort_by_key(|(priority, at, _)| (*priority, *at));
        } else {
            ordered.sort_by_key(|(priority, ..)| *priority);
        }
        let same = |a: &(u32, &Locality, &Backend), b: &(u32, &Locality, &Backend)| {
            a.0 == b.0 && (!weighed || a.1 == b.1)
        };
        let groups = ordered.chunk_by(same).map(|run| LocalityGroup {
            endpoints: count(run.len()),
            priority: count(used.range(..run[0].0).count()),
            weight: weighed.then(|| weight(run.iter().map(|(.., backend)| *backend))),
        });
        let groups = groups.collect();
        (ordered.into_iter().map(|(.., b)| b).collect(), groups)
    }

    /// 0 when every label is the same here and there; else the earlier the first difference,
    /// the further.
    fn label_distance(&self, backend: &Backend, labels: &[String]) -> u32 {
        let mut at = backend.labels.clone();
        if let Some(locality) = &backend.locality {
            add_topology(&mut at, locality);
        }
        let differs = |label: &String| {
            let (label, wanted) = match label.split_once('=') {
                Some((label, value)) => (label, Some(value)),
                None => (label.as_str(), self.labels.get(label).map(String::as_str)),
            };
            wanted.unwrap_or_default() != at.get(label).map_or("", String::as_str)
        };
        let first = labels.iter().position(differs);
        first.map_or(0, |first| count(labels.len() - first))
    }
}

/// Shares by locality; endpoints elsewhere get nothing.
fn distribute<'b>(
    endpoints: Vec<&'b Backend>,
    own: &Locality,
    setting: &LocalitySetting,
) -> (Vec<&'b Backend>, Vec<LocalityGroup>) {
    let Some(rule) = setting.distribute.iter().find(|d| own.is_meant(&d.from)) else {
        return (endpoints, Vec::new());
    };
    let nowhere = Locality::default();
    let mut by_locality: BTreeMap<&Locality, Vec<&Backend>> = BTreeMap::new();
    for backend in endpoints {
        let at = backend.locality.as_deref().unwrap_or(&nowhere);
        by_locality.entry(at).or_default().push(backend);
    }
    let (mut chosen, mut groups) = (Vec::new(), Vec::new());
    for (to, percent) in &rule.to {
        let meant: Vec<&Locality> = by_locality
            .keys()
            .copied()
            .filter(|at| at.is_meant(to))
            .collect();
        let meant: Vec<Vec<&Backend>> = meant
            .into_iter()
            .filter_map(|at| by_locality.remove(at))
            .collect();
        let of_all: u64 = meant
            .iter()
            .map(|list| u64::from(weight(list.iter().copied())))
            .sum();
        for list in meant {
            let share = u64::from(weight(list.iter().copied())) * u64::from(*percent);
            groups.push(LocalityGroup {
                endpoints: count(list.len()),
                priority: 0,
                weight: Some(u32::try_from(share.div_ceil(of_all.max(1))).unwrap_or(u32::MAX)),
            });
            chosen.extend(list);
        }
    }
    (chosen, groups)
}

fn weight<'b>(endpoints: impl Iterator<Item = &'b Backend>) -> u32 {
    endpoints.fold(0, |sum, backend| backend.weight.max(1).saturating_add(sum))
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn add_topology(labels: &mut Labels, locality: &Locality) {
    let parts = [
        (REGION, &locality.region),
        (ZONE, &locality.zone),
        (SUBZONE, &locality.subzone),
    ];
    for (label, value) in parts {
        if !value.is_empty() {
            labels.insert(label.to_owned(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests;
