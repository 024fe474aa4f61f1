//! Read buffers of a worker: a connection has one only while it has bytes to read.
//!
//! Last in, first out: the few that are in use stay in the processor's caches.

use std::cell::RefCell;

use crate::http1::ReadBuffer;

/// How many are kept.
const MAX_SPARE: usize = 32;

/// Buffers that nobody uses at the moment.
#[derive(Debug, Default)]
pub struct Buffers {
    spare: RefCell<Vec<ReadBuffer>>,
}

impl Buffers {
    /// A buffer, empty.
    pub fn take(&self) -> ReadBuffer {
        self.spare.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a buffer back; what is in it is forgotten.
    pub fn give(&self, mut buffer: ReadBuffer) {
        let mut spare = self.spare.borrow_mut();
        if buffer.has_memory() && spare.len() < MAX_SPARE {
            buffer.clear();
            spare.push(buffer);
        }
    }
}
