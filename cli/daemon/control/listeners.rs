//! Where is listened.

use std::collections::BTreeSet;
use std::net::IpAddr;

use gatehouse_config::model::Model;
use gatehouse_config::resources::{ObjectKey, Resources};
use gatehouse_gateway::compile::{Host, Led, Placement, place, place_behind_services};
use gatehouse_lb_speaker::Outcome;

use super::Control;
use crate::daemon::cluster::is_api;
use crate::daemon::rows;
use crate::daemon::settings::{CarryServices, Role};

impl Control {
    /// Where is listened.
    pub(super) fn place(
        &self,
        model: &Model,
        resources: &Resources,
        outcome: &Outcome,
    ) -> Placement {
        match self.settings.role {
            Role::Speaker => Placement::default(),
            Role::Gateway => {
                place_behind_services(model, &self.settings.listen, self.settings.kube)
            }
            Role::All => {
                let endpoints = match self.settings.kube {
                    true => own_endpoints(model),
                    false => Vec::new(),
                };
                let services = model.services.iter().map(|service| &service.key);
                let led: BTreeSet<ObjectKey> = services
                    .filter(|key| is_api(resources, key))
                    .cloned()
                    .collect();
                let host = Host {
                    listen: &self.settings.listen,
                    holds_addresses: self.capabilities.can_announce(),
                    endpoints: &endpoints,
                    led: match self.settings.carry_services {
                        CarryServices::Auto => Led::WherePortsAreFree(&led),
                        CarryServices::Never => Led::LeftAlone(&led),
                    },
                };
                place(model, &rows::held(outcome), host)
            }
        }
    }

    /// Tries listeners again that could not be opened, or were lost.
    pub fn retry_listeners(&mut self) {
        self.in_force.listening = self.gateway.retry();
    }
}

/// The endpoints of the gateway's Services that are this host.
fn own_endpoints(model: &Model) -> Vec<IpAddr> {
    let gateways = model.services.iter().filter(|service| service.is_gateway);
    let own = gateways.flat_map(|service| &service.ports);
    let others = model.gateway_services.iter();
    let ports = own.chain(others.flat_map(|service| &service.ports));
    let endpoints = ports.flat_map(|port| &port.endpoints);
    let all: BTreeSet<IpAddr> = endpoints
        .filter_map(|endpoint| Some(endpoint.address.inet()?.ip()))
        .collect();
    match all.is_empty() {
        true => Vec::new(),
        false => among(all, &own_addresses()),
    }
}

fn among(endpoints: BTreeSet<IpAddr>, own: &BTreeSet<IpAddr>) -> Vec<IpAddr> {
    endpoints
        .into_iter()
        .filter(|ip| own.contains(ip))
        .collect()
}

/// The addresses of this host's interfaces. Not what can be bound to: with
/// `net.ipv4.ip_nonlocal_bind` (keepalived's hosts have it) that is every address there is.
fn own_addresses() -> BTreeSet<IpAddr> {
    let interfaces = match nix::ifaddrs::getifaddrs() {
        Ok(interfaces) => interfaces,
        Err(error) => {
            tracing::warn!(
                %error,
                "the host's addresses cannot be listed, so the gateway does not listen at those that \
                 kube-proxy leads to"
            );
            return BTreeSet::new();
        }
    };
    let addresses = interfaces.filter_map(|interface| interface.address);
    let ip = addresses.filter_map(|address| {
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| Some(IpAddr::V6(address.as_sockaddr_in6()?.ip())))
    });
    ip.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever can be bound to: somebody else's address is none of ours.
    #[test]
    fn only_addresses_of_the_hosts_interfaces_are_its_own() {
        let own = own_addresses();
        let [here, elsewhere]: [IpAddr; 2] =
            ["127.0.0.1", "192.0.2.77"].map(|ip| ip.parse().unwrap());
        assert!(own.contains(&here), "{own:?}");
        assert_eq!(among([here, elsewhere].into(), &own), [here]);
    }
}
