//! PeerAuthentication: its rules (reference: Istio §1.6). It says nothing to a gateway's clients.

use crate::api::istio::PeerAuthentication;
use crate::codes;
use crate::finding::Level;
use crate::resources::Object;
use crate::translate::field_path::FieldPath;
use crate::translate::report::Report;
use crate::translate::security::Judge;

/// Judges a policy.
pub(super) fn judge(object: &Object<PeerAuthentication>, report: &mut Report) {
    let PeerAuthentication {
        selector,
        mtls: _,
        port_level_mtls,
    } = &object.body;
    let key = &object.meta.key;
    let mut report = report.on("PeerAuthentication", key);
    let mut judge = Judge::new(&mut report, key);
    let spec = FieldPath::root("spec");
    if let Some(selector) = selector {
        super::judge_selector(&selector.match_labels, &spec.field("selector"), &mut judge);
    }
    if let Some(ports) = port_level_mtls {
        let path = spec.field("portLevelMtls");
        let selects = selector
            .as_ref()
            .is_some_and(|s| !s.match_labels.is_empty());
        if !selects {
            let message = "ports can be named only with a selector";
            judge.wrong(&path, message, "Add `selector.matchLabels`.");
        }
        if ports.is_empty() {
            judge.wrong(&path, "the map names no port", "Remove it.");
        }
        for port in ports.keys() {
            if !port.parse::<u16>().is_ok_and(|port| port > 0) {
                let message = format!("`{port}` is no port");
                judge.wrong(&path.field(port), &message, "Write 1 to 65535.");
            }
        }
    }
    report.add(
        codes::NOT_ENFORCED,
        Level::Info,
        &spec,
        "its rules are NOT enforced, and need not be: it is for sidecars. A gateway's clients are \
         asked for certificates by `tls` of its Gateway.",
        "For client certificates, write `tls.mode: MUTUAL` in a Gateway's server.",
    );
}
