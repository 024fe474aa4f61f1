//! From a parsed document to an object of its kind.

mod kind;

pub use kind::{AnyObject, Kind};
