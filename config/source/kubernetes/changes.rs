//! Changes that nobody was told of yet, and when to tell of them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Nothing more for so long: one `kubectl apply` of several objects is one change.
const QUIET: Duration = Duration::from_millis(8);
/// A change is told after this at the latest: while thousands of statuses are written, more often
/// would take the time that writing them needs.
const AT_MOST: Duration = Duration::from_millis(100);

/// For one who waits, at a time.
#[derive(Debug, Default)]
pub(super) struct Changes {
    untold: Mutex<Option<Untold>>,
    noted: Notify,
}

/// When changes were that nobody was told of.
#[derive(Clone, Copy, Debug)]
struct Untold {
    first: Instant,
    last: Instant,
}

impl Changes {
    /// Something changed.
    pub(super) fn note(&self) {
        let now = Instant::now();
        self.untold()
            .get_or_insert(Untold {
                first: now,
                last: now,
            })
            .last = now;
        self.noted.notify_one();
    }

    /// Waits for a change, however much is to come.
    #[cfg(test)]
    pub(super) async fn any(&self) {
        self.noted.notified().await;
    }

    /// Waits until something changed, and who changed it has probably finished: 8 ms after the last
    /// change, 100 ms after the first at the latest.
    ///
    /// May be dropped while it waits and called again: no change is lost, and none waits longer.
    pub(super) async fn settled(&self) {
        loop {
            let due = self.untold().map(Untold::due);
            match due {
                None => self.noted.notified().await,
                Some(due) if due <= Instant::now() => {
                    *self.untold() = None;
                    return;
                }
                Some(due) => sleep_until(due).await,
            }
        }
    }

    fn untold(&self) -> MutexGuard<'_, Option<Untold>> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Untold {
    fn due(self) -> Instant {
        (self.last + QUIET).min(self.first + AT_MOST)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn a_change_that_was_waited_for_in_vain_is_told_to_who_waits_next() {
        let changes = Changes::default();
        changes.note();
        // Something else is to be done before it is quiet.
        for _ in 0..3 {
            let waited = timeout(MOMENT, changes.settled()).await;
            assert!(waited.is_err(), "it is not quiet yet");
        }
        let begun = Instant::now();
        let told = timeout(QUIET, changes.settled()).await;
        assert!(told.is_ok(), "the change is lost");
        assert_eq!(begun.elapsed(), QUIET - 3 * MOMENT, "it waits no longer");
        assert!(
            timeout(AT_MOST, changes.settled()).await.is_err(),
            "told once"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_on_is_told_in_time_although_others_are_served_meanwhile() {
        let changes = Changes::default();
        let begun = Instant::now();
        changes.note();
        while timeout(MOMENT, changes.settled()).await.is_err() {
            assert!(begun.elapsed() <= AT_MOST, "nobody is told");
            changes.note();
        }
        assert_eq!(begun.elapsed(), AT_MOST);
        advance(QUIET).await;
        changes.note();
        assert!(
            timeout(QUIET, changes.settled()).await.is_ok(),
            "the next one too"
        );
    }
}
