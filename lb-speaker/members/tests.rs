//! Nodes that hear one another over a network that loses, delays, repeats and cuts.

use super::wire::{MAX_LENGTH, Malformed};
use super::*;

/// A small generator, so that a run can be replayed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

struct Network {
    now: Instant,
    nodes: Vec<Option<Detector>>,
    timing: Timing,
    /// Of a hundred heartbeats so many are lost.
    loss: u64,
    /// Pairs that do not hear one another.
    cut: BTreeSet<(usize, usize)>,
    chance: Chance,
    starts: u64,
    sent: Vec<Heartbeat>,
}

const NAMES: [&str; 3] = ["node-a", "node-b", "node-c"];

impl Network {
    fn new(loss: u64) -> Self {
        let mut network = Self {
            now: Instant::now(),
            nodes: vec![None, None, None],
            timing: Timing::default(),
            loss,
            cut: BTreeSet::new(),
            chance: Chance(0x9e37_79b9_7f4a_7c15),
            starts: 0,
            sent: Vec::new(),
        };
        for node in 0..3 {
            network.start(node);
        }
        network
    }

    fn start(&mut self, node: usize) {
        self.starts += 1;
        let incarnation = 1000 + self.starts;
        self.nodes[node] = Some(Detector::new(
            NAMES[node],
            incarnation,
            self.timing,
            Some(2),
            self.now,
        ));
    }

    /// Lets time pass, in steps of 5 ms; `check` sees every step.
    fn pass(&mut self, time: Duration, mut check: impl FnMut(&Self)) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_millis(5);
            for from in 0..3 {
                let now = self.now;
                let Some(node) = &mut self.nodes[from] else {
                    continue;
                };
                if node.tick(now) {
                    let heartbeat = node.heartbeat(now);
                    self.deliver(from, &heartbeat);
                }
            }
            check(self);
        }
    }

    fn deliver(&mut self, from: usize, heartbeat: &Heartbeat) {
        self.sent.push(heartbeat.clone());
        for to in 0..3 {
            let pair = (from.min(to), from.max(to));
            if to == from || self.cut.contains(&pair) || self.chance.below(100) < self.loss {
                continue;
            }
            if let Some(node) = &mut self.nodes[to] {
                node.receive(self.now, heartbeat).unwrap();
            }
        }
    }

    fn able(&self, node: usize) -> Vec<String> {
        let view = self.nodes[node].as_ref().unwrap().view();
        view.able.into_iter().collect()
    }

    fn kill(&mut self, node: usize) -> Detector {
        self.nodes[node].take().unwrap()
    }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

const fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

#[test]
fn whoever_waits_for_one_that_leaves_is_its_heir_at_once() {
    let mut network = Network::new(0);
    network.kill(2);
    network.pass(ms(1500), |_| ());
    network.kill(1);
    network.pass(ms(1000), |_| ());
    network.start(1);
    network.pass(ms(1500), |_| ());
    // It holds down: nobody but node-a is able.
    assert_eq!(network.able(1), ["node-a"]);
    let view = network.nodes[0].as_ref().unwrap().view();
    assert!(view.has_heirs() && view.left.is_empty(), "{view:?}");
    let mut leaving = network.kill(0);
    leaving.leave(network.now);
    let goodbye = leaving.heartbeat(network.now);
    network.deliver(0, &goodbye);
    let view = network.nodes[1].as_ref().unwrap().view();
    assert_eq!(view.able, names(&["node-b"]));
    assert_eq!(view.left, names(&["node-a"]));
    assert!(!view.has_heirs());
    // What it said counts until it is back.
    network.pass(ms(1000), |_| ());
    let left = |network: &Network| network.nodes[1].as_ref().unwrap().view().left;
    assert_eq!(left(&network), names(&["node-a"]));
    network.start(0);
    network.pass(ms(500), |_| ());
    assert!(left(&network).is_empty());
}

#[test]
fn a_node_whose_cable_is_back_holds_down_although_another_link_stayed() {
    // node-a is cut off from both; whether it is its own cable, the carrier tells.
    for carrier in [true, false] {
        let mut network = Network::new(0);
        network.pass(ms(3000), |_| ());
        let lose = |network: &mut Network| {
            let now = network.now;
            network.nodes[0].as_mut().unwrap().lose_carrier(now);
        };
        // One that was lost and found long ago has nothing to do with it.
        lose(&mut network);
        network.pass(ms(3000), |_| ());
        if carrier {
            lose(&mut network);
        }
        network.cut.extend([(0, 1), (0, 2)]);
        network.pass(ms(3000), |_| ());
        // It cannot know whether the others are dead: what it has it keeps.
        assert_eq!(network.able(0), ["node-a"]);
        network.cut.clear();
        network.pass(ms(300), |_| ());
        let expected: &[&str] = if carrier { &NAMES[1..] } else { &NAMES };
        for node in 0..3 {
            assert_eq!(network.able(node), expected, "{carrier}");
        }
        network.pass(ms(6000), |_| ());
        assert_eq!(network.able(0), NAMES);
    }
}

#[test]
fn a_carrier_that_went_with_the_other_node_holds_nobody_down() {
    // A cable from node to node: its carrier goes with the node at the other end.
    let mut network = Network::new(0);
    network.kill(2);
    network.pass(ms(3000), |_| ());
    network.kill(1);
    let now = network.now;
    network.nodes[0].as_mut().unwrap().lose_carrier(now);
    network.pass(ms(3000), |_| ());
    network.start(1);
    network.pass(ms(7000), |network| {
        assert!(network.able(0).contains(&"node-a".to_owned()));
    });
    assert_eq!(network.able(0), ["node-a", "node-b"]);
    // Only the cable between them: both lost the carrier, and one of them always serves.
    for node in 0..2 {
        let now = network.now;
        network.nodes[node].as_mut().unwrap().lose_carrier(now);
    }
    network.cut.insert((0, 1));
    network.pass(ms(2000), |_| ());
    network.cut.clear();
    let mut nobody = Duration::ZERO;
    network.pass(ms(7000), |network| {
        let able = |node: usize| network.able(node).contains(&NAMES[node].to_owned());
        if !able(0) && !able(1) {
            nobody += ms(5);
        }
    });
    assert!(nobody <= ms(200), "{nobody:?}");
    assert_eq!(network.able(0), ["node-a", "node-b"]);
}

#[test]
fn three_that_start_together_agree_at_once() {
    let mut network = Network::new(0);
    network.pass(ms(300), |_| ());
    for node in 0..3 {
        assert_eq!(network.able(node), NAMES);
    }
}

#[test]
fn a_node_that_was_not_told_of_the_others_waits_for_that() {
    let start = Instant::now();
    let mut node = Detector::new("node-a", 1, Timing::default(), None, start);
    node.tick(start + ms(3000));
    assert_eq!(node.view().own, Own::Settling);
    let mut alone = node.clone();
    alone.expect(start + ms(3100), BTreeSet::new());
    assert_eq!(alone.view().own, Own::Able);
    // Others are given a second to be heard.
    node.expect(start + ms(3100), names(&["node-b", "node-c"]));
    node.tick(start + ms(4000));
    assert_eq!(node.view().own, Own::Settling);
    node.tick(start + ms(4100));
    assert_eq!(node.view().own, Own::Able);
}

#[test]
fn a_node_alone_serves_after_a_second() {
    let mut network = Network::new(0);
    network.kill(1);
    network.kill(2);
    network.pass(ms(900), |network| assert!(network.able(0).is_empty()));
    network.pass(ms(200), |_| ());
    assert_eq!(network.able(0), ["node-a"]);
}

#[test]
fn a_crash_is_seen_within_half_a_second() {
    let mut network = Network::new(0);
    network.pass(ms(1000), |_| ());
    network.kill(1);
    let dead = network.now;
    let mut seen = None;
    network.pass(ms(1000), |network| {
        if seen.is_none() && !network.able(0).contains(&"node-b".to_owned()) {
            seen = Some(network.now - dead);
        }
    });
    let seen = seen.unwrap();
    assert!(seen >= ms(300) && seen <= ms(405), "{seen:?}");
}

#[test]
fn lost_heartbeats_are_no_crash() {
    // Two of a hundred are lost: four in a row once in years.
    let mut network = Network::new(2);
    network.pass(ms(1000), |_| ());
    network.pass(Duration::from_secs(200), |network| {
        for node in 0..3 {
            assert_eq!(network.able(node), NAMES);
        }
    });
}

#[test]
fn a_node_that_comes_back_waits_while_others_serve() {
    let mut network = Network::new(0);
    network.pass(ms(1000), |_| ());
    network.kill(1);
    network.pass(ms(2000), |_| ());
    network.start(1);
    network.pass(ms(4900), |network| {
        for node in 0..3 {
            assert!(!network.able(node).contains(&"node-b".to_owned()));
        }
    });
    let view = network.nodes[1].as_ref().unwrap().view();
    assert_eq!(view.own, Own::HoldDown);
    network.pass(ms(300), |_| ());
    for node in 0..3 {
        assert_eq!(network.able(node), NAMES);
    }
    // The others know that somebody came, who may have spoken for their addresses.
    assert_eq!(network.nodes[0].as_ref().unwrap().view().arrivals, 3);
}

#[test]
fn who_stops_is_gone_at_once_and_late_heartbeats_do_not_bring_it_back() {
    let mut network = Network::new(0);
    network.pass(ms(1000), |_| ());
    let now = network.now;
    let late = network.nodes[1].as_mut().unwrap().heartbeat(now);
    network.nodes[1].as_mut().unwrap().leave(now);
    network.pass(ms(5), |_| ());
    assert_eq!(network.able(0), ["node-a", "node-c"]);
    assert!(network.able(1).iter().all(|name| name != "node-b"));
    let refused = network.nodes[0].as_mut().unwrap().receive(now, &late);
    assert_eq!(refused, Err(Refusal::Replayed));
}

#[test]
fn a_link_that_is_lost_gives_everything_up() {
    let mut network = Network::new(0);
    network.pass(ms(1000), |_| ());
    let now = network.now;
    network.nodes[2].as_mut().unwrap().set_link(now, false);
    network.pass(ms(5), |_| ());
    for node in 0..3 {
        assert_eq!(network.able(node), ["node-a", "node-b"]);
    }
    let now = network.now;
    network.nodes[2].as_mut().unwrap().set_link(now, true);
    network.pass(ms(4900), |network| assert_eq!(network.able(0).len(), 2));
    network.pass(ms(300), |_| ());
    assert_eq!(network.able(0), NAMES);
}

#[test]
fn a_cut_makes_two_sides_and_one_again() {
    let mut network = Network::new(0);
    network.pass(ms(1000), |_| ());
    network.cut = [(0, 1), (0, 2)].into();
    network.pass(ms(500), |_| ());
    assert_eq!(network.able(0), ["node-a"]);
    assert_eq!(network.able(1), ["node-b", "node-c"]);
    network.cut.clear();
    network.pass(ms(200), |_| ());
    for node in 0..3 {
        assert_eq!(network.able(node), NAMES);
    }
}

#[test]
fn nothing_recorded_keeps_a_dead_node_alive() {
    let mut network = Network::new(0);
    network.pass(ms(1000), |_| ());
    network.kill(1);
    network.pass(ms(500), |_| ());
    let recorded = std::mem::take(&mut network.sent);
    let of_b = || {
        recorded
            .iter()
            .filter(|heartbeat| heartbeat.name == "node-b")
    };
    let now = network.now;
    for heartbeat in of_b() {
        let refused = network.nodes[0].as_mut().unwrap().receive(now, heartbeat);
        assert_eq!(refused, Err(Refusal::Replayed));
    }
    // Nor does it deceive one that started afterwards.
    network.kill(2);
    network.start(2);
    for heartbeat in of_b() {
        let taken = network.nodes[2]
            .as_mut()
            .unwrap()
            .receive(network.now, heartbeat);
        assert!(taken.is_ok());
        let view = network.nodes[2].as_ref().unwrap().view();
        assert_eq!(view.peers["node-b"], PeerState::Gone);
    }
    // A new start of the node is believed, and then not the old one any more.
    network.start(1);
    network.pass(ms(500), |_| ());
    let view = network.nodes[0].as_ref().unwrap().view();
    assert_eq!(view.peers["node-b"], PeerState::Waiting);
    let now = network.now;
    for heartbeat in of_b() {
        let refused = network.nodes[0].as_mut().unwrap().receive(now, heartbeat);
        assert_eq!(refused, Err(Refusal::Replayed));
    }
}

#[test]
fn a_process_that_was_held_up_does_not_take_others_for_dead() {
    let mut network = Network::new(0);
    network.pass(ms(1000), |_| ());
    let now = network.now + ms(3000);
    let node = network.nodes[0].as_mut().unwrap();
    node.tick(now);
    assert_eq!(node.view().able.len(), 3);
    node.tick(now + ms(100));
    node.tick(now + ms(200));
    node.tick(now + ms(300));
    node.tick(now + ms(400));
    assert_eq!(node.view().able.len(), 1);
}

#[test]
fn the_table_is_bounded_and_names_are_ones_own() {
    let now = Instant::now();
    let mut node = Detector::new("node-a", 1, Timing::default(), Some(0), now);
    let heartbeat = |name: String, incarnation| Heartbeat {
        name,
        incarnation,
        sequence: 1,
        able: true,
        able_for: 0x0102_0304,
        leaving: false,
        heard: vec![1],
        macs: Vec::new(),
    };
    for number in 0..MAX_PEERS as u64 {
        let heartbeat = heartbeat(format!("n{number}"), 100 + number);
        assert_eq!(node.receive(now, &heartbeat), Ok(()));
    }
    let one_more = heartbeat("one-more".to_owned(), 7);
    assert_eq!(node.receive(now, &one_more), Err(Refusal::TooMany));
    for step in 1..=4 {
        node.tick(now + ms(100 * step));
    }
    assert_eq!(node.receive(now + ms(400), &one_more), Ok(()));
    assert_eq!(node.view().peers.len(), MAX_PEERS);
    assert_eq!(
        node.receive(now, &heartbeat("node-a".to_owned(), 1)),
        Err(Refusal::Reflected)
    );
    assert_eq!(
        node.receive(now, &heartbeat("node-a".to_owned(), 2)),
        Err(Refusal::SameName)
    );
}

#[test]
fn the_wire_gives_back_what_it_was_given_and_refuses_all_else() {
    let key = Key::new(b"0123456789abcdef").unwrap();
    assert!(Key::new(b"short").is_none());
    let heartbeat = Heartbeat {
        name: "n".repeat(253),
        incarnation: u64::MAX - 1,
        sequence: 77,
        able: true,
        able_for: 0x0102_0304,
        leaving: true,
        heard: (0..128).collect(),
        macs: (0..16).map(|last| Mac([2, 0, 0, 0, 0, last])).collect(),
    };
    let bytes = heartbeat.encode(&key);
    assert_eq!(bytes.len(), MAX_LENGTH);
    const { assert!(MAX_LENGTH <= 1472) };
    assert_eq!(Heartbeat::decode(&bytes, &key), Ok(heartbeat));
    let other = Key::new(b"0123456789abcdeF").unwrap();
    assert_eq!(Heartbeat::decode(&bytes, &other), Err(Malformed::Key));
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(Heartbeat::decode(&changed, &key).is_err(), "{at}");
        assert!(Heartbeat::decode(&bytes[..at], &key).is_err(), "{at}");
    }
}

/// A heartbeat of a peer that hears node 1.
fn of(name: &str, incarnation: u64, sequence: u64) -> Heartbeat {
    Heartbeat {
        name: name.to_owned(),
        incarnation,
        sequence,
        able: true,
        able_for: 0,
        leaving: false,
        heard: vec![1],
        macs: vec![Mac([2, 0, 0, 0, 0, 9])],
    }
}

#[test]
fn who_is_gone_for_long_is_forgotten_unless_it_is_to_be_there() {
    let start = Instant::now();
    let mut node = Detector::new("node-a", 1, Timing::default(), None, start);
    node.expect(start, names(&["node-b"]));
    for (name, incarnation) in [("node-b", 2), ("node-c", 3), ("node-d", 4)] {
        node.receive(start, &of(name, incarnation, 7)).unwrap();
    }
    let known = |node: &Detector| node.view().peers.into_keys().collect::<Vec<_>>();
    let mut now = start;
    while now < start + FORGET - ms(100) {
        now += ms(100);
        node.tick(now);
        // This one goes on.
        let sequence = 8 + u64::try_from((now - start).as_millis()).unwrap();
        node.receive(now, &of("node-d", 4, sequence)).unwrap();
    }
    assert_eq!(known(&node), ["node-b", "node-c", "node-d"]);
    node.tick(now + ms(100));
    assert_eq!(known(&node), ["node-b", "node-d"]);
    // What it said once is no sign of life, what it says now is.
    let late = now + ms(200);
    assert_eq!(
        node.receive(late, &of("node-c", 3, 7)),
        Err(Refusal::Replayed)
    );
    assert_eq!(known(&node), ["node-b", "node-d"]);
    node.receive(late, &of("node-c", 3, 8)).unwrap();
    assert_eq!(node.view().peers["node-c"], PeerState::Able);
}

/// Lets time pass for one node that hears nobody.
fn silence(node: &mut Detector, now: &mut Instant, time: Duration) {
    let end = *now + time;
    while *now < end {
        *now += ms(100);
        node.tick(*now);
    }
}

/// A node that nobody listens to looks at the time seldom; that is no time of being held up.
#[test]
fn who_is_gone_is_forgotten_as_soon_by_a_node_that_is_alone() {
    let start = Instant::now();
    let mut node = Detector::new("node-a", 1, Timing::default(), None, start);
    node.expect(start, BTreeSet::new());
    node.receive(start, &of("node-b", 2, 1)).unwrap();
    let (mut now, mut ticks) = (start, 0);
    while now < start + FORGET - UNHEARD {
        now = node.next(false);
        node.tick(now);
        ticks += 1;
        assert!(ticks < 400, "it looks at the time often");
    }
    assert_eq!(node.view().peers["node-b"], PeerState::Gone);
    now = node.next(false);
    node.tick(now);
    now = node.next(false);
    node.tick(now);
    assert!(node.view().peers.is_empty(), "after {:?}", now - start);
    // It is asked for the next moment, and comes seconds too late: then others are excused.
    node.receive(now, &of("node-c", 3, 1)).unwrap();
    let late = node.next(false) + Duration::from_secs(5);
    node.tick(late);
    assert_eq!(node.view().peers["node-c"], PeerState::Able);
}

/// A node that restarted, was away for long and is back: what it said before it restarted must not
/// take the place of what it says now.
#[test]
fn what_was_said_before_a_node_was_forgotten_does_not_count_once_it_is_back() {
    let mut now = Instant::now();
    let mut node = Detector::new("node-a", 1, Timing::default(), None, now);
    node.expect(now, BTreeSet::new());
    node.receive(now, &of("node-c", 3, 7)).unwrap();
    node.receive(now, &of("node-c", 5, 1)).unwrap();
    silence(&mut node, &mut now, FORGET * 2);
    assert!(node.view().peers.is_empty());
    node.receive(now, &of("node-c", 6, 1)).unwrap();
    assert_eq!(
        node.receive(now, &of("node-c", 3, 7)),
        Err(Refusal::Replayed)
    );
    node.receive(now, &of("node-c", 6, 2)).unwrap();
    assert_eq!(node.view().peers["node-c"], PeerState::Able);
}

#[test]
fn where_only_the_number_is_known_those_that_are_more_are_forgotten() {
    let mut now = Instant::now();
    let mut node = Detector::new("node-a", 1, Timing::default(), Some(1), now);
    let known = |node: &Detector| node.view().peers.into_keys().collect::<Vec<_>>();
    node.receive(now, &of("renamed", 2, 1)).unwrap();
    silence(&mut node, &mut now, FORGET * 2);
    assert_eq!(known(&node), ["renamed"], "it may be behind a wall");
    node.receive(now, &of("node-b", 3, 1)).unwrap();
    silence(&mut node, &mut now, ms(100));
    assert_eq!(known(&node), ["node-b"]);
    // The goodbye of one that was forgotten is its last word, too.
    let mut left = of("node-c", 4, 1);
    left.leaving = true;
    node.receive(now, &left).unwrap();
    silence(&mut node, &mut now, FORGET - ms(100));
    node.receive(now, &of("node-b", 3, 2)).unwrap();
    silence(&mut node, &mut now, ms(100));
    assert_eq!(known(&node), ["node-b"]);
    assert_eq!(
        node.receive(now, &of("node-c", 4, 99)),
        Err(Refusal::Replayed)
    );
}

#[test]
fn all_leave_out_the_same_of_too_many() {
    let all: BTreeSet<String> = (0..200).map(|n| format!("n{n:03}")).collect();
    let some = taking_part(&all);
    assert_eq!(some.len(), MAX_PEERS + 1);
    assert_eq!(some.last().unwrap(), "n128");
    assert_eq!(taking_part(&some), some);
}
