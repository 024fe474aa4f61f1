//! The messages of a gRPC call, counted as they go by (gRPC: PROTOCOL-HTTP2.md, length-prefixed
//! messages). Nothing is kept and nothing refused: what is no message is the endpoints' affair.

/// How far a direction of a call came.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// Messages whose prefix was seen.
    count: u64,
    /// Bytes of the prefix that were seen: compression flag, length.
    prefix: usize,
    length: u32,
    /// Bytes of the message that are still to come.
    left: u32,
}

/// One byte of flags and four of length.
const PREFIX: usize = 5;

impl Messages {
    /// How many began.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Looks at the next bytes of the body.
    pub(super) fn see(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let passed = bytes.len().min(self.left as usize);
                self.left = self
                    .left
                    .saturating_sub(u32::try_from(passed).unwrap_or(u32::MAX));
                bytes = bytes.get(passed..).unwrap_or_default();
                continue;
            }
            if self.prefix > 0 {
                self.length = self.length << 8 | u32::from(*first);
            }
            self.prefix += 1;
            bytes = rest;
            if self.prefix == PREFIX {
                self.count += 1;
                self.left = self.length;
                (self.prefix, self.length) = (0, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let mut body = Vec::new();
        for length in [0_u32, 1, 70_000, 5, 0] {
            body.push(0);
            body.extend(length.to_be_bytes());
            body.extend(std::iter::repeat_n(7, length as usize));
        }
        for size in [1, 3, 5, 4_096, body.len()] {
            let mut messages = Messages::default();
            body.chunks(size).for_each(|piece| messages.see(piece));
            assert_eq!(messages.count(), 5, "pieces of {size}");
        }
        let mut cut = Messages::default();
        cut.see(&[0, 0, 0]);
        assert_eq!(cut.count(), 0);
    }
}
