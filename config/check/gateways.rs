//! Gateways that no one serves.

use crate::check::Configuration;
use crate::codes;
use crate::finding::Level;
use crate::nearest::nearest;
use crate::translate::field_path::FieldPath;
use crate::translate::labels;
use crate::translate::report::Report;

/// A Gateway whose selector names labels that this daemon does not carry.
pub(super) fn check(configuration: &Configuration<'_>, report: &mut Report) {
    let own = &configuration.settings.labels;
    let unselected = configuration
        .gateways
        .iter()
        .filter(|gateway| !gateway.selected);
    for gateway in unselected {
        let mut wrong = gateway
            .selector
            .iter()
            .filter(|(k, v)| own.get(*k) != Some(v));
        let hint = wrong.find_map(|(key, value)| match own.get(key) {
            Some(have) => {
                nearest(value, [have.as_str()]).map(|have| format!("Did you mean `{key}: {have}`?"))
            }
            None => nearest(key, own.keys().map(String::as_str))
                .map(|key| format!("Did you mean the label `{key}`?")),
        });
        let spec = FieldPath::root("spec");
        report.on("Gateway", &gateway.key).add(
            codes::REFERENCE,
            Level::Warning,
            &spec.field("selector"),
            format!(
                "it selects the labels {}, but this gateway carries {}: its servers do not listen here.",
                labels::display(&gateway.selector),
                labels::display(own)
            ),
            hint.unwrap_or_else(|| {
                format!("If it is meant for gatehouse, select `{}`, or start with --labels.", labels::display(own))
            }),
        );
    }
}
