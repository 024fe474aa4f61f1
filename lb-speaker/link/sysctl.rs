//! arp_ignore and arp_announce of interfaces, and their old values.
//!
//! The kernel answers ARP for every address of the host on every interface while arp_ignore is 0,
//! which would bypass the responder: on interfaces that an L2Advertisement does not allow, and
//! beside it on those that it does.

use std::io;
use std::path::PathBuf;

use rtnetlink::packet_core::{DefaultNla, Emitable as _};
use rtnetlink::packet_route::link::{AfSpecInet, AfSpecUnspec, LinkAttribute, LinkMessage};
use rtnetlink::{Handle, LinkUnspec};
use serde::{Deserialize, Serialize};

use super::request::answered;

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

/// What has to be set: its name, its number in linux/ip.h, and the value.
const NEEDED: [(&str, u16, u32); 2] = [("arp_ignore", 19, 1), ("arp_announce", 18, 2)];

/// What is needed on an interface, where it is not so already: arp_ignore 1 (answer only for
/// addresses of the interface itself) and arp_announce 2 (never use another interface's address in
/// our own requests). The kernel takes the greater of `all` and the interface's own value.
///
/// # Errors
/// /proc/sys is not readable.
pub fn needed(interface: &str) -> io::Result<Vec<Changed>> {
    let mut needed = Vec::new();
    for (name, _, new) in NEEDED {
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
/// No permission by either way, or the interface is gone.
pub async fn set(handle: &Handle, changed: &Changed) -> io::Result<()> {
    change(handle, changed, changed.new).await
}

/// Puts the old value back, unless somebody changed it since.
///
/// # Errors
/// As [`set`]; an interface that is gone is no error.
pub async fn restore(handle: &Handle, changed: &Changed) -> io::Result<()> {
    let result = match read(&changed.path) {
        Ok(now) if now == changed.new => change(handle, changed, changed.old).await,
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// By netlink, for which CAP_NET_ADMIN is enough: in a container that is not privileged /proc/sys
/// is read-only. By that file only where netlink does not do it.
async fn change(handle: &Handle, changed: &Changed, value: u32) -> io::Result<()> {
    let by_netlink = match request(changed, value) {
        Some(message) => answered(handle.link().set(message).execute()).await.is_ok(),
        None => false,
    };
    // Old kernels take a value in without a word, and do nothing.
    if by_netlink && read(&changed.path)? == value {
        return Ok(());
    }
    std::fs::write(&changed.path, value.to_string())
}

/// `IFLA_INET_CONF` of linux/if_link.h.
const INET_CONF: u16 = 1;
/// The bit of an attribute that holds others, linux/netlink.h.
const NESTED: u16 = 1 << 15;

/// The message that sets a value of an interface; none: it is not one of ours.
fn request(changed: &Changed, value: u32) -> Option<LinkMessage> {
    let name = changed.path.file_name()?.to_str()?;
    let (_, number, _) = NEEDED.iter().find(|(needed, ..)| *needed == name)?;
    let interface = changed.path.parent()?.file_name()?.to_str()?;
    // The crate's own form leaves zeros out, and zero is what is put back.
    let value = DefaultNla::new(*number, value.to_ne_bytes().to_vec());
    let mut nested = vec![0; value.buffer_len()];
    value.emit(&mut nested);
    let conf = AfSpecInet::Other(DefaultNla::new(INET_CONF | NESTED, nested));
    let message = LinkUnspec::new_with_name(interface);
    let spec = LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet(vec![conf])]);
    Some(message.append_extra_attribute(spec).build())
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
