//! Faults injected on purpose.

use std::time::Duration;

use crate::model::Percent;

/// `http[].fault`: a pause, an answer in place of the upstream's, or both in this order.
///
/// Each is decided for itself, by chance (Envoy: the HTTP fault filter).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The pause.
    pub delay: Option<Delay>,
    /// The answer.
    pub abort: Option<Abort>,
}

/// An injected pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    /// How long.
    pub duration: Duration,
    /// For which share of the requests.
    pub percentage: Percent,
}

/// An injected answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abort {
    /// Which.
    pub status: AbortStatus,
    /// For which share of the requests.
    pub percentage: Percent,
}

/// What an abort answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortStatus {
    /// An HTTP status; a gRPC call gets the gRPC status that stands for it.
    Http(u16),
    /// A gRPC status; what is no gRPC call gets 200, as Envoy does it.
    Grpc(u8),
}
