//! What the metrics say of the workload behind an endpoint (reference: Kiali's label rules).

use crate::labels::Labels;
use crate::model::WorkloadLabels;

/// What a label is called that is not known.
const UNKNOWN: &str = "unknown";
/// The revision of a workload that names no version.
const LATEST: &str = "latest";

/// The labels of a workload; an empty name is not known.
pub(crate) fn describe(name: &str, namespace: &str, labels: &Labels) -> WorkloadLabels {
    let first = |keys: &[&str]| {
        let mut found = keys.iter().filter_map(|key| labels.get(*key));
        found.find(|value| !value.is_empty()).map(String::as_str)
    };
    let app = first(&["app", "app.kubernetes.io/name"]);
    let version = first(&["version", "app.kubernetes.io/version"]);
    let base = app.or((!name.is_empty()).then_some(name));
    let workload = match (name, app, version) {
        ("", Some(app), Some(version)) => format!("{app}-{version}"),
        ("", _, _) => base.unwrap_or(UNKNOWN).to_owned(),
        (name, _, _) => name.to_owned(),
    };
    WorkloadLabels {
        canonical_service: first(&[
            "service.istio.io/canonical-name",
            "app.kubernetes.io/name",
            "app",
        ])
        .unwrap_or(&workload)
        .to_owned(),
        canonical_revision: first(&[
            "service.istio.io/canonical-revision",
            "app.kubernetes.io/version",
            "version",
        ])
        .unwrap_or(LATEST)
        .to_owned(),
        app: app.unwrap_or(UNKNOWN).to_owned(),
        version: version.unwrap_or(UNKNOWN).to_owned(),
        namespace: namespace.to_owned(),
        workload,
    }
}

/// The workload that a Pod's name tells: `reviews-v1-6f8d9c7b5-x2x9z` is of `reviews-v1`.
pub(crate) fn of_pod(pod: &str) -> &str {
    let Some((owner, suffix)) = pod.rsplit_once('-') else {
        return pod;
    };
    if !suffix.is_empty() && suffix.bytes().all(|b| b.is_ascii_digit()) {
        return owner; // a StatefulSet's ordinal
    }
    // Kubernetes draws random names from letters and digits that spell no words.
    let is_random = |text: &str| {
        text.bytes()
            .all(|b| b"bcdfghjklmnpqrstvwxz2456789".contains(&b))
    };
    if suffix.len() != 5 || !is_random(suffix) {
        return pod;
    }
    match owner.rsplit_once('-') {
        Some((workload, hash)) if (8..=10).contains(&hash.len()) && is_random(hash) => workload,
        _ => owner, // a DaemonSet or Job
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pods_name_tells_its_workload() {
        for (pod, workload) in [
            ("reviews-v1-6f8d9c7b5-x2x9z", "reviews-v1"),
            ("kiali-7d4b8c6f9-bdfgh", "kiali"),
            ("db-0", "db"),
            ("agent-x2x9z", "agent"),
            ("plain", "plain"),
            ("plain-pod", "plain-pod"),
        ] {
            assert_eq!(of_pod(pod), workload, "{pod}");
        }
    }

    #[test]
    fn labels_fill_in_what_the_name_does_not_say() {
        let labels = Labels::from([
            ("app".to_owned(), "reviews".to_owned()),
            ("version".to_owned(), "v2".to_owned()),
        ]);
        let described = describe("", "default", &labels);
        assert_eq!(described.workload, "reviews-v2");
        assert_eq!(described.canonical_service, "reviews");
        assert_eq!(described.canonical_revision, "v2");
        let bare = describe("", "default", &Labels::default());
        assert_eq!(bare.workload, "unknown");
        assert_eq!(bare.canonical_revision, "latest");
    }
}
