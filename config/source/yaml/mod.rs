//! YAML and JSON text to a tree that knows where everything stands, and from there to types.
//!
//! ```text
//! text ── documents ──► chunks ── parse ──► Node (marks) ── decode ──► T + unknown fields
//!                                              └── find ──► line and column of a field path
//! ```
//! Nothing that a file says makes this panic or take memory without a bound ([`Limits`]).

mod decode;
mod documents;
mod error;
mod find;
mod node;
mod parse;
mod path;
mod scalar;
#[cfg(test)]
mod tests;

pub use decode::{Decoded, Dialect, Unknown, decode};
pub use documents::{Chunk, chunks};
pub use error::DecodeError;
pub use find::find;
pub use node::{Entry, Form, Mark, Node, Value};
pub use parse::{Document, Limits, Parsed, Repeated, SyntaxError, parse};
pub use scalar::{Resolved, resolve};
