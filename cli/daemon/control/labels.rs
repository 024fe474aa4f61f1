//! The labels of this gateway.

use gatehouse_config::Labels;
use gatehouse_config::codes;
use gatehouse_config::finding::{Finding, Level};
use gatehouse_config::resources::ObjectKey;
use gatehouse_config::source::Gathered;

use super::Control;
use crate::daemon::settings::Settings;

/// What is known of the Pod that this process runs in.
#[derive(Clone, Copy, Debug)]
enum Pod<'a> {
    /// There is none, or nobody tells of it.
    None,
    /// Its labels.
    Labelled(&'a Labels),
    /// Nobody has told of Pods yet.
    NotYet,
    /// All Pods were told, and it is not among them.
    Missing,
}

impl Control {
    /// Finds out the labels that Gateways and Services select this gateway by: those of its Pod, as
    /// they are now; what was named on the command line counts more, what Istio's own has counts
    /// less.
    ///
    /// Gives the reason where they are not known yet: a guess might serve other Gateways than this
    /// one's, public ones on an internal gateway.
    pub(super) fn learn_labels(&mut self, gathered: &Gathered) -> Option<Finding> {
        let settings = &self.settings;
        let pod = settings.pod.as_ref();
        let found = pod.and_then(|pod| gathered.resources.pods.get(pod));
        let seen = match (pod, found) {
            (_, Some(pod)) => Pod::Labelled(&pod.meta.labels),
            (None, None) => Pod::None,
            (Some(_), None) if !settings.kube => Pod::None,
            (Some(_), None) if gathered.knows_pods => Pod::Missing,
            (Some(_), None) => Pod::NotYet,
        };
        let own = (&settings.labels, settings.labels_are_given);
        // Of a Pod that was there its labels stay.
        let is_guess = self.labels.is_none() || self.no_pod.is_some();
        self.no_pod = None;
        match labels(own, seen, self.labels.as_ref()) {
            Some(labels) => {
                if matches!(seen, Pod::Missing) && is_guess && !settings.labels_are_given {
                    self.no_pod = pod.map(missing);
                }
                self.labels = Some(labels);
                None
            }
            None => Some(not_yet(settings, gathered.pods_trouble.as_deref())),
        }
    }
}

/// `own`: those of the command line, or Istio's, and whether they were named; `before`: what was in
/// force last. None: they are not known.
fn labels(
    (own, are_given): (&Labels, bool),
    pod: Pod<'_>,
    before: Option<&Labels>,
) -> Option<Labels> {
    let pod = match pod {
        Pod::Labelled(pod) => pod,
        Pod::None => return Some(own.clone()),
        Pod::NotYet if are_given => return Some(own.clone()),
        Pod::NotYet => return before.cloned(),
        Pod::Missing => return Some(before.unwrap_or(own).clone()),
    };
    let (mut labels, over) = match are_given {
        true => (pod.clone(), own),
        false => (own.clone(), pod),
    };
    let over = over.iter();
    labels.extend(over.map(|(key, value)| (key.clone(), value.clone())));
    Some(labels)
}

fn not_yet(settings: &Settings, trouble: Option<&str>) -> Finding {
    let pod = settings.pod.as_ref();
    let pod = pod.map(ToString::to_string).unwrap_or_default();
    let (level, why) = match trouble {
        Some(why) => (Level::Error, format!("Pods cannot be seen ({why})")),
        None => (
            Level::Warning,
            "the API server has not told of Pods yet".to_owned(),
        ),
    };
    Finding {
        code: codes::LABELS,
        level,
        object: None,
        field: String::new(),
        position: None,
        message: format!(
            "nothing is served yet: the labels of the own Pod {pod} say which Gateways are this one's, and {why}."
        ),
        hint:
            "Allow it to list and watch Pods (deploy/rbac.yaml), or name the labels with --labels."
                .to_owned(),
    }
}

fn missing(pod: &ObjectKey) -> Finding {
    Finding {
        code: codes::LABELS,
        level: Level::Warning,
        object: None,
        field: String::new(),
        position: None,
        message: format!(
            "there is no Pod {pod}, which POD_NAMESPACE and POD_NAME say that this process runs in, so it \
             has the labels of Istio's own gateway."
        ),
        hint: "Set both by the downward API (fieldRef), or name the labels with --labels."
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(labels: &[(&str, &str)]) -> Labels {
        let labels = labels.iter();
        labels
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect()
    }

    #[test]
    fn nobody_else_is_served_before_the_pods_labels_are_known() {
        let istio = set(&[("istio", "ingressgateway")]);
        let pod = set(&[("istio", "internal"), ("app", "internal")]);
        let own = (&istio, false);
        assert_eq!(labels(own, Pod::NotYet, None), None, "no guess");
        assert_eq!(labels(own, Pod::Labelled(&pod), None), Some(pod.clone()));
        // It was known once.
        assert_eq!(labels(own, Pod::NotYet, Some(&pod)), Some(pod.clone()));
        assert_eq!(labels(own, Pod::Missing, Some(&pod)), Some(pod.clone()));
        assert_eq!(labels(own, Pod::Missing, None), Some(istio.clone()));
        assert_eq!(labels(own, Pod::None, None), Some(istio.clone()));
    }

    #[test]
    fn what_was_named_waits_for_nobody_and_counts_more() {
        let named = set(&[("istio", "mine")]);
        let pod = set(&[("istio", "internal"), ("app", "internal")]);
        let own = (&named, true);
        assert_eq!(labels(own, Pod::NotYet, None), Some(named.clone()));
        let both = set(&[("istio", "mine"), ("app", "internal")]);
        assert_eq!(labels(own, Pod::Labelled(&pod), None), Some(both));
    }
}
