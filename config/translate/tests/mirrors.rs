//! `mirror` and `mirrors`: where copies go, and what is refused.

use super::*;

fn mirrors(field: &str) -> Vec<(String, u32)> {
    let rule = format!("[{{{field}, {TO_REVIEWS}}}]");
    let translation = translated(&base_and(&with_http(&rule)));
    let [route] = *routes(&translation, "*") else {
        panic!("one route: {field}")
    };
    let name = |destination: &Destination| match destination {
        Destination::Cluster(index) => translation.model.clusters[index.0 as usize].name.clone(),
        Destination::Unknown { name } => format!("unknown {name}"),
    };
    let mirrors = forward(route).mirrors.iter();
    mirrors
        .map(|mirror| (name(&mirror.destination), mirror.percentage.millionths()))
        .collect()
}

#[test]
fn copies_are_read_with_their_share() {
    let reviews = "outbound|9080||reviews.default.svc.cluster.local".to_owned();
    let to_reviews = |share| vec![(reviews.clone(), share)];
    for (field, want) in [
        ("mirror: {host: reviews}", to_reviews(1_000_000)),
        (
            "mirror: {host: reviews}, mirrorPercentage: {value: 12.5}",
            to_reviews(125_000),
        ),
        (
            "mirror: {host: reviews}, mirrorPercent: 50",
            to_reviews(500_000),
        ),
        (
            "mirror: {host: reviews}, mirrorPercent: 50, mirrorPercentage: {value: 1}",
            to_reviews(10_000),
        ),
        (
            "mirror: {host: reviews}, mirrorPercentage: {value: 0}",
            Vec::new(),
        ),
        (
            "mirrors: [{destination: {host: reviews}}, {destination: {host: reviews}, percentage: {value: 2}}, {destination: {host: reviews}, percentage: {value: 0}}]",
            vec![(reviews.clone(), 1_000_000), (reviews.clone(), 20_000)],
        ),
        (
            "mirror: {host: nobody}",
            vec![(
                "unknown outbound|8080||nobody.default.svc.cluster.local".to_owned(),
                1_000_000,
            )],
        ),
    ] {
        assert_eq!(mirrors(field), want, "{field}");
    }
}

#[test]
fn a_copy_to_nowhere_is_said() {
    let (_, found) = only_route("mirror: {host: nobody}");
    assert!(
        found[0].starts_with("IST0101 spec.http[0].mirror.host: no Service and no ServiceEntry"),
        "{found:#?}"
    );
}

#[test]
fn wrong_mirrors_are_refused_with_the_field() {
    for (text, expected) in [
        (
            "mirror: {host: a}, mirrors: [{destination: {host: b}}]",
            "mirrors: a rule cannot have both mirror and mirrors",
        ),
        (
            "mirror: {host: a}, mirrorPercentage: {value: 100.5}",
            "mirrorPercentage.value: 100.5 is neither",
        ),
        (
            "mirror: {host: a}, mirrorPercentage: {value: -1}",
            "mirrorPercentage.value: -1 is neither",
        ),
        (
            "mirror: {host: a}, mirrorPercent: 101",
            "mirrorPercent: 101 is not between 0 and 100",
        ),
        (
            "mirror: {host: '*'}",
            "mirror.host: the destination host `*`",
        ),
        ("mirrors: [{}]", "mirrors[0]: a mirror has no destination"),
        (
            "mirrors: [{destination: {host: a}, percentage: {value: 101}}]",
            "mirrors[0].percentage.value: 101 is neither",
        ),
    ] {
        let found = refusal(text);
        let want = format!("IST0106 spec.http[0].{expected}");
        assert!(found.starts_with(&want), "{text}: {found}");
    }
}
