//! Notices changes below a directory, or of single files, within milliseconds, through the kernel's inotify.
//!
//! Seen are writes, renames over a file, links that are swapped (mounted ConfigMaps, `current`
//! links, also outside the directory), sub-directories made later, and the directory itself being
//! replaced. What the kernel does not tell (network file systems) a slow look finds.

mod interest;
mod links;
mod queue;
#[cfg(test)]
mod tests;
mod watched;

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::fs::inotify::ReadFlags;
use tokio::time::{Instant, sleep_until};

use crate::codes;
use crate::finding::{Finding, Level, Position};
use crate::source::directory::Tree;
use interest::Interest;
use queue::{Event, Queue};
use watched::Watched;

/// Nothing more for so long: whoever is writing has finished.
const QUIET: Duration = Duration::from_millis(8);
/// A change is told after this at the latest, also when changes keep coming.
const AT_MOST: Duration = Duration::from_millis(40);
/// The same while a program has a file half written (`helm template > file`): half a file may
/// well be valid YAML.
const HALF_WRITTEN: Duration = Duration::from_millis(500);
/// Between looks for what the kernel does not tell.
const SLOW_LOOK: Duration = Duration::from_secs(30);
/// Between looks when the kernel tells nothing.
const ONLY_LOOK: Duration = Duration::from_secs(1);

/// Changes below a directory, or of single files.
#[derive(Debug)]
pub struct Watch {
    watched: Watched,
    queue: Option<Queue>,
    /// By watch descriptor: which names matter there.
    watches: HashMap<i32, Interest>,
    /// Files that were written to and not closed since.
    writing: HashSet<(i32, OsString)>,
    pending: Option<Pending>,
    /// Of the tree when it was last looked at.
    signature: u64,
    next_look: Instant,
    trouble: Option<String>,
}

/// A change that was seen and not told yet.
#[derive(Clone, Copy, Debug)]
struct Pending {
    first: Instant,
    last: Instant,
}

impl Watch {
    /// Watches a directory (or a single file). Load it after this, and again after each
    /// [`changed`](Self::changed): then nothing is missed.
    ///
    /// Where inotify is not available, the directory is looked at every second; see
    /// [`finding`](Self::finding).
    ///
    pub fn new(root: &Path) -> Self {
        Self::start(Watched::Tree(root.to_owned()))
    }

    /// Watches single files, which need not be there yet.
    pub fn files<'a>(files: impl IntoIterator<Item = &'a Path>) -> Self {
        Self::start(Watched::files(files))
    }

    /// From now on watches these files, and no others.
    pub fn watch_files<'a>(&mut self, files: impl IntoIterator<Item = &'a Path>) {
        self.watched = Watched::files(files);
        self.look();
    }

    fn start(watched: Watched) -> Self {
        let mut trouble = None;
        let queue = Queue::new().map_err(|error| trouble = Some(error.to_string()));
        let mut watch = Self {
            watched,
            queue: queue.ok(),
            watches: HashMap::new(),
            writing: HashSet::new(),
            pending: None,
            signature: 0,
            next_look: Instant::now(),
            trouble,
        };
        watch.look();
        watch
    }

    /// What keeps changes from being seen at once, if anything does.
    pub fn finding(&self) -> Option<Finding> {
        let trouble = self.trouble.as_ref()?;
        Some(Finding {
            code: codes::WATCH,
            level: Level::Warning,
            object: None,
            field: String::new(),
            position: Some(Position {
                file: self.watched.name(),
                line: 0,
                column: 0,
            }),
            message: format!(
                "the kernel cannot tell of changes ({trouble}); a change is served up to {} s late",
                ONLY_LOOK.as_secs()
            ),
            hint: "Raise fs.inotify.max_user_watches and fs.inotify.max_user_instances (sysctl)."
                .to_owned(),
        })
    }

    /// Waits until something changed and whoever changed it has probably finished: 8 ms after the
    /// last event, 40 ms after the first at the latest (500 ms while a file is half written). Needs
    /// a tokio runtime with time enabled.
    ///
    /// May be dropped while it waits and called again: no change is lost.
    pub async fn changed(&mut self) {
        loop {
            let deadline = match self.pending {
                Some(pending) => self.deadline(pending),
                None => self.next_look,
            };
            tokio::select! {
                biased;
                events = batch(self.queue.as_mut()) => match events {
                    Some(events) => self.note(events),
                    None => {
                        self.queue = None;
                        self.trouble = Some("its queue cannot be read".to_owned());
                        self.next_look = Instant::now();
                    }
                },
                () = sleep_until(deadline) => {}
            }
            let now = Instant::now();
            if let Some(pending) = self.pending {
                if now >= self.deadline(pending) {
                    self.pending = None;
                    self.writing.clear();
                    self.look();
                    return;
                }
            } else if now >= self.next_look && self.look() {
                return;
            }
        }
    }

    fn deadline(&self, pending: Pending) -> Instant {
        if self.writing.is_empty() {
            (pending.last + QUIET).min(pending.first + AT_MOST)
        } else {
            pending.first + HALF_WRITTEN
        }
    }

    fn note(&mut self, events: Vec<Event>) {
        let mut relevant = false;
        for event in events {
            if event.flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                // Something was lost; the look that follows finds it.
                self.writing.clear();
                relevant = true;
                continue;
            }
            if event.flags.contains(ReadFlags::IGNORED) {
                self.watches.remove(&event.watch);
                continue;
            }
            let interest = self.watches.get(&event.watch);
            if !interest.is_some_and(|interest| interest.wants(&event)) {
                continue;
            }
            relevant = true;
            if let Some(name) = event.name {
                let file = (event.watch, name);
                if event.flags.contains(ReadFlags::MODIFY) {
                    self.writing.insert(file);
                } else if !event.flags.contains(ReadFlags::ATTRIB) {
                    self.writing.remove(&file);
                }
            }
        }
        if relevant {
            let now = Instant::now();
            let first = self.pending.map_or(now, |pending| pending.first);
            self.pending = Some(Pending { first, last: now });
        }
    }

    /// Looks through the tree, watches what there is to watch, and tells whether the files are
    /// others than at the look before.
    fn look(&mut self) -> bool {
        let mut tree = self.watched.tree();
        if self.queue.is_some() {
            // A directory may get a sub-directory between being listed and being watched: look
            // again until nothing new turns up.
            for _ in 0..5 {
                if !self.watch_all(&tree) {
                    break;
                }
                tree = self.watched.tree();
            }
        }
        let signature = signature(&tree);
        let changed = signature != self.signature;
        self.signature = signature;
        let pause = match &self.trouble {
            None => SLOW_LOOK,
            Some(_) => ONLY_LOOK,
        };
        self.next_look = Instant::now() + pause;
        changed
    }

    /// Watches every directory of interest; tells whether there was a new one.
    fn watch_all(&mut self, tree: &Tree) -> bool {
        let Some(queue) = &self.queue else {
            return false;
        };
        let mut watches: HashMap<i32, Interest> = HashMap::new();
        self.trouble = None;
        for (directory, interest) in self.watched.interests(tree) {
            match queue.watch(&directory) {
                // Two ways to one directory have one descriptor.
                Ok(watch) => watches.entry(watch).or_default().add(interest),
                // It went away meanwhile; its parent's watch tells.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => {}
                // The reader of the files says so more clearly.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                Err(error) => self.trouble = Some(error.to_string()),
            }
        }
        let new = watches
            .keys()
            .any(|watch| !self.watches.contains_key(watch));
        for watch in self.watches.keys() {
            if !watches.contains_key(watch) {
                queue.unwatch(*watch);
            }
        }
        self.watches = watches;
        new
    }
}

/// The next events; never without inotify.
async fn batch(queue: Option<&mut Queue>) -> Option<Vec<Event>> {
    match queue {
        Some(queue) => queue.batch().await,
        None => std::future::pending().await,
    }
}

fn signature(tree: &Tree) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (path, stamp) in &tree.files {
        path.hash(&mut hasher);
        stamp.identity().hash(&mut hasher);
    }
    hasher.finish()
}
