//! A configuration directory that a test writes and edits the way people and tools do.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A directory of YAML for `gatehouse run --config`; removed when dropped.
#[derive(Debug)]
pub struct ConfigDir {
    folder: TempDir,
}

impl Default for ConfigDir {
    fn default() -> Self {
        Self::new()
    }
}

impl ConfigDir {
    /// An empty one, readable by everyone (tests also run the daemon as nobody).
    ///
    /// # Panics
    ///
    /// When the file system refuses.
    pub fn new() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::Builder::new().prefix("gatehouse-e2e-").tempdir();
        let folder = folder.expect("a temporary folder can be made");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))
            .expect("a temporary folder can be opened to others");
        Self { folder }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file as editors do: a temporary name beside it, then a rename over it.
    ///
    /// # Panics
    ///
    /// When the file system refuses.
    pub fn write(&self, file: &str, text: &str) -> &Self {
        let path = self.folder.path().join(file);
        let temporary = self
            .folder
            .path()
            .join(format!(".{}.swp", file.replace('/', "-")));
        fs::write(&temporary, text)
            .and_then(|()| fs::rename(&temporary, &path))
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        self
    }

    /// Writes a file in place, as `>` and `tee` do.
    ///
    /// # Panics
    ///
    /// When the file system refuses.
    pub fn write_in_place(&self, file: &str, text: &str) -> &Self {
        let path = self.folder.path().join(file);
        fs::write(&path, text)
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        self
    }

    /// Replaces text in a file, once, as `sed -i` does.
    ///
    /// # Panics
    ///
    /// When the text is not there.
    pub fn edit(&self, file: &str, from: &str, to: &str) -> &Self {
        let text = self.read(file);
        assert!(text.contains(from), "{file} does not contain {from:?}");
        self.write(file, &text.replacen(from, to, 1))
    }

    /// What a file holds.
    ///
    /// # Panics
    ///
    /// When it cannot be read.
    pub fn read(&self, file: &str) -> String {
        let path = self.folder.path().join(file);
        fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
    }

    /// Removes a file.
    ///
    /// # Panics
    ///
    /// When it is not there.
    pub fn remove(&self, file: &str) -> &Self {
        let path = self.folder.path().join(file);
        fs::remove_file(&path)
            .unwrap_or_else(|error| panic!("cannot remove {}: {error}", path.display()));
        self
    }

    /// The path of a file in it.
    pub fn file(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }
}
