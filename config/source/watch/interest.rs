//! Which names in a watched directory matter.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::Path;

use rustix::fs::inotify::ReadFlags;

use super::queue::Event;
use crate::source::directory::{has_objects, is_hidden};

/// What matters in a watched directory.
#[derive(Clone, Debug, Default)]
pub(super) struct Interest {
    /// It is part of the tree: any file that is read, any sub-directory.
    pub all: bool,
    /// Single names: links that lead to the tree or out of it, the tree's own name.
    pub names: HashSet<OsString>,
}

impl Interest {
    pub fn add(&mut self, other: Interest) {
        self.all |= other.all;
        self.names.extend(other.names);
    }

    /// Whether the event may change what a load finds.
    pub fn wants(&self, event: &Event) -> bool {
        let Some(name) = &event.name else {
            // The watched directory itself went, came elsewhere, or changed its permissions.
            return self.all || !event.flags.contains(ReadFlags::ATTRIB);
        };
        if self.names.contains(name) {
            return true;
        }
        let path = Path::new(name);
        let content = ReadFlags::MODIFY | ReadFlags::CLOSE_WRITE | ReadFlags::ATTRIB;
        // A name that comes or goes may be a directory, or a link to one.
        let matters = !event.flags.intersects(content)
            || event.flags.contains(ReadFlags::ISDIR)
            || has_objects(path);
        self.all && !is_hidden(path) && matters
    }
}
