//! One file: reading it safely, knowing whether it changed, and what was last read from it.

use std::fs::{File, Metadata, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::codes;
use crate::finding::{Finding, Level, Position};
use crate::source::decode::{AnyObject, DecodedFile};

/// What the file system says of a file; when it is the same, so is the content.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    /// Two writes within one tick of the file system's clock look the same; a file that was
    /// written just before it was read is therefore read again next time.
    settled: bool,
}

/// Coarser than the clock of any file system in use (FAT: 2 s).
const TICK: Duration = Duration::from_secs(2);

impl Stamp {
    pub fn of(metadata: &Metadata) -> Self {
        let modified = SystemTime::UNIX_EPOCH
            + Duration::from_secs(u64::try_from(metadata.mtime()).unwrap_or(0));
        let age = SystemTime::now().duration_since(modified);
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            settled: age.is_ok_and(|age| age > TICK),
        }
    }

    /// What differs when the content does.
    pub fn identity(&self) -> impl Eq + Hash + use<> {
        (
            self.device,
            self.inode,
            self.size,
            self.modified,
            self.changed,
        )
    }
}

/// What was last read from a file.
#[derive(Debug)]
pub(super) struct FileState {
    pub stamp: Stamp,
    /// Of the text that `decoded` was read from; none where the text was refused.
    pub hash: Option<u64>,
    pub decoded: DecodedFile,
    /// Versions from before, of what the text has but cannot be read.
    pub retained: Vec<AnyObject>,
    /// Why the file as it is now could not be read at all.
    pub refusal: Option<Finding>,
    /// It may have objects that were never read: what they say is not known from before either.
    pub has_unread: bool,
}

impl FileState {
    pub fn refused(stamp: Stamp, finding: Finding) -> Self {
        Self {
            stamp,
            hash: None,
            decoded: DecodedFile::default(),
            retained: Vec::new(),
            refusal: Some(finding),
            has_unread: true,
        }
    }

    /// Whether what the file system says now is what it said when the file was read.
    pub fn is_current(&self, now: &Stamp) -> bool {
        self.stamp.settled && self.stamp.identity() == now.identity()
    }

    /// Every object that this file stands for.
    pub fn objects(&self) -> impl Iterator<Item = &AnyObject> {
        self.decoded.objects.iter().chain(&self.retained)
    }

    /// The file cannot be read now: all its objects stay as they are.
    pub fn keep_all(&mut self, stamp: Stamp, finding: Finding) {
        self.stamp = stamp;
        self.hash = None;
        let objects = std::mem::take(&mut self.decoded).objects;
        self.retained.extend(objects);
        self.refusal = Some(finding);
    }
}

/// What reading a file gave.
pub(super) enum Content {
    Text { text: String, hash: u64 },
    Gone,
    Refused(Box<Finding>),
}

/// Reads a file of at most `limit` bytes.
pub(super) fn read(path: &Path, limit: u64) -> (Content, Stamp) {
    match read_bytes(path, limit) {
        Ok((bytes, stamp)) if u64::try_from(bytes.len()).is_ok_and(|length| length > limit) => {
            let message = format!(
                "the file is larger than {} MiB and is not read; what was last read from it stays \
                 in force",
                limit >> 20
            );
            let hint = "Split it into several files.";
            let finding = refusal(codes::LIMIT, path, (0, 0), message, hint);
            (Content::Refused(Box::new(finding)), stamp)
        }
        Ok((bytes, stamp)) => (text(path, bytes), stamp),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (Content::Gone, Stamp::default()),
        Err(error) => {
            let hint = match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    "Give the user that gatehouse runs as the right to read it."
                }
                _ => "",
            };
            let message =
                format!("cannot be read: {error}; what was last read from it stays in force");
            let finding = refusal(codes::UNREADABLE, path, (0, 0), message, hint);
            (Content::Refused(Box::new(finding)), Stamp::default())
        }
    }
}

/// Reads a regular file, or a byte more than the limit of it.
pub(crate) fn read_bytes(path: &Path, limit: u64) -> io::Result<(Vec<u8>, Stamp)> {
    // Without NONBLOCK, a pipe in the place of a file would hold us up until somebody writes.
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file: File = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    if metadata.len() > limit {
        bytes.resize(usize::try_from(limit).unwrap_or(0).saturating_add(1), 0);
        return Ok((bytes, Stamp::of(&metadata)));
    }
    (&file)
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)?;
    Ok((bytes, Stamp::of(&metadata)))
}

/// Text of these bytes, if they are UTF-8.
pub(super) fn text(path: &Path, bytes: Vec<u8>) -> Content {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    match String::from_utf8(bytes) {
        Ok(mut text) => {
            // JSON allows tabs between tokens, where YAML may not; inside its strings there are
            // none. One byte for one, so that columns stay.
            if is_json(path) && text.contains('\t') {
                text = text.replace('\t', " ");
            }
            Content::Text {
                text,
                hash: hasher.finish(),
            }
        }
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let before = error.as_bytes().get(..good).unwrap_or_default();
            let before = String::from_utf8_lossy(before);
            let lines = before.matches('\n').count();
            let column = before
                .rsplit('\n')
                .next()
                .unwrap_or_default()
                .chars()
                .count();
            let place = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
            let message = "not text in UTF-8; what was last read from the file stays in force";
            let hint = "Save the file as UTF-8.";
            let place = (place(lines), place(column));
            let finding = refusal(codes::UNREADABLE, path, place, message.to_owned(), hint);
            Content::Refused(Box::new(finding))
        }
    }
}

fn is_json(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
}

/// The finding for a file that had objects and is empty now.
pub(super) fn emptied(path: &Path) -> Finding {
    let message = "the file is empty now; its objects stay in force in their last good version";
    let mut finding = refusal(
        codes::EMPTY_FILE,
        path,
        (0, 0),
        message.to_owned(),
        "Delete the file to take its objects out of force.",
    );
    finding.level = Level::Warning;
    finding
}

fn refusal(
    code: &'static str,
    path: &Path,
    (line, column): (u32, u32),
    message: String,
    hint: &str,
) -> Finding {
    Finding {
        code,
        level: Level::Error,
        object: None,
        field: String::new(),
        position: Some(Position {
            file: path.to_string_lossy().into_owned(),
            line,
            column,
        }),
        message,
        hint: hint.to_owned(),
    }
}

/// A finding about a file or directory that could not be looked at.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> Finding {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "Give the user that gatehouse runs as the right to read it."
        }
        io::ErrorKind::NotFound => "Create it, or correct the link that leads to it.",
        _ => "",
    };
    let message = format!("cannot be read: {error}; what was last read from it stays in force");
    refusal(codes::UNREADABLE, path, (0, 0), message, hint)
}

/// A finding about a limit of the directory.
pub(super) fn too_much(path: &Path, message: &str) -> Finding {
    refusal(codes::LIMIT, path, (0, 0), message.to_owned(), "")
}
