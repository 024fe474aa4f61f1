//! Who is chosen how often: every algorithm, localities, warm-up, endpoints that are left out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gatehouse_config::model::{
    Cluster as ModelCluster, ClusterPolicy, DestinationLabels, Endpoint, LocalityGroup, Model,
    OutlierDetection, UpstreamProtocol, Warmup, WorkloadLabels,
};

use super::*;
use crate::compile::{Placement, RouteLists, compile};
use crate::observe::LabelTable;
use crate::snapshot::Snapshot;
use crate::upstream::balance::{choose, choose_elsewhere};
use crate::upstream::outlier_detection::Outcome;
use crate::worker::view::EndpointStates;

const ONE: ClusterId = ClusterId(0);

/// A worker and its generations.
struct Tested {
    states: EndpointStates,
    view: View,
    random: Random,
}

fn labels() -> (Arc<DestinationLabels>, Arc<WorkloadLabels>) {
    let name = String::new;
    let service = DestinationLabels {
        service: name(),
        service_name: name(),
        service_namespace: name(),
    };
    let workload = WorkloadLabels {
        workload: name(),
        namespace: name(),
        app: name(),
        version: name(),
        canonical_service: name(),
        canonical_revision: name(),
    };
    (Arc::new(service), Arc::new(workload))
}

/// Endpoints 10.0.0.N with their weights.
fn snapshot(
    endpoints: &[(u8, u32)],
    balancing: Balancing,
    policy: ClusterPolicy,
    before: &Snapshot,
) -> Snapshot {
    let (service, workload) = labels();
    let endpoints = endpoints.iter().map(|(last, weight)| Endpoint {
        address: SocketAddr::from(([10, 0, 0, *last], 80)).into(),
        weight: *weight,
        workload: Arc::clone(&workload),
    });
    let model = Model {
        clusters: vec![Arc::new(ModelCluster {
            name: "one".to_owned(),
            labels: service,
            endpoints: endpoints.collect(),
            balancing,
            protocol: UpstreamProtocol::Http1,
            grpc_web: false,
            connect_timeout: Duration::from_secs(1),
            policy: Arc::new(policy),
        })],
        ..Model::default()
    };
    let (mut labels, mut lists) = (LabelTable::new(), RouteLists::default());
    compile(
        &model,
        &Placement::default(),
        &mut labels,
        &mut lists,
        before,
    )
}

impl Tested {
    fn new(endpoints: &[(u8, u32)], balancing: Balancing, policy: ClusterPolicy) -> Self {
        let random = Random::from_seed(5);
        let mut states = EndpointStates::default();
        let snapshot = snapshot(endpoints, balancing, policy, &Snapshot::default());
        Self {
            view: states.view(Arc::new(snapshot), &random),
            states,
            random,
        }
    }

    fn reload(&mut self, endpoints: &[(u8, u32)], balancing: Balancing, policy: ClusterPolicy) {
        let snapshot = snapshot(endpoints, balancing, policy, &self.view.snapshot);
        self.view = self.states.view(Arc::new(snapshot), &self.random);
    }

    fn choose(&self, hash: Option<u64>, tried: &[EndpointId]) -> Option<u8> {
        match choose(&self.view, ONE, tried, hash, &self.random) {
            Choice::Endpoint(id) => Some(self.last(id)),
            Choice::Empty => None,
        }
    }

    fn last(&self, id: EndpointId) -> u8 {
        match self.view.snapshot.endpoint(id).address.inet() {
            Some(SocketAddr::V4(v4)) => v4.ip().octets()[3],
            _ => 0,
        }
    }

    fn counts(&self, times: u32) -> BTreeMap<u8, u32> {
        let mut counts = BTreeMap::new();
        for _ in 0..times {
            *counts
                .entry(self.choose(None, &[]).expect("somebody"))
                .or_default() += 1;
        }
        counts
    }

    /// Lets the endpoint at this place fail until it is out.
    fn eject(&self, position: u32) {
        let outliers = self.view.snapshot.cluster(ONE).outliers.as_ref();
        let outliers = outliers.expect("the cluster has a detector");
        for _ in 0..5 {
            outliers.report(position, Outcome::Status(500));
        }
        assert!(outliers.is_ejected(position));
    }
}

fn detects(min_health_percent: u32) -> ClusterPolicy {
    ClusterPolicy {
        outlier_detection: Some(OutlierDetection {
            consecutive_5xx: 5,
            consecutive_gateway_errors: 0,
            split_local_origin: false,
            consecutive_local_origin_failures: 5,
            interval: Duration::from_secs(10),
            base_ejection_time: Duration::from_secs(30),
            max_ejection_percent: 100,
            min_health_percent,
            error_codes: Vec::new(),
        }),
        ..ClusterPolicy::default()
    }
}

fn close(found: u32, expected: u32, tolerance: u32) -> bool {
    found.abs_diff(expected) <= tolerance
}

#[test]
fn round_robin_with_weights_is_exact_and_smooth() {
    let plain = ClusterPolicy::default();
    let tested = Tested::new(&[(1, 5), (2, 1), (3, 1)], Balancing::RoundRobin, plain);
    assert_eq!(
        tested.counts(700),
        BTreeMap::from([(1, 500), (2, 100), (3, 100)])
    );
    // The heavy one does not get its five turns in a row.
    let turns: Vec<_> = (0..70).map(|_| tested.choose(None, &[])).collect();
    let longest = turns.chunk_by(|a, b| a == b).map(<[_]>::len).max();
    assert!(longest <= Some(5), "{turns:?}");
    assert!(
        turns
            .windows(7)
            .all(|week| week.contains(&Some(2)) || week.contains(&Some(3)))
    );
}

#[test]
fn least_requests_heeds_weight_and_load() {
    let uneven = || {
        Tested::new(
            &[(1, 3), (2, 1)],
            Balancing::LeastRequest,
            ClusterPolicy::default(),
        )
    };
    assert_eq!(uneven().counts(400), BTreeMap::from([(1, 300), (2, 100)]));
    // With two requests under way a weight of 3 counts as 1.
    let tested = uneven();
    tested.view.state(EndpointId(0)).active.set(2);
    let counts = tested.counts(400);
    assert!(close(counts[&1], 200, 4), "{counts:?}");
    let tested = Tested::new(&[(1, 1), (2, 1)], Balancing::LeastRequest, detects(0));
    tested.view.state(EndpointId(0)).active.set(9);
    let counts = tested.counts(1000);
    // Only two draws of the busy one choose it.
    assert!(close(counts[&1], 250, 60), "{counts:?}");
}

#[test]
fn random_heeds_weights() {
    let tested = Tested::new(&[(1, 9), (2, 1)], Balancing::Random, detects(0));
    let counts = tested.counts(10_000);
    assert!(close(counts[&2], 1000, 200), "{counts:?}");
}

const TABLES: [Balancing; 2] = [
    Balancing::RingHash { minimum_size: 1024 },
    Balancing::Maglev { table_size: 65537 },
];

/// The endpoints of many hashes.
fn by_hash(tested: &Tested) -> Vec<u8> {
    let hashes = (0..20_000_u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    hashes
        .map(|hash| tested.choose(Some(hash), &[]).expect("somebody"))
        .collect()
}

#[test]
fn an_endpoint_that_leaves_takes_only_its_own_requests_along() {
    for balancing in TABLES {
        let all: Vec<(u8, u32)> = (1..=10).map(|last| (last, 1)).collect();
        let policy = ClusterPolicy::default;
        let mut tested = Tested::new(&all, balancing, policy());
        let before = by_hash(&tested);
        for last in 1..=10 {
            let share = before.iter().filter(|to| **to == last).count();
            assert!(
                (1000..3600).contains(&share),
                "{balancing:?}: {share} for {last}"
            );
        }
        tested.reload(&all[1..], balancing, policy());
        let after = by_hash(&tested);
        let moved = before
            .iter()
            .zip(&after)
            .filter(|(before, after)| **before != 1 && before != after);
        // A Maglev table disturbs a few others, and the ring's places grow a little.
        let moved = moved.count();
        assert!(moved < 2500, "{balancing:?}: {moved} of 20,000 moved");
        assert!(!after.contains(&1));
    }
}

#[test]
fn a_ring_of_one_size_moves_nobody_else() {
    // Eight endpoints of 128 places, and seven of 128: every place that stays is where it was.
    let sized = |minimum_size| Balancing::RingHash { minimum_size };
    let all: Vec<(u8, u32)> = (1..=8).map(|last| (last, 1)).collect();
    let mut tested = Tested::new(&all, sized(1024), ClusterPolicy::default());
    let before = by_hash(&tested);
    tested.reload(&all[..7], sized(896), ClusterPolicy::default());
    let after = by_hash(&tested);
    for (before, after) in before.iter().zip(&after) {
        assert!(before == after || *before == 8);
    }
}

#[test]
fn an_endpoint_that_is_out_comes_back_to_its_own_requests() {
    for balancing in TABLES {
        let all: Vec<(u8, u32)> = (1..=5).map(|last| (last, 1)).collect();
        let tested = Tested::new(&all, balancing, detects(0));
        let before = by_hash(&tested);
        tested.eject(2);
        let during = by_hash(&tested);
        for (before, during) in before.iter().zip(&during) {
            assert!(
                *during != 3 && (before == during || *before == 3),
                "{balancing:?}"
            );
        }
        let moved: BTreeMap<u8, usize> = before.iter().zip(&during).filter(|(b, _)| **b == 3).fold(
            BTreeMap::new(),
            |mut counts, (_, during)| {
                *counts.entry(*during).or_default() += 1;
                counts
            },
        );
        assert_eq!(
            moved.len(),
            4,
            "{balancing:?}: all others share them: {moved:?}"
        );
    }
}

#[test]
fn tables_heed_weights_and_a_retry_goes_elsewhere() {
    for balancing in TABLES {
        let tested = Tested::new(&[(1, 1), (2, 3)], balancing, ClusterPolicy::default());
        let heavy = by_hash(&tested).iter().filter(|to| **to == 2).count();
        assert!((13_500..16_500).contains(&heavy), "{balancing:?}: {heavy}");
        for hash in 0..50 {
            let first = tested.choose(Some(hash), &[]);
            assert_eq!(first, tested.choose(Some(hash), &[]));
            let tried = [EndpointId(if first == Some(1) { 0 } else { 1 })];
            assert_ne!(first, tested.choose(Some(hash), &tried));
        }
        // Without a hash: by chance.
        let counts = tested.counts(1000);
        assert_eq!(counts.len(), 2, "{balancing:?}: {counts:?}");
    }
}

#[test]
fn a_table_is_made_again_only_for_other_endpoints() {
    let table = |tested: &Tested| {
        let selection = tested.view.snapshot.cluster(ONE).selection.as_ref();
        let table = selection.and_then(|s| s.priorities[0].table.clone());
        table.expect("the cluster has a table")
    };
    let mut tested = Tested::new(&[(1, 1), (2, 1)], TABLES[1], ClusterPolicy::default());
    let first = table(&tested);
    tested.reload(&[(1, 1), (2, 1)], TABLES[1], ClusterPolicy::default());
    assert!(Arc::ptr_eq(&first, &table(&tested)));
    tested.reload(&[(1, 1), (2, 2)], TABLES[1], ClusterPolicy::default());
    assert!(!Arc::ptr_eq(&first, &table(&tested)));
}

fn group(endpoints: u32, priority: u32, weight: Option<u32>) -> LocalityGroup {
    LocalityGroup {
        endpoints,
        priority,
        weight,
    }
}

#[test]
fn the_next_priority_is_used_as_far_as_the_first_one_fails() {
    let policy = ClusterPolicy {
        localities: vec![group(5, 0, None), group(5, 1, None)],
        ..detects(0)
    };
    let all: Vec<(u8, u32)> = (0..10).map(|last| (last, 1)).collect();
    let tested = Tested::new(&all, Balancing::RoundRobin, policy);
    let near = |tested: &Tested| {
        let counts = tested.counts(2000);
        counts
            .iter()
            .filter(|(last, _)| **last < 5)
            .map(|(_, n)| n)
            .sum::<u32>()
    };
    assert_eq!(near(&tested), 2000);
    // 4 of 5 in health are 112 %: still all.
    tested.eject(0);
    assert_eq!(near(&tested), 2000);
    // 3 of 5: 84 %.
    tested.eject(1);
    let found = near(&tested);
    assert!(close(found, 1680, 80), "{found}");
    for position in 2..5 {
        tested.eject(position);
    }
    assert_eq!(near(&tested), 0);
    for position in 5..10 {
        tested.eject(position);
    }
    assert_eq!(
        tested.choose(None, &[]),
        None,
        "all are out and none may panic"
    );
}

#[test]
fn a_retry_may_go_to_a_locality_that_was_not_tried() {
    let policy = ClusterPolicy {
        localities: vec![group(2, 0, None), group(2, 1, None)],
        ..detects(0)
    };
    let all: Vec<(u8, u32)> = (0..4).map(|last| (last, 1)).collect();
    let tested = Tested::new(&all, Balancing::LeastRequest, policy);
    let elsewhere = |tested: &Tested, tried: &[EndpointId]| match choose_elsewhere(
        &tested.view,
        ONE,
        tried,
        None,
        &tested.random,
    ) {
        Choice::Endpoint(id) => tested.last(id),
        Choice::Empty => panic!("somebody is well"),
    };
    for _ in 0..100 {
        assert!(elsewhere(&tested, &[]) < 2, "nobody was tried: the nearest");
        assert!(tested.choose(None, &[EndpointId(0)]) == Some(1));
        assert!(elsewhere(&tested, &[EndpointId(0)]) >= 2);
        let both = [EndpointId(0), EndpointId(3)];
        assert!(
            (1..3).contains(&elsewhere(&tested, &both)),
            "no locality is left: as ever"
        );
    }
    for position in 2..4 {
        tested.eject(position);
    }
    assert_eq!(
        elsewhere(&tested, &[EndpointId(0)]),
        1,
        "nobody is well elsewhere"
    );
}

#[test]
fn localities_get_their_shares_and_lose_them_with_their_health() {
    let policy = ClusterPolicy {
        localities: vec![group(2, 0, Some(80)), group(2, 0, Some(20))],
        ..detects(0)
    };
    let all: Vec<(u8, u32)> = (0..4).map(|last| (last, 1)).collect();
    let tested = Tested::new(&all, Balancing::LeastRequest, policy);
    let first = |tested: &Tested| {
        let counts = tested.counts(5000);
        counts
            .iter()
            .filter(|(last, _)| **last < 2)
            .map(|(_, n)| n)
            .sum::<u32>()
    };
    let found = first(&tested);
    assert!(close(found, 4000, 150), "{found}");
    // 80 × 0.7 to 20.
    tested.eject(0);
    let found = first(&tested);
    assert!(close(found, 3684, 150), "{found}");
    tested.eject(1);
    assert_eq!(first(&tested), 0);
}

#[test]
fn below_the_panic_threshold_all_are_used() {
    let all = [(1, 1), (2, 1), (3, 1), (4, 1)];
    let tested = Tested::new(&all, Balancing::RoundRobin, detects(50));
    tested.eject(0);
    tested.eject(1);
    assert_eq!(tested.counts(400).len(), 2, "half are in health");
    tested.eject(2);
    assert_eq!(tested.counts(400).len(), 4, "a quarter is not enough");
    tested.eject(3);
    assert_eq!(tested.counts(400).len(), 4);
}

#[test]
fn a_new_endpoint_gets_little_at_first() {
    for balancing in [Balancing::RoundRobin, Balancing::LeastRequest] {
        let policy = |seconds| ClusterPolicy {
            warmup: Some(Warmup {
                duration: Duration::from_secs(seconds),
                minimum_percent: 10.0,
                aggression: 1.0,
            }),
            ..ClusterPolicy::default()
        };
        // All are new: alike.
        let tested = Tested::new(&[(1, 1), (2, 1)], balancing, policy(3600));
        let counts = tested.counts(100);
        assert!(close(counts[&1], 50, 2), "{balancing:?}: {counts:?}");
        // One is old enough, one is new.
        let mut tested = Tested::new(&[(1, 1)], balancing, policy(3600));
        let seen = tested.view.state(EndpointId(0)).since;
        let deadline = seen + Duration::from_millis(50);
        while Instant::now() < deadline {
            std::thread::yield_now();
        }
        let short = ClusterPolicy {
            warmup: Some(Warmup {
                duration: Duration::from_millis(50),
                minimum_percent: 10.0,
                aggression: 1.0,
            }),
            ..ClusterPolicy::default()
        };
        tested.reload(&[(1, 1), (2, 1)], balancing, short);
        let began = Instant::now();
        let counts = tested.counts(110);
        if began.elapsed() < Duration::from_millis(5) {
            assert!(close(counts[&2], 10, 4), "{balancing:?}: {counts:?}");
        }
        // Later it gets its whole share, by the plain way of its algorithm.
        while tested.view.balancer(ONE).is_warming() {
            std::thread::yield_now();
        }
        let counts = tested.counts(1000);
        assert!(close(counts[&2], 500, 80), "{balancing:?}: {counts:?}");
    }
}

#[test]
fn a_reload_keeps_who_is_out() {
    let mut tested = Tested::new(&[(1, 1), (2, 1)], Balancing::RoundRobin, detects(0));
    tested.eject(0);
    tested.reload(&[(1, 1), (2, 1), (3, 1)], Balancing::RoundRobin, detects(0));
    assert_eq!(
        tested.counts(100).keys().copied().collect::<Vec<_>>(),
        [2, 3]
    );
}
