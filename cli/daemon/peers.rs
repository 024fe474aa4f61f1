//! Other nodes beside this one: who of them is alive, and what that changes.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use gatehouse_config::model::Model;
use gatehouse_lb_speaker::link::heartbeats::PORT;
use gatehouse_lb_speaker::members::{Key, Timing, View};
use gatehouse_lb_speaker::{Members, MembersSettings, Outcome, Plan, SpeakerState, plan_among};
use tokio::sync::watch;

use crate::daemon::DaemonError;
use crate::daemon::reload::Control;
use crate::daemon::settings::Settings;

/// The flags about other nodes.
#[derive(Args, Clone, Debug, Default)]
pub struct PeerArgs {
    /// Another node that runs gatehouse with the same objects, as ADDR or ADDR:PORT; may be
    /// repeated. One of those that are alive owns each address
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = peer, requires = "peer_key")]
    pub peer: Vec<SocketAddr>,
    /// A file with a secret of 16 bytes or more, the same on all nodes: heartbeats are signed with it
    #[arg(long, value_name = "FILE")]
    pub peer_key: Option<PathBuf>,
    /// Where heartbeats of other nodes arrive, UDP
    /// [default: the address that this host has on the way to the first peer, port 7946]
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = peer)]
    pub peer_listen: Option<SocketAddr>,
    /// How long a node that comes back leaves addresses with those who serve them
    #[arg(
        long, value_name = "SECONDS", default_value_t = 5,
        value_parser = clap::value_parser!(u64).range(..=3600)
    )]
    pub peer_hold_down: u64,
}

fn peer(text: &str) -> Result<SocketAddr, String> {
    let with_port = text.parse();
    with_port
        .or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, PORT)))
        .map_err(|_| {
            format!("`{text}` is not an address such as 192.168.8.12 or 192.168.8.12:7946")
        })
}

/// Starts to exchange heartbeats; none where there are no peers.
pub(super) fn start(settings: &Settings) -> Result<Option<Arc<Members>>, DaemonError> {
    let PeerArgs {
        peer,
        peer_key,
        peer_listen,
        peer_hold_down,
    } = &settings.peers;
    let (Some(path), true) = (peer_key, settings.announce && !peer.is_empty()) else {
        return Ok(None);
    };
    let refused = |error| DaemonError::PeerKey {
        path: path.display().to_string(),
        error,
    };
    let secret = std::fs::read(path).map_err(refused)?;
    let key = Key::new(secret.trim_ascii()).ok_or_else(|| {
        refused(std::io::Error::other(
            "it holds fewer than 16 bytes; make one with `openssl rand -base64 32`",
        ))
    })?;
    let members = Members::start(MembersSettings {
        node: settings.node.clone(),
        bind: peer_listen.map(|listen| listen.ip()),
        port: peer_listen.map_or(PORT, |listen| listen.port()),
        peers: peer.clone(),
        key,
        timing: Timing {
            hold_down: Duration::from_secs(*peer_hold_down),
            ..Timing::default()
        },
    });
    members
        .map(|members| Some(Arc::new(members)))
        .map_err(|error| DaemonError::System {
            what: "no heartbeats",
            error,
        })
}

/// Waits for the next view of who is alive; for ever if nobody watches.
pub(super) async fn changed(views: &mut Option<watch::Receiver<Arc<View>>>) {
    match views {
        Some(receiver) => {
            if receiver.changed().await.is_err() {
                *views = None;
            }
        }
        None => std::future::pending().await,
    }
}

impl Control {
    /// The nodes that may own addresses now; none: nobody watches.
    fn alive(&self) -> Option<BTreeSet<String>> {
        let members = self.members.as_ref()?;
        let views = members.views();
        let able = views.borrow().able.clone();
        Some(able)
    }

    /// What this node announces, after what it announced until now.
    pub(super) fn plan(&self, model: &Model, outcome: &Outcome) -> Plan {
        let allocations = outcome
            .services
            .iter()
            .filter_map(|(key, decision)| Some((key.clone(), decision.allocation()?.clone())))
            .collect();
        let alive = self.alive();
        let mut plan = plan_among(model, &allocations, &self.settings.node, alive.as_ref());
        plan.follow(&self.in_force.plan);
        plan
    }

    /// Somebody came or went.
    pub fn nodes_changed(&mut self) {
        let Some(members) = &self.members else { return };
        let arrivals = members.views().borrow().arrivals;
        let plan = self.plan(&self.in_force.model, &self.in_force.outcome);
        if let Some(speaker) = &self.speaker {
            speaker.update(plan.announcements.clone());
            // Who was away may have spoken for our addresses.
            if arrivals != self.arrivals {
                speaker.announce_again();
            }
        }
        self.arrivals = arrivals;
        self.in_force.plan = plan;
        self.log();
        self.report();
        self.publish(&[]);
    }

    /// The speaker knows whether an interface can announce.
    pub fn link_changed(&self, state: &SpeakerState) {
        // Before the speaker's first word nothing is known; without the right to announce it says so
        // in a message, and lists no interface.
        let known = !(state.interfaces.is_empty() && state.messages.is_empty());
        if let Some(members) = &self.members
            && known
        {
            let used = state.interfaces.iter().any(|link| link.unused.is_none());
            members.set_link(used);
        }
    }

    /// This node stops. Where others take over they do so at once, and connections that are here
    /// may end; where there is nobody, addresses stay until the end.
    pub fn hand_over(&self) {
        let Some(members) = &self.members else { return };
        let others = self
            .alive()
            .is_some_and(|able| able.iter().any(|node| *node != self.settings.node));
        if others && let Some(speaker) = &self.speaker {
            speaker.yield_all();
        }
        members.leave();
    }
}
