//! Bytes of a TLS connection that wait: for the rest of a record, a reader, or a socket.

use tokio::io::ReadBuf;

/// Bytes taken from the front. Without any it has no memory.
#[derive(Default)]
pub(super) struct Held {
    bytes: Vec<u8>,
    taken: usize,
}

impl Held {
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn len(&self) -> usize {
        self.bytes.len() - self.taken
    }

    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.taken..).unwrap_or_default()
    }

    /// Drops the first `count` bytes, and the memory with the last.
    pub fn take(&mut self, count: usize) {
        self.taken += count;
        if self.taken >= self.bytes.len() {
            *self = Self::default();
        }
    }

    /// Holds these instead of what was held.
    pub fn keep(&mut self, bytes: &[u8]) {
        self.taken = 0;
        self.bytes = bytes.to_vec();
    }

    /// Holds these as well.
    pub fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Holds what `encode` writes as well. It says how much it wrote, or how much room it needs.
    pub fn append_with(&mut self, mut encode: impl FnMut(&mut [u8]) -> Result<usize, usize>) {
        let end = self.bytes.len();
        let written = encode(&mut []).or_else(|needed| {
            self.bytes.resize(end + needed, 0);
            encode(self.bytes.get_mut(end..).unwrap_or_default())
        });
        self.bytes.truncate(end + written.unwrap_or(0));
    }

    /// Gives the reader what it has room for.
    pub fn give(&mut self, reader: &mut ReadBuf<'_>) {
        let count = self.len().min(reader.remaining());
        reader.put_slice(self.bytes().get(..count).unwrap_or_default());
        self.take(count);
    }

    /// The same for bytes that come after those that are held; holds the rest of them.
    pub fn give_or_hold(&mut self, bytes: &[u8], reader: &mut ReadBuf<'_>) {
        let room = match self.is_empty() {
            true => bytes.len().min(reader.remaining()),
            false => 0,
        };
        let (given, rest) = bytes.split_at_checked(room).unwrap_or_default();
        reader.put_slice(given);
        self.append(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_the_order_in_which_they_went_in() {
        let mut held = Held::default();
        let mut room = [0; 4];
        let mut reader = ReadBuf::new(&mut room);
        held.give_or_hold(b"ab", &mut reader);
        assert!(held.is_empty());
        held.give_or_hold(b"cdefg", &mut reader);
        held.give_or_hold(b"h", &mut reader);
        assert_eq!(reader.filled(), b"abcd");
        assert_eq!(held.bytes(), b"efgh");
        let mut room = [0; 3];
        let mut reader = ReadBuf::new(&mut room);
        held.give(&mut reader);
        assert_eq!((reader.filled(), held.bytes()), (&b"efg"[..], &b"h"[..]));
        held.append(b"i");
        held.take(2);
        assert!(held.is_empty() && held.bytes.capacity() == 0);
    }

    #[test]
    fn what_is_encoded_gets_the_room_it_needs() {
        let mut held = Held::default();
        held.append(b"a");
        held.append_with(|room| match room.get_mut(..2) {
            None => Err(5),
            Some(room) => {
                room.copy_from_slice(b"bc");
                Ok(2)
            }
        });
        assert_eq!(held.bytes(), b"abc");
    }
}
