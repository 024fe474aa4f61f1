//! What is watched: a tree or single files, and the directories where its changes show.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::interest::Interest;
use super::links;
use crate::source::directory::{Stamp, Tree, walk};

#[derive(Debug)]
pub(super) enum Watched {
    /// A directory (or a single file), with all below it.
    Tree(PathBuf),
    /// These files, whether they are there or not.
    Files(BTreeSet<PathBuf>),
}

impl Watched {
    pub fn files<'a>(files: impl IntoIterator<Item = &'a Path>) -> Self {
        Self::Files(files.into_iter().map(absolute).collect())
    }

    /// What findings call it.
    pub fn name(&self) -> String {
        let name = match self {
            Self::Tree(root) => root.as_path(),
            Self::Files(files) => files.first().map_or(Path::new(""), PathBuf::as_path),
        };
        name.to_string_lossy().into_owned()
    }

    /// What is there now.
    pub fn tree(&self) -> Tree {
        match self {
            Self::Tree(root) => walk(root),
            Self::Files(files) => {
                let stamp = |file: &PathBuf| Some(Stamp::of(&fs::metadata(file).ok()?));
                let there = files
                    .iter()
                    .filter_map(|file| Some((file.clone(), stamp(file)?)));
                Tree {
                    files: there.collect(),
                    ..Tree::default()
                }
            }
        }
    }

    /// Every directory to watch.
    pub fn interests(&self, tree: &Tree) -> BTreeMap<PathBuf, Interest> {
        let mut interests: BTreeMap<PathBuf, Interest> = BTreeMap::new();
        for directory in &tree.directories {
            interests.entry(directory.clone()).or_default().all = true;
        }
        let mut add = |way: &Path| {
            for (directory, name) in links::steps(way) {
                interests.entry(directory).or_default().names.insert(name);
            }
        };
        match self {
            Self::Tree(root) => {
                tree.links.iter().for_each(|link| add(link));
                add(&absolute(root));
            }
            Self::Files(files) => {
                for file in files {
                    add(file);
                    // A folder that is not there yet shows in the nearest one that is.
                    let missing = file.ancestors().skip(1);
                    missing
                        .take_while(|above| !above.exists())
                        .for_each(&mut add);
                }
            }
        }
        interests
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
