//! What was changed on the host, written down before it is done, so that a start after a kill can
//! undo it.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::sysctl::Changed;

/// The file's name below the state directory.
pub const FILE: &str = "speaker-host.json";

/// Changes to the host that have to be undone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftovers {
    /// Sysctls.
    #[serde(default)]
    pub sysctls: Vec<Changed>,
    /// Addresses on `lo`, where there can be no interface of our own.
    #[serde(default)]
    pub on_loopback: BTreeSet<IpAddr>,
}

impl Leftovers {
    /// Whether there is nothing to undo.
    pub fn is_empty(&self) -> bool {
        self.sysctls.is_empty() && self.on_loopback.is_empty()
    }

    /// What the last process left; nothing if it left no file.
    ///
    /// # Errors
    /// The file is there but cannot be read or understood.
    pub fn read(directory: &Path) -> io::Result<Self> {
        match std::fs::read(directory.join(FILE)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Writes it down, atomically and durably; removes the file when there is nothing to undo.
    ///
    /// # Errors
    /// As file operations.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        let path = directory.join(FILE);
        if self.is_empty() {
            return match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        std::fs::create_dir_all(directory)?;
        let temporary: PathBuf = directory.join(format!(".{FILE}.new"));
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(&serde_json::to_vec_pretty(self).map_err(io::Error::other)?)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &path)?;
        std::fs::File::open(directory)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_and_goes_away() {
        let directory = tempfile::tempdir().unwrap();
        let mut left = Leftovers::default();
        left.on_loopback.insert("192.168.8.151".parse().unwrap());
        left.sysctls.push(Changed {
            path: "/proc/sys/net/ipv4/conf/eth0/arp_ignore".into(),
            old: 0,
            new: 1,
        });
        left.write(directory.path()).unwrap();
        assert_eq!(Leftovers::read(directory.path()).unwrap(), left);
        Leftovers::default().write(directory.path()).unwrap();
        assert!(!directory.path().join(FILE).exists());
        assert!(Leftovers::read(directory.path()).unwrap().is_empty());
    }
}
