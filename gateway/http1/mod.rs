//! HTTP/1.1: bytes to heads and framed bodies, and back.

/// A request's head.
#[derive(Debug, Default)]
pub struct RequestHead {}
/// A response's head.
#[derive(Debug, Default)]
pub struct ResponseHead {}
