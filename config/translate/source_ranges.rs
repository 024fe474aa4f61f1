//! `spec.loadBalancerSourceRanges`: who may connect to a Service's addresses.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::api::core;
use crate::codes;
use crate::finding::Level;
use crate::resources::Metadata;
use crate::translate::field_path::FieldPath;
use crate::translate::report::ObjectReport;

/// What Kubernetes had before the field; the field counts more.
pub(super) const ANNOTATION: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

/// The networks whose clients are let in; none: all are. An entry that is no network lets nobody
/// in, so that a slip opens no door: a list of such entries alone is closed to everybody.
pub(super) fn source_ranges(
    meta: &Metadata,
    spec: &core::ServiceSpec,
    report: &mut ObjectReport<'_>,
) -> Option<Arc<[IpNet]>> {
    let mut networks = Vec::new();
    let mut read = |text: &str, path: &FieldPath| match network(text) {
        Some(network) => networks.push(network),
        None => report.add(
            codes::SOURCE_RANGE,
            Level::Error,
            path,
            format!(
                "`{text}` is no network: it lets nobody in, and the other entries are in force."
            ),
            "Write a network such as 192.168.8.0/24, or one address as 192.168.8.7/32.",
        ),
    };
    let field = spec.load_balancer_source_ranges.as_deref();
    if let Some(list) = field.filter(|list| !list.is_empty()) {
        let spec = FieldPath::root("spec");
        let path = spec.field("loadBalancerSourceRanges");
        for (index, text) in list.iter().enumerate() {
            read(text.trim(), &path.index(index));
        }
    } else {
        let written = meta.annotations.get(ANNOTATION)?.trim();
        if written.is_empty() {
            return None;
        }
        let metadata = FieldPath::root("metadata");
        let annotations = metadata.field("annotations");
        let path = annotations.field(ANNOTATION);
        for text in written.split(',') {
            read(text.trim(), &path);
        }
    }
    Some(networks.into())
}

/// A network; an IPv4 one may be written as IPv6 does (`::ffff:192.0.2.0/120`), clients never are.
fn network(text: &str) -> Option<IpNet> {
    let network: IpNet = text.parse().ok()?;
    let address = network.addr().to_canonical();
    match (network, address) {
        (IpNet::V6(_), IpAddr::V4(_)) => {
            IpNet::new(address, network.prefix_len().checked_sub(96)?).ok()
        }
        _ => Some(network),
    }
}

#[cfg(test)]
mod tests {
    use crate::translate::tests::{findings, translated};

    fn read(spec: &str, annotation: &str) -> (Option<Vec<String>>, Vec<String>) {
        let translation = translated(&format!(
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: shop\n  annotations: {{{annotation}}}\n\
             spec:\n  type: LoadBalancer\n  ports: [{{port: 80}}]\n{spec}"
        ));
        let sources = translation.model.services[0].sources.as_ref();
        let sources = sources.map(|list| list.iter().map(ToString::to_string).collect());
        let all = findings(&translation).into_iter();
        let ours = all.filter(|finding| finding.contains("network"));
        (sources, ours.collect())
    }

    #[test]
    fn the_field_counts_more_than_the_annotation() {
        let annotation =
            "service.beta.kubernetes.io/load-balancer-source-ranges: '10.0.0.0/8, 10.9.0.0/16'";
        let field = "  loadBalancerSourceRanges: [192.168.8.0/24, ' fd00::/8 ']\n";
        let list = |list: &[&str]| Some(list.iter().map(ToString::to_string).collect());
        assert_eq!(read("", "a: b"), (None, vec![]));
        assert_eq!(
            read("", annotation),
            (list(&["10.0.0.0/8", "10.9.0.0/16"]), vec![])
        );
        assert_eq!(
            read(field, annotation),
            (list(&["192.168.8.0/24", "fd00::/8"]), vec![])
        );
        let empty = "  loadBalancerSourceRanges: []\n";
        assert_eq!(read(empty, "a: b"), (None, vec![]));
        let mapped = "  loadBalancerSourceRanges: ['::ffff:192.0.2.0/120']\n";
        assert_eq!(read(mapped, "a: b"), (list(&["192.0.2.0/24"]), vec![]));
    }

    #[test]
    fn a_slip_opens_no_door() {
        let (sources, findings) = read("  loadBalancerSourceRanges: [192.168.8.7]\n", "a: b");
        assert_eq!(sources, Some(vec![]));
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].contains("GH0109"), "{findings:?}");
        let (sources, findings) = read(
            "  loadBalancerSourceRanges: [10.0.0.0/8, everybody]\n",
            "a: b",
        );
        assert_eq!(sources, Some(vec!["10.0.0.0/8".to_owned()]));
        assert!(findings[0].contains("everybody"), "{findings:?}");
    }
}
