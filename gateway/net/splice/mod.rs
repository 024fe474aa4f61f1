//! Moving bytes from one socket to another: splice(2) for bulk, a shared buffer for trickles.
//!
//! A direction that waits for bytes holds neither pipe nor buffer, so idle connections are small.
//! A pipe that still has bytes in it is closed, never reused: no byte strays to another client.

mod pipes;
mod pump;

use std::cell::Cell;
use std::io;

use thiserror::Error;
use tokio::net::TcpStream;

pub use pipes::Pipes;
pub use pump::Pump;

/// The side of a transfer that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The socket that is read.
    From,
    /// The socket that is written.
    To,
}

/// Why bytes move no further.
#[derive(Debug, Error)]
#[error("{} failed after {moved} bytes: {error}", match side { Side::From => "reading", Side::To => "writing" })]
pub struct SpliceError {
    /// Which socket failed.
    pub side: Side,
    /// Bytes that `to` had taken.
    pub moved: u64,
    /// The error; `UnexpectedEof` where `from` ended before the length was reached.
    pub error: io::Error,
}

/// Moves exactly `length` bytes: an HTTP body whose length is known. Bytes that the caller has
/// buffered are to be written by the caller first.
///
/// `counter` is raised as `to` takes bytes, so that progress is seen from outside. Where no pipe
/// is to be had the bytes are copied. Dropping the future stops the transfer: what was read and
/// not yet written is lost, so both connections are then good for nothing but closing.
pub async fn splice_exact(
    pipes: &Pipes,
    from: &TcpStream,
    to: &TcpStream,
    length: u64,
    counter: &Cell<u64>,
) -> Result<(), SpliceError> {
    let mut pump = Pump::exact(pipes, from, to, length, counter);
    std::future::poll_fn(|cx| pump.poll(cx)).await
}

/// Moves bytes until `from` ends; returns how many. The end is not passed on: the caller shuts
/// `to` down (half-close) or not.
pub async fn splice_until_eof(
    pipes: &Pipes,
    from: &TcpStream,
    to: &TcpStream,
    counter: &Cell<u64>,
) -> Result<u64, SpliceError> {
    let mut pump = Pump::until_eof(pipes, from, to, counter);
    std::future::poll_fn(|cx| pump.poll(cx)).await?;
    Ok(pump.moved())
}

#[cfg(test)]
mod tests;
