//! Which notes are new events, and which count one up that was written. No I/O.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::events::Note;

/// What was told within this time and comes again is counted up, as by kube and client-go.
const AGAIN: Duration = Duration::from_secs(6 * 60);
/// No more than so many are remembered: a cluster's first start writes thousands that never come
/// again.
const REMEMBERED: usize = 100;
/// After so many different texts of one reason and one Service within that time, what else there is
/// becomes one event that is counted, as by client-go: nobody reads more, and etcd keeps all.
const TEXTS: usize = 10;
const COMBINED: &str = "(combined from similar events)";

/// What to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct What {
    pub(super) note: Note,
    /// The Service's: one that was deleted and made again is another one.
    pub(super) uid: String,
    /// The event that tells it already, and how often that was with this time; none: a new one.
    pub(super) again: Option<(String, i32)>,
}

/// Events that were written lately, the newest last.
#[derive(Debug, Default)]
pub(super) struct Told {
    events: VecDeque<Event>,
}

#[derive(Debug)]
struct Event {
    note: Note,
    uid: String,
    name: String,
    count: i32,
    last: Instant,
}

impl Told {
    /// How a note is told now.
    pub(super) fn what(&mut self, mut note: Note, uid: String, now: Instant) -> What {
        self.events
            .retain(|event| now.saturating_duration_since(event.last) < AGAIN);
        let similar = |event: &&Event| {
            let told = &event.note;
            event.uid == uid
                && told.service == note.service
                && (told.by, told.reason, told.is_warning)
                    == (note.by, note.reason, note.is_warning)
        };
        let is_told = |message: &str| {
            let mut similar = self.events.iter().filter(similar);
            similar.find(|event| event.note.message == message)
        };
        let mut event = is_told(&note.message);
        let mut is_combined = false;
        if event.is_none() && self.events.iter().filter(similar).count() >= TEXTS {
            is_combined = true;
            event = is_told(COMBINED);
        }
        let again = event.map(|event| (event.name.clone(), event.count.saturating_add(1)));
        if is_combined {
            note.message = COMBINED.to_owned();
        }
        What { note, uid, again }
    }

    /// It was written, as the event of this name.
    pub(super) fn wrote(&mut self, what: What, name: String, now: Instant) {
        let What { note, uid, again } = what;
        let counted = again.filter(|(before, _)| *before == name);
        self.events
            .retain(|event| event.uid != uid || event.note != note);
        if self.events.len() >= REMEMBERED {
            self.events.pop_front();
        }
        self.events.push_back(Event {
            note,
            uid,
            name,
            count: counted.map_or(1, |(_, count)| count),
            last: now,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::events::Role;
    use super::*;
    use crate::resources::ObjectKey;

    fn note(message: &str) -> Note {
        Note {
            service: ObjectKey::new("default", "web"),
            is_warning: false,
            by: Role::Allocator,
            reason: "IPAllocated",
            message: message.to_owned(),
        }
    }

    /// Tells it as the event of that name; the count that it has then, and its text.
    fn tell(told: &mut Told, note: Note, uid: &str, name: &str, now: Instant) -> (i32, String) {
        let what = told.what(note, uid.to_owned(), now);
        let (name, count) = what.again.clone().unwrap_or((name.to_owned(), 1));
        let text = format!("{name}: {}", what.note.message);
        told.wrote(what, name, now);
        (count, text)
    }

    #[test]
    fn another_text_of_the_same_reason_is_another_event() {
        let (mut told, now) = (Told::default(), Instant::now());
        let mut tell = |text: &str, name| tell(&mut told, note(text), "u", name, now);
        let [first, second] = [r#"Assigned IP ["a"]"#, r#"Assigned IP ["b"]"#];
        assert_eq!(tell(first, "1"), (1, format!("1: {first}")));
        assert_eq!(tell(second, "2"), (1, format!("2: {second}")));
        assert_eq!(tell(first, "3"), (2, format!("1: {first}")));
        assert_eq!(tell(first, "4"), (3, format!("1: {first}")));
        assert_eq!(tell(second, "5"), (2, format!("2: {second}")));
    }

    #[test]
    fn one_of_long_ago_or_of_another_service_is_not_counted_up() {
        let (mut told, now) = (Told::default(), Instant::now());
        tell(&mut told, note("x"), "u", "1", now);
        // Deleted and made again.
        let (count, _) = tell(&mut told, note("x"), "v", "2", now);
        assert_eq!(count, 1);
        let later = now + AGAIN - Duration::from_secs(1);
        let (count, _) = tell(&mut told, note("x"), "u", "3", later);
        assert_eq!(count, 2);
        let (count, _) = tell(&mut told, note("x"), "v", "4", now + AGAIN);
        assert_eq!(count, 1);
    }

    #[test]
    fn one_that_was_removed_and_written_anew_begins_with_one() {
        let (mut told, now) = (Told::default(), Instant::now());
        tell(&mut told, note("x"), "u", "1", now);
        let what = told.what(note("x"), "u".to_owned(), now);
        assert_eq!(what.again, Some(("1".to_owned(), 2)));
        told.wrote(what, "2".to_owned(), now);
        let what = told.what(note("x"), "u".to_owned(), now);
        assert_eq!(what.again, Some(("2".to_owned(), 2)));
    }

    #[test]
    fn many_texts_become_one_and_no_more_are_remembered_than_so_many() {
        let (mut told, now) = (Told::default(), Instant::now());
        for number in 0..TEXTS {
            let text = number.to_string();
            let (count, _) = tell(&mut told, note(&text), "u", &text, now);
            assert_eq!(count, 1);
        }
        let combined = format!("more: {COMBINED}");
        assert_eq!(
            tell(&mut told, note("a"), "u", "more", now),
            (1, combined.clone())
        );
        assert_eq!(tell(&mut told, note("b"), "u", "no", now), (2, combined));
        // One that is told already is counted there.
        let (count, text) = tell(&mut told, note("3"), "u", "no", now);
        assert_eq!((count, text.as_str()), (2, "3: 3"));
        for number in 0..2 * REMEMBERED {
            tell(&mut told, note("x"), &number.to_string(), "n", now);
        }
        assert_eq!(told.events.len(), REMEMBERED);
    }
}
