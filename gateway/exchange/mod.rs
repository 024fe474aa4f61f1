//! One request and its answer.

pub mod flags;
pub mod record;

pub use flags::ResponseFlags;
pub use record::{Connection, Exchange, GrpcCall, Protocol};
