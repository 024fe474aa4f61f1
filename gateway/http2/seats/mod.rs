//! Seats: a task that has served a stream waits here for the next one of its connection.
//!
//! What an exchange needs (its future of several kilobytes, its record, the memory of its heads, a
//! timer) is then made once for many requests, where making it costs as much as a tenth of one.
//! Nobody waits for long: a seat that is not asked for in time is given up, all of them are when
//! the connection ends, and a worker has no more than [`MOST`] of them.

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::Request;

use crate::worker::Worker;
use crate::worker::timer::Timer;

/// Seats of one worker in which somebody waits; each holds about ten kilobytes.
const MOST: usize = 512;
/// How long one waits for a stream.
const PATIENCE: Duration = Duration::from_secs(2);

/// A stream that is to be served.
pub(super) type Asked = (Request<RecvStream>, SendResponse<Bytes>);

/// Where one task waits.
pub(super) struct Seat {
    asked: Cell<Option<Asked>>,
    is_asked: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// The tasks of one connection that wait.
#[derive(Debug, Default)]
pub(super) struct Seats {
    /// The last one that came is asked first: what it uses is still in the processor's caches.
    idle: RefCell<Vec<Rc<Seat>>>,
    /// The connection has ended.
    over: Cell<bool>,
}

impl Seats {
    /// Gives a stream to a task that waits; back where none does.
    pub(super) fn ask(&self, asked: Asked) -> Option<Asked> {
        let Some(seat) = self.idle.borrow_mut().pop() else {
            return Some(asked);
        };
        seat.asked.set(Some(asked));
        seat.is_asked.set(true);
        seat.wake();
        None
    }

    /// Waits in `seat` for a stream; `false` where the task is not needed any longer. `timer` is
    /// used for that.
    pub(super) async fn wait(
        &self,
        seat: &Rc<Seat>,
        worker: &Worker,
        timer: &Timer,
        now: Instant,
    ) -> bool {
        let waiting = &worker.idle_seats;
        if self.over.get() || waiting.get() >= MOST || worker.is_draining() {
            return false;
        }
        waiting.set(waiting.get() + 1);
        self.idle.borrow_mut().push(Rc::clone(seat));
        timer.set(now, Some(PATIENCE));
        let is_asked = poll_fn(|cx| self.poll(cx, seat, timer)).await;
        waiting.set(waiting.get().saturating_sub(1));
        is_asked
    }

    fn poll(&self, cx: &mut Context<'_>, seat: &Rc<Seat>, timer: &Timer) -> Poll<bool> {
        if seat.is_asked.get() {
            return Poll::Ready(true);
        }
        if self.over.get() || timer.poll_expired(cx).is_ready() {
            let mut idle = self.idle.borrow_mut();
            idle.retain(|one| !Rc::ptr_eq(one, seat));
            if idle.is_empty() {
                *idle = Vec::new();
            }
            return Poll::Ready(false);
        }
        seat.register(cx.waker());
        Poll::Pending
    }

    /// Sends everybody home when the value is dropped.
    pub(super) fn closed_at_the_end(&self) -> Closing<'_> {
        Closing(self)
    }
}

/// The end of a connection's seats.
#[derive(Debug)]
pub(super) struct Closing<'s>(&'s Seats);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.over.set(true);
        for seat in self.0.idle.take() {
            seat.wake();
        }
    }
}

impl Seat {
    /// A seat in which a stream is asked for already.
    pub(super) fn with(asked: Asked) -> Rc<Self> {
        Rc::new(Self {
            asked: Cell::new(Some(asked)),
            is_asked: Cell::new(true),
            waker: RefCell::default(),
        })
    }

    /// The stream that is asked for.
    pub(super) fn take(&self) -> Option<Asked> {
        self.is_asked.set(false);
        self.asked.take()
    }

    fn register(&self, waker: &Waker) {
        let mut known = self.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seat").finish_non_exhaustive()
    }
}
