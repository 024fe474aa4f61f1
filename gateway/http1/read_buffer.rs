//! The input buffer of a connection.
//!
//! Invariant: `start <= end <= buf.len()`, and every byte of `buf` is initialised.

use super::parse::Scan;

/// Bytes read from a socket and not yet used.
///
/// Backed by one vector, allocated when first written to, so that an idle connection costs
/// nothing. Decoding a head swaps this vector with the head's.
#[derive(Debug, Default)]
pub struct ReadBuffer {
    pub(super) buf: Vec<u8>,
    pub(super) start: usize,
    pub(super) end: usize,
    /// How far the filled part was searched for the end of a head.
    pub(super) scan: Scan,
}

impl ReadBuffer {
    /// Bytes of a new buffer.
    pub const CAPACITY: usize = 16 * 1024;

    /// An empty buffer without memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes read and not yet consumed.
    pub fn filled(&self) -> &[u8] {
        self.buf.get(self.start..self.end).unwrap_or_default()
    }

    /// Space to read into, at least `want` bytes of it, all initialised. What was read is then
    /// reported with [`advance`](Self::advance).
    pub fn unfilled(&mut self, want: usize) -> &mut [u8] {
        if self.buf.len() - self.end < want.max(1) {
            self.make_room(want);
        }
        self.buf.get_mut(self.end..).unwrap_or_default()
    }

    /// Says that `n` bytes were read into [`unfilled`](Self::unfilled).
    ///
    /// More than there was space for counts as all of it.
    pub fn advance(&mut self, n: usize) {
        self.end = self.end.saturating_add(n).min(self.buf.len());
    }

    /// Drops the first `n` bytes of [`filled`](Self::filled); more than there are counts as all.
    pub fn consume(&mut self, n: usize) {
        self.start = self.start.saturating_add(n).min(self.end);
        self.scan = Scan::default();
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Appends bytes that were read elsewhere, such as those a protocol detector looked at.
    pub fn extend(&mut self, bytes: &[u8]) {
        let space = self.unfilled(bytes.len());
        for (to, from) in space.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.advance(bytes.len());
    }

    /// Whether nothing is left to use.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// How many bytes are left to use.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether it has memory of its own at the moment.
    pub fn has_memory(&self) -> bool {
        !self.buf.is_empty()
    }

    /// Forgets every byte and keeps the memory, for another connection.
    pub fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
        self.scan = Scan::default();
    }

    /// Gives the memory back if nothing is left to use: for a connection that goes idle.
    pub fn release_if_empty(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }

    #[cold]
    fn make_room(&mut self, want: usize) {
        if self.start > 0 {
            self.buf.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let needed = self.end.saturating_add(want.max(1));
        if self.buf.len() < needed {
            // Doubling keeps a long head linear; the decoder's limits bound it.
            let size = needed.max(self.buf.len() * 2).max(Self::CAPACITY);
            if self.buf.is_empty() {
                // Zero pages of the system: none is touched before it is read into.
                self.buf = vec![0; size];
            } else {
                self.buf.resize(size, 0);
            }
        }
    }
}
