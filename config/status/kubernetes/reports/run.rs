//! Writes what there is to tell and is not told yet: after addresses, few requests at once, and no
//! object twice in a moment.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use serde_json::Value as Json;
use tokio::sync::{mpsc, watch as channel};
use tokio::time::{Instant, sleep_until};

use super::super::events::Note;
use super::super::later::Later;
use super::super::leader::Leadership;
use super::acts::{Act, Place, What, state};
use super::l2::{Here, acts};
use super::notes::Notes;
use super::owner::Owner;
use super::request::{Done, send};
use super::seen::{Seen, Sight};
use super::state::Component;
use super::watch::{L2, STATE, watch};
use super::{Reports, istio};
use crate::resources::ObjectKey;
use crate::source::kubernetes::{Backoff, Cluster, Shared, object_json};

/// Requests under way at once.
const AT_ONCE: usize = 4;
/// Between looks for what is to be told, while much changes.
const SCAN: Duration = Duration::from_millis(100);
/// Before one object is written again.
const AGAIN: Duration = Duration::from_secs(2);
/// Before what another node says is removed again: where two of them announce a Service, both for good
/// reasons of theirs, neither keeps the other writing.
const AGAIN_FOREIGN: Duration = Duration::from_secs(60);
/// The same where somebody else was faster, and where it was refused.
const CONFLICT: Duration = Duration::from_millis(200);
const REFUSED: Duration = Duration::from_secs(30);
/// Between tries while the server cannot take anything.
const FIRST: Duration = Duration::from_millis(500);
const MOST: Duration = Duration::from_secs(30);
/// More reasons than so many are not told: each may name an object.
const MOST_REFUSALS: usize = 64;
/// For so long after the start nothing of this node's is removed: it may announce it again.
const START: Duration = Duration::from_secs(15);

/// Tells.
pub(crate) struct Reporter {
    client: Client,
    runtime: tokio::runtime::Handle,
    shared: Shared,
    notes: Notes,
    node: String,
    namespace: String,
    owner: Option<Owner>,
    seen: channel::Receiver<Seen>,
    seen_sender: channel::Sender<Seen>,
    queue: VecDeque<Act>,
    later: Later<(Place, ObjectKey)>,
    pause_until: Option<Instant>,
    backoff: Backoff,
    /// Refusals that the log has.
    refused: HashSet<(&'static str, String)>,
}

impl Reporter {
    pub(crate) fn new(
        cluster: &Cluster,
        namespace: &str,
        node: &str,
        notes: mpsc::Sender<Note>,
    ) -> Self {
        let (seen_sender, seen) = channel::channel(Seen::default());
        Self {
            client: cluster.client().clone(),
            runtime: cluster.runtime().clone(),
            shared: cluster.shared().clone(),
            notes: Notes::new(notes, node),
            node: node.to_owned(),
            namespace: namespace.to_owned(),
            owner: None,
            seen,
            seen_sender,
            queue: VecDeque::new(),
            later: Later::default(),
            pause_until: None,
            backoff: Backoff::new(FIRST, MOST),
            refused: HashSet::new(),
        }
    }

    /// Until nobody tells anything any more. `busy`: addresses are being written, which go first.
    pub(crate) async fn run(
        mut self,
        mut wanted: channel::Receiver<Option<Arc<Reports>>>,
        mut leadership: channel::Receiver<Leadership>,
        mut busy: channel::Receiver<bool>,
    ) {
        // Nothing is watched before there is something to tell.
        if wanted.wait_for(Option::is_some).await.is_err() {
            return;
        }
        self.owner = Owner::find(&self.client, &self.namespace).await;
        for what in [L2, STATE] {
            self.runtime.spawn(watch(
                self.client.clone(),
                self.namespace.clone(),
                what,
                self.shared.clone(),
                self.seen_sender.clone(),
            ));
        }
        let removes_from = Instant::now() + START;
        let mut statuses = self.shared.report_changes();
        let mut under_way = FuturesUnordered::new();
        let mut look = Some(Instant::now());
        loop {
            let now = Instant::now();
            if self.queue.is_empty() && under_way.is_empty() && look.is_some_and(|at| at <= now) {
                let reports = wanted.borrow_and_update().clone().unwrap_or_default();
                statuses.borrow_and_update();
                self.seen.mark_unchanged();
                let leads = leadership.borrow_and_update().is_mine();
                look = self.scan(&reports, leads, now, removes_from);
            }
            let may_send = !*busy.borrow_and_update();
            if may_send && self.pause_until.is_none_or(|until| until <= now) {
                while under_way.len() < AT_ONCE
                    && let Some(act) = self.queue.pop_front()
                {
                    under_way.push(send(self.client.clone(), self.shared.clone(), act));
                }
            }
            let wake = match (self.queue.is_empty(), under_way.is_empty()) {
                (true, true) => look,
                (true, false) => None,
                // One that is over is no time to wait for; nor is any while addresses go first.
                (false, _) => self.pause_until.filter(|until| may_send && *until > now),
            };
            let soon = Instant::now() + SCAN;
            let later = look.is_none_or(|at| at > soon);
            tokio::select! {
                Some((act, done)) = under_way.next(), if !under_way.is_empty() => {
                    self.done(act, done);
                    look = Some(earlier(look, soon));
                }
                changed = wanted.changed() => match changed {
                    Ok(()) => {
                        self.queue.clear();
                        look = Some(earlier(look, soon));
                    }
                    Err(_) => return,
                },
                Ok(()) = statuses.changed(), if later => look = Some(soon),
                Ok(()) = self.seen.changed(), if later => look = Some(soon),
                Ok(()) = leadership.changed() => {
                    // What was to be told as the one that deals may be another's now.
                    self.queue.clear();
                    look = Some(earlier(look, soon));
                }
                Ok(()) = busy.changed(), if !may_send => {}
                () = at(wake) => {}
            }
        }
    }

    /// Finds what is to be written; tells when to look again, if that is known.
    fn scan(
        &mut self,
        reports: &Reports,
        leads: bool,
        now: Instant,
        removes_from: Instant,
    ) -> Option<Instant> {
        self.later.forget(now);
        let mut again = None;
        let time = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let mut found = Vec::new();
        let receiver = self.seen.clone();
        let seen = receiver.borrow();
        if let Sight::Known(objects) = &seen.l2 {
            let here = Here {
                node: &self.node,
                namespace: &self.namespace,
                owner: self.owner.as_ref(),
                removes: now >= removes_from,
            };
            if !here.removes {
                again = Some(removes_from);
            }
            let store = self.shared.store();
            let services = Arc::clone(store.services());
            drop(store);
            let holds = |key: &ObjectKey| {
                let seen = services.get(key);
                seen.is_some_and(|seen| seen.is_load_balancer && !seen.ingress.is_empty())
            };
            let held: Option<&dyn Fn(&ObjectKey) -> bool> = match leads {
                true => Some(&holds),
                false => None,
            };
            found.extend(acts(here, &reports.announced, objects, held));
        }
        if let Sight::Known(objects) = &seen.states {
            let mut component = |component: Component, errors: &[String]| {
                let seen = objects.get(&component.object(&self.node));
                let owner = self.owner.as_ref();
                let (node, namespace) = (&self.node, &self.namespace);
                found.extend(state(
                    component, node, namespace, errors, seen, owner, &time,
                ));
            };
            component(Component::Speaker, &reports.speaker);
            if leads {
                component(Component::Controller, &reports.controller);
            }
        }
        if leads && let Some(told) = &reports.objects {
            let store = self.shared.store();
            for ((kind, key), seen) in store.reports() {
                let place = (*kind, key.clone());
                let messages = told.get(&place).map_or(&[][..], Vec::as_slice);
                let patch = istio::patch(seen, messages, &time);
                found.extend(patch.map(|patch| Act {
                    place: Place::Object(*kind),
                    key: key.clone(),
                    what: What::Status(patch),
                }));
            }
        }
        found.retain(|act| {
            let place = (act.place, act.key.clone());
            !self.later.holds(&place, act.version(), now)
        });
        self.queue.extend(found);
        self.notes.tell(reports, matches!(seen.l2, Sight::Absent));
        again.into_iter().chain(self.later.next()).min()
    }

    fn done(&mut self, act: Act, done: Done) {
        let now = Instant::now();
        // Which version alone has to wait; none: the object.
        let mut version = None;
        let wait = match done {
            Done::Written(object) => {
                self.see(&act, object.map(|object| object_json(*object)));
                self.backoff.reset();
                self.pause_until = None;
                if let What::Create {
                    announces: Some(service),
                    ..
                } = &act.what
                {
                    self.notes.say_assigned(service);
                }
                match act.what {
                    What::Delete {
                        is_foreign: true, ..
                    } => AGAIN_FOREIGN,
                    _ => AGAIN,
                }
            }
            Done::Conflict => CONFLICT,
            // The watch tells of it; or the kind has no status to write. One that is made anew is
            // another version, and so is written at once.
            Done::Gone => {
                version = Some(act.version());
                REFUSED
            }
            Done::Refused(why) => {
                let kind = act.place.kind();
                if self.refused.len() < MOST_REFUSALS && self.refused.insert((kind, why.clone())) {
                    tracing::warn!(kind, object = %act.key, why, "no report can be written");
                }
                version = Some(act.version());
                REFUSED
            }
            Done::Away(why) => {
                let until = self.pause_until.filter(|until| *until > now);
                let until = until.unwrap_or_else(|| now + self.backoff.pause());
                self.pause_until = Some(until);
                tracing::debug!(why, "no report can be written now");
                until - now
            }
        };
        let place = (act.place, act.key.clone());
        self.later.add(place, version, now, wait);
    }

    /// What was written is known at once: the watch may be late, or refused, and nothing is written
    /// twice for that.
    fn see(&self, act: &Act, object: Option<Json>) {
        match (act.place, object) {
            (Place::Object(kind), Some(json)) => {
                self.shared.update(|store| store.answer(kind, json));
            }
            (Place::Object(_), None) => {}
            (Place::L2 | Place::State, object) => {
                self.seen_sender.send_modify(|seen| {
                    let is_l2 = act.place == Place::L2;
                    match (object, &act.what) {
                        (Some(json), What::Create { .. }) => seen.put(is_l2, &json),
                        (Some(json), _) => seen.renew(is_l2, &json),
                        (None, What::Delete { version, .. }) => {
                            seen.deleted(is_l2, &act.key.name, version);
                        }
                        (None, _) => {}
                    }
                });
            }
        }
    }
}

impl Place {
    fn kind(self) -> &'static str {
        match self {
            Self::L2 => L2.kind,
            Self::State => STATE.kind,
            Self::Object(kind) => kind.name(),
        }
    }
}

/// What is looked at again anyway is looked at no later for another reason.
fn earlier(look: Option<Instant>, soon: Instant) -> Instant {
    look.map_or(soon, |at| at.min(soon))
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}
