//! The fields of a head: one buffer and a flat list.
//!
//! Invariant: every span lies in `buf[..end]`; names are in lower case; `present` has a bit for
//! every known name that may be in the list, and `live` counts the fields not removed.

use super::{KnownName, Span};

/// The fields of a head or a trailer section, in the order of the wire.
///
/// Names are in lower case. An edit appends to the buffer and marks what it replaces as removed;
/// nothing is moved.
#[derive(Debug, Default)]
pub struct Fields {
    /// All initialised: it becomes a [`ReadBuffer`](super::ReadBuffer)'s again at the next
    /// decode. What is used ends at `end`.
    pub(super) buf: Vec<u8>,
    pub(super) end: usize,
    pub(super) list: Vec<Field>,
    live: usize,
    present: u64,
    /// Names as they came, where they have capitals and those are to be kept. Empty mostly.
    cased: Vec<Box<[u8]>>,
}

/// One field line.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Field {
    pub(super) name: Span,
    pub(super) value: Span,
    pub(super) known: KnownName,
    pub(super) removed: bool,
    /// Written in the buffer as `name: value CRLF`, so that the line can be copied as it stands.
    pub(super) canonical: bool,
}

impl Fields {
    /// Gives back memory that is not used, for a head that is looked at once more, and not soon.
    pub fn shrink(&mut self) {
        self.buf.truncate(self.end);
        self.buf.shrink_to_fit();
        self.list.shrink_to_fit();
    }

    /// Removes everything, and keeps the memory unless it is more than `most` bytes.
    pub fn trim(&mut self, most: usize) {
        self.clear();
        if self.buf.len() + self.list.capacity() * size_of::<Field>() > most {
            *self = Self::default();
        }
    }

    /// No fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of the first field of this name, which is in lower case.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let known = KnownName::of(name.as_bytes());
        if !self.may_have(known) {
            return None;
        }
        let field = self.list.iter().find(|field| self.is(field, known, name))?;
        Some(field.value.of(&self.buf))
    }

    /// The values of every field of this name, which is in lower case.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let known = KnownName::of(name.as_bytes());
        let list = if self.may_have(known) {
            self.list.as_slice()
        } else {
            &[]
        };
        list.iter()
            .filter(move |field| self.is(field, known, name))
            .map(|field| field.value.of(&self.buf))
    }

    /// The value of the first field of this known name.
    pub fn known(&self, name: KnownName) -> Option<&[u8]> {
        if !self.may_have(name) || name == KnownName::Other {
            return None;
        }
        let field = self
            .list
            .iter()
            .find(|field| field.known == name && !field.removed)?;
        Some(field.value.of(&self.buf))
    }

    /// The values of every field of this known name.
    pub fn known_all(&self, name: KnownName) -> impl Iterator<Item = &[u8]> {
        let list = if self.may_have(name) {
            self.list.as_slice()
        } else {
            &[]
        };
        list.iter()
            .filter(move |field| field.known == name && !field.removed && name != KnownName::Other)
            .map(|field| field.value.of(&self.buf))
    }

    /// Gives this name, which is in lower case, this one value: every field of it is replaced.
    ///
    /// Neither is checked: what comes from the configuration was checked when it was compiled.
    pub fn set(&mut self, name: &str, value: &[u8]) {
        self.remove(name);
        self.append(name, value);
    }

    /// Adds a field; `name` is in lower case.
    pub fn append(&mut self, name: &str, value: &[u8]) {
        let known = KnownName::of(name.as_bytes());
        let start = self.end;
        let needed = name.len() + value.len() + 4;
        self.reserve(needed);
        if let Some(space) = self.buf.get_mut(start..start + needed) {
            let (to_name, space) = space.split_at_mut(name.len());
            let (to_colon, space) = space.split_at_mut(2);
            let (to_value, to_end) = space.split_at_mut(value.len());
            to_name.copy_from_slice(name.as_bytes());
            to_colon.copy_from_slice(b": ");
            to_value.copy_from_slice(value);
            to_end.copy_from_slice(b"\r\n");
        }
        self.end += needed;
        let value_start = start + name.len() + 2;
        self.note(known);
        self.list.push(Field {
            name: Span::new(start, start + name.len()),
            value: Span::new(value_start, value_start + value.len()),
            known,
            removed: false,
            canonical: true,
        });
    }

    /// Removes every field of this name, which is in lower case; whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let known = KnownName::of(name.as_bytes());
        if known != KnownName::Other {
            return self.remove_known(known);
        }
        let Self {
            buf, list, live, ..
        } = self;
        let mut found = false;
        for field in list {
            if !field.removed
                && field.known == KnownName::Other
                && field.name.of(buf) == name.as_bytes()
            {
                field.removed = true;
                *live -= 1;
                found = true;
            }
        }
        found
    }

    /// Removes the last field that has this name, which is in lower case and not a known one.
    pub fn remove_last(&mut self, name: &str) {
        let Self {
            buf, list, live, ..
        } = self;
        let is_last = |field: &&mut Field| !field.removed && field.name.of(buf) == name.as_bytes();
        if let Some(field) = list.iter_mut().rev().find(is_last) {
            field.removed = true;
            *live -= 1;
        }
    }

    /// Removes every field of this known name; whether there was one.
    pub fn remove_known(&mut self, name: KnownName) -> bool {
        if !self.may_have(name) || name == KnownName::Other {
            return false;
        }
        self.remove_set(name.bit())
    }

    /// Keeps only the fields for which `keep(name, value)` is true.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8], &[u8]) -> bool) {
        let Self {
            buf, list, live, ..
        } = self;
        for field in list {
            if !field.removed && !keep(field.name.of(buf), field.value.of(buf)) {
                field.removed = true;
                *live -= 1;
            }
        }
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let live = self.list.iter().filter(|field| !field.removed);
        live.map(|field| (field.name.of(&self.buf), field.value.of(&self.buf)))
    }

    /// The same with what is known of each name.
    pub fn iter_known(&self) -> impl Iterator<Item = (KnownName, &[u8], &[u8])> {
        let live = self.list.iter().filter(|field| !field.removed);
        live.map(|field| {
            let (name, value) = (field.name.of(&self.buf), field.value.of(&self.buf));
            (field.known, name, value)
        })
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Removes everything; the memory is kept.
    pub fn clear(&mut self) {
        self.end = 0;
        self.list.clear();
        self.live = 0;
        self.present = 0;
        self.cased.clear();
    }

    /// Notes how a name was written, before it is put into lower case.
    pub(super) fn keep_case(&mut self, name: Span) {
        let name = name.of(&self.buf);
        if name.iter().any(u8::is_ascii_uppercase) {
            self.cased.push(name.into());
        }
    }

    /// A name as it came, or as it is. What an edit adds under a name that came is written as that
    /// one was, as Envoy does it.
    pub(super) fn in_case<'a>(&'a self, name: &'a [u8]) -> &'a [u8] {
        let mut cased = self.cased.iter();
        cased
            .find(|cased| cased.eq_ignore_ascii_case(name))
            .map_or(name, |cased| cased)
    }

    /// As [`encode`](Self::encode), with the names as they came.
    fn encode_cased(&self, out: &mut Vec<u8>) {
        for field in &self.list {
            if field.removed || field.known == KnownName::Host {
                continue;
            }
            out.extend_from_slice(self.in_case(field.name.of(&self.buf)));
            out.extend_from_slice(b": ");
            out.extend_from_slice(field.value.of(&self.buf));
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Writes `name: value CRLF` for every field, without the empty line after them. `Host` is
    /// left out: an authority belongs to the request's start.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        if !self.cased.is_empty() {
            return self.encode_cased(out);
        }
        // Neighbours that stand in the buffer as they are to be written are copied in one go.
        let mut run = 0..0;
        for field in &self.list {
            if field.removed || field.known == KnownName::Host {
                continue;
            }
            let line = field.name.start as usize..field.value.end() + 2;
            if field.canonical && line.start == run.end {
                run.end = line.end;
                continue;
            }
            out.extend_from_slice(self.buf.get(run).unwrap_or_default());
            run = 0..0;
            if field.canonical {
                run = line;
            } else {
                out.extend_from_slice(field.name.of(&self.buf));
                out.extend_from_slice(b": ");
                out.extend_from_slice(field.value.of(&self.buf));
                out.extend_from_slice(b"\r\n");
            }
        }
        out.extend_from_slice(self.buf.get(run).unwrap_or_default());
    }

    /// Whether the list may have fields of this name.
    pub(super) fn may_have(&self, name: KnownName) -> bool {
        self.present & name.bit() != 0
    }

    /// Whether the list may have fields of a name in this set (see [`KnownName::bit`]).
    pub(super) fn may_have_any(&self, set: u64) -> bool {
        self.present & set != 0
    }

    /// Removes every field whose name is in this set; whether there was one.
    pub(super) fn remove_set(&mut self, set: u64) -> bool {
        if self.present & set == 0 {
            return false;
        }
        self.present &= !set;
        let mut found = false;
        for field in &mut self.list {
            if !field.removed && field.known.bit() & set != 0 {
                field.removed = true;
                self.live -= 1;
                found = true;
            }
        }
        found
    }

    /// Counts a field of this name that was put into the list.
    pub(super) fn note(&mut self, known: KnownName) {
        self.present |= known.bit();
        self.live += 1;
    }

    /// Removes every field whose name `is_listed` says so, the known names of the set `but` aside.
    pub(super) fn remove_listed(&mut self, but: u64, is_listed: impl Fn(&[u8], &[u8]) -> bool) {
        let Self {
            buf, list, live, ..
        } = self;
        for field in list {
            let kept = field.removed || field.known.bit() & but & !KnownName::Other.bit() != 0;
            if !kept && is_listed(buf, field.name.of(buf)) {
                field.removed = true;
                *live -= 1;
            }
        }
    }

    /// Copies bytes into the buffer, outside of any field.
    pub(super) fn store(&mut self, bytes: &[u8]) -> Span {
        let start = self.end;
        self.reserve(bytes.len());
        if let Some(space) = self.buf.get_mut(start..start + bytes.len()) {
            space.copy_from_slice(bytes);
        }
        self.end += bytes.len();
        Span::new(start, self.end)
    }

    /// Copies a part of the buffer to its end.
    pub(super) fn store_again(&mut self, span: Span) {
        let range = span.range();
        if range.end > self.end {
            return;
        }
        self.reserve(range.len());
        self.end += range.len();
        self.buf.copy_within(range.clone(), self.end - range.len());
    }

    fn is(&self, field: &Field, known: KnownName, name: &str) -> bool {
        !field.removed
            && field.known == known
            && (known != KnownName::Other || field.name.of(&self.buf) == name.as_bytes())
    }

    fn reserve(&mut self, more: usize) {
        let needed = self.end + more;
        if self.buf.len() < needed {
            let size = needed.max(self.buf.len() * 2).max(512);
            self.buf.resize(size, 0);
        }
    }
}
