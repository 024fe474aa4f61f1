//! One direction of a transfer, as a state machine that is polled.
//!
//! Whatever was read is written before more is read. So a slow reader bounds the memory to one
//! pipe or one buffer, and EAGAIN of a splice into the then empty pipe can only mean that the
//! socket is empty.

use std::cell::Cell;
use std::io;
use std::task::{Context, Poll, ready};

use rustix::pipe::{SpliceFlags, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::pipes::{Lease, Pipes};
use super::{Side, SpliceError};

/// Reads of this size and more are bulk: below, copying is cheaper than the third system call
/// that a splice needs.
const BULK_READ: usize = 16 << 10;
/// So much in bulk reads, and the direction is spliced from then on.
const BULK_AFTER: usize = 128 << 10;
/// So many small reads in a row, and it is copied again.
const SMALL_READS: u32 = 16;
/// Reads in one poll; then others get their turn.
const READS_PER_POLL: usize = 16;

/// One direction of a transfer. Polled again after it was ready it stays ready.
#[derive(Debug)]
pub struct Pump<'a> {
    pipes: &'a Pipes,
    from: &'a TcpStream,
    to: &'a TcpStream,
    /// Bytes still to be read; none: until the end.
    left: Option<u64>,
    moved: u64,
    counter: &'a Cell<u64>,
    /// Held only while there are bytes in it.
    lease: Option<Lease<'a>>,
    /// Copied bytes that `to` did not take yet; empty and without memory otherwise.
    rest: Vec<u8>,
    pace: Pace,
    ended: bool,
}

#[derive(Clone, Copy, Debug)]
enum Pace {
    /// Copied; `bulk` bytes came in bulk reads since the last small one.
    Copied { bulk: usize },
    /// Spliced; so many small reads came in a row.
    Spliced { small: u32 },
}

impl<'a> Pump<'a> {
    /// Moves `length` bytes, spliced from the start.
    pub fn exact(
        pipes: &'a Pipes,
        from: &'a TcpStream,
        to: &'a TcpStream,
        length: u64,
        counter: &'a Cell<u64>,
    ) -> Self {
        Self {
            left: Some(length),
            pace: Pace::Spliced { small: 0 },
            ..Self::until_eof(pipes, from, to, counter)
        }
    }

    /// Moves bytes until `from` ends; copied until the direction turns out to be bulk.
    pub fn until_eof(
        pipes: &'a Pipes,
        from: &'a TcpStream,
        to: &'a TcpStream,
        counter: &'a Cell<u64>,
    ) -> Self {
        Self {
            pipes,
            from,
            to,
            left: None,
            moved: 0,
            counter,
            lease: None,
            rest: Vec::new(),
            pace: Pace::Copied { bulk: 0 },
            ended: false,
        }
    }

    /// Bytes that `to` has taken.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// Moves what can be moved now. Ready once the length or the end is reached and all is
    /// written.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SpliceError>> {
        for _ in 0..READS_PER_POLL {
            ready!(self.poll_write_out(cx))?;
            if self.ended || self.left == Some(0) {
                return Poll::Ready(Ok(()));
            }
            match self.read_in() {
                Ok(0) => self.end()?,
                Ok(_) => {}
                Err(error) if error.error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.from.poll_read_ready(cx))
                        .map_err(|e| self.failed(Side::From, e))?;
                }
                Err(error) if error.error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn end(&mut self) -> Result<(), SpliceError> {
        self.ended = true;
        match self.left {
            None => Ok(()),
            Some(_) => Err(self.failed(Side::From, io::ErrorKind::UnexpectedEof.into())),
        }
    }

    /// Reads once, and in copied pace writes what can be written; 0 is the end.
    fn read_in(&mut self) -> Result<usize, SpliceError> {
        if let Pace::Spliced { .. } = self.pace
            && let Some(lease) = self.pipes.lease()
        {
            return self.splice_in(lease);
        }
        self.copy()
    }

    fn splice_in(&mut self, mut lease: Lease<'a>) -> Result<usize, SpliceError> {
        let wanted = at_most(lease.capacity(), self.left);
        let n = self
            .from
            .try_io(Interest::READABLE, || {
                let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
                Ok(splice(self.from, None, lease.write(), None, wanted, flags)?)
            })
            .map_err(|error| self.failed(Side::From, error))?;
        if n > 0 {
            lease.fill = n;
            self.lease = Some(lease);
            self.took(n);
        }
        Ok(n)
    }

    fn copy(&mut self) -> Result<usize, SpliceError> {
        let pipes = self.pipes;
        pipes.with_scratch(|scratch| {
            let wanted = at_most(scratch.len(), self.left);
            let buffer = scratch.get_mut(..wanted).unwrap_or_default();
            let n = read(self.from, buffer).map_err(|error| self.failed(Side::From, error))?;
            self.took(n);
            let mut rest = buffer.get(..n).unwrap_or_default();
            while !rest.is_empty() {
                match self.to.try_write(rest) {
                    Ok(written) => {
                        self.wrote(written);
                        rest = rest.get(written..).unwrap_or_default();
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.rest = rest.to_vec();
                        break;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(self.failed(Side::To, error)),
                }
            }
            Ok(n)
        })
    }

    /// Writes what was read and is still here.
    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SpliceError>> {
        loop {
            let written = match &self.lease {
                Some(lease) => self.to.try_io(Interest::WRITABLE, || {
                    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
                    Ok(splice(
                        lease.read(),
                        None,
                        self.to,
                        None,
                        lease.fill,
                        flags,
                    )?)
                }),
                None if self.rest.is_empty() => return Poll::Ready(Ok(())),
                None => self.to.try_write(&self.rest),
            };
            match written {
                Ok(n) => {
                    self.wrote(n);
                    self.forget(n);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.to.poll_write_ready(cx)).map_err(|e| self.failed(Side::To, e))?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(self.failed(Side::To, error))),
            }
        }
    }

    /// Drops `n` written bytes; gives pipe or memory back with the last one.
    fn forget(&mut self, n: usize) {
        if let Some(lease) = &mut self.lease {
            lease.fill = lease.fill.saturating_sub(n);
            if lease.fill == 0 {
                self.lease = None;
            }
        } else if n >= self.rest.len() {
            self.rest = Vec::new();
        } else {
            self.rest.drain(..n);
        }
    }

    fn took(&mut self, n: usize) {
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(n as u64);
        }
        self.pace = match self.pace {
            Pace::Copied { .. } if n < BULK_READ => Pace::Copied { bulk: 0 },
            Pace::Copied { bulk } if bulk + n < BULK_AFTER => Pace::Copied { bulk: bulk + n },
            Pace::Copied { .. } => Pace::Spliced { small: 0 },
            Pace::Spliced { .. } if n >= BULK_READ => Pace::Spliced { small: 0 },
            Pace::Spliced { small } if small < SMALL_READS => Pace::Spliced { small: small + 1 },
            Pace::Spliced { .. } => Pace::Copied { bulk: 0 },
        };
    }

    fn wrote(&mut self, n: usize) {
        self.moved += n as u64;
        self.counter.set(self.counter.get() + n as u64);
    }

    fn failed(&self, side: Side, error: io::Error) -> SpliceError {
        SpliceError {
            side,
            moved: self.moved,
            error,
        }
    }
}

fn at_most(bytes: usize, left: Option<u64>) -> usize {
    left.and_then(|left| usize::try_from(left).ok())
        .map_or(bytes, |left| left.min(bytes))
}

/// Reads what is there. A short read means that the socket is empty, so its readiness is
/// cleared at once, which saves the read that would only say EAGAIN; what arrives meanwhile, and
/// the end, raises it again.
fn read(from: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut read = None;
    let wanted = buffer.len();
    let outcome = from.try_io(Interest::READABLE, || {
        let n = rustix::net::recv(from, &mut *buffer, rustix::net::RecvFlags::empty())?.0;
        read = Some(n);
        if 0 < n && n < wanted {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(n)
    });
    read.map_or(outcome, Ok)
}
