//! The reference of every field: what it means, and whether gatehouse honours it.
//!
//! Generated from the messages themselves and from [`support`], which has one entry for each field
//! of each message; `docs/reference` holds the text, and a test compares the two.

pub mod support;

/// A kind and the page that tells of it.
#[derive(Debug)]
pub struct Page {
    /// The kind, which is also the file's name in `docs/reference`.
    pub kind: &'static str,
    /// The page in Markdown.
    pub text: String,
}
