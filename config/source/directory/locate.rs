//! The place of a field in its file, for findings made after reading.
//!
//! Trees are not kept: the few files that findings are about are parsed again, each once.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Directory, start};
use crate::finding::{Finding, Position};
use crate::resources::{Origin, Resources};
use crate::source::decode::{AnyObject, Kind, each_document, item_at};
use crate::source::yaml::find;

/// A finding's index, and what is known of its object.
type Wanted = (usize, u32, Option<u32>);

impl Directory {
    /// Gives findings that name an object, and have no position yet, the place of their field.
    ///
    /// `resources` are those that the findings are about. An object that is not in this directory
    /// gets no place; one in an earlier version than the file now has, or whose file changed since,
    /// gets the file only.
    pub fn locate(&self, resources: &Resources, findings: &mut [Finding]) {
        let mut by_file: BTreeMap<&str, Vec<Wanted>> = BTreeMap::new();
        let mut objects: Vec<(usize, AnyObject)> = Vec::new();
        for (index, finding) in findings.iter().enumerate() {
            if finding.position.is_none()
                && let Some(object) = &finding.object
                && let Some(object) = Kind::ALL
                    .iter()
                    .filter(|kind| kind.name() == object.kind)
                    .find_map(|kind| resources.object(*kind, &object.key))
            {
                objects.push((index, object));
            }
        }
        for (index, object) in &objects {
            let Origin::File {
                path,
                document,
                item,
                ..
            } = object.origin()
            else {
                continue;
            };
            let place = start(object).map(|start| Position { line: 0, ..start });
            if let Some(finding) = findings.get_mut(*index) {
                finding.position = place;
            }
            if self.is_newest(path, object) {
                by_file
                    .entry(path)
                    .or_default()
                    .push((*index, *document, *item));
            }
        }
        for (path, wanted) in by_file {
            self.locate_in(path, &wanted, findings);
        }
    }

    /// Whether the file has this very version, not a later one.
    fn is_newest(&self, path: &str, object: &AnyObject) -> bool {
        let newest = self.current.object(object.kind(), object.key());
        let state = self.files.get(Path::new(path));
        newest.is_some_and(|newest| newest.same_version(object))
            && state.is_some_and(|state| {
                let mut retained = state.retained.iter();
                !retained.any(|retained| retained.same_version(object))
            })
    }

    fn locate_in(&self, path: &str, wanted: &[Wanted], findings: &mut [Finding]) {
        let known = self.files.get(Path::new(path)).and_then(|state| state.hash);
        let (content, _) = self.read(Path::new(path));
        let text = match content {
            super::Content::Text { text, hash } if Some(hash) == known => text,
            _ => return,
        };
        let mut by_document: BTreeMap<u32, Vec<&Wanted>> = BTreeMap::new();
        for entry in wanted {
            by_document.entry(entry.1).or_default().push(entry);
        }
        each_document(&text, &self.limits, |number, parsed| {
            let (Ok(document), Some(wanted)) = (parsed, by_document.get(&number)) else {
                return;
            };
            for (index, _, item) in wanted {
                let Some(finding) = findings.get_mut(*index) else {
                    continue;
                };
                let Some(root) = item_at(&document.root, *item) else {
                    continue;
                };
                let mark = find(root, &finding.field);
                finding.position = Some(Position {
                    file: path.to_owned(),
                    line: mark.line,
                    column: mark.column,
                });
            }
        });
    }
}
