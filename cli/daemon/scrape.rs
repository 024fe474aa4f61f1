//! `/stats/prometheus`: the workers' counters, the speaker's and the allocator's in one text.

use std::sync::{Arc, Mutex, PoisonError};

use gatehouse_gateway::Counters;
use gatehouse_gateway::admin::{BoxFuture, Scrape};
use gatehouse_gateway::observe::exposition::Exposition;
use gatehouse_gateway::observe::{GatewayState, Labels, RenderOptions, clusters, process, render};
use gatehouse_gateway::snapshot::Snapshot;
use gatehouse_lb_speaker::{Members, Speaker};

/// What the control thread last knew; it stores a new one after every change.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The label sets that counters name.
    pub labels: Labels,
    /// The configuration's state.
    pub gateway: GatewayState,
    /// The clusters, whose limits and detectors count for themselves.
    pub snapshot: Arc<Snapshot>,
    /// The allocator's metrics, as text.
    pub pools: String,
}

/// Renders metrics on demand.
#[derive(Debug)]
pub struct Metrics {
    counters: Counters,
    options: RenderOptions,
    speaker: Option<Arc<Speaker>>,
    members: Option<Arc<Members>>,
    /// Locked for a copy; never on the data path.
    known: Mutex<Arc<Known>>,
}

impl Metrics {
    /// Metrics of a gateway that nothing is known of yet.
    pub fn new(
        counters: Counters,
        options: RenderOptions,
        speaker: Option<Arc<Speaker>>,
        members: Option<Arc<Members>>,
    ) -> Self {
        Self {
            counters,
            options,
            speaker,
            members,
            known: Mutex::default(),
        }
    }

    /// Stores what is known now.
    pub fn publish(&self, known: Known) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
    }

    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Scrape for Metrics {
    fn scrape(&self) -> BoxFuture<'_, String> {
        Box::pin(async {
            let counters = self.counters.metrics().await;
            let known = self.known();
            let mut out = Exposition::new();
            render(
                &mut out,
                &self.options,
                &known.labels,
                &counters,
                &known.gateway,
            );
            clusters::render(&mut out, &known.snapshot);
            process::render(&mut out);
            out.append(&known.pools);
            if let Some(speaker) = &self.speaker {
                let mut text = String::new();
                speaker.write_prometheus(&mut text);
                out.append(&text);
            }
            if let Some(members) = &self.members {
                let mut text = String::new();
                members.write_prometheus(&mut text);
                out.append(&text);
            }
            out.finish()
        })
    }
}
