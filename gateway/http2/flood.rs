//! Frames that carry nothing, held against what a connection is of use for.
//!
//! h2 bounds what an attacker can make it keep: header lists, CONTINUATION, empty DATA, resets of
//! its own. What costs only time it answers without end: PING, SETTINGS, WINDOW_UPDATE, PRIORITY,
//! RST_STREAM of streams long gone, and types that nobody knows. Here each of those takes from an
//! allowance, which time and what is sent to the client fill up again: gRPC measures the line with
//! a PING for what it receives, and every reader gives windows back.

use std::time::{Duration, Instant};

use crate::http2::PREFACE;

/// A frame's head: length (3 bytes), type, flags, stream (4 bytes) (RFC 9113 §4.1).
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

/// Frames for each one with content that is sent: a reader may give back its stream's window and
/// its connection's, and measure the line.
const FOR_EACH_SENT: u32 = 3;
/// The allowance is filled up within this time, whatever is sent.
const FILL: Duration = Duration::from_secs(10);

/// How much one connection is allowed still.
#[derive(Debug)]
pub struct Flood {
    most: u32,
    left: u32,
    /// Up to when time has filled it.
    filled: Instant,
    received: Scanner,
    sent: Scanner,
    over: bool,
}

impl Flood {
    /// Allows `most` frames without use at once.
    pub fn new(most: u32, now: Instant) -> Self {
        Self {
            most,
            left: most,
            filled: now,
            received: Scanner::after(PREFACE.len()),
            sent: Scanner::default(),
            over: false,
        }
    }

    /// Whether the allowance is used up.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Looks at what came. `now` is asked only where the allowance seems to be used up.
    pub fn received(&mut self, bytes: &[u8], now: impl Fn() -> Instant) {
        let Self {
            most,
            left,
            filled,
            received,
            over,
            ..
        } = self;
        received.see(bytes, |kind| {
            // What these may cost is bounded by what they ask for, and by h2.
            if matches!(kind, DATA | HEADERS | CONTINUATION) {
                return;
            }
            if *left == 0 {
                let now = now();
                let since = now.saturating_duration_since(*filled);
                let share = since.as_secs_f64() / FILL.as_secs_f64();
                *left = share_of(*most, share);
                *filled = now;
            }
            match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                None => *over = true,
            }
        });
    }

    /// Looks at what was sent.
    pub fn sent(&mut self, bytes: &[u8]) {
        let Self { most, left, .. } = self;
        self.sent.see(bytes, |kind| {
            if matches!(kind, DATA | HEADERS) {
                *left = left.saturating_add(FOR_EACH_SENT).min(*most);
            }
        });
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between nothing and the whole"
)]
fn share_of(most: u32, share: f64) -> u32 {
    (f64::from(most) * share.clamp(0.0, 1.0)) as u32
}

/// Finds the heads of frames in bytes that come in pieces.
#[derive(Debug, Default)]
struct Scanner {
    head: [u8; HEAD],
    /// How much of the head is there.
    have: usize,
    /// How much is to be passed over before the next head.
    skip: usize,
}

impl Scanner {
    fn after(skip: usize) -> Self {
        Self {
            skip,
            ..Self::default()
        }
    }

    /// Tells the type of each frame whose head is complete.
    fn see(&mut self, mut bytes: &[u8], mut found: impl FnMut(u8)) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let passed = self.skip.min(bytes.len());
                self.skip -= passed;
                bytes = bytes.get(passed..).unwrap_or_default();
                continue;
            }
            let Some(missing) = self.head.get_mut(self.have..) else {
                self.have = 0;
                continue;
            };
            let count = missing.len().min(bytes.len());
            let (now, later) = bytes.split_at(count);
            for (to, from) in missing.iter_mut().zip(now) {
                *to = *from;
            }
            self.have += count;
            bytes = later;
            if self.have == HEAD {
                let [a, b, c, kind, ..] = self.head;
                let length = u32::from_be_bytes([0, a, b, c]);
                self.skip = usize::try_from(length).unwrap_or(usize::MAX);
                self.have = 0;
                found(kind);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: u8 = 6;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let [_, _, _, _, _, a, b, c] = (length as u64).to_be_bytes();
        let mut frame = vec![a, b, c, kind, 0, 0, 0, 0, 0];
        // Bytes that would be frames if they were taken for such.
        frame.extend(std::iter::repeat_n(0, length));
        frame
    }

    fn flood(most: u32) -> (Flood, Instant) {
        let start = Instant::now();
        let mut flood = Flood::new(most, start);
        flood.received(PREFACE, || start);
        (flood, start)
    }

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let mut bytes = PREFACE.to_vec();
        for length in [0, 1, 9, 16_384] {
            bytes.extend(frame(PING, length));
            bytes.extend(frame(DATA, length));
        }
        for size in [1, 2, 9, 10, 4_096, bytes.len()] {
            let start = Instant::now();
            let mut flood = Flood::new(4, start);
            for piece in bytes.chunks(size) {
                flood.received(piece, || start);
            }
            assert_eq!((flood.left, flood.over), (0, false), "pieces of {size}");
            flood.received(&frame(PING, 8), || start);
            assert!(flood.is_over(), "pieces of {size}");
        }
    }

    #[test]
    fn what_is_sent_and_time_fill_the_allowance() {
        let (mut flood, start) = flood(10);
        for _ in 0..10 {
            flood.received(&frame(PING, 8), || start);
        }
        flood.sent(&frame(DATA, 5));
        for _ in 0..3 {
            flood.received(&frame(PING, 8), || start);
        }
        assert!(!flood.is_over());
        // A tenth of the time, a tenth of the frames.
        let later = start + FILL / 10;
        flood.received(&frame(PING, 8), || later);
        assert!(!flood.is_over());
        // Answers to pings are of no use to anybody.
        flood.sent(&frame(PING, 8));
        flood.received(&frame(PING, 8), || later);
        assert!(flood.is_over());
    }

    #[test]
    fn requests_and_bodies_take_nothing() {
        let (mut flood, start) = flood(1);
        for kind in [DATA, HEADERS, CONTINUATION] {
            for _ in 0..100 {
                flood.received(&frame(kind, 3), || start);
            }
        }
        assert!(!flood.is_over());
    }
}
