//! The names that a path depends on: its own, and that of every symbolic link on its way.

use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// As many links as Linux follows (path_resolution(7)).
const LINKS: usize = 40;

/// Directory and name of each step that decides where `path` leads: each link on the way, and the
/// last name in each case.
pub(super) fn steps(path: &Path) -> Vec<(PathBuf, OsString)> {
    let mut steps = Vec::new();
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let Some((link, rest)) = first_link(&path) else {
            break;
        };
        let (Some(parent), Some(name)) = (link.parent(), link.file_name()) else {
            break;
        };
        steps.push((parent.to_owned(), name.to_owned()));
        let Ok(target) = fs::read_link(&link) else {
            break;
        };
        path = parent.join(target).join(rest);
        if path.as_os_str().len() > 8192 {
            break;
        }
    }
    if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
        steps.push((parent.to_owned(), name.to_owned()));
    }
    steps
}

/// The first part of `path` that is a link, and what comes after it.
fn first_link(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let mut before = PathBuf::new();
    let mut components = path.components();
    while let Some(component) = components.next() {
        before.push(component);
        if matches!(component, Component::Normal(_)) && before.is_symlink() {
            return Some((before, components.as_path().to_owned()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_link_on_the_way_counts() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = directory.path().canonicalize().expect("its real path");
        fs::create_dir_all(at.join("real/sub")).expect("made");
        symlink("real", at.join("current")).expect("linked");
        symlink(at.join("current/sub/a.yaml"), at.join("a.yaml")).expect("linked");
        let found = steps(&at.join("a.yaml"));
        let expected = [
            (at.clone(), "a.yaml"),
            (at.clone(), "current"),
            (at.join("real/sub"), "a.yaml"),
        ];
        assert_eq!(found, expected.map(|(path, name)| (path, name.into())));
    }

    #[test]
    fn a_circle_ends() {
        let directory = tempfile::tempdir().expect("a directory");
        symlink("b", directory.path().join("a")).expect("linked");
        symlink("a", directory.path().join("b")).expect("linked");
        assert!(steps(&directory.path().join("a")).len() <= LINKS + 5);
    }
}
