//! One request and its answer.

pub(crate) mod decide;
pub mod flags;
mod forward;
mod limited;
pub(crate) use limited::preface;
pub mod record;
pub(crate) mod reply;
mod response;
mod serve;
mod transfer;
mod upgrade;
mod wait;

pub use flags::ResponseFlags;
pub use record::{Connection, Exchange, GrpcCall, Protocol};
pub use serve::HttpConnection;
