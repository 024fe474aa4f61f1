//! arp_ignore and arp_announce of interfaces, and their old values.
//!
//! The kernel answers ARP for every address of the host on every interface while arp_ignore is 0,
//! which would bypass the responder: on interfaces that an L2Advertisement does not allow, and
//! beside it on those that it does.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A sysctl that was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// Its file below /proc/sys.
    pub path: PathBuf,
    /// What it was.
    pub old: u32,
    /// What it was set to.
    pub new: u32,
}

/// What is needed on an interface, where it is not so already: arp_ignore 1 (answer only for
/// addresses of the interface itself) and arp_announce 2 (never use another interface's address in
/// our own requests). The kernel takes the greater of `all` and the interface's own value.
///
/// # Errors
/// /proc/sys is not readable.
pub fn needed(interface: &str) -> io::Result<Vec<Changed>> {
    let mut needed = Vec::new();
    for (name, new) in [("arp_ignore", 1), ("arp_announce", 2)] {
        let path = file(interface, name);
        let old = read(&path)?;
        if read(&file("all", name))?.max(old) < new {
            needed.push(Changed { path, old, new });
        }
    }
    Ok(needed)
}

/// Sets the new value.
///
/// # Errors
/// No permission, /proc/sys is read-only, or the interface is gone.
pub fn set(changed: &Changed) -> io::Result<()> {
    std::fs::write(&changed.path, changed.new.to_string())
}

/// Puts the old value back, unless somebody changed it since.
///
/// # Errors
/// As [`set`]; an interface that is gone is no error.
pub fn restore(changed: &Changed) -> io::Result<()> {
    let result = read(&changed.path).and_then(|now| {
        if now == changed.new {
            std::fs::write(&changed.path, changed.old.to_string())
        } else {
            Ok(())
        }
    });
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn file(interface: &str, name: &str) -> PathBuf {
    ["/proc/sys/net/ipv4/conf", interface, name]
        .iter()
        .collect()
}

fn read(path: &PathBuf) -> io::Result<u32> {
    std::fs::read_to_string(path)?
        .trim()
        .parse()
        .map_err(io::Error::other)
}
