//! From YAML and API objects to a validated model.
//!
//! ```text
//! source ──► Resources ──► translate ──► Model + Findings ──► (compile, allocate, announce)
//! (files)    as written    api → model   valid by construction
//! ```
//!
//! * [`source`] reads objects, keeps each with its [`Origin`] and remembers the last good version;
//! * [`api`] holds the objects' shapes, field for field as their APIs define them;
//! * [`translate`] turns shapes into the [`model`]; whatever is wrong becomes a [`Finding`] and
//!   takes down nothing but itself;
//! * [`check`] looks at the whole configuration for what no single object shows;
//! * [`status`] writes back what was decided.
//!
//! Only [`source`] and [`status`] do I/O.

pub mod api;
pub mod check;
pub mod codes;
pub mod files;
pub mod finding;
pub mod labels;
pub mod model;
pub mod nearest;
pub mod reference;
pub mod resolved;
pub mod resources;
pub mod source;
pub mod status;
pub mod translate;

pub use finding::{Finding, Level};
pub use labels::Labels;
pub use resources::{Object, ObjectKey, ObjectRef, Origin, Resources};
