//! The key of heartbeats, and the one before it while nodes change over.
//!
//! A new key reaches the nodes at different moments. For a minute each heartbeat is sent under both
//! and either is believed, so that nobody is taken for dead meanwhile.

use std::time::{Duration, Instant};

use crate::members::{Heartbeat, Key, Malformed};

/// How long the key before goes on to count.
const CHANGE_OVER: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Keys {
    current: Option<Key>,
    former: Option<(Key, Instant)>,
}

impl Keys {
    pub(super) fn new(key: Option<Key>) -> Self {
        Self {
            current: key,
            former: None,
        }
    }

    /// Another one from now on.
    pub(super) fn change(&mut self, now: Instant, key: Key) {
        let until = now + CHANGE_OVER;
        self.former = self.current.replace(key).map(|former| (former, until));
    }

    /// No key was told yet.
    pub(super) fn is_empty(&self) -> bool {
        self.current.is_none()
    }

    /// Those to sign with; none: nothing can be sent.
    pub(super) fn signing(&self, now: Instant) -> impl Iterator<Item = &Key> {
        self.current.iter().chain(self.former(now))
    }

    fn former(&self, now: Instant) -> Option<&Key> {
        let former = self.former.as_ref().filter(|(_, until)| now < *until);
        former.map(|(key, _)| key)
    }

    /// Reads what somebody sent.
    pub(super) fn decode(&self, now: Instant, bytes: &[u8]) -> Result<Heartbeat, Malformed> {
        let mut refused = Malformed::Key;
        for key in self.signing(now) {
            match Heartbeat::decode(bytes, key) {
                Ok(heartbeat) => return Ok(heartbeat),
                Err(malformed) => refused = malformed,
            }
        }
        Err(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text.as_bytes()).expect("it is long enough")
    }

    #[test]
    fn both_keys_count_for_a_minute() {
        let now = Instant::now();
        let (old, new) = (key("the old key of all"), key("the new key of all"));
        let mut keys = Keys::default();
        assert_eq!(keys.signing(now).count(), 0);
        keys.change(now, old.clone());
        assert_eq!(keys.signing(now).count(), 1);
        keys.change(now, new.clone());
        let heartbeat = Heartbeat {
            name: "a".to_owned(),
            incarnation: 1,
            sequence: 1,
            able: true,
            able_for: 0,
            leaving: false,
            heard: Vec::new(),
            macs: Vec::new(),
        };
        let (under_old, under_new) = (heartbeat.encode(&old), heartbeat.encode(&new));
        assert!(keys.decode(now, &under_old).is_ok() && keys.decode(now, &under_new).is_ok());
        let later = now + CHANGE_OVER;
        assert_eq!(keys.decode(later, &under_old), Err(Malformed::Key));
        assert!(keys.decode(later, &under_new).is_ok());
        assert_eq!(keys.signing(later).count(), 1);
    }
}
