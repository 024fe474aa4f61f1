//! Which endpoints are near, in which order they are used, and with which shares.

use std::net::SocketAddr;

use super::*;
use crate::model::WorkloadLabels;
use crate::translate::destination_rule::LocalitySetting;

fn backend(last: u8, locality: &str, labels: &[(&str, &str)]) -> Backend {
    let labels = labels.iter().map(|(k, v)| (k.to_string(), v.to_string()));
    let name = String::new;
    Backend {
        address: SocketAddr::from(([10, 0, 0, last], 80)).into(),
        weight: 1,
        labels: labels.collect(),
        workload: Arc::new(WorkloadLabels {
            workload: name(),
            namespace: name(),
            app: name(),
            version: name(),
            canonical_service: name(),
            canonical_revision: name(),
        }),
        locality: Locality::parse(locality),
    }
}

fn at(own: &str) -> Nearness {
    let settings = Settings {
        locality: own.to_owned(),
        labels: Labels::from([("rack".to_owned(), "r1".to_owned())]),
        ..Settings::default()
    };
    Nearness::new(&Resources::default(), &settings)
}

/// Last address bytes by group, with priority and weight.
fn groups(
    nearness: &Nearness,
    backends: &[Backend],
    setting: Option<&LocalitySetting>,
    has_outliers: bool,
) -> Vec<(Vec<u8>, u32, Option<u32>)> {
    let (ordered, groups) = nearness.group(backends.iter().collect(), setting, has_outliers);
    let mut addresses = ordered.iter().map(|backend| match backend.address.inet() {
        Some(SocketAddr::V4(v4)) => v4.ip().octets()[3],
        _ => 0,
    });
    if groups.is_empty() {
        return vec![(addresses.collect(), 0, None)];
    }
    groups
        .iter()
        .map(|group| {
            let own = addresses.by_ref().take(group.endpoints as usize);
            (own.collect(), group.priority, group.weight)
        })
        .collect()
}

fn spread() -> Vec<Backend> {
    vec![
        backend(1, "eu/b/1", &[]),
        backend(2, "us/a/1", &[]),
        backend(3, "eu/a/1", &[("rack", "r1")]),
        backend(4, "eu/a/2", &[]),
        backend(5, "", &[]),
        backend(6, "eu/a/1", &[]),
        backend(7, "asia/a/1", &[]),
    ]
}

#[test]
fn near_endpoints_come_first_once_somebody_notices_failures() {
    let nearness = at("eu/a/1");
    let all = vec![(vec![1, 2, 3, 4, 5, 6, 7], 0, None)];
    assert_eq!(groups(&nearness, &spread(), None, false), all);
    let expected = [
        (vec![3, 6], 0, None),
        (vec![4], 1, None),
        (vec![1], 2, None),
        (vec![2, 5, 7], 3, None),
    ];
    assert_eq!(groups(&nearness, &spread(), None, true), expected);
    let disabled = LocalitySetting {
        disabled: true,
        ..LocalitySetting::default()
    };
    assert_eq!(groups(&nearness, &spread(), Some(&disabled), true), all);
    assert_eq!(groups(&at(""), &spread(), None, true), all);
}

#[test]
fn failover_prefers_one_of_the_other_regions() {
    let setting = LocalitySetting {
        failover: vec![("eu".to_owned(), "us".to_owned())],
        ..LocalitySetting::default()
    };
    let found = groups(&at("eu/a/1"), &spread(), Some(&setting), true);
    let expected = [
        (vec![3, 6], 0, Some(2)),
        (vec![4], 1, Some(1)),
        (vec![1], 2, Some(1)),
        (vec![2], 3, Some(1)),
        (vec![5], 4, Some(1)),
        (vec![7], 4, Some(1)),
    ];
    assert_eq!(found, expected);
}

#[test]
fn labels_order_endpoints_and_leave_no_gap() {
    let by = |labels: &[&str]| LocalitySetting {
        failover_priority: labels.iter().map(|label| label.to_string()).collect(),
        ..LocalitySetting::default()
    };
    let endpoints = |labels: &[&str]| {
        let found = groups(&at("eu/a/1"), &spread(), Some(&by(labels)), true);
        let mut by_priority: Vec<Vec<u8>> = Vec::new();
        for (own, priority, _) in found {
            by_priority.resize(by_priority.len().max(priority as usize + 1), Vec::new());
            by_priority[priority as usize].extend(own);
        }
        by_priority.iter_mut().for_each(|list| list.sort_unstable());
        by_priority
    };
    assert_eq!(endpoints(&["rack"]), [vec![3], vec![1, 2, 4, 5, 6, 7]]);
    assert_eq!(
        endpoints(&["topology.kubernetes.io/region", "rack"]),
        [vec![3], vec![1, 4, 6], vec![2, 5, 7]]
    );
    assert_eq!(
        endpoints(&["topology.kubernetes.io/region=us"]),
        [vec![2], vec![1, 3, 4, 5, 6, 7]]
    );
}

#[test]
fn shares_are_split_among_localities_and_others_get_nothing() {
    let setting = |from: &str, to: &[(&str, u32)]| LocalitySetting {
        distribute: vec![crate::translate::destination_rule::Distribute {
            from: from.to_owned(),
            to: to.iter().map(|(k, v)| (k.to_string(), *v)).collect(),
        }],
        ..LocalitySetting::default()
    };
    let found = |setting: &LocalitySetting| groups(&at("eu/a/1"), &spread(), Some(setting), false);
    assert_eq!(
        found(&setting("eu/a/*", &[("eu/a/1", 80), ("us", 20)])),
        [(vec![3, 6], 0, Some(80)), (vec![2], 0, Some(20))]
    );
    // A wildcard's share goes to its localities by their endpoints, rounded up.
    assert_eq!(
        found(&setting("eu", &[("eu/*", 70), ("us/*", 30)])),
        [
            (vec![3, 6], 0, Some(35)),
            (vec![4], 0, Some(18)),
            (vec![1], 0, Some(18)),
            (vec![2], 0, Some(30))
        ]
    );
    // Nothing is said about where the daemon stands.
    assert_eq!(
        found(&setting("us", &[("us", 100)])),
        [(vec![1, 2, 3, 4, 5, 6, 7], 0, None)]
    );
}

#[test]
fn a_locality_is_read_from_text_and_labels() {
    let of = |key: &str, value: &str| {
        Locality::of_labels(&Labels::from([(key.to_owned(), value.to_owned())]))
    };
    let expected = Locality {
        region: "eu".to_owned(),
        zone: "a".to_owned(),
        subzone: "1".to_owned(),
    };
    assert_eq!(of(LABEL, "eu.a.1").as_deref(), Some(&expected));
    assert_eq!(of(LABEL, "eu/a/1").as_deref(), Some(&expected));
    assert_eq!(
        of(REGION, "eu").map(|l| l.region.clone()),
        Some("eu".to_owned())
    );
    assert_eq!(of("app", "eu"), None);
    assert_eq!(Locality::parse(""), None);
}
