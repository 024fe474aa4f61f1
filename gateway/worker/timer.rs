//! Deadlines of one worker: setting one is a store, and nothing ticks while nothing is due.
//!
//! A connection owns one [`Timer`] for its whole life and moves its deadline before each wait. The
//! wheel holds a timer at the earliest tick it was queued for; when that tick comes and the
//! deadline has moved on, the timer is queued again. So a busy keep-alive connection costs one
//! queue operation per timeout period, not one per request.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Timeouts are rounded up to this.
const TICK: Duration = Duration::from_millis(TICK_MILLIS);
const TICK_MILLIS: u64 = 5;

/// How far ahead the wheel holds a timer. A connection that closes leaves its entry in the wheel
/// until the entry's tick, so that this bounds what closed connections may hold.
const HORIZON: u64 = 1600; // 8 s

/// No deadline.
const NEVER: u64 = u64::MAX;

/// The deadlines of one worker.
#[derive(Debug)]
pub struct Wheel {
    epoch: Instant,
    due: RefCell<BTreeMap<u64, Vec<Rc<Entry>>>>,
    earlier: Notify,
}

#[derive(Debug)]
struct Entry {
    /// The tick at which it expires.
    deadline: Cell<u64>,
    /// The earliest tick at which the wheel holds it.
    queued: Cell<u64>,
    waker: RefCell<Option<Waker>>,
}

/// A deadline that can be moved.
#[derive(Debug)]
pub struct Timer {
    wheel: Rc<Wheel>,
    entry: Rc<Entry>,
}

impl Wheel {
    /// An empty wheel.
    pub fn new() -> Rc<Self> {
        Rc::new(Self {
            epoch: Instant::now(),
            due: RefCell::default(),
            earlier: Notify::new(),
        })
    }

    /// A timer without a deadline.
    pub fn timer(self: &Rc<Self>) -> Timer {
        Timer {
            wheel: Rc::clone(self),
            entry: Rc::new(Entry {
                deadline: Cell::new(NEVER),
                queued: Cell::new(NEVER),
                waker: RefCell::default(),
            }),
        }
    }

    /// Wakes what is due, for as long as the worker lives.
    pub async fn run(&self) {
        loop {
            let next = self.due.borrow().keys().next().copied();
            match next {
                None => self.earlier.notified().await,
                Some(tick) => {
                    let at = tokio::time::Instant::from_std(self.instant(tick));
                    tokio::select! {
                        () = tokio::time::sleep_until(at) => self.fire(),
                        () = self.earlier.notified() => {}
                    }
                }
            }
        }
    }

    /// Wakes every task that waits with a deadline, so that it looks at what changed.
    pub fn wake_all(&self) {
        for entry in self.due.borrow().values().flatten() {
            if let Some(waker) = &*entry.waker.borrow() {
                waker.wake_by_ref();
            }
        }
    }

    fn fire(&self) {
        let now = self.tick_at(Instant::now());
        loop {
            let Some(slot) = ({
                let mut due = self.due.borrow_mut();
                match due.first_entry() {
                    Some(first) if *first.key() <= now => Some(first.remove_entry()),
                    _ => None,
                }
            }) else {
                return;
            };
            let (tick, entries) = slot;
            for entry in entries {
                if entry.queued.get() != tick {
                    continue; // queued for an earlier tick meanwhile, and handled there
                }
                entry.queued.set(NEVER);
                let deadline = entry.deadline.get();
                if deadline <= now {
                    if let Some(waker) = entry.waker.borrow_mut().take() {
                        waker.wake();
                    }
                } else if deadline != NEVER {
                    self.queue(&entry, deadline.min(now + HORIZON));
                }
            }
        }
    }

    fn queue(&self, entry: &Rc<Entry>, tick: u64) {
        entry.queued.set(tick);
        let mut due = self.due.borrow_mut();
        let earliest = due.keys().next().is_none_or(|first| tick < *first);
        due.entry(tick).or_default().push(Rc::clone(entry));
        if earliest {
            self.earlier.notify_one();
        }
    }

    /// The first tick that is not before `instant`.
    fn tick_from(&self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.epoch);
        u64::try_from(since.as_millis() / TICK.as_millis())
            .unwrap_or(NEVER - 1)
            .saturating_add(1)
    }

    /// The last tick that has begun.
    fn tick_at(&self, instant: Instant) -> u64 {
        self.tick_from(instant) - 1
    }

    fn instant(&self, tick: u64) -> Instant {
        // What an instant cannot hold is never waited for to its end: the horizon comes first.
        let since = Duration::from_millis(tick.saturating_mul(TICK_MILLIS));
        self.epoch
            .checked_add(since)
            .unwrap_or_else(|| Instant::now() + TICK * HORIZON as u32)
    }
}

impl Timer {
    /// Expires `after` from `now`; none: never.
    pub fn set(&self, now: Instant, after: Option<Duration>) {
        let Some(after) = after else {
            self.entry.deadline.set(NEVER);
            return;
        };
        let tick = now
            .checked_add(after)
            .map_or(NEVER, |at| self.wheel.tick_from(at));
        self.set_tick(tick, || now);
    }

    /// Expires at `at`; none: never.
    pub fn set_at(&self, at: Option<Instant>) {
        match at {
            None => self.entry.deadline.set(NEVER),
            Some(at) => self.set_tick(self.wheel.tick_from(at), Instant::now),
        }
    }

    /// Asks for the present only where the wheel has to hold the timer at an earlier tick.
    fn set_tick(&self, tick: u64, now: impl FnOnce() -> Instant) {
        self.entry.deadline.set(tick);
        let queued = self.entry.queued.get();
        if tick < queued {
            let horizon = self.wheel.tick_at(now()) + HORIZON;
            if tick.min(horizon) < queued {
                self.wheel.queue(&self.entry, tick.min(horizon));
            }
        }
    }

    /// Ready once the deadline has passed; registers the task otherwise.
    pub fn poll_expired(&self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.entry.deadline.get();
        if deadline == NEVER {
            return Poll::Pending;
        }
        // The clock is read only where the wheel has let go of the timer, that is, after a wake.
        if self.entry.queued.get() == NEVER {
            let now = self.wheel.tick_at(Instant::now());
            if deadline <= now {
                return Poll::Ready(());
            }
            self.wheel.queue(&self.entry, deadline.min(now + HORIZON));
        }
        let mut waker = self.entry.waker.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Waits for the deadline.
    pub async fn expired(&self) {
        poll_fn(|cx| self.poll_expired(cx)).await;
    }

    /// Waits for a while; the deadline is gone afterwards.
    pub async fn sleep(&self, duration: Duration) {
        self.set(Instant::now(), Some(duration));
        self.expired().await;
        self.set_at(None);
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // The wheel may hold the entry until its tick; it must not keep the task's waker.
        self.entry.deadline.set(NEVER);
        self.entry.waker.borrow_mut().take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<F: Future>(future: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, future)
    }

    #[test]
    fn a_deadline_expires_not_before_its_time() {
        run(async {
            let wheel = Wheel::new();
            let ticker = Rc::clone(&wheel);
            tokio::task::spawn_local(async move { ticker.run().await });
            let timer = wheel.timer();
            let start = Instant::now();
            timer.sleep(Duration::from_millis(30)).await;
            assert!(start.elapsed() >= Duration::from_millis(30));
        });
    }

    #[test]
    fn a_deadline_that_moved_on_does_not_fire_early() {
        run(async {
            let wheel = Wheel::new();
            let ticker = Rc::clone(&wheel);
            tokio::task::spawn_local(async move { ticker.run().await });
            let timer = wheel.timer();
            let start = Instant::now();
            timer.set(start, Some(Duration::from_millis(10)));
            timer.set(start, Some(Duration::from_millis(60)));
            timer.expired().await;
            assert!(start.elapsed() >= Duration::from_millis(60));
        });
    }

    #[test]
    fn an_earlier_deadline_overtakes_a_queued_one() {
        run(async {
            let wheel = Wheel::new();
            let ticker = Rc::clone(&wheel);
            tokio::task::spawn_local(async move { ticker.run().await });
            let timer = wheel.timer();
            let start = Instant::now();
            timer.set(start, Some(Duration::from_secs(3600)));
            tokio::task::yield_now().await;
            timer.set(start, Some(Duration::from_millis(10)));
            timer.expired().await;
            assert!(start.elapsed() < Duration::from_secs(60));
        });
    }

    /// 2^32 ticks are 248 days.
    #[test]
    fn ticks_go_on_after_248_days() {
        let wheel = Wheel::new();
        let tick = u64::from(u32::MAX) + 1000;
        assert_eq!(
            wheel.instant(tick) - wheel.instant(tick - 1000),
            1000 * TICK
        );
        assert!(wheel.tick_from(wheel.instant(tick)) >= tick);
        assert!(wheel.instant(NEVER) > Instant::now());
    }

    #[test]
    fn the_wheel_holds_no_timer_beyond_its_horizon() {
        let wheel = Wheel::new();
        let hour = Duration::from_secs(3600);
        let timers = [wheel.timer(), wheel.timer()];
        timers[0].set(Instant::now(), Some(hour));
        timers[1].set_at(Some(Instant::now() + hour));
        let last = wheel.due.borrow().keys().last().copied().unwrap();
        assert!(last <= wheel.tick_at(Instant::now()) + HORIZON, "{last}");
    }

    #[test]
    fn a_cleared_deadline_never_expires() {
        run(async {
            let wheel = Wheel::new();
            let timer = wheel.timer();
            timer.set(Instant::now(), Some(Duration::ZERO));
            timer.set_at(None);
            let pending = poll_fn(|cx| Poll::Ready(timer.poll_expired(cx).is_pending())).await;
            assert!(pending);
        });
    }
}
