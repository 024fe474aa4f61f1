//! `localityLbSetting` and `zoneAwareLbSetting`: which endpoints are near, and what that means.

use crate::api::istio::traffic_policy::{
    Distribute as ApiDistribute, Failover, LocalityBalancing, ZoneAwareBalancing,
};
use crate::codes;
use crate::finding::Level;
use crate::translate::field_path::FieldPath;
use crate::translate::report::ObjectReport;

/// Labels whose values are the locality itself; `failover` would contradict them.
const TOPOLOGY: [&str; 3] = [
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.istio.io/subzone",
];

/// What is said of near and far endpoints; the default is Istio's for a mesh that says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LocalitySetting {
    pub(crate) disabled: bool,
    pub(crate) distribute: Vec<Distribute>,
    /// Region to region.
    pub(crate) failover: Vec<(String, String)>,
    /// Labels, or `label=value`.
    pub(crate) failover_priority: Vec<String>,
}

/// Shares of the traffic of one locality.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Distribute {
    /// `region/zone/subzone`, perhaps ending in `*`.
    pub(crate) from: String,
    /// Localities and their percentages.
    pub(crate) to: Vec<(String, u32)>,
}

impl LocalitySetting {
    /// The mesh's setting, which is checked where the mesh's configuration is read.
    pub(crate) fn of_mesh(setting: &LocalityBalancing) -> Self {
        let shares = |to: &ApiDistribute| Distribute {
            from: to.from.clone(),
            to: to.to.iter().map(|(k, v)| (k.clone(), *v)).collect(),
        };
        Self {
            disabled: setting.enabled == Some(false),
            distribute: setting.distribute.iter().map(shares).collect(),
            failover: pairs(&setting.failover),
            failover_priority: setting.failover_priority.clone(),
        }
    }
}

/// Reads the setting; `has_outliers` says whether the same policy has outlierDetection.
pub(crate) fn parse(
    setting: &LocalityBalancing,
    has_outliers: bool,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> LocalitySetting {
    let LocalityBalancing {
        distribute,
        failover,
        failover_priority,
        enabled,
    } = setting;
    if !distribute.is_empty() && (!failover.is_empty() || !failover_priority.is_empty()) {
        report.invalid(
            path,
            "distribute and failover exclude each other; the object is not used.",
            "Keep one of them.",
        );
    }
    check_failover(failover, failover_priority, has_outliers, path, report);
    LocalitySetting {
        disabled: *enabled == Some(false),
        distribute: parse_distribute(distribute, &path.field("distribute"), report),
        failover: pairs(failover),
        failover_priority: failover_priority.clone(),
    }
}

/// Reads the newer setting. With one gateway every endpoint gets the same share whatever its
/// zone (Envoy weighs zones against those of the other gateways), so only its failover acts.
pub(crate) fn parse_zone_aware(
    setting: &ZoneAwareBalancing,
    has_outliers: bool,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> LocalitySetting {
    let ZoneAwareBalancing {
        enabled,
        failover,
        failover_priority,
        min_cluster_size: _, // below it zones do not count, and above it they do not either
    } = setting;
    check_failover(failover, failover_priority, has_outliers, path, report);
    if *enabled != Some(false) {
        report.add(
            codes::NOT_SUPPORTED,
            Level::Info,
            path,
            "zones are weighed against those of other gateways: one gateway alone gives all endpoints the same share. failover acts.",
            "Use localityLbSetting to prefer near endpoints.",
        );
    }
    LocalitySetting {
        disabled: *enabled == Some(false),
        distribute: Vec::new(),
        failover: pairs(failover),
        failover_priority: failover_priority.clone(),
    }
}

fn pairs(failover: &[Failover]) -> Vec<(String, String)> {
    let pairs = failover.iter();
    pairs
        .map(|Failover { from, to }| (from.clone(), to.clone()))
        .collect()
}

fn check_failover(
    failover: &[Failover],
    failover_priority: &[String],
    has_outliers: bool,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) {
    if failover.is_empty() && failover_priority.is_empty() {
        return;
    }
    if !has_outliers {
        report.questionable(
            path,
            "without outlierDetection nobody notices that near endpoints fail: failover does not act.",
            "Add outlierDetection beside loadBalancer.",
        );
    }
    let topology = |label: &&String| TOPOLOGY.contains(&label.as_str());
    if let (false, Some(label)) = (failover.is_empty(), failover_priority.iter().find(topology)) {
        report.invalid(
            &path.field("failoverPriority"),
            format!(
                "failover and the label `{label}` both order by locality; the object is not used."
            ),
            "Keep one of them.",
        );
    }
    let list = path.field("failover");
    for (i, Failover { from, to }) in failover.iter().enumerate() {
        let path = list.index(i);
        let wrong = if from == to {
            format!("`{from}` cannot fail over to itself")
        } else if from.contains('/') || to.contains('/') {
            "failover is from region to region, without zones".to_owned()
        } else if from.contains('*') || to.contains('*') {
            "a region may not hold a `*` here".to_owned()
        } else {
            continue;
        };
        report.invalid(&path, format!("{wrong}; the object is not used."), "");
    }
}

fn parse_distribute(
    distribute: &[ApiDistribute],
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Vec<Distribute> {
    let from: Vec<&str> = distribute.iter().map(|d| d.from.as_str()).collect();
    check_localities(&from, path, report);
    let one = |(i, ApiDistribute { from, to }): (usize, &ApiDistribute)| {
        let path = path.index(i);
        let path = path.field("to");
        let mut sum = 0_u32;
        for (locality, weight) in to {
            if !(1..=100).contains(weight) {
                report.invalid(
                    &path.field(locality),
                    format!("{weight} is not from 1 to 100 percent; the object is not used."),
                    "",
                );
            }
            sum = sum.saturating_add(*weight);
        }
        if sum != 100 {
            report.invalid(
                &path,
                format!("the shares come to {sum} percent, not 100; the object is not used."),
                "",
            );
        }
        let to_localities: Vec<&str> = to.keys().map(String::as_str).collect();
        check_localities(&to_localities, &path, report);
        Distribute {
            from: from.clone(),
            to: to.iter().map(|(k, v)| (k.clone(), *v)).collect(),
        }
    };
    distribute.iter().enumerate().map(one).collect()
}

/// Reports localities that are malformed, or that another one of the list covers.
fn check_localities(list: &[&str], path: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    for (i, locality) in list.iter().enumerate() {
        let stars = locality.matches('*').count();
        let wrong = if stars > 1 || (stars == 1 && !locality.ends_with('*')) {
            format!("`{locality}`: a `*` may stand at the end only")
        } else if locality.splitn(3, '/').any(str::is_empty) {
            format!("`{locality}`: region, zone and subzone may not be empty")
        } else if let Some(other) = list
            .iter()
            .enumerate()
            .find(|(j, other)| *j != i && covers(other, locality))
        {
            format!("`{locality}` and `{}` overlap", other.1)
        } else {
            continue;
        };
        report.invalid(path, format!("{wrong}; the object is not used."), "");
        return;
    }
}

/// Whether every locality of `b` is one of `a`: `region` covers `region/zone`, `*` covers all.
fn covers(a: &str, b: &str) -> bool {
    let (mut wide, mut narrow) = (a.splitn(3, '/'), b.splitn(3, '/'));
    loop {
        match (wide.next(), narrow.next()) {
            (None | Some("*"), _) => return true,
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}
