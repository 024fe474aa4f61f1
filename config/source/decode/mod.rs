//! From the text of a file to objects of their kinds.
//!
//! Each object is judged alone: what is wrong with one becomes a [`Finding`] and leaves the others.
//! Whatever could not be read is told in terms that let the caller keep the version before it.

mod document;
mod identity;
mod json;
mod kind;
mod object;
mod place;
#[cfg(test)]
mod tests;
mod well_known;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use document::decode_text;
pub(crate) use document::{each_document, item_at};
pub use json::decode_json;
pub use kind::{AnyObject, Kind};

use crate::finding::{Finding, Position};
use crate::labels::Labels;
use crate::resources::ObjectKey;
use crate::source::yaml::Mark;

/// What a file holds.
#[derive(Clone, Debug, Default)]
pub struct DecodedFile {
    /// The objects, in the order of the text.
    pub objects: Vec<AnyObject>,
    /// Objects that are there but cannot be read.
    pub failed: Vec<(Kind, ObjectKey)>,
    /// The pools among them, with their labels, by which advertisements select them.
    pub failed_pools: BTreeMap<ObjectKey, Labels>,
    /// Whether something could not be read that may be any object: a broken document, or one
    /// without a name.
    pub unreadable: bool,
    /// Objects of kinds that are not used.
    pub not_used: Vec<NotUsed>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// An object of a kind that gatehouse has no use for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotUsed {
    /// The API group; empty for the core group.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// Where it stands.
    pub position: Position,
}

impl NotUsed {
    /// The finding for `count` objects of this kind, of which this is the first.
    pub fn finding(&self, count: usize) -> Finding {
        well_known::not_used(self, count)
    }
}

/// A place in a file.
fn position(path: &Arc<str>, mark: Mark) -> Position {
    Position {
        file: path.to_string(),
        line: mark.line,
        column: mark.column,
    }
}
