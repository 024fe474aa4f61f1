//! What systemd is told: ready, reloading, stopping, alive. Nothing happens without systemd.

use std::time::Duration;

use sd_notify::NotifyState;

/// The service manager, if there is one.
#[derive(Clone, Copy, Debug)]
pub struct Notify;

/// Beats at half the watchdog's interval; never, where there is no watchdog.
#[derive(Debug)]
pub struct Watchdog {
    interval: Option<tokio::time::Interval>,
}

impl Notify {
    /// The service manager that the environment names.
    pub fn new() -> Self {
        Self
    }

    /// The configuration is served and the addresses are up.
    pub fn ready(self) {
        tell(&[NotifyState::Ready]);
    }

    /// A reload that was asked for has begun.
    pub fn reloading(self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(error) => tracing::debug!(%error, "no monotonic clock"),
        }
    }

    /// The end has begun.
    pub fn stopping(self) {
        tell(&[NotifyState::Stopping]);
    }

    /// The watchdog of the unit.
    pub fn watchdog(self) -> Watchdog {
        let timeout = sd_notify::watchdog_enabled();
        Watchdog {
            interval: timeout.map(|timeout: Duration| tokio::time::interval(timeout / 2)),
        }
    }
}

impl Watchdog {
    /// Waits for the next beat and gives it.
    pub async fn beat(&mut self) {
        match &mut self.interval {
            None => std::future::pending().await,
            Some(interval) => {
                interval.tick().await;
                tell(&[NotifyState::Watchdog]);
            }
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd does not listen");
    }
}
