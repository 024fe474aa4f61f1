//! The labels of this gateway.

use gatehouse_config::Labels;
use gatehouse_config::resources::Resources;

use crate::daemon::settings::Settings;

/// The labels that Gateways and Services select this gateway by: those of its Pod, as they are
/// now; what was named on the command line counts more, what Istio's own has counts less.
pub(super) fn labels(settings: &Settings, resources: &Resources) -> Labels {
    let pod = settings.pod.as_ref();
    let pod = pod.and_then(|pod| resources.pods.get(pod));
    let Some(pod) = pod else {
        return settings.labels.clone();
    };
    let (mut labels, over) = match settings.labels_are_given {
        true => (pod.meta.labels.clone(), &settings.labels),
        false => (settings.labels.clone(), &pod.meta.labels),
    };
    let over = over.iter();
    labels.extend(over.map(|(key, value)| (key.clone(), value.clone())));
    labels
}
