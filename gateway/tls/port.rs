//! Ports that speak TLS: which chain a name leads to.

use std::sync::Arc;

use gatehouse_config::model::Domain;

use crate::route::HostTable;
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
        port.add(&[Domain::Any], chain(3));
        assert_eq!(found(&port, Some("lan")), Some(3));
        assert_eq!(found(&port, None), Some(3));
    }
}
