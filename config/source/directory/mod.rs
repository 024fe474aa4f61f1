//! A directory of YAML and JSON files as a source of objects.
//!
//! What cannot be read now keeps its last good version: an object that does not decode, and every
//! object of a file with a broken document that the rest of the file does not define anew. An
//! object goes when its document, or its file, is deleted. Files that did not change are not
//! parsed again. Objects that are wrong in their meaning are the caller's to refuse, with
//! [`LastGood`](super::LastGood).

mod file;
mod locate;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use file::{Content, FileState, read};
pub(crate) use file::{Stamp, read_bytes};
pub(crate) use walk::{Tree, has_objects, is_hidden, walk};

use crate::codes;
use crate::finding::{Finding, Level, Position};
use crate::resources::{Origin, RefusedPools, Resources, UnreadServices};
use crate::source::decode::{AnyObject, Kind, NotUsed, decode_text};
use crate::source::yaml::Limits;

/// A directory (or a single file) of objects; for `gatehouse check` also several of them, and text
/// that is no file.
#[derive(Debug)]
pub struct Directory {
    roots: Vec<PathBuf>,
    limits: Limits,
    /// Text by the name that findings give it.
    texts: BTreeMap<PathBuf, Vec<u8>>,
    files: BTreeMap<PathBuf, FileState>,
    current: Resources,
    /// Whether `current` is every object of every file: none is defined twice, none was kept from
    /// before.
    plain: bool,
}

/// What a directory holds.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Every object: its newest version that can be read.
    pub resources: Resources,
    /// What is wrong, by file.
    pub findings: Vec<Finding>,
    /// Whether anything was read anew or went away since the load before.
    pub changed: bool,
}

impl Directory {
    /// A directory; nothing is read before [`load`](Self::load).
    ///
    /// # Errors
    ///
    /// When there is no such directory, or it may not be listed.
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        Self::open_all([root.into()])
    }

    /// Several directories and files as one.
    ///
    /// # Errors
    ///
    /// When one of them is not there, or may not be listed.
    pub fn open_all(roots: impl IntoIterator<Item = PathBuf>) -> io::Result<Self> {
        let roots: Vec<_> = roots.into_iter().collect();
        for root in &roots {
            let about = |error: io::Error| {
                io::Error::new(error.kind(), format!("{}: {error}", root.display()))
            };
            if std::fs::metadata(root).map_err(about)?.is_dir() {
                std::fs::read_dir(root).map_err(about)?;
            }
        }
        Ok(Self {
            roots,
            limits: Limits::default(),
            texts: BTreeMap::new(),
            files: BTreeMap::new(),
            current: Resources::default(),
            plain: true,
        })
    }

    /// Adds text that did not come from a file, such as standard input; `name` is what findings
    /// call it.
    pub fn add_text(&mut self, name: &str, text: impl Into<Vec<u8>>) {
        self.texts.insert(PathBuf::from(name), text.into());
    }

    /// The file or directory that was given, the first of several.
    pub fn root(&self) -> &Path {
        self.roots.first().map_or(Path::new(""), PathBuf::as_path)
    }

    /// How many files were read.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// The files of every root; each once.
    fn walk(&self) -> Tree {
        let mut all = Tree::default();
        for root in &self.roots {
            let tree = walk(root);
            all.files.extend(tree.files);
            all.findings.extend(tree.findings);
            all.unreadable.extend(tree.unreadable);
        }
        let texts = self.texts.keys();
        all.files
            .extend(texts.map(|name| (name.clone(), Stamp::default())));
        all.files.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        all.files.dedup_by(|(a, _), (b, _)| a == b);
        all
    }

    /// What a file holds now, or the text of this name.
    fn read(&self, path: &Path) -> (Content, Stamp) {
        match self.texts.get(path) {
            Some(text) => (file::text(path, text.clone()), Stamp::default()),
            None => read(path, self.limits.file_bytes),
        }
    }

    /// Reads what changed and tells everything that the directory holds.
    pub fn load(&mut self) -> Loaded {
        let Tree {
            files,
            mut findings,
            unreadable,
            ..
        } = self.walk();
        let mut changes = Changes::default();

        let gone = self.files.extract_if(.., |path, _| {
            let listed = files.binary_search_by(|(file, _)| file.cmp(path)).is_ok();
            let hidden = || {
                unreadable
                    .iter()
                    .any(|directory| path.starts_with(directory))
            };
            !listed && !hidden()
        });
        for (_, state) in gone {
            changes.gone(state);
        }
        for (path, news) in self.examine_all(files) {
            self.take(path, news, &mut changes);
        }

        self.tell(&mut findings);
        let changed = changes.any;
        match self.patched(changes) {
            Some(resources) => self.current = resources,
            None => self.compose(&mut findings),
        }
        self.tell_not_used(&mut findings);
        let mut resources = self.current.clone();
        resources.refused_pools = self.refused_pools();
        resources.unread_services = self.unread_services();
        Loaded {
            resources,
            findings,
            changed,
        }
    }

    /// Looks at every file, with as many threads as there are cores; in the files' order.
    fn examine_all(&self, files: Vec<(PathBuf, Stamp)>) -> Vec<(PathBuf, News)> {
        let files: Vec<_> = files
            .into_iter()
            .filter(|(path, stamp)| {
                let known = self.files.get(path);
                !known.is_some_and(|state| state.is_current(stamp))
            })
            .map(|(path, _)| path)
            .collect();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = cores.min(files.len() / FILES_A_THREAD).max(1);
        let next = AtomicUsize::new(0);
        let some = || {
            let mut examined = Vec::new();
            while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                examined.push((path.clone(), self.examine(path)));
            }
            examined
        };
        let mut all = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(some)).collect();
            let mut all = some();
            for other in others {
                match other.join() {
                    Ok(examined) => all.extend(examined),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            all
        });
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    /// Reads a file that may have changed.
    fn examine(&self, path: &Path) -> News {
        let (content, stamp) = self.read(path);
        let before = self.files.get(path);
        match (content, before) {
            (Content::Gone, _) => News::Gone,
            (Content::Text { hash, .. }, Some(state)) if state.hash == Some(hash) => {
                News::Same(stamp)
            }
            (Content::Text { text, .. }, Some(state))
                if text.is_empty() && state.objects().next().is_some() =>
            {
                News::Kept(stamp, Box::new(file::emptied(path)))
            }
            (Content::Text { text, hash }, before) => {
                let name: Arc<str> = path.to_string_lossy().into();
                let decoded = decode_text(&name, &text, &self.limits);
                let retained = retained(&decoded, before, &self.current);
                let had_unread = before.is_none_or(|before| before.has_unread);
                News::Read(Box::new(FileState {
                    stamp,
                    hash: Some(hash),
                    has_unread: decoded.unreadable && had_unread,
                    decoded,
                    retained,
                    refusal: None,
                }))
            }
            (Content::Refused(finding), Some(_)) => News::Kept(stamp, finding),
            (Content::Refused(finding), None) => {
                News::Read(Box::new(FileState::refused(stamp, *finding)))
            }
        }
    }

    /// Takes over what was seen of a file.
    fn take(&mut self, path: PathBuf, news: News, changes: &mut Changes) {
        match news {
            News::Gone => {
                if let Some(state) = self.files.remove(&path) {
                    changes.gone(state);
                }
            }
            News::Same(stamp) => {
                if let Some(state) = self.files.get_mut(&path) {
                    state.stamp = stamp;
                }
            }
            News::Kept(stamp, finding) => {
                if let Some(state) = self.files.get_mut(&path) {
                    changes.any |= state.refusal.as_ref() != Some(&finding);
                    changes.kept = true;
                    state.keep_all(stamp, *finding);
                }
            }
            News::Read(state) => {
                changes.any = true;
                changes.kept |= !state.retained.is_empty();
                changes.added.extend(state.decoded.objects.iter().cloned());
                if let Some(before) = self.files.insert(path, *state) {
                    changes.gone(before);
                }
            }
        }
    }

    /// Pools that are there and could never be read, or may be.
    fn refused_pools(&self) -> RefusedPools {
        let failed = self
            .files
            .values()
            .flat_map(|state| &state.decoded.failed_pools);
        RefusedPools {
            named: failed
                .filter(|(key, _)| !self.current.ip_address_pools.contains_key(*key))
                .map(|(key, labels)| (key.name.clone(), labels.clone()))
                .collect(),
            others: self.files.values().any(|state| state.has_unread),
        }
    }

    /// The same of Services.
    fn unread_services(&self) -> UnreadServices {
        let failed = self.files.values().flat_map(|state| &state.decoded.failed);
        UnreadServices {
            named: failed
                .filter(|(kind, key)| {
                    *kind == Kind::Service && !self.current.services.contains_key(key)
                })
                .map(|(_, key)| key.clone())
                .collect(),
            others: self.files.values().any(|state| state.has_unread),
        }
    }

    /// What is wrong with the files, each by itself.
    fn tell(&self, findings: &mut Vec<Finding>) {
        for state in self.files.values() {
            findings.extend(state.refusal.iter().cloned());
            findings.extend(state.decoded.findings.iter().cloned());
        }
    }

    /// The kinds that nothing is done with, each once.
    fn tell_not_used(&self, findings: &mut Vec<Finding>) {
        let mut not_used: BTreeMap<(&str, &str), (usize, &NotUsed)> = BTreeMap::new();
        for kind in self
            .files
            .values()
            .flat_map(|state| &state.decoded.not_used)
        {
            let key = (kind.group.as_str(), kind.kind.as_str());
            not_used.entry(key).or_insert((0, kind)).0 += 1;
        }
        let not_used = not_used.values();
        findings.extend(not_used.map(|(count, first)| first.finding(*count)));
    }

    /// The objects of before with what changed; none where objects stand in each other's way.
    fn patched(&self, changes: Changes) -> Option<Resources> {
        let Changes {
            any,
            kept,
            removed,
            added,
        } = changes;
        if !self.plain || kept {
            return None;
        }
        let mut resources = self.current.clone();
        if !any {
            return Some(resources);
        }
        for object in removed {
            resources.remove(object.kind(), object.key());
        }
        let mut added = added.into_iter();
        added
            .all(|object| resources.add(object).is_none())
            .then_some(resources)
    }

    /// All objects; of those defined twice, the first one by file name.
    fn compose(&mut self, findings: &mut Vec<Finding>) {
        let mut resources = Resources::default();
        let mut plain = true;
        for state in self.files.values() {
            for object in &state.decoded.objects {
                let Some(first) = resources.add(object.clone()) else {
                    continue;
                };
                plain = false;
                // Of the others nothing depends on which of the two is looked at.
                if object.kind().acts() {
                    findings.push(defined_twice(object, &first));
                }
            }
        }
        for object in self.files.values().flat_map(|state| &state.retained) {
            plain = false;
            if resources.add(object.clone()).is_none() {
                findings.push(last_good(object));
            }
        }
        self.current = resources;
        self.plain = plain;
    }
}

/// What a load found to be different.
#[derive(Default)]
struct Changes {
    /// Whether anything is.
    any: bool,
    /// Whether versions from before stay in force.
    kept: bool,
    /// Objects of files as they were, and as they are.
    removed: Vec<AnyObject>,
    added: Vec<AnyObject>,
}

impl Changes {
    fn gone(&mut self, state: FileState) {
        self.any = true;
        self.removed.extend(state.decoded.objects);
        self.removed.extend(state.retained);
    }
}

/// Reading fewer than this is done before another thread has started.
const FILES_A_THREAD: usize = 4;

/// What became of a file.
enum News {
    /// There is none any more.
    Gone,
    /// Its text is the one of before.
    Same(Stamp),
    /// It cannot be read now, for this reason: its objects stay as they are.
    Kept(Stamp, Box<Finding>),
    /// It was read.
    Read(Box<FileState>),
}

/// The versions before, of what cannot be read now.
fn retained(
    decoded: &crate::source::decode::DecodedFile,
    before: Option<&FileState>,
    current: &Resources,
) -> Vec<AnyObject> {
    let mut retained: HashMap<_, AnyObject> = HashMap::new();
    if decoded.unreadable {
        let objects = before.into_iter().flat_map(FileState::objects);
        retained.extend(objects.map(|o| ((o.kind(), o.key().clone()), o.clone())));
    }
    for (kind, key) in &decoded.failed {
        if let Some(object) = current.object(*kind, key) {
            retained.insert((*kind, key.clone()), object);
        }
    }
    for object in &decoded.objects {
        retained.remove(&(object.kind(), object.key().clone()));
    }
    let mut retained: Vec<_> = retained.into_values().collect();
    retained.sort_by(|a, b| (a.kind(), a.key()).cmp(&(b.kind(), b.key())));
    retained
}

fn defined_twice(object: &AnyObject, first: &AnyObject) -> Finding {
    let position = start(object);
    let place = start(first).map_or(String::new(), |place| format!(" at {place}"));
    Finding {
        code: codes::DUPLICATE_OBJECT,
        level: Level::Error,
        object: Some(object.reference()),
        field: "metadata.name".to_owned(),
        position,
        message: format!("defined twice: the one{place} is in force, this one is not used"),
        hint: "Give one of them another name or namespace, or delete it.".to_owned(),
    }
}

fn last_good(object: &AnyObject) -> Finding {
    let position = start(object).map(|start| Position {
        line: 0,
        column: 0,
        ..start
    });
    Finding {
        code: codes::LAST_GOOD,
        level: Level::Warning,
        object: Some(object.reference()),
        field: String::new(),
        position,
        message: "what is written now cannot be read, so the last good version stays in force"
            .to_owned(),
        hint: "Correct the file; or delete the object or its file to take it out of force."
            .to_owned(),
    }
}

/// Where an object of a file begins.
fn start(object: &AnyObject) -> Option<Position> {
    match object.origin() {
        Origin::File { path, line, .. } => Some(Position {
            file: path.to_string(),
            line: *line,
            column: 0,
        }),
        Origin::Api { .. } => None,
    }
}
