//! The files of a directory and its sub-directories, through symbolic links, without loops.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::file::{Stamp, too_much, unreadable};
use crate::finding::Finding;

/// Sub-directories inside one another.
const DEPTH: usize = 32;
/// Files that are read at most.
const FILES: usize = 50_000;
/// Entries that are looked at, whatever they are.
const ENTRIES: usize = 500_000;

/// What a directory holds, without the content of the files.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Files with objects, sorted by path.
    pub files: Vec<(PathBuf, Stamp)>,
    /// The directory and those below it, as they were reached.
    pub directories: Vec<PathBuf>,
    /// Symbolic links that lead to files or directories of the tree.
    pub links: Vec<PathBuf>,
    /// Directories that could not be listed; what was known below them stays as it was.
    pub unreadable: Vec<PathBuf>,
    /// What could not be looked at.
    pub findings: Vec<Finding>,
}

/// Looks through `root`, which may also be a single file.
pub(crate) fn walk(root: &Path) -> Tree {
    let mut tree = Tree::default();
    match fs::metadata(root) {
        Ok(metadata) if metadata.is_dir() => walk_directories(root, &mut tree),
        Ok(metadata) => tree.files.push((root.to_owned(), Stamp::of(&metadata))),
        Err(error) => {
            tree.findings.push(unreadable(root, &error));
            tree.unreadable.push(root.to_owned());
        }
    }
    tree.files.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    tree
}

fn walk_directories(root: &Path, tree: &mut Tree) {
    let mut visited = HashSet::new();
    let mut open = vec![(root.to_owned(), 0)];
    let mut seen = 0;
    while let Some((directory, depth)) = open.pop() {
        let listing = fs::metadata(&directory).and_then(|metadata| {
            let first_time = visited.insert((metadata.dev(), metadata.ino()));
            first_time.then(|| fs::read_dir(&directory)).transpose()
        });
        let entries = match listing {
            Ok(Some(entries)) => entries,
            // Reached before by another way: a link to a directory above, say.
            Ok(None) => continue,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && depth > 0 => continue,
            Err(error) => {
                tree.findings.push(unreadable(&directory, &error));
                tree.unreadable.push(directory);
                continue;
            }
        };
        tree.directories.push(directory.clone());
        let mut below = Vec::new();
        for entry in entries {
            seen += 1;
            if seen > ENTRIES || tree.files.len() >= FILES {
                let message = "there are more files than gatehouse reads; the rest is not used";
                tree.findings.push(too_much(root, message));
                // Nothing that was read before may vanish because of it.
                tree.unreadable.push(root.to_owned());
                return;
            }
            match entry {
                Ok(entry) => visit(&entry, &mut below, tree),
                Err(error) => {
                    tree.findings.push(unreadable(&directory, &error));
                    tree.unreadable.push(directory.clone());
                    break;
                }
            }
        }
        if depth < DEPTH {
            // In order, so that of two ways to one directory the same one is always taken.
            below.sort_unstable_by(|a, b| b.cmp(a));
            open.extend(below.into_iter().map(|directory| (directory, depth + 1)));
        } else if let Some(deepest) = below.first() {
            let message = "sub-directories are nested too deeply; this one is not read";
            tree.findings.push(too_much(deepest, message));
        }
    }
}

fn visit(entry: &fs::DirEntry, below: &mut Vec<PathBuf>, tree: &mut Tree) {
    let path = entry.path();
    if is_hidden(&path) {
        return;
    }
    let link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
    let wanted = has_objects(&path);
    if link {
        tree.links.push(path.clone());
    }
    match fs::metadata(&path) {
        Ok(metadata) if metadata.is_dir() => below.push(path),
        Ok(metadata) if wanted && metadata.is_file() => {
            tree.files.push((path, Stamp::of(&metadata)));
        }
        Ok(_) => {}
        // Between listing and looking, a file may go; a link that leads nowhere stays.
        Err(error) if wanted && (link || error.kind() != std::io::ErrorKind::NotFound) => {
            tree.findings.push(unreadable(&path, &error));
            tree.unreadable.push(path);
        }
        Err(_) => {}
    }
}

/// Hidden files, the versions of a mounted ConfigMap (`..data`), and what editors leave.
pub(crate) fn is_hidden(path: &Path) -> bool {
    let Some(name) = path.file_name() else {
        return true;
    };
    let name = name.to_string_lossy();
    name.starts_with(['.', '#']) || name.ends_with(['~', '#'])
}

/// Whether a file of this name is read.
pub(crate) fn has_objects(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| {
        let known = ["yaml", "yml", "json"];
        known
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    })
}
