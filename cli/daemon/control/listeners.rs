//! Where is listened.

use std::collections::BTreeSet;
use std::net::{IpAddr, UdpSocket};

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
    // Whoever can be bound to is an address of ours.
    let is_ours = |ip: &IpAddr| UdpSocket::bind((*ip, 0)).is_ok();
    all.into_iter().filter(is_ours).collect()
}
