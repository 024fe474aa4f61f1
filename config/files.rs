//! What files hold that objects name (certificates, keys): an input of the translation, beside the
//! objects.
//!
//! Translation reads no file itself. It says which ones it wants
//! ([`Model::files`](crate::model::Model::files)); whoever reads them puts what they hold here and
//! translates again. Keys are among it, so that none of this is ever printed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What files hold, by path.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct FileContents(BTreeMap<String, Result<Arc<[u8]>, String>>);

impl FileContents {
    /// What a file holds, or why it cannot be read (as part of a sentence); none if nobody tried.
    pub fn get(&self, path: &str) -> Option<Result<&Arc<[u8]>, &str>> {
        let content = self.0.get(path)?;
        Some(content.as_ref().map_err(String::as_str))
    }

    /// Takes note of a file.
    pub fn insert(&mut self, path: String, content: Result<Arc<[u8]>, String>) {
        self.0.insert(path, content);
    }

    /// Forgets a file.
    pub fn remove(&mut self, path: &str) {
        self.0.remove(path);
    }

    /// The paths.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl fmt::Debug for FileContents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
