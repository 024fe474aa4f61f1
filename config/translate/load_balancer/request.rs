//! Which address a Service asks for, by annotations and in its spec.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::api::core;
use crate::codes;
use crate::finding::Level;
use crate::model::{AddressFamilies, AddressRequest};
use crate::resources::Metadata;
use crate::translate::field_path::FieldPath;
use crate::translate::report::ObjectReport;

/// MetalLB's prefix of annotations, and the deprecated one.
const PREFIX: &str = "metallb.io/";
const OLD_PREFIX: &str = "metallb.universe.tf/";

/// An annotation under MetalLB's prefix, or the deprecated one; the new one wins, even empty.
fn annotation<'m>(meta: &'m Metadata, name: &str) -> Option<(String, &'m str)> {
    [PREFIX, OLD_PREFIX].iter().find_map(|prefix| {
        let key = format!("{prefix}{name}");
        let value = meta.annotations.get(&key)?;
        Some((key, value.as_str()))
    })
}

/// The annotations that ask for an address, without their prefix.
const REQUESTS: [&str; 3] = ["address-pool", "loadBalancerIPs", "allow-shared-ip"];

/// The annotations of a Service that are used under MetalLB's old prefix.
pub fn deprecated_annotations(meta: &Metadata) -> impl Iterator<Item = String> {
    let used = REQUESTS
        .into_iter()
        .filter_map(|name| annotation(meta, name));
    used.map(|(key, _)| key)
        .filter(|key| key.starts_with(OLD_PREFIX))
}

/// Those under the old prefix that do nothing, because the new one is there as well.
fn overridden_annotations(meta: &Metadata) -> impl Iterator<Item = String> {
    let is_there = |key: &String| meta.annotations.contains_key(key);
    let both = REQUESTS.into_iter().filter(move |name| {
        [PREFIX, OLD_PREFIX]
            .iter()
            .all(|prefix| is_there(&format!("{prefix}{name}")))
    });
    both.map(|name| format!("{OLD_PREFIX}{name}"))
}

pub(super) fn request(
    meta: &Metadata,
    spec: &core::ServiceSpec,
    report: &mut ObjectReport<'_>,
) -> AddressRequest {
    let metadata = FieldPath::root("metadata");
    let annotations = metadata.field("annotations");
    let root = FieldPath::root("spec");
    for old in deprecated_annotations(meta) {
        let name = old.trim_start_matches(OLD_PREFIX);
        report.add(
            codes::OLD_ANNOTATION,
            Level::Info,
            &annotations.field(&old),
            format!("the annotation `{old}` is deprecated; it is honoured."),
            format!("Write `{PREFIX}{name}`."),
        );
    }
    for old in overridden_annotations(meta) {
        let name = old.trim_start_matches(OLD_PREFIX);
        report.add(
            codes::OLD_ANNOTATION,
            Level::Info,
            &annotations.field(&old),
            format!("the annotation `{old}` does nothing, for `{PREFIX}{name}` is there as well."),
            "Remove it.",
        );
    }
    for prefix in [PREFIX, OLD_PREFIX] {
        let slip = format!("{prefix}allow-shared");
        if meta.annotations.contains_key(&slip) {
            report.add(
                codes::OLD_ANNOTATION,
                Level::Warning,
                &annotations.field(&slip),
                format!("nothing reads the annotation `{slip}`, so the address is not shared."),
                format!("Did you mean `{PREFIX}allow-shared-ip`?"),
            );
        }
    }
    let pool = annotation(meta, "address-pool").map(|(_, value)| value.trim().to_owned());
    let sharing_key = annotation(meta, "allow-shared-ip").map(|(_, value)| value.to_owned());
    let mut request = AddressRequest {
        families: families(spec),
        addresses: Vec::new(),
        pool: pool.filter(|pool| !pool.is_empty()),
        sharing_key: sharing_key.unwrap_or_default(),
        sctp_ports: sctp_ports(spec),
        invalid: None,
    };
    let wanted = annotation(meta, "loadBalancerIPs").filter(|(_, value)| !value.is_empty());
    let spec_ip = spec.load_balancer_ip.as_deref().filter(|ip| !ip.is_empty());
    let parsed = match (&wanted, spec_ip) {
        (Some((key, _)), Some(_)) => Err((
            annotations.field(key).to_string(),
            format!("both spec.loadBalancerIP and the annotation `{key}` ask for an address"),
        )),
        (Some((key, value)), None) => {
            addresses(value).map_err(|error| (annotations.field(key).to_string(), error))
        }
        (None, Some(ip)) => match address(ip) {
            Ok(address) => Ok(vec![address]),
            Err(error) => Err((root.field("loadBalancerIP").to_string(), error)),
        },
        (None, None) => Ok(Vec::new()),
    };
    let parsed = parsed.and_then(|addresses| match one_cluster_address(spec) {
        false => Ok(addresses),
        true => Err((
            root.field("ipFamilyPolicy").to_string(),
            "ipFamilyPolicy is RequireDualStack, and the Service has one cluster address only"
                .to_owned(),
        )),
    });
    match parsed {
        Ok(addresses) => request.addresses = addresses,
        Err((field, error)) => {
            report.add_at(
                codes::ADDRESS_REQUEST,
                Level::Error,
                field,
                format!("{error}: the Service keeps the address it has, and gets no new one."),
                "Ask for one address of each family at most, in one place.",
            );
            request.invalid = Some(error);
        }
    }
    request
}

/// The ports that [`ports`](super::ports) leaves out because nothing carries them, as far as they are valid.
fn sctp_ports(spec: &core::ServiceSpec) -> BTreeSet<u16> {
    let ports = spec.ports.iter().flatten();
    ports
        .filter(|port| port.protocol.as_deref() == Some("SCTP"))
        .filter_map(|port| u16::try_from(port.port).ok())
        .filter(|number| *number != 0)
        .collect()
}

/// An address; an IPv4 address in the form of IPv6 is IPv4, as in Go.
fn address(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text
        .parse()
        .map_err(|_| format!("`{text}` is not an IP address"))?;
    Ok(address.to_canonical())
}

/// Whether two families are required where the cluster gave an address of one only.
fn one_cluster_address(spec: &core::ServiceSpec) -> bool {
    spec.ip_family_policy.as_deref() == Some("RequireDualStack")
        && cluster_families(spec).len() == 1
}

/// One address, or two of different families.
fn addresses(text: &str) -> Result<Vec<IpAddr>, String> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for part in text.split(',').map(str::trim) {
        let address = address(part)?;
        let mut same = addresses.iter();
        if let Some(other) = same.find(|other| other.is_ipv4() == address.is_ipv4()) {
            return Err(format!("{other} and {address} are of one family"));
        }
        addresses.push(address);
    }
    Ok(addresses)
}

/// The families, from the cluster addresses where a cluster gave some (as MetalLB does), else from
/// `ipFamilies`, else IPv4.
fn families(spec: &core::ServiceSpec) -> AddressFamilies {
    let listed = cluster_families(spec);
    let families = spec.ip_families.iter().flatten();
    let asked: Vec<bool> = families.map(|family| family == "IPv6").collect();
    let primary_v6 = asked.first().or(listed.first()).copied().unwrap_or(false);
    match spec.ip_family_policy.as_deref() {
        Some("RequireDualStack") => return AddressFamilies::RequireDual,
        // A cluster of one family gives such a Service one cluster address. A second address out
        // of a pool of both would lead nowhere; MetalLB adds it and takes it away by turns.
        Some("PreferDualStack") if listed.len() != 1 => {
            return AddressFamilies::PreferDual { primary_v6 };
        }
        _ => {}
    }
    let families = if listed.is_empty() { asked } else { listed };
    match families.as_slice() {
        [first, second, ..] if first != second => AddressFamilies::RequireDual,
        [true, ..] => AddressFamilies::V6,
        _ => AddressFamilies::V4,
    }
}

/// Of each cluster address, whether it is IPv6.
fn cluster_families(spec: &core::ServiceSpec) -> Vec<bool> {
    let of_text = |text: &String| address(text).ok().map(|ip| ip.is_ipv6());
    match &spec.cluster_ips {
        Some(ips) if ips.iter().any(|ip| of_text(ip).is_some()) => {
            ips.iter().filter_map(of_text).collect()
        }
        _ => spec.cluster_ip.iter().filter_map(of_text).collect(),
    }
}

#[cfg(test)]
mod tests {
    use crate::api::core::ServiceSpec;
    use crate::translate::report::Report;

    use super::*;

    fn requested(spec: ServiceSpec, annotations: &[(&str, &str)]) -> (AddressRequest, Vec<String>) {
        let meta = Metadata {
            annotations: annotations
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            ..Metadata::default()
        };
        let mut report = Report::default();
        let request = request(&meta, &spec, &mut report.on("Service", &meta.key));
        let findings = report.findings.iter();
        let findings = findings.map(|finding| format!("{}: {}", finding.field, finding.message));
        (request, findings.collect())
    }

    #[test]
    fn requests_are_read_as_go_reads_addresses() {
        let of_spec = |ip: &str| {
            let spec = ServiceSpec {
                load_balancer_ip: Some(ip.to_owned()),
                ..ServiceSpec::default()
            };
            requested(spec, &[])
        };
        let v4: IpAddr = "192.168.8.155".parse().unwrap();
        assert_eq!(of_spec("::ffff:192.168.8.155").0.addresses, [v4]);
        // That field is no list.
        let (request, findings) = of_spec("192.168.8.155,fd00::5");
        assert!(request.addresses.is_empty() && request.invalid.is_some());
        assert!(findings[0].starts_with("spec.loadBalancerIP: `192.168.8.155,fd00::5` is not"));
        let list = [(
            "metallb.io/loadBalancerIPs",
            "::ffff:192.168.8.155, fd00::5",
        )];
        let (request, findings) = requested(ServiceSpec::default(), &list);
        assert_eq!(request.addresses, [v4, "fd00::5".parse().unwrap()]);
        assert!(findings.is_empty());
    }

    #[test]
    fn two_families_need_two_cluster_addresses_where_there_are_any() {
        let of = |addresses: &[&str]| {
            let addresses = addresses.iter().map(|ip| (*ip).to_owned()).collect();
            let spec = ServiceSpec {
                ip_family_policy: Some("RequireDualStack".to_owned()),
                cluster_ips: Some(addresses),
                ..ServiceSpec::default()
            };
            requested(spec, &[])
        };
        let (request, findings) = of(&["10.96.0.1"]);
        assert!(request.invalid.is_some());
        assert!(findings[0].starts_with("spec.ipFamilyPolicy: ipFamilyPolicy is RequireDualStack"));
        for right in [&["10.96.0.1", "fd00:96::1"][..], &[]] {
            assert_eq!(of(right).0.invalid, None);
        }
    }

    #[test]
    fn a_deprecated_annotation_counts_where_it_is_used() {
        let both = [
            ("metallb.io/address-pool", "new"),
            ("metallb.universe.tf/address-pool", "old"),
            ("metallb.universe.tf/allow-shared-ip", "key"),
        ];
        let (request, findings) = requested(ServiceSpec::default(), &both);
        assert_eq!(request.pool.as_deref(), Some("new"));
        assert_eq!(request.sharing_key, "key");
        assert_eq!(findings.len(), 2);
        assert!(findings[0].ends_with("allow-shared-ip` is deprecated; it is honoured."));
        assert!(findings[1].contains("universe.tf/address-pool` does nothing"));
        let meta = Metadata {
            annotations: both
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into_iter()
                .collect(),
            ..Metadata::default()
        };
        let used: Vec<_> = deprecated_annotations(&meta).collect();
        assert_eq!(used, ["metallb.universe.tf/allow-shared-ip"]);
    }

    #[test]
    fn ports_of_sctp_are_known_though_not_carried() {
        let resources = crate::translate::tests::resources(
            "apiVersion: v1
kind: Service
metadata: {name: a}
spec: {type: LoadBalancer, ports: [{port: 80, protocol: SCTP, name: a}, {port: 80, name: b}]}
",
        );
        let model =
            crate::translate::translate(&resources, &crate::translate::Settings::default()).model;
        assert_eq!(model.services[0].request.sctp_ports, [80].into());
        assert_eq!(model.services[0].ports.len(), 1);
    }

    #[test]
    fn families_follow_the_cluster_addresses() {
        let of = |policy: &str, addresses: &[&str], written: &[&str]| {
            let texts = |list: &[&str]| {
                let list: Vec<String> = list.iter().map(ToString::to_string).collect();
                (!list.is_empty()).then_some(list)
            };
            families(&ServiceSpec {
                ip_family_policy: Some(policy.to_owned()),
                cluster_ips: texts(addresses),
                ip_families: texts(written),
                ..ServiceSpec::default()
            })
        };
        let prefer = |primary_v6| AddressFamilies::PreferDual { primary_v6 };
        let (v4, v6) = ("10.96.0.1", "fd00:96::1");
        assert_eq!(of("PreferDualStack", &[v4, v6], &[]), prefer(false));
        assert_eq!(of("PreferDualStack", &[v6, v4], &[]), prefer(true));
        assert_eq!(of("PreferDualStack", &[], &["IPv6"]), prefer(true));
        // A cluster of one family.
        assert_eq!(of("PreferDualStack", &[v4], &["IPv4"]), AddressFamilies::V4);
        assert_eq!(of("PreferDualStack", &[v6], &["IPv6"]), AddressFamilies::V6);
        assert_eq!(of("SingleStack", &[v6], &["IPv6"]), AddressFamilies::V6);
        assert_eq!(of("", &[v4, v6], &[]), AddressFamilies::RequireDual);
    }
}
