//! Which interfaces announce addresses.
//!
//! MetalLB's rules (up, no master, ARP, broadcast) and its default list of names, with one
//! difference: a `veth*` is the LAN side of many a container and of no host, so what tells is
//! whether it has an address. One with a global address is used; one without is the host end of a
//! container's cable, as MetalLB's list assumes of all of them. CNI plugins name theirs `veth` and
//! eight hex digits and give some of them an address: these are excluded by name.

use std::net::IpAddr;

use regex::Regex;

use super::interfaces::Link;

/// The dummy interface that holds the addresses.
pub const HOST_INTERFACE: &str = "gatehouse0";

/// Names that are excluded by default, as regular expressions: MetalLB's, and those of interfaces
/// between nodes and Pods, or between containers, that MetalLB's list leaves out.
pub const DEFAULT_EXCLUDED: &[&str] = &[
    "^docker.*",
    "^cbr.*",
    "^dummy.*",
    "^virbr.*",
    "^lxcbr.*",
    "^veth[0-9a-f]{8}$",
    "^lo$",
    "^cali.*",
    "^tunl.*",
    "^flannel.*",
    "^kube-ipvs.*",
    "^cni.*",
    "^nodelocaldns.*",
    "^lxc.*",
    "^br-[0-9a-f]{12}$",
    r"^vxlan(-v6)?\.calico$",
    "^cilium_.*",
    "^kube-(bridge|dummy-if)$",
];

/// The names of interfaces that are never used.
#[derive(Clone, Debug)]
pub struct Excluded(Vec<Regex>);

impl Excluded {
    /// Those that one of these expressions matches; unanchored, as MetalLB's.
    pub fn new(patterns: Vec<Regex>) -> Self {
        Self(patterns)
    }

    /// The expression that matches a name.
    fn by(&self, name: &str) -> Option<&Regex> {
        self.0.iter().find(|pattern| pattern.is_match(name))
    }
}

impl Default for Excluded {
    fn default() -> Self {
        // All of them can be read, as a test shows.
        let patterns = DEFAULT_EXCLUDED.iter();
        Self(patterns.filter_map(|text| Regex::new(text).ok()).collect())
    }
}

/// Interfaces on which every node holds the addresses of all Services: of kube-proxy in IPVS mode,
/// and of kube-router.
const SERVICE_HOLDERS: &[&str] = &["kube-ipvs", "kube-dummy-if"];

/// Whether an address that is there is an address of this host on some network. A dummy interface
/// has none: it only takes in the traffic of addresses, whoever announces them.
pub fn is_on_a_network(link: &Link) -> bool {
    !link.dummy && link.name != HOST_INTERFACE && !is_service_holder(link)
}

/// Whether it has addresses of Services, for which the host's kernel would answer on every node.
pub fn holds_services(link: &Link) -> bool {
    is_service_holder(link) && link.addresses.iter().any(IpAddr::is_ipv4)
}

fn is_service_holder(link: &Link) -> bool {
    let mut names = SERVICE_HOLDERS.iter();
    names.any(|name| link.name.starts_with(name))
}

/// Why an interface is not used; none: it is.
pub fn unused(link: &Link, excluded: &Excluded) -> Option<String> {
    let name = link.name.as_str();
    if name == HOST_INTERFACE {
        return Some("it holds the announced addresses for the host itself".to_owned());
    }
    if link.loopback {
        return Some("it is a loopback interface".to_owned());
    }
    if let Some(pattern) = excluded.by(name) {
        return Some(format!(
            "its name is excluded by {pattern} (--exclude-interfaces)"
        ));
    }
    if link.no_arp || !link.broadcast {
        return Some("it has no ARP or no broadcast".to_owned());
    }
    if link.mac.is_none() {
        return Some("it has no Ethernet address".to_owned());
    }
    if link.master.is_some() {
        return Some(
            "it is a port of a bridge, bond or VRF, which announces in its place".to_owned(),
        );
    }
    if name.starts_with("veth") && !link.addresses.iter().any(|address| is_global(*address)) {
        return Some("it is a veth without an address: the host's end of a container".to_owned());
    }
    if !link.up {
        return Some(format!("it is down; ip link set {name} up"));
    }
    if !link.carrier {
        return Some("it has no carrier: check the cable or the other end".to_owned());
    }
    None
}

/// Whether an interface could take part once it is up.
pub fn only_down(link: &Link, excluded: &Excluded) -> bool {
    let up = Link {
        up: true,
        carrier: true,
        ..link.clone()
    };
    unused(link, excluded).is_some() && unused(&up, excluded).is_none()
}

fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_loopback(),
        IpAddr::V6(v6) => !v6.is_unicast_link_local() && !v6.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::announce::Mac;

    fn link(name: &str) -> Link {
        Link {
            index: 2,
            name: name.to_owned(),
            mac: Some(Mac([2, 0, 0, 0, 0, 1])),
            up: true,
            carrier: true,
            broadcast: true,
            ..Link::default()
        }
    }

    #[test]
    fn ordinary_interfaces_are_used() {
        assert_eq!(Excluded::default().0.len(), DEFAULT_EXCLUDED.len());
        for name in [
            "eth0", "enp3s0", "br0", "br-lan", "vmbr0", "bond0", "eth0.12", "wlan0",
        ] {
            assert_eq!(unused(&link(name), &Excluded::default()), None, "{name}");
        }
    }

    #[test]
    fn names_of_metallb_are_excluded() {
        for name in [
            "docker0",
            "cni0",
            "cali12",
            "flannel.1",
            "kube-ipvs0",
            "nodelocaldns",
            "lxc8f3a",
            "vxlan.calico",
            "cilium_vxlan",
            "br-0123456789ab",
            "kube-bridge",
            "gatehouse0",
        ] {
            assert!(
                unused(&link(name), &Excluded::default()).is_some(),
                "{name}"
            );
        }
    }

    #[test]
    fn a_veth_counts_by_its_address() {
        let mut veth = link("veth12");
        assert!(unused(&veth, &Excluded::default()).is_some());
        veth.addresses.insert("fe80::1".parse().unwrap());
        assert!(unused(&veth, &Excluded::default()).is_some());
        veth.addresses.insert("192.168.8.2".parse().unwrap());
        assert_eq!(unused(&veth, &Excluded::default()), None);
        // kindnet's and ptp's have an address too.
        veth.name = "veth3e2f1a9b".to_owned();
        assert!(unused(&veth, &Excluded::default()).is_some());
    }

    #[test]
    fn the_list_can_be_another_one() {
        let own = Excluded::new(vec![Regex::new("^eth[1-9]").unwrap()]);
        let why = unused(&link("eth1"), &own).unwrap();
        assert!(why.contains("^eth[1-9]"), "{why}");
        for name in ["eth0", "docker0"] {
            assert_eq!(unused(&link(name), &own), None, "{name}");
        }
    }

    #[test]
    fn what_holds_services_does_not_use_their_addresses() {
        for name in ["kube-ipvs0", "kube-dummy-if"] {
            let mut holder = link(name);
            assert!(!is_on_a_network(&holder) && !holds_services(&holder));
            holder.addresses.insert("192.168.8.151".parse().unwrap());
            assert!(holds_services(&holder), "{name}");
        }
        // Somebody's own: it only takes an address in, and is no reason to keep the kernel quiet.
        let mut own = link("dummy0");
        own.dummy = true;
        own.addresses.insert("192.168.8.151".parse().unwrap());
        assert!(!is_on_a_network(&own) && !holds_services(&own));
        assert!(is_on_a_network(&link("eth0")));
    }

    #[test]
    fn what_cannot_announce_is_not_used() {
        for spoil in [
            |link: &mut Link| link.up = false,
            |link: &mut Link| link.carrier = false,
            |link: &mut Link| link.master = Some(3),
            |link: &mut Link| link.no_arp = true,
            |link: &mut Link| link.broadcast = false,
            |link: &mut Link| link.loopback = true,
            |link: &mut Link| link.mac = None,
        ] {
            let mut link = link("eth0");
            spoil(&mut link);
            assert!(unused(&link, &Excluded::default()).is_some(), "{link:?}");
        }
        let mut down = link("eth0");
        down.carrier = false;
        assert!(only_down(&down, &Excluded::default()));
        down.master = Some(3);
        assert!(!only_down(&down, &Excluded::default()));
    }
}
