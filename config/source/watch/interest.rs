//! Which directories are watched, and which names in them matter.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::ReadFlags;

use super::links;
use super::queue::Event;
use crate::source::directory::{Tree, has_objects, is_hidden};

/// What matters in a watched directory.
#[derive(Clone, Debug, Default)]
pub(super) struct Interest {
    /// It is part of the tree: any file that is read, any sub-directory.
    all: bool,
    /// Single names: links that lead to the tree or out of it, the tree's own name.
    names: HashSet<OsString>,
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

/// Every directory to watch.
pub(super) fn interests(root: &Path, tree: &Tree) -> BTreeMap<PathBuf, Interest> {
    let mut interests: BTreeMap<PathBuf, Interest> = BTreeMap::new();
    for directory in &tree.directories {
        interests.entry(directory.clone()).or_default().all = true;
    }
    let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    let ways = tree
        .links
        .iter()
        .map(PathBuf::as_path)
        .chain([root.as_path()]);
    for (directory, name) in ways.flat_map(links::steps) {
        interests.entry(directory).or_default().names.insert(name);
    }
    interests
}
