//! Where an object stands in what is read.

use std::sync::Arc;

use super::position;
use crate::codes;
use crate::finding::{Finding, Level};
use crate::source::yaml::{Mark, Repeated};

/// Where an object is read from.
pub(super) struct Source<'s> {
    pub path: &'s Arc<str>,
    pub document: u32,
    pub item: Option<u32>,
    pub start: Mark,
    /// Keys of this object that are written twice.
    pub repeated: Vec<&'s Repeated>,
    /// Of an object that an API server gave; none in files.
    pub resource_version: Option<&'s str>,
}

/// The finding for a key that is written twice.
pub(super) fn repeated_finding(path: &Arc<str>, field: &str, mark: Mark, first: Mark) -> Finding {
    Finding {
        code: codes::DUPLICATE_KEY,
        level: Level::Error,
        object: None,
        field: field.to_owned(),
        position: Some(position(path, mark)),
        message: format!(
            "the key is written twice (first in line {}) and which one is meant cannot be told; \
             this version of the object is not used",
            first.line
        ),
        hint: "Remove one of them.".to_owned(),
    }
}
