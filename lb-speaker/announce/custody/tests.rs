//! What is sent for an address, and when.

use super::*;

const LAN: u32 = 2;

#[test]
fn a_first_announcement_is_probed_three_times() {
    let now = Instant::now();
    let mut custody = Custody::new(Duration::from_secs(60));
    custody.set_interfaces(now, &[LAN], Former::Nobody);
    for probe in 0..3 {
        assert_eq!(custody.tick(now + PROBE_STEP * probe), [Send::Probe(LAN)]);
        assert!(custody.answering().is_empty());
    }
    assert_eq!(custody.tick(now + PROBE_STEP * 3), [Send::Announce(LAN)]);
    assert_eq!(custody.answering(), [LAN]);
}

#[test]
fn what_is_taken_over_is_announced_at_once_and_what_is_there_goes_on() {
    let now = Instant::now();
    let mut custody = Custody::new(Duration::ZERO);
    custody.set_interfaces(now, &[LAN], Former::Heard);
    assert_eq!(custody.answering(), [LAN]);
    assert_eq!(custody.tick(now), [Send::Announce(LAN)]);
    // Told again, it is no news.
    custody.set_interfaces(now, &[LAN], Former::Heard);
    assert_eq!(custody.tick(now), []);
    // After its burst it is silent until somebody may have spoken for it.
    let mut later = now;
    while let Some(next) = custody.next() {
        later = next;
        custody.tick(next);
    }
    assert!(later < now + Duration::from_secs(5));
    let hour = now + Duration::from_secs(3600);
    custody.announce_again(hour);
    assert_eq!(custody.tick(hour), [Send::Announce(LAN)]);
}

#[test]
fn a_living_node_is_asked_until_it_hands_over() {
    let start = Instant::now();
    let mut custody = Custody::new(Duration::ZERO);
    custody.set_interfaces(start, &[LAN], Former::Unheard);
    let mut now = start;
    // It answers for a while: it has not seen yet that the address moves.
    while now < start + Duration::from_millis(300) {
        assert_eq!(custody.tick(now), [Send::Probe(LAN)]);
        custody.sighted(now, LAN, A, B, SightingKind::Claim, Rival::Second);
        assert_eq!(custody.standing(), Standing::Probing, "no conflict yet");
        assert!(custody.answering().is_empty());
        now = custody.next().expect("it is asked again");
    }
    // Nobody answers any more: announced after three questions, faster than at first.
    let silent = now;
    while custody.answering().is_empty() {
        assert!(now <= silent + HAND_OVER_STEP * u32::from(PROBES));
        custody.tick(now);
        now = custody.next().expect("it goes on");
    }
    // An interface that comes later is a LAN of which nothing is known.
    custody.set_interfaces(now, &[LAN, LAN + 1], Former::Heard);
    assert_eq!(custody.answering(), [LAN]);
}

#[test]
fn a_living_node_that_does_not_hand_over_keeps_it() {
    let start = Instant::now();
    let mut custody = Custody::new(Duration::ZERO);
    custody.set_interfaces(start, &[LAN], Former::Unheard);
    let mut now = start;
    while custody.standing() == Standing::Probing {
        assert!(now <= start + HAND_OVER + HAND_OVER_PAUSE);
        custody.tick(now);
        custody.sighted(now, LAN, A, B, SightingKind::Claim, Rival::Second);
        assert!(custody.answering().is_empty());
        now = custody.next().expect("it is asked again");
    }
    assert!(matches!(custody.standing(), Standing::Conflict(conflict) if conflict.mac == B));
    // A stranger gets no such time.
    let mut other = Custody::new(Duration::ZERO);
    other.set_interfaces(start, &[LAN], Former::Unheard);
    other.tick(start);
    other.sighted(start, LAN, A, B, SightingKind::Claim, Rival::Stranger);
    assert!(matches!(other.standing(), Standing::Conflict(_)));
}

#[test]
fn an_address_in_use_is_given_up_and_asked_for_later() {
    let now = Instant::now();
    let (ours, other) = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));
    let mut custody = Custody::new(Duration::ZERO);
    custody.set_interfaces(now, &[LAN], Former::Nobody);
    custody.tick(now);
    custody.sighted(now, LAN, ours, other, SightingKind::Claim, Rival::Stranger);
    assert!(matches!(custody.standing(), Standing::Conflict(conflict) if conflict.mac == other));
    assert_eq!(custody.tick(now + PROBE_STEP), []);
    // Sooner, where it may have been one of our own nodes.
    let mut sooner = custody.clone();
    sooner.announce_again(now + PROBE_STEP);
    assert_eq!(sooner.tick(now + PROBE_STEP), [Send::Probe(LAN)]);
    assert_eq!(custody.tick(now + RETRY), [Send::Probe(LAN)]);
}

const A: Mac = Mac([2, 0, 0, 0, 0, 0xa]);
const B: Mac = Mac([2, 0, 0, 0, 0, 0xb]);

/// An address that is announced, its burst over.
fn announced(now: Instant) -> Custody {
    let mut custody = Custody::new(Duration::ZERO);
    custody.set_interfaces(now, &[LAN], Former::Heard);
    while let Some(next) = custody.next() {
        custody.tick(next);
    }
    custody
}

#[test]
fn the_one_in_the_middle_gives_way_at_once_whoever_else_claims_it() {
    let mut now = Instant::now() + Duration::from_secs(60);
    let mut middle = announced(now - Duration::from_secs(60));
    const LAST: Mac = Mac([2, 0, 0, 0, 0, 9]);
    middle.sighted(now, LAN, B, LAST, SightingKind::Claim, Rival::Second);
    now += DEFEND_DELAY;
    assert_eq!(middle.tick(now), [Send::Announce(LAN)]);
    // Its next answer to that one waits.
    middle.sighted(now, LAN, B, LAST, SightingKind::Claim, Rival::Second);
    middle.sighted(now, LAN, B, A, SightingKind::Claim, Rival::First);
    now += DEFEND_DELAY;
    assert_eq!(middle.tick(now), []);
    assert!(middle.answering().is_empty());
}

#[test]
fn of_two_nodes_that_do_not_hear_one_another_the_first_keeps_it() {
    let start = Instant::now();
    let mut now = start + Duration::from_secs(60);
    let (mut first, mut second) = (announced(start), announced(start));
    // The second one took the first one for dead.
    first.sighted(now, LAN, A, B, SightingKind::Claim, Rival::Second);
    now += DEFEND_DELAY;
    assert_eq!(first.tick(now), [Send::Announce(LAN)]);
    second.sighted(now, LAN, B, A, SightingKind::Claim, Rival::First);
    now += DEFEND_DELAY;
    assert_eq!(second.tick(now), []);
    assert!(second.answering().is_empty());
    let Standing::Conflict(conflict) = second.standing() else {
        panic!("{:?}", second.standing());
    };
    assert_eq!((conflict.mac, conflict.rival), (A, Rival::First));
    assert_eq!(first.disputed(), [], "an address that moves looks the same");
    // It asks again and again, and is answered.
    for _ in 0..20 {
        now += RETRY_OURS;
        assert_eq!(second.tick(now), [Send::Probe(LAN)]);
        first.sighted(now, LAN, A, B, SightingKind::Probe, Rival::Second);
        second.sighted(now, LAN, B, A, SightingKind::Claim, Rival::First);
        assert!(first.tick(now).is_empty() && second.tick(now).is_empty());
        assert_eq!(first.answering(), [LAN]);
    }
    assert_eq!(first.disputed(), [(B, LAN)]);
    // However often one of ours claims it: the first one does not step back.
    for _ in 0..3 {
        now += Duration::from_secs(1);
        first.sighted(now, LAN, A, B, SightingKind::Claim, Rival::Second);
        assert_eq!(first.tick(now + DEFEND_DELAY), [Send::Announce(LAN)]);
    }
    // The first one dies: nobody answers, and the second one has it a moment later.
    now += RETRY_OURS;
    for _ in 0..=PROBES {
        second.tick(now);
        now += PROBE_STEP;
    }
    assert_eq!(second.answering(), [LAN]);
    // And it is over when nothing more is heard.
    first.tick(now + Duration::from_secs(10));
    assert_eq!(first.disputed(), []);
}

#[test]
fn a_stranger_that_may_be_one_of_ours_is_asked_again_soon() {
    let start = Instant::now();
    let now = start + Duration::from_secs(60);
    let mut custody = announced(start);
    custody.sighted(now, LAN, A, B, SightingKind::Claim, Rival::PerhapsOurs);
    assert_eq!(custody.tick(now + DEFEND_DELAY), [Send::Announce(LAN)]);
    let again = now + Duration::from_secs(1);
    custody.sighted(again, LAN, A, B, SightingKind::Claim, Rival::PerhapsOurs);
    assert!(custody.answering().is_empty());
    assert_eq!(custody.next(), Some(again + RETRY_OURS));
}
