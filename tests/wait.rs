//! Waiting for an event with a deadline; the only place of the harness where time passes idly.

use std::time::{Duration, Instant};

/// How long tests wait for things that normally take milliseconds: long enough for a loaded
/// machine with two cores, short enough that a hang fails while someone looks.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(4);

/// Calls `probe` until it gives something, and returns that.
///
/// # Panics
///
/// When `deadline` has passed, with `what` and how long it waited.
pub fn eventually<T>(what: &str, deadline: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(
            started.elapsed() < deadline,
            "not within {deadline:?}: {what}"
        );
        std::thread::park_timeout(POLL);
    }
}
