//! Whether an address is free to listen at, and who holds it if it is not.
//!
//! Asked before anything starts: the gateway's own sockets share their port among its workers
//! (SO_REUSEPORT), so a second demo of the same user would otherwise join the first one's port.

use std::fmt::{self, Display, Formatter};
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use super::DemoError;

/// How many of the following ports are tried for a suggestion.
const NEARBY: u16 = 20;
/// The state LISTEN in /proc/net/tcp (Linux, include/net/tcp_states.h).
const LISTEN: &str = "0A";

/// The process that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its name, as `ps` shows it.
    pub name: String,
    /// Its number.
    pub pid: u32,
}

/// An address where somebody else listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What would have been served.
    pub what: &'static str,
    /// Where.
    pub address: SocketAddr,
    /// Who is there, if that can be told.
    pub holder: Option<Holder>,
    /// The flag that chooses another place.
    pub flag: &'static str,
    /// A place nearby that is free.
    pub free: Option<SocketAddr>,
}

impl Display for Taken {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            address,
            holder,
            flag,
            free,
        } = self;
        write!(f, "{what} cannot be served on {address}: ")?;
        match holder {
            Some(Holder { name, pid }) => write!(f, "{name} (process {pid}) listens there. ")?,
            None => f.write_str("another program listens there. ")?,
        }
        match free {
            Some(free) if *flag == "--port" => {
                let port = free.port();
                write!(
                    f,
                    "Stop it or take another port: gatehouse demo --port {port}"
                )
            }
            Some(free) => write!(
                f,
                "Stop it or take another address: gatehouse demo {flag} {free}"
            ),
            None => write!(f, "Stop it or choose another place with {flag}"),
        }
    }
}

/// Fails if nobody could listen at `address`.
pub(super) fn check(
    what: &'static str,
    address: SocketAddr,
    flag: &'static str,
) -> Result<(), DemoError> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            Err(DemoError::Taken(Box::new(Taken {
                what,
                address,
                holder: holder(address),
                flag,
                free: nearby(address),
            })))
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied && flag == "--port" => {
            Err(DemoError::Privileged(address.port()))
        }
        Err(error) => Err(DemoError::Address {
            what,
            address,
            error,
        }),
    }
}

/// A loopback address with a port that is free now.
pub(super) fn free() -> Result<SocketAddr, DemoError> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    TcpListener::bind(any)
        .and_then(|listener| listener.local_addr())
        .map_err(|error| DemoError::Address {
            what: "the admin API",
            address: any,
            error,
        })
}

/// The next free port above.
fn nearby(address: SocketAddr) -> Option<SocketAddr> {
    let port = address.port();
    (port.saturating_add(1)..=port.saturating_add(NEARBY))
        .map(|port| SocketAddr::new(address.ip(), port))
        .find(|address| TcpListener::bind(address).is_ok())
}

/// Who listens at an address, as far as this user may know.
fn holder(address: SocketAddr) -> Option<Holder> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .find_map(|table| table.lines().find_map(|line| listening(line, address)))?;
    let link = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        // Other users' processes cannot be read; the search goes on.
        owns(pid, &link).ok()?.then(|| Holder {
            name: fs::read_to_string(process.path().join("comm"))
                .map_or_else(|_| "a process".to_owned(), |name| name.trim().to_owned()),
            pid,
        })
    })
}

/// Whether one of a process's descriptors is this socket.
fn owns(pid: u32, link: &str) -> io::Result<bool> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?;
    Ok(descriptors
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|target| target.to_str() == Some(link)))
}

/// The inode of a line of /proc/net/tcp that listens at the address or at every address.
fn listening(line: &str, wanted: SocketAddr) -> Option<u64> {
    let mut columns = line.split_ascii_whitespace().skip(1);
    let local = columns.next()?;
    let state = columns.nth(1)?;
    let inode = columns.nth(5)?.parse().ok()?;
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let address = parse_address(address)?;
    let covers = address.is_unspecified() || address == wanted.ip();
    (state == LISTEN && port == wanted.port() && covers).then_some(inode)
}

/// An address as the kernel prints it: 32-bit words in the machine's byte order.
fn parse_address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = text.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (at, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(at)?);
            }
            Some(Ipv6Addr::from(bytes).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_on_v4_and_v6() {
        for bound in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(bound) else {
                eprintln!("SKIPPED {bound}: this machine has no such address");
                continue;
            };
            let mut address = listener.local_addr().expect("bound");
            if address.ip().is_unspecified() {
                address.set_ip(Ipv4Addr::LOCALHOST.into());
            }
            let holder = holder(address).expect("somebody listens");
            assert_eq!(holder.pid, std::process::id());
            assert!(!holder.name.is_empty());
        }
    }

    #[test]
    fn nobody_is_found_where_nobody_listens() {
        let listener = TcpListener::bind("127.0.0.18:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        drop(listener);
        assert_eq!(holder(address), None);
        check("a test", address, "--port").expect("it is free");
    }

    #[test]
    fn odd_lines_are_passed_over() {
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
        for line in [
            "",
            "0:",
            "0: 0100007F 00000000:0000 0A",
            "0: é:0050 x 0A 1 2 3 4 5 6",
        ] {
            assert_eq!(listening(line, wanted), None, "{line}");
        }
    }
}
