//! The state file: which Service has which addresses, kept over restarts.
//!
//! Invariant: at any moment, also after a crash or power cut, the file holds one complete state,
//! the last saved or the one before. What cannot be understood is set aside, never overwritten.

mod format;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, flock};
use thiserror::Error;

use crate::codes;
use crate::finding::{Finding, Level, Position};
use crate::resources::ObjectKey;

const NAME: &str = "addresses.json";
const TEMPORARY: &str = ".addresses.json.new";
const LOCK: &str = ".lock";
/// 100,000 Services take about 15 MB.
const LIMIT: u64 = 64 << 20;

/// What a Service holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Its addresses; one of each family at most.
    pub addresses: Vec<IpAddr>,
    /// The name of the pool that they are from.
    pub pool: String,
    /// When they were given, in seconds since 1970; 0: now, or when the same ones were given
    /// before, filled in by [`StateFile::save`].
    pub given: u64,
}

/// All holders.
pub type Allocations = BTreeMap<ObjectKey, Recorded>;

/// Why the state could not be read or kept. The text says what to do.
#[derive(Debug, Error)]
pub enum StateError {
    /// The directory or a file in it.
    #[error("{}: cannot {what}: {error}{}", path.display(), advice(error))]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
    /// Another process has it.
    #[error(
        "{}: another gatehouse is using this state directory; stop it, or give this one a \
         directory of its own with --state",
        .0.display()
    )]
    InUse(PathBuf),
    /// Written by a later version.
    #[error(
        "{}: written by a newer gatehouse (format {found}, this one knows {}); addresses could be \
         lost, so nothing is done. Run the newer version, or move the file away",
        path.display(),
        format::VERSION
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// [`StateFile::save`] without a [`StateFile::load`] that went well: what the file has would
    /// be lost.
    #[error("{}: the state was not loaded, so it is not overwritten", .0.display())]
    NotLoaded(PathBuf),
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            ". Give the user that gatehouse runs as the directory (under systemd: \
             StateDirectory=gatehouse), or choose another one with --state"
        }
        io::ErrorKind::ReadOnlyFilesystem => ". Choose a directory on another file system",
        io::ErrorKind::StorageFull => ". Free some space; the state before is intact",
        _ => "",
    }
}

/// `DIR/addresses.json`, held by this process alone.
#[derive(Debug)]
pub struct StateFile {
    directory: PathBuf,
    /// What the file holds; none before a load.
    saved: Option<Allocations>,
    /// Whether `saved` stands in the file as it would be written now.
    written: bool,
    _lock: File,
}

impl StateFile {
    /// Takes the directory for this process, and makes it if need be.
    ///
    /// # Errors
    ///
    /// When it cannot be made or written to, or another process has it.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, StateError> {
        let directory = directory.into();
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&directory)
            .map_err(about("make the state directory", &directory))?;
        let path = directory.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(about("write to the state directory", &path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(StateError::InUse(directory)),
            Err(error) => return Err(about("lock the state directory", &path)(error.into())),
        }
        Ok(Self {
            directory,
            saved: None,
            written: false,
            _lock: lock,
        })
    }

    /// The file.
    pub fn path(&self) -> PathBuf {
        self.directory.join(NAME)
    }

    /// Reads the state; none yet is empty. A damaged file is set aside as
    /// `addresses.json.corrupt-N`, and the findings say so.
    ///
    /// # Errors
    ///
    /// When the file is there but cannot be read: then nothing may be given, since any address may
    /// be held.
    pub fn load(&mut self) -> Result<(Allocations, Vec<Finding>), StateError> {
        let path = self.path();
        let text = match read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (self.saved, self.written) = (Some(Allocations::new()), false);
                return Ok((Allocations::new(), Vec::new()));
            }
            Err(error) => return Err(about("read the state", &path)(error)),
        };
        match format::read(&text) {
            Ok(allocations) => {
                (self.saved, self.written) = (Some(allocations.clone()), true);
                Ok((allocations, Vec::new()))
            }
            Err(format::Unread::Newer(found)) => Err(StateError::Newer { path, found }),
            Err(format::Unread::Damaged {
                line,
                column,
                message,
            }) => {
                let aside = self.set_aside(&path)?;
                (self.saved, self.written) = (Some(Allocations::new()), false);
                let finding = Finding {
                    code: codes::STATE,
                    level: Level::Error,
                    object: None,
                    field: String::new(),
                    position: Some(Position {
                        file: path.to_string_lossy().into_owned(),
                        line,
                        column,
                    }),
                    message: format!(
                        "the state file is damaged ({message}) and was set aside as {}; Services \
                         may get other addresses than before",
                        aside.display()
                    ),
                    hint: "To keep the addresses: stop gatehouse, correct that file, move it back \
                           and start again; or request them in the Services \
                           (metallb.io/loadBalancerIPs)."
                        .to_owned(),
                };
                Ok((Allocations::new(), vec![finding]))
            }
        }
    }

    /// What a directory's state says, without taking it: a daemon may be using it. None yet, or one
    /// that is damaged, is empty.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or a newer version wrote it.
    pub fn peek(directory: &Path) -> Result<Allocations, StateError> {
        let path = directory.join(NAME);
        let text = match read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Allocations::new()),
            Err(error) => return Err(about("read the state", &path)(error)),
        };
        match format::read(&text) {
            Ok(allocations) => Ok(allocations),
            Err(format::Unread::Newer(found)) => Err(StateError::Newer { path, found }),
            // As a daemon would begin with it.
            Err(format::Unread::Damaged { .. }) => Ok(Allocations::new()),
        }
    }

    /// Keeps the state. Tells whether anything had to be written.
    ///
    /// # Errors
    ///
    /// When it could not be written; the state before is then intact, and the next call tries
    /// again.
    pub fn save(&mut self, allocations: &Allocations) -> Result<bool, StateError> {
        let Some(saved) = &self.saved else {
            return Err(StateError::NotLoaded(self.path()));
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs());
        let mut next = allocations.clone();
        for (key, recorded) in &mut next {
            if recorded.given == 0 {
                let before = saved
                    .get(key)
                    .filter(|before| before.addresses == recorded.addresses);
                recorded.given = before.map_or(now, |before| before.given);
            }
        }
        if self.written && next == *saved {
            return Ok(false);
        }
        self.write(format::write(&next).as_bytes())?;
        (self.saved, self.written) = (Some(next), true);
        Ok(true)
    }

    fn write(&self, bytes: &[u8]) -> Result<(), StateError> {
        let (path, temporary) = (self.path(), self.directory.join(TEMPORARY));
        let result = (|| {
            // One that a crash left is worth nothing.
            let mut file = OpenOptions::new()
                .create(true)
                .write(true)
                .truncate(true)
                .mode(0o644)
                .open(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            File::open(&self.directory)?.sync_all()
        })();
        result.map_err(|error| {
            // The error itself is what matters; the next save truncates what is left.
            let _ = fs::remove_file(&temporary);
            about("save the state", &path)(error)
        })
    }

    fn set_aside(&self, path: &Path) -> Result<PathBuf, StateError> {
        for number in 1..10_000 {
            let aside = self.directory.join(format!("{NAME}.corrupt-{number}"));
            // A hard link fails where the name is taken; a rename would replace it.
            match fs::hard_link(path, &aside) {
                Ok(()) => {
                    fs::remove_file(path).map_err(about("set the damaged state aside", path))?;
                    return Ok(aside);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                // A file system without links: nobody else writes here, so looking first is safe.
                Err(_) if !aside.exists() => {
                    fs::rename(path, &aside).map_err(about("set the damaged state aside", path))?;
                    return Ok(aside);
                }
                Err(_) => {}
            }
        }
        let error = io::Error::other("there are 9,999 damaged states already");
        Err(about("set the damaged state aside", path)(error))
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= LIMIT => Ok(bytes),
        _ => Err(io::Error::other("larger than 64 MiB")),
    }
}

fn about<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StateError + 'a {
    move |error| StateError::Io {
        what,
        path: path.to_owned(),
        error,
    }
}
