//! The kernel's queue of file events, read by a thread of its own.
//!
//! A thread, and not tokio's `AsyncFd`: registering a descriptor there takes `unsafe` since tokio
//! 1.54, which this crate does not use. The thread sleeps in poll(2) and ends with its [`Queue`].

use std::ffi::{OsStr, OsString};
use std::io::{self, PipeReader, PipeWriter};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::sync::mpsc;

/// Events that are handed over at once.
const EVENTS: usize = 4096;
/// Hand-overs that may wait; after that events wait in the kernel, whose queue is bounded and tells
/// when it overflows.
const BATCHES: usize = 4;

/// An inotify instance.
#[derive(Debug)]
pub(super) struct Queue {
    inotify: Arc<OwnedFd>,
    events: mpsc::Receiver<Vec<Event>>,
    /// Closed when the queue is dropped, which ends the thread.
    _end: PipeWriter,
}

/// Something happened to a name in a watched directory, or to the directory itself.
#[derive(Debug)]
pub(super) struct Event {
    pub watch: i32,
    pub flags: ReadFlags,
    pub name: Option<OsString>,
}

impl Queue {
    pub fn new() -> io::Result<Self> {
        let inotify = Arc::new(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?);
        let (ended, end) = io::pipe()?;
        let (sender, events) = mpsc::channel(BATCHES);
        let reading = Arc::clone(&inotify);
        thread::Builder::new()
            .name("file-watch".to_owned())
            .spawn(move || read(&reading, &ended, &sender))?;
        Ok(Self {
            inotify,
            events,
            _end: end,
        })
    }

    /// Watches a directory; the same one again gives the same descriptor.
    pub fn watch(&self, directory: &Path) -> io::Result<i32> {
        let flags = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVE
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        Ok(inotify::add_watch(&self.inotify, directory, flags)?)
    }

    pub fn unwatch(&self, watch: i32) {
        // It fails where the directory is gone, and the watch with it.
        let _ = inotify::remove_watch(&self.inotify, watch);
    }

    /// The next events; none when the kernel's queue cannot be read any more. Dropping the future
    /// loses nothing.
    pub async fn batch(&mut self) -> Option<Vec<Event>> {
        self.events.recv().await
    }
}

/// Reads until the queue is dropped.
fn read(inotify: &OwnedFd, ended: &PipeReader, sender: &mpsc::Sender<Vec<Event>>) {
    let mut buffer = [MaybeUninit::uninit(); 16 << 10];
    loop {
        let mut wait = [
            PollFd::new(inotify, PollFlags::IN),
            PollFd::new(ended, PollFlags::IN),
        ];
        match poll(&mut wait, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(_) => return,
        }
        if !wait[1].revents().is_empty() {
            return;
        }
        let mut events = Vec::new();
        let mut reader = Reader::new(inotify, &mut buffer);
        // What is in the buffer must be taken, or it is lost with the reader.
        while events.len() < EVENTS || !reader.is_buffer_empty() {
            match reader.next() {
                Ok(event) => events.push(Event {
                    watch: event.wd(),
                    flags: event.events(),
                    name: event
                        .file_name()
                        .map(|name| OsStr::from_bytes(name.to_bytes()).to_owned()),
                }),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => break,
                Err(_) => return,
            }
        }
        if !events.is_empty() && sender.blocking_send(events).is_err() {
            return;
        }
    }
}
