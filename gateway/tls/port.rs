//! Ports that speak TLS: which chain a name leads to.

use std::sync::Arc;

use gatehouse_config::model::Domain;

use crate::route::{HostTable, without_port};
use crate::snapshot::ServerId;
use crate::tls::TlsServer;

/// The chains of one port (Envoy: `filter_chains`).
#[derive(Debug, Default)]
pub struct TlsPort {
    /// From a name to its place in `chains`.
    names: HostTable<u32>,
    chains: Vec<Chain>,
}

/// What becomes of connections that ask for certain names.
#[derive(Debug)]
pub struct Chain {
    /// What comes out is served by this one: its virtual hosts, or its TCP route.
    pub server: ServerId,
    /// Where TLS ends.
    pub ends: Ends,
}

/// Where TLS ends.
#[derive(Clone, Debug)]
pub enum Ends {
    /// Here.
    Here(Arc<TlsServer>),
    /// It would end here, but for a certificate that is missing or broken: connections are closed.
    Nowhere,
    /// At the endpoint (PASSTHROUGH).
    AtEndpoint,
}

impl TlsPort {
    /// Adds a chain for some names; the first chain that has a name keeps it.
    pub fn add(&mut self, names: &[Domain], chain: Chain) {
        // Sources are bounded far below this.
        let index = u32::try_from(self.chains.len()).unwrap_or(u32::MAX);
        for name in names {
            self.names.insert(name, index);
        }
        self.chains.push(chain);
    }

    /// The chain of a client that asks for `name`: an exact name comes before the longest
    /// wildcard, that before `*`, which also takes those that ask for none (Istio §2.1).
    pub fn chain(&self, name: Option<&str>) -> Option<&Chain> {
        let index = self.names.find(name.unwrap_or_default().as_bytes())?;
        self.chains.get(index as usize)
    }

    /// Whether a request belongs on a connection of its own: its Host leads to another chain than
    /// the one that the connection asked for, whose server is `own`.
    pub fn is_misdirected(&self, asked: Option<&str>, own: ServerId, authority: &[u8]) -> bool {
        if self.chains.len() < 2 {
            return false;
        }
        let is_host = |name: &str| without_port(authority).eq_ignore_ascii_case(name.as_bytes());
        if asked.is_some_and(is_host) {
            return false;
        }
        let index = self.names.find(authority);
        let chain = index.and_then(|index| self.chains.get(index as usize));
        chain.is_some_and(|chain| chain.server != own)
    }

    /// All chains.
    pub fn chains(&self) -> &[Chain] {
        &self.chains
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_name_wins() {
        let mut port = TlsPort::default();
        let suffix = |s: &str| Domain::Suffix(s.to_owned());
        let exact = |s: &str| Domain::Exact(s.to_owned());
        let names = [
            vec![suffix(".lan")],
            vec![suffix(".w.lan"), exact("other.lan")],
            vec![exact("a.w.lan")],
        ];
        let chain = |index| Chain {
            server: ServerId(index),
            ends: Ends::AtEndpoint,
        };
        for (index, names) in (0..).zip(&names) {
            port.add(names, chain(index));
        }
        let found = |port: &TlsPort, name| port.chain(name).map(|chain| chain.server.0);
        assert_eq!(found(&port, Some("a.w.lan")), Some(2));
        assert_eq!(found(&port, Some("b.a.w.lan")), Some(1));
        assert_eq!(found(&port, Some("w.lan")), Some(0));
        assert_eq!(found(&port, Some("other.lan")), Some(1));
        assert_eq!(found(&port, Some("lan")), None);
        assert_eq!(found(&port, None), None);
        let elsewhere = |port: &TlsPort, asked, own, host: &str| {
            port.is_misdirected(asked, ServerId(own), host.as_bytes())
        };
        assert!(elsewhere(&port, Some("x.lan"), 0, "a.w.lan:443"));
        assert!(!elsewhere(&port, Some("x.lan"), 0, "X.lan:443"));
        assert!(!elsewhere(&port, Some("x.lan"), 0, "y.lan"));
        assert!(!elsewhere(&port, Some("x.lan"), 0, "unknown"), "nobody's");
        port.add(&[Domain::Any], chain(3));
        assert!(elsewhere(&port, Some("x.lan"), 0, "unknown"), "that of `*`");
        assert!(elsewhere(&port, None, 3, "x.lan"));
        assert!(!elsewhere(&port, None, 3, "unknown"));
        assert_eq!(found(&port, Some("lan")), Some(3));
        assert_eq!(found(&port, None), Some(3));
    }
}
