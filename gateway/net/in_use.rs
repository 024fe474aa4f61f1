//! Who holds a port: best effort, bounded, for error texts only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::{fs, io};

/// No more processes are looked into; a homelab host has a few hundred.
const MAX_PROCESSES: usize = 4096;
/// No more open files are looked at, over all processes.
const MAX_FILES: usize = 200_000;

/// The program that holds `address`, as `nginx (pid 812)`; `another program` where it cannot be
/// told (it belongs to another user, or to another network namespace's owner).
pub fn owner(address: SocketAddr, protocol: &str) -> String {
    find_owner(address, protocol)
        .unwrap_or_else(|| "another program (root can ask `ss -lntup`)".into())
}

/// `net.ipv4.ip_unprivileged_port_start`; 1024 where it cannot be read.
pub fn first_unprivileged_port() -> u32 {
    fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(1024)
}

fn find_owner(address: SocketAddr, protocol: &str) -> Option<String> {
    let table = if protocol == "UDP" { "udp" } else { "tcp" };
    let sockets: Vec<u64> = [format!("/proc/net/{table}"), format!("/proc/net/{table}6")]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|text| holders(&text, address, protocol != "UDP"))
        .collect();
    let (pid, name) = process_of(&sockets).ok().flatten()?;
    Some(if pid == std::process::id() {
        "this process itself".into()
    } else {
        format!("{name} (pid {pid})")
    })
}

/// The inodes of the sockets in a `/proc/net/{tcp,udp}{,6}` table that stand in the way.
fn holders(table: &str, wanted: SocketAddr, listening_only: bool) -> Vec<u64> {
    const TCP_LISTEN: &str = "0A";
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let local = parse_address(fields.nth(1)?)?;
            let state = fields.nth(1)?;
            let inode = fields.nth(5)?.parse().ok()?;
            let conflicts = local.port() == wanted.port()
                && (local.ip() == wanted.ip()
                    || local.ip().is_unspecified()
                    || wanted.ip().is_unspecified());
            (conflicts && (!listening_only || state == TCP_LISTEN)).then_some(inode)
        })
        .collect()
}

/// `0100007F:1F90`: the address as 32-bit words in host order, the port in hex.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(address.get(at..at + 8)?, 16).ok();
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?.to_ne_bytes())),
        32 => {
            let mut bytes = [0; 16];
            for (at, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(at * 8)?.to_ne_bytes());
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// The first process that has one of the sockets open.
fn process_of(sockets: &[u64]) -> io::Result<Option<(u32, String)>> {
    if sockets.is_empty() {
        return Ok(None);
    }
    let wanted: Vec<String> = sockets.iter().map(|i| format!("socket:[{i}]")).collect();
    let mut files_left = MAX_FILES;
    let processes = fs::read_dir("/proc")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .take(MAX_PROCESSES);
    for pid in processes {
        // Processes of other users are closed to us, and any may end meanwhile.
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
            continue;
        };
        for file in files.flatten().take(files_left) {
            files_left -= 1;
            let Ok(target) = fs::read_link(file.path()) else {
                continue;
            };
            if wanted.iter().any(|w| target.as_os_str() == w.as_str()) {
                let name = fs::read_to_string(format!("/proc/{pid}/comm"))?;
                return Ok(Some((pid, name.trim().to_owned())));
            }
        }
        if files_left == 0 {
            break;
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_name_the_listening_socket() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n   1: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0\n";
        let wanted = SocketAddr::from(([127, 0, 0, 1], 8080));
        assert_eq!(holders(table, wanted, true), [4711]);
        assert!(holders(table, SocketAddr::from(([127, 0, 0, 1], 81)), true).is_empty());
        assert!(holders("junk\nx y z\n", wanted, true).is_empty());
    }

    #[test]
    fn a_socket_of_our_own_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(owner(address, "TCP"), "this process itself");
    }
}
