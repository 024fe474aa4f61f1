//! One request and its answer.

pub(crate) mod decide;
mod dynamic_dns;
mod filters;
pub mod flags;
mod forward;
pub(crate) mod grpc;
mod grpc_messages;
mod grpc_web;
mod limited;
pub(crate) mod mirror;
mod multiplexed;
pub mod record;
mod relay;
pub(crate) mod reply;
mod response;
mod retry;
mod serve;
mod timeout;
pub(crate) mod transfer;
mod upgrade;
mod wait;

pub use flags::ResponseFlags;
pub use record::{Connection, Exchange, GrpcCall, Protocol};
pub use serve::{HttpConnection, Served};
pub use upgrade::Tunnel;
