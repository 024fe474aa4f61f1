//! What this process may do on the network.

/// The capabilities that announcing needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// CAP_NET_ADMIN: addresses on interfaces, sysctls.
    pub net_admin: bool,
    /// CAP_NET_RAW: ARP frames.
    pub net_raw: bool,
}

/// Their numbers (linux/capability.h).
const CAP_NET_ADMIN: u32 = 12;
const CAP_NET_RAW: u32 = 13;

impl Capabilities {
    /// Those in force now.
    pub fn effective() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self::parse(&status)
    }

    fn parse(status: &str) -> Self {
        let bits = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))
            .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
            .unwrap_or(0);
        let has = |capability: u32| bits >> capability & 1 == 1;
        Self {
            net_admin: has(CAP_NET_ADMIN),
            net_raw: has(CAP_NET_RAW),
        }
    }

    /// Whether addresses can be held and answered for.
    pub fn can_announce(self) -> bool {
        self.net_admin && self.net_raw
    }

    /// What is missing, in words.
    pub fn missing(self) -> String {
        match (self.net_raw, self.net_admin) {
            (false, false) => "CAP_NET_RAW and CAP_NET_ADMIN".to_owned(),
            (false, true) => "CAP_NET_RAW".to_owned(),
            (true, false) => "CAP_NET_ADMIN".to_owned(),
            (true, true) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_set_is_read() {
        let status = "Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t0000000000003000\n";
        assert!(Capabilities::parse(status).can_announce());
        let none = Capabilities::parse("CapEff:\t0000000000000400\n");
        assert_eq!(none.missing(), "CAP_NET_RAW and CAP_NET_ADMIN");
    }
}
