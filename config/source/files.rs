//! The files that objects name: certificates, keys. They are read as long as they are wanted, and
//! read again when they change.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::files::FileContents;
use crate::source::Watch;
use crate::source::directory::read_bytes;

/// A bundle with every CA there is has a quarter of this.
const FILE_BYTES: u64 = 1 << 20;

/// What wanted files hold.
#[derive(Debug)]
pub struct Files {
    contents: Arc<FileContents>,
    watched: BTreeSet<String>,
    watch: Watch,
    /// What was read may be older than the watch.
    is_stale: bool,
}

impl Files {
    /// None is wanted yet. Needs a tokio runtime with time enabled.
    pub fn new() -> Self {
        Self {
            contents: Arc::default(),
            watched: BTreeSet::new(),
            watch: Watch::files([]),
            is_stale: false,
        }
    }

    /// What the files hold now.
    pub fn contents(&self) -> Arc<FileContents> {
        Arc::clone(&self.contents)
    }

    /// Reads those that were not wanted before; tells whether there is one.
    pub fn want(&mut self, files: &BTreeSet<String>) -> bool {
        let is_new = |path: &&String| self.contents.get(path).is_none();
        let new: Vec<_> = files.iter().filter(is_new).collect();
        for path in &new {
            Arc::make_mut(&mut self.contents).insert((*path).clone(), read(path));
        }
        !new.is_empty()
    }

    /// From now on these are wanted, and no others.
    pub fn want_only(&mut self, files: &BTreeSet<String>) {
        if *files == self.watched {
            return;
        }
        self.want(files);
        let unwanted = |path: &&str| !files.contains(*path);
        let gone = self.contents.paths().filter(unwanted).map(str::to_owned);
        for path in gone.collect::<Vec<_>>() {
            Arc::make_mut(&mut self.contents).remove(&path);
        }
        self.watched.clone_from(files);
        self.watch.watch_files(files.iter().map(Path::new));
        // They may have changed before they were watched.
        self.is_stale = *self.contents != read_all(files);
    }

    /// Reads all of them again; tells whether any changed.
    pub fn load(&mut self) -> bool {
        self.is_stale = false;
        let contents = read_all(&self.watched);
        let changed = contents != *self.contents;
        if changed {
            self.contents = Arc::new(contents);
        }
        changed
    }

    /// Waits until a file probably changed. May be dropped while it waits: nothing is lost.
    pub async fn changed(&mut self) {
        if !self.is_stale {
            self.watch.changed().await;
            self.is_stale = true;
        }
    }
}

impl Default for Files {
    fn default() -> Self {
        Self::new()
    }
}

/// Reads files once.
pub fn read_all<'a>(files: impl IntoIterator<Item = &'a String>) -> FileContents {
    let mut contents = FileContents::default();
    for path in files {
        contents.insert(path.clone(), read(path));
    }
    contents
}

/// What a file holds, or why it cannot be read.
fn read(path: &str) -> Result<Arc<[u8]>, String> {
    match read_bytes(Path::new(path), FILE_BYTES) {
        Ok((bytes, _)) if bytes.len() as u64 > FILE_BYTES => {
            Err(format!("it is larger than {} KiB", FILE_BYTES >> 10))
        }
        Ok((bytes, _)) => Ok(bytes.into()),
        Err(error) => Err(match error.kind() {
            io::ErrorKind::NotFound => "there is no such file".to_owned(),
            io::ErrorKind::PermissionDenied => "it may not be read".to_owned(),
            _ => error.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    /// Far more than a loaded machine needs.
    const DEADLINE: Duration = Duration::from_secs(20);

    #[allow(clippy::disallowed_methods)] // not the data plane
    async fn changes(files: &mut Files) {
        loop {
            let changed = tokio::time::timeout(DEADLINE, files.changed()).await;
            changed.expect("the change is noticed");
            if files.load() {
                return;
            }
        }
    }

    #[tokio::test]
    async fn files_are_read_when_they_are_wanted_and_when_they_change() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
        let (there, missing) = (at("there.pem"), at("not/yet/there.pem"));
        fs::write(&there, "one").expect("written");
        let wanted = BTreeSet::from([there.clone(), missing.clone()]);
        let mut files = Files::new();
        assert!(files.want(&wanted));
        assert!(!files.want(&wanted), "nothing is new");
        files.want_only(&wanted);
        let content = |files: &Files, path: &str| {
            let contents = files.contents();
            let content = contents.get(path).expect("it was read");
            content.map(|bytes| bytes.to_vec()).map_err(str::to_owned)
        };
        assert_eq!(content(&files, &there), Ok(b"one".to_vec()));
        let no_file = Err("there is no such file".to_owned());
        assert_eq!(content(&files, &missing), no_file);

        let new = at("new");
        fs::write(&new, "two").expect("written");
        fs::rename(&new, &there).expect("put in place");
        changes(&mut files).await;
        assert_eq!(content(&files, &there), Ok(b"two".to_vec()));

        fs::create_dir_all(directory.path().join("not/yet")).expect("made");
        fs::write(&missing, "three").expect("written");
        changes(&mut files).await;
        assert_eq!(content(&files, &missing), Ok(b"three".to_vec()));

        fs::write(&there, vec![0; (FILE_BYTES + 1) as usize]).expect("written");
        changes(&mut files).await;
        let too_large = Err("it is larger than 1024 KiB".to_owned());
        assert_eq!(content(&files, &there), too_large);

        files.want_only(&BTreeSet::from([missing]));
        assert!(files.contents().get(&there).is_none(), "it is forgotten");
    }
}
