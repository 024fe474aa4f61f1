//! What the control thread waits for: news of what objects refer to, and addresses that are being
//! asked for on the LAN.

use std::time::{Duration, SystemTime};

use gatehouse_lb_speaker::AddressState;

use super::Control;

/// Between looks at the time, where a certificate expires one day.
const LOOK: Duration = Duration::from_secs(3600);

impl Control {
    /// Waits until there is news of what the objects in force refer to: names, files, or that a
    /// certificate expires.
    pub async fn inputs_changed(&mut self) {
        let at = self.in_force.model.look_again;
        let due = async {
            let Some(at) = at else {
                return std::future::pending().await;
            };
            while let Ok(pause) = at.duration_since(SystemTime::now()) {
                // A clock that is set forward is noticed within the hour.
                tokio::time::sleep(pause.min(LOOK)).await;
            }
        };
        tokio::select! {
            () = self.dns.changed() => {}
            () = self.files.changed() => {}
            () = due => {}
        }
    }

    /// Waits until no address is being probed any more.
    pub async fn wait_for_addresses(&self, patience: Duration) {
        let Some(speaker) = &self.speaker else { return };
        let wanted: Vec<_> = self
            .in_force
            .plan
            .announcements
            .iter()
            .map(|wanted| wanted.address)
            .collect();
        let mut states = speaker.states();
        let settled = states.wait_for(|state| {
            wanted.iter().all(|address| {
                state
                    .addresses
                    .get(address)
                    .is_some_and(|state| !matches!(state, AddressState::Probing))
            })
        });
        tokio::select! {
            _ = settled => {}
            () = tokio::time::sleep(patience) => {
                tracing::warn!("some addresses are not announced yet");
            }
        }
    }
}
