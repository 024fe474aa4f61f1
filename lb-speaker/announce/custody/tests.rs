//! What is sent for an address, and when.

use super::*;

const LAN: u32 = 2;

#[test]
fn a_first_announcement_is_probed_three_times() {
    let now = Instant::now();
    let mut custody = Custody::new(Duration::from_secs(60));
    custody.set_interfaces(now, &[LAN], false);
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
    custody.set_interfaces(now, &[LAN], true);
    assert_eq!(custody.answering(), [LAN]);
    assert_eq!(custody.tick(now), [Send::Announce(LAN)]);
    // Told again, it is no news.
    custody.set_interfaces(now, &[LAN], true);
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
fn an_address_in_use_is_given_up_and_asked_for_later() {
    let now = Instant::now();
    let (ours, other) = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));
    let mut custody = Custody::new(Duration::ZERO);
    custody.set_interfaces(now, &[LAN], false);
    custody.tick(now);
    custody.sighted(now, LAN, ours, other, SightingKind::Claim);
    assert!(matches!(custody.standing(), Standing::Conflict(conflict) if conflict.mac == other));
    assert_eq!(custody.tick(now + PROBE_STEP), []);
    // Sooner, where it may have been one of our own nodes.
    let mut sooner = custody.clone();
    sooner.announce_again(now + PROBE_STEP);
    assert_eq!(sooner.tick(now + PROBE_STEP), [Send::Probe(LAN)]);
    assert_eq!(custody.tick(now + RETRY), [Send::Probe(LAN)]);
}
