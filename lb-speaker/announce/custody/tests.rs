//! Probing, defending, giving up: RFC 5227 with a clock in the hand.

use super::*;

const OURS: Mac = Mac([2, 0, 0, 0, 0, 1]);
const THEIRS: Mac = Mac([2, 0, 0, 0, 0, 2]);
const LOWER: Mac = Mac([0, 0, 0, 0, 0, 9]);

struct Clock {
    now: Instant,
    custody: Custody,
}

impl Clock {
    fn new() -> Self {
        let now = Instant::now();
        let mut custody = Custody::new(Duration::from_secs(60));
        custody.set_interfaces(now, &[7]);
        Self { now, custody }
    }

    /// Runs every timer up to `ahead`; returns what was sent, with its time in ms.
    fn run(&mut self, ahead: Duration) -> Vec<(u128, Send)> {
        let start = self.now;
        let end = start + ahead;
        let mut sent = Vec::new();
        while let Some(next) = self.custody.next().filter(|next| *next <= end) {
            let now = next.max(self.now);
            let time = (now - start).as_millis();
            sent.extend(self.custody.tick(now).into_iter().map(|send| (time, send)));
        }
        self.now = end;
        sent
    }

    fn announced() -> Self {
        let mut clock = Self::new();
        clock.run(Duration::from_secs(10));
        assert_eq!(clock.custody.standing(), Standing::Announcing);
        clock
    }

    fn sighted(&mut self, mac: Mac, kind: SightingKind) {
        self.custody.sighted(self.now, 7, OURS, mac, kind);
    }
}

#[test]
fn rfc5227_2_1_1_three_probes_within_200_ms_then_announcements() {
    let mut clock = Clock::new();
    assert!(clock.custody.answering().is_empty());
    let sent = clock.run(Duration::from_millis(2000));
    assert_eq!(
        sent,
        [
            (0, Send::Probe(7)),
            (66, Send::Probe(7)),
            (132, Send::Probe(7)),
            (198, Send::Announce(7)),
            (1298, Send::Announce(7)),
        ]
    );
    assert_eq!(clock.custody.answering(), [7]);
}

#[test]
fn rfc5227_2_1_1_a_claim_while_probing_is_a_conflict_and_is_retried() {
    let mut clock = Clock::new();
    clock.run(Duration::from_millis(100));
    clock.sighted(THEIRS, SightingKind::Claim);
    let Standing::Conflict(conflict) = clock.custody.standing() else {
        panic!("{:?}", clock.custody.standing());
    };
    assert_eq!((conflict.mac, conflict.interface), (THEIRS, 7));
    assert!(clock.run(Duration::from_secs(29)).is_empty());
    let sent = clock.run(Duration::from_secs(1));
    assert_eq!(sent.first(), Some(&(1000, Send::Probe(7))));
    // Still a conflict while it is asked again, since the same time.
    assert_eq!(clock.custody.standing(), Standing::Conflict(conflict));
    clock.sighted(THEIRS, SightingKind::Claim);
    assert_eq!(clock.custody.standing(), Standing::Conflict(conflict));
    clock.run(Duration::from_secs(31));
    assert_eq!(clock.custody.standing(), Standing::Announcing);
}

#[test]
fn rfc5227_2_4_b_defended_once_then_given_up() {
    let mut clock = Clock::announced();
    clock.sighted(THEIRS, SightingKind::Claim);
    clock.sighted(THEIRS, SightingKind::Claim); // the reply form of the same announcement
    assert_eq!(clock.run(Duration::from_secs(1)), [(20, Send::Announce(7))]);
    assert_eq!(clock.custody.answering(), [7]);
    clock.sighted(THEIRS, SightingKind::Claim);
    assert!(clock.custody.answering().is_empty());
    assert!(matches!(clock.custody.standing(), Standing::Conflict(_)));
}

#[test]
fn rfc5227_2_4_b_a_claim_after_ten_seconds_is_defended_again() {
    let mut clock = Clock::announced();
    for _ in 0..3 {
        clock.sighted(THEIRS, SightingKind::Claim);
        clock.run(Duration::from_secs(11));
        assert_eq!(clock.custody.standing(), Standing::Announcing);
    }
}

#[test]
fn rfc5227_2_1_1_two_that_probe_do_not_both_go_on() {
    let mut clock = Clock::new();
    clock.run(Duration::from_millis(50));
    clock.sighted(THEIRS, SightingKind::Probe); // higher: it is for them to wait
    assert_eq!(
        clock.custody.next(),
        Some(clock.now + Duration::from_millis(16))
    );
    clock.sighted(LOWER, SightingKind::Probe);
    assert!(clock.run(Duration::from_millis(900)).is_empty());
    // Nobody waits for ever.
    for _ in 0..10 {
        clock.run(Duration::from_millis(300));
        clock.sighted(LOWER, SightingKind::Probe);
    }
    clock.run(Duration::from_secs(2));
    assert_eq!(clock.custody.standing(), Standing::Announcing);
}

#[test]
fn a_new_interface_is_probed_while_others_go_on() {
    let mut clock = Clock::announced();
    clock.custody.set_interfaces(clock.now, &[7, 8]);
    assert_eq!(clock.custody.answering(), [7]);
    clock.run(Duration::from_millis(300));
    assert_eq!(clock.custody.answering(), [7, 8]);
    clock.custody.set_interfaces(clock.now, &[8]);
    assert_eq!(clock.custody.answering(), [8]);
    clock.custody.set_interfaces(clock.now, &[]);
    assert_eq!(clock.custody.standing(), Standing::Nowhere);
    assert_eq!(clock.custody.next(), None);
}

#[test]
fn carrier_up_announces_at_once() {
    let mut clock = Clock::announced();
    clock.custody.carrier_up(clock.now, 7);
    assert_eq!(
        clock.run(Duration::from_millis(10)),
        [(0, Send::Announce(7))]
    );
}
