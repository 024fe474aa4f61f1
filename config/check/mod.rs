//! Findings about the whole configuration: what no single object shows.
//!
//! Pure, like the translation whose work it looks at; it changes nothing. Codes are Istio's where
//! its analyzers have one for the same thing.

mod addresses;
mod analysis;
mod destinations;
mod routes;
#[cfg(test)]
mod tests;

pub(crate) use analysis::INJECTOR;

use crate::model::Model;
use crate::resources::Resources;
use crate::source::Kind;
use crate::translate::Settings;
use crate::translate::destination_rule::DestinationRules;
use crate::translate::gateway::Gateway;
use crate::translate::memory::ReadServices;
use crate::translate::registry::Registry;
use crate::translate::report::Report;
use crate::translate::virtual_service::VirtualServices;

/// Everything that the checks look at.
pub(crate) struct Configuration<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) resources: &'a Resources,
    /// The valid ones.
    pub(crate) gateways: &'a [Gateway],
    pub(crate) services: &'a VirtualServices,
    pub(crate) rules: &'a DestinationRules,
    pub(crate) registry: &'a Registry<'a>,
    pub(crate) model: &'a Model,
}

/// Reports everything that the objects show only together.
pub(crate) fn check(
    configuration: &Configuration<'_>,
    read: &mut ReadServices,
    report: &mut Report,
) {
    analysis::check(configuration, read, report);
    routes::check(configuration, report);
    destinations::check(configuration, read, report);
    addresses::check(configuration, report);
    if configuration.settings.offline {
        suppress(configuration.resources, report);
    }
}

/// Takes out what the objects themselves ask not to be told (Istio's annotation). A daemon tells
/// it all the same: nobody should wonder why an object is not in force.
fn suppress(resources: &Resources, report: &mut Report) {
    const SUPPRESS: &str = "galley.istio.io/analyze-suppress";
    report.findings.retain(|finding| {
        let Some(object) = &finding.object else {
            return true;
        };
        let kinds = Kind::ALL.iter().filter(|kind| kind.name() == object.kind);
        let mut metadata = kinds.filter_map(|kind| resources.metadata(*kind, &object.key));
        let codes = metadata.find_map(|metadata| metadata.annotations.get(SUPPRESS));
        !codes.is_some_and(|codes| {
            let mut codes = codes.split(',');
            codes.any(|code| code == "*" || code == finding.code)
        })
    });
}
