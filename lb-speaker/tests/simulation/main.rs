//! Random histories of a cluster, seeded and replayable: Services and pools come, change and go,
//! somebody edits statuses, two allocators crash, hang and are cut off, and take the Lease from one
//! another. No address is dealt twice, and no holder moves without a reason.
//!
//! What keeps two allocators apart is modelled as it has to be done:
//!
//! * only the holder of the Lease writes; it is taken and renewed by resourceVersion, and taken from
//!   another only after that one did not renew it for its whole duration by the taker's own clock;
//! * the holder writes only if its request ends (arrives, or is given up) before its Lease does;
//! * who takes the Lease begins anew from the statuses;
//! * a status is written by the resourceVersion of the Service, one after the other, and what is
//!   taken from one Service is written before it is given to another.
//!
//! `GATEHOUSE_SEED=n` replays one history; `GATEHOUSE_LONG_TESTS=1` runs 10,000.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod api;
mod chance;
mod judge;
mod machines;
mod users;
mod world;

use world::World;

/// Steps of one history, in three parts with a rest after each.
const STEPS: usize = 60;

fn history(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..3 {
        for _ in 0..STEPS / 3 {
            world.step();
        }
        world.rest();
    }
}

#[test]
fn no_address_is_dealt_twice_and_nobody_moves_without_a_reason() {
    if let Ok(seed) = std::env::var("GATEHOUSE_SEED") {
        return history(seed.parse().unwrap());
    }
    let long = std::env::var_os("GATEHOUSE_LONG_TESTS").is_some_and(|value| value == "1");
    for seed in 0..if long { 10_000 } else { 150 } {
        history(seed);
    }
}
