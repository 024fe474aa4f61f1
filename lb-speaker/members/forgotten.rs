//! What is left of peers that were forgotten: enough that what they once sent cannot bring them back.

use std::collections::VecDeque;

use super::Heartbeat;

/// More incarnations than this are not kept, the oldest go: each start of a process is one.
const MOST: usize = 1024;

/// Incarnations, and up to which sequence heartbeats of each were heard.
#[derive(Clone, Debug, Default)]
pub(super) struct Forgotten(VecDeque<(u64, u64)>);

impl Forgotten {
    pub(super) fn note(&mut self, incarnations: impl Iterator<Item = (u64, u64)>) {
        for noted in incarnations {
            // It may have come back, and gone again.
            self.0.retain(|(incarnation, _)| *incarnation != noted.0);
            if self.0.len() >= MOST {
                self.0.pop_front();
            }
            self.0.push_back(noted);
        }
    }

    /// Whether a heartbeat was, or may have been, heard before.
    pub(super) fn holds(&self, heartbeat: &Heartbeat) -> bool {
        let mut noted = self.0.iter();
        noted.any(|(incarnation, sequence)| {
            *incarnation == heartbeat.incarnation && heartbeat.sequence <= *sequence
        })
    }
}
