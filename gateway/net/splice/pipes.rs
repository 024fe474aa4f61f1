//! A worker's pipes, and the one buffer for what does not go through a pipe.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with};

/// What a pipe is asked to hold. An unprivileged user may have 64 MiB of pipes in all
/// (`fs.pipe-user-pages-soft`), and no pipe above `fs.pipe-max-size` (1 MiB).
const PIPE_BYTES: usize = 1 << 20;
/// A smaller pipe costs more calls than it saves copying; the kernel hands out pipes of two
/// pages to users that are past their limit.
const LEAST_PIPE_BYTES: usize = 64 << 10;
/// Read at once where bytes are copied.
const SCRATCH_BYTES: usize = 64 << 10;

/// A worker's pipes and its copy buffer, shared by all its transfers.
#[derive(Debug)]
pub struct Pipes {
    idle: RefCell<Vec<Pipe>>,
    open: Cell<usize>,
    limit: usize,
    refused: Cell<u64>,
    scratch: RefCell<Box<[u8]>>,
}

/// A pipe, and how many bytes are in it.
#[derive(Debug)]
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    capacity: usize,
}

/// A pipe on loan; dropped, it goes back if it is empty and is closed if it is not.
#[derive(Debug)]
pub(super) struct Lease<'a> {
    pipes: &'a Pipes,
    pipe: Option<Pipe>,
    /// Bytes in the pipe.
    pub fill: usize,
}

impl Pipes {
    /// At most `limit` pipes are open at a time (two files each, up to 1 MiB of kernel memory
    /// while a slow reader holds one); transfers beyond that copy.
    pub fn new(limit: usize) -> Self {
        Self {
            idle: RefCell::default(),
            open: Cell::new(0),
            limit,
            refused: Cell::new(0),
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice()),
        }
    }

    /// Pipes open now, idle ones included.
    pub fn open(&self) -> usize {
        self.open.get()
    }

    /// How often a transfer copied since no pipe was to be had.
    pub fn refused(&self) -> u64 {
        self.refused.get()
    }

    /// A pipe, if one is to be had.
    pub(super) fn lease(&self) -> Option<Lease<'_>> {
        let idle = self.idle.borrow_mut().pop();
        let pipe = idle.or_else(|| self.create());
        if pipe.is_none() {
            self.refused.set(self.refused.get() + 1);
        }
        pipe.map(|pipe| Lease {
            pipes: self,
            pipe: Some(pipe),
            fill: 0,
        })
    }

    /// The copy buffer, for the length of a call: it must not be held over an await.
    pub(crate) fn with_scratch<T>(&self, work: impl FnOnce(&mut [u8]) -> T) -> T {
        work(&mut self.scratch.borrow_mut())
    }

    fn create(&self) -> Option<Pipe> {
        if self.open.get() >= self.limit {
            return None;
        }
        // No file left: copying goes on without.
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        let capacity = fcntl_setpipe_size(&write, PIPE_BYTES)
            .or_else(|_| fcntl_getpipe_size(&write))
            .ok()?;
        if capacity < LEAST_PIPE_BYTES {
            return None;
        }
        self.open.set(self.open.get() + 1);
        Some(Pipe {
            read,
            write,
            capacity,
        })
    }
}

impl Default for Pipes {
    fn default() -> Self {
        Self::new(64)
    }
}

impl Lease<'_> {
    fn pipe(&self) -> &Pipe {
        self.pipe.as_ref().expect("only drop takes the pipe")
    }

    /// The end to read from.
    pub fn read(&self) -> &OwnedFd {
        &self.pipe().read
    }

    /// The end to write to.
    pub fn write(&self) -> &OwnedFd {
        &self.pipe().write
    }

    /// Bytes it may hold, if every page is full.
    pub fn capacity(&self) -> usize {
        self.pipe().capacity
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let Some(pipe) = self.pipe.take() else {
            return;
        };
        if self.fill == 0 {
            self.pipes.idle.borrow_mut().push(pipe);
        } else {
            self.pipes.open.set(self.pipes.open.get() - 1);
        }
    }
}
