//! Which Service holds which address, and where that is kept.

use gatehouse_config::codes;
use gatehouse_config::finding::{Finding, Level};
use gatehouse_config::model::Model;
use gatehouse_config::resources::Resources;
use gatehouse_config::status::directory::{Allocations, Recorded, StateFile};
use gatehouse_lb_speaker::allocate::observed;
use gatehouse_lb_speaker::{Allocation, Beside, Outcome};

use crate::daemon::cluster::said;
use crate::daemon::control::Control;
use crate::daemon::settings::Role;

/// Where allocations are kept.
pub(super) enum State {
    /// In this file.
    Kept(StateFile),
    /// Nowhere: the file may not be made. They last as long as the process.
    Forgotten,
    /// The file is there and cannot be read: any address may be held, so that none is dealt.
    Unreadable,
}

impl Control {
    pub(super) fn open_state(&mut self) {
        // Of a cluster's Services the statuses are the state.
        if !self.sources.has_directory() || self.settings.role == Role::Gateway {
            return;
        }
        let file = match StateFile::open(&self.settings.state) {
            Ok(file) => file,
            Err(error) => {
                self.standing.push(state_finding(
                    Level::Warning,
                    format!("addresses are not kept over a restart: {error}"),
                ));
                return;
            }
        };
        self.state = State::Kept(file);
        let State::Kept(file) = &mut self.state else {
            return;
        };
        match file.load() {
            Ok((held, findings)) => {
                self.standing.extend(findings);
                self.allocator
                    .readopt(held.into_iter().map(|(key, recorded)| {
                        let Recorded {
                            addresses, pool, ..
                        } = recorded;
                        (key, Allocation { addresses, pool })
                    }));
            }
            Err(error) => {
                self.state = State::Unreadable;
                self.standing.push(state_finding(
                    Level::Error,
                    format!("no address is dealt, since any may be held already: {error}"),
                ));
            }
        }
    }

    /// Who holds what now: decided here, or by the node of the cluster that deals.
    pub(super) fn allocate(
        &mut self,
        model: &Model,
        resources: &Resources,
    ) -> (Outcome, Vec<Finding>) {
        if self.settings.role == Role::Gateway {
            return (self.look_on(model), Vec::new());
        }
        let Some(mut cluster) = self.cluster.take() else {
            return self.deal(model);
        };
        let result = if cluster.deals() {
            cluster.adopt(model, resources, &mut self.allocator);
            let (decided, findings) = self.deal(model);
            cluster.tell(model, resources, &decided);
            (cluster.observed(model, resources, Some(&decided)), findings)
        } else {
            cluster.stand_by();
            (cluster.observed(model, resources, None), Vec::new())
        };
        self.cluster = Some(cluster);
        result
    }

    /// Others deal: what the cluster's statuses say is what is.
    fn look_on(&self, model: &Model) -> Outcome {
        let seen = self.seen.iter();
        let held = seen.map(|(key, seen)| (key.clone(), said(seen)));
        let waiting =
            "this is a gateway alone: addresses are dealt by `gatehouse speaker` or `run`";
        observed(model, &held.collect(), None, waiting)
    }

    fn deal(&mut self, model: &Model) -> (Outcome, Vec<Finding>) {
        let pools = match self.state {
            State::Unreadable => None,
            State::Kept(_) | State::Forgotten => Some(model.pools.as_slice()),
        };
        let outcome = self
            .allocator
            .converge_beside(&model.services, pools, &Beside::of(model));
        for change in &outcome.changes {
            tracing::info!(
                service = %change.service,
                before = ?change.before,
                after = ?change.after,
                why = %change.why,
                "address {:?}",
                change.kind()
            );
        }
        let State::Kept(file) = &mut self.state else {
            return (outcome, Vec::new());
        };
        let held: Allocations = self
            .allocator
            .holders()
            .map(|(key, held)| {
                let Allocation { addresses, pool } = held.clone();
                (
                    key.clone(),
                    Recorded {
                        addresses,
                        pool,
                        given: 0,
                    },
                )
            })
            .collect();
        // Written before anything is announced: what others have seen must survive a crash.
        match file.save(&held) {
            Ok(_) => (outcome, Vec::new()),
            Err(error) => {
                let message = format!("addresses dealt now may change with a restart: {error}");
                (outcome, vec![state_finding(Level::Error, message)])
            }
        }
    }
}

fn state_finding(level: Level, message: String) -> Finding {
    Finding {
        code: codes::STATE,
        level,
        object: None,
        field: String::new(),
        position: None,
        message,
        hint: String::new(),
    }
}
