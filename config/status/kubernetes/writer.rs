//! Writes what is wanted and not yet there, while this node has the Lease.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client};
use serde_json::Value as Json;
use tokio::sync::{mpsc, watch as channel};
use tokio::time::{Instant, sleep_until, timeout};

use super::attempts::{Attempts, Place, Verdict};
use super::events::{Note, Role};
use super::later::Later;
use super::leader::Leadership;
use super::lease::REQUEST;
use super::obstacles::{findings, other_writer};
use super::writes::{
    Wanted, assigned, content, left_out, pool_digest, pool_patch, service_digest, service_patch,
};
use crate::finding::Finding;
use crate::resources::ObjectKey;
use crate::source::Kind;
use crate::source::kubernetes::{
    Backoff, Shared, error_text, object_json, seen_pool, seen_service,
};

/// Requests under way at once.
const AT_ONCE: usize = 16;
/// Between looks for what is to be written, while much changes.
const SCAN: Duration = Duration::from_millis(20);
/// Pools' counters change with every address: they may be so old.
const COUNTERS: Duration = Duration::from_secs(1);
/// After the Lease ran out while something was to be written.
const LAPSED: Duration = Duration::from_secs(1);
/// Before one object is tried again that changed meanwhile; and one that was refused.
const CONFLICT: Duration = Duration::from_millis(100);
const REFUSED: Duration = Duration::from_secs(30);
/// Between tries while the server cannot take anything.
const FIRST: Duration = Duration::from_millis(200);
const MOST: Duration = Duration::from_secs(10);
/// Whose fields these are, as the API server keeps them.
const MANAGER: &str = "gatehouse";

/// What is to be written.
struct Task {
    kind: Kind,
    key: ObjectKey,
    patch: Json,
    /// What is wanted, in short.
    content: u64,
    /// Who wrote over it last time is to be asked for; and the answer.
    asks_who: bool,
    by: Option<String>,
    /// What is told when it is done.
    notes: Vec<Note>,
}

/// What came of it.
enum Done {
    Written(Box<DynamicObject>),
    /// It is another version by now; here it is.
    Conflict(Option<Box<DynamicObject>>),
    Gone,
    Refused(String),
    Away(String),
}

pub(super) struct Writer {
    client: Client,
    shared: Shared,
    notes: mpsc::Sender<Note>,
    queue: VecDeque<Task>,
    /// Objects that are not tried again before.
    later: Later<Place>,
    attempts: Attempts,
    obstacles: channel::Sender<Vec<Finding>>,
    pause_until: Option<Instant>,
    counters_at: Instant,
    backoff: Backoff,
}

impl Writer {
    pub(super) fn new(
        client: Client,
        shared: Shared,
        notes: mpsc::Sender<Note>,
        obstacles: channel::Sender<Vec<Finding>>,
    ) -> Self {
        Self {
            client,
            shared,
            notes,
            queue: VecDeque::new(),
            later: Later::default(),
            attempts: Attempts::default(),
            obstacles,
            pause_until: None,
            counters_at: Instant::now(),
            backoff: Backoff::new(FIRST, MOST),
        }
    }

    pub(super) async fn run(
        mut self,
        mut wanted: channel::Receiver<Option<Arc<Wanted>>>,
        leadership: channel::Receiver<Leadership>,
        trouble: channel::Sender<Option<String>>,
        busy: channel::Sender<bool>,
    ) {
        let mut statuses = self.shared.status_changes();
        let mut under_way = FuturesUnordered::new();
        // When to look for what is to be written; none while nothing changed since the last look.
        let mut look = Some(Instant::now());
        let mut term = 0;
        loop {
            let now = Instant::now();
            if self.queue.is_empty() && under_way.is_empty() && look.is_some_and(|at| at <= now) {
                let target = wanted.borrow_and_update().clone();
                statuses.borrow_and_update();
                look = match target {
                    Some(target) => {
                        term = target.term;
                        self.scan(&target, now)
                    }
                    // Another node writes: what keeps it from that is its to tell.
                    None => {
                        self.attempts = Attempts::default();
                        None
                    }
                };
                self.tell_obstacles();
            }
            if self.pause_until.is_none_or(|until| until <= now) {
                while under_way.len() < AT_ONCE
                    && let Some(task) = self.queue.pop_front()
                {
                    // Decided at the last moment: what is sent now is over before another begins.
                    if !leadership.borrow().is_mine_in(term) {
                        // Nothing tells that it is back with the same decisions.
                        self.queue.clear();
                        look = Some(now + LAPSED);
                        break;
                    }
                    let resource = self.shared.resource_of(task.kind);
                    under_way.push(send(self.client.clone(), resource, task));
                }
            }
            let works = !self.queue.is_empty() || !under_way.is_empty();
            busy.send_if_modified(|told| std::mem::replace(told, works) != works);
            let wake = match (self.queue.is_empty(), under_way.is_empty()) {
                (true, true) => look,
                // Looked again when their answers are there.
                (true, false) => None,
                // One that is over is no time to wait for.
                (false, _) => self.pause_until.filter(|until| *until > now),
            };
            let soon = Instant::now() + SCAN;
            let is_later = look.is_none_or(|at| at > soon);
            tokio::select! {
                Some((task, done)) = under_way.next(), if !under_way.is_empty() => {
                    let why = self.done(task, done);
                    trouble.send_if_modified(|told| {
                        let news = *told != why;
                        *told = why;
                        news
                    });
                    look = Some(look.map_or_else(Instant::now, |at| at.min(soon)));
                }
                changed = wanted.changed() => match changed {
                    // What was wanted before is not written any more.
                    Ok(()) => {
                        self.queue.clear();
                        look = Some(Instant::now());
                    }
                    Err(_) => return,
                },
                // Also where it is known when to look for another reason: that may be in minutes.
                Ok(()) = statuses.changed(), if is_later => {
                    statuses.borrow_and_update();
                    look = Some(soon);
                }
                () = at(wake) => {}
            }
        }
    }

    /// Finds what is to be written; tells when to look again, if that is known.
    fn scan(&mut self, wanted: &Wanted, now: Instant) -> Option<Instant> {
        self.later.forget(now);
        let store = self.shared.store();
        let forgets = self.attempts.forget(
            |(kind, key)| match kind {
                Kind::Service => store.services().contains_key(key),
                _ => store.pools().contains_key(key),
            },
            now,
        );
        let mut again = Again(forgets);
        for (key, seen) in &**store.services() {
            let target = wanted.services.get(key);
            let Some(patch) = service_patch(seen, target) else {
                continue;
            };
            let place = (Kind::Service, key.clone());
            if self.later.holds(&place, &seen.resource_version, now) {
                continue;
            }
            let content = content(&patch, &seen.uid);
            let stored = service_digest(seen);
            let (is_repeat, asks_who) = match self.attempts.judge(&place, content, stored, now) {
                Verdict::Write {
                    is_repeat,
                    asks_who,
                } => (is_repeat, asks_who),
                Verdict::NotBefore(until) => {
                    again.at(Some(until));
                    continue;
                }
                Verdict::Never => continue,
            };
            let mut notes = Vec::new();
            // What somebody else wrote over is put right without a word: nothing was decided anew.
            if !is_repeat {
                let note = |is_warning, reason, message| Note {
                    service: key.clone(),
                    is_warning,
                    by: Role::Allocator,
                    reason,
                    message,
                };
                let addresses = target.map_or(&[][..], |target| &target.addresses);
                let assigned = assigned(&seen.addresses(), addresses);
                notes.extend(assigned.map(|message| note(false, "IPAllocated", message)));
                let deprecated = target.map_or(&[][..], |target| &target.deprecated);
                notes.extend(deprecated.iter().map(|annotation| {
                    let message = format!("Service uses deprecated annotation {annotation}");
                    note(true, "deprecatedAnnotation", message)
                }));
            }
            self.queue.push_back(Task {
                kind: Kind::Service,
                key: key.clone(),
                patch,
                content,
                asks_who,
                by: None,
                notes,
            });
        }
        let mut counters = Vec::new();
        for (key, seen) in store.pools() {
            let target = wanted.pools.get(key);
            let patch = target.and_then(|target| pool_patch(seen, *target));
            let place = (Kind::IPAddressPool, key.clone());
            let version = &seen.resource_version;
            let Some(patch) = patch.filter(|_| !self.later.holds(&place, version, now)) else {
                continue;
            };
            let content = content(&patch, "");
            match self.attempts.judge(&place, content, pool_digest(seen), now) {
                Verdict::Write { asks_who, .. } => counters.push(Task {
                    kind: Kind::IPAddressPool,
                    key: key.clone(),
                    patch,
                    content,
                    asks_who,
                    by: None,
                    notes: Vec::new(),
                }),
                Verdict::NotBefore(until) => again.at(Some(until)),
                Verdict::Never => {}
            }
        }
        if !counters.is_empty() {
            // Behind the addresses, and not with each of them.
            if self.queue.is_empty() && self.counters_at <= now {
                self.counters_at = now + COUNTERS;
                self.queue.extend(counters);
            } else {
                again.at(Some(self.counters_at.max(now + SCAN)));
            }
        }
        again.at(self.later.next());
        again.0
    }

    fn tell_obstacles(&self) {
        let found = findings(&self.attempts.obstacles());
        self.obstacles.send_if_modified(|told| {
            let news = *told != found;
            *told = found;
            news
        });
    }

    /// Takes note of an answer; tells what is wrong, if anything is.
    fn done(&mut self, task: Task, done: Done) -> Option<String> {
        let now = Instant::now();
        let place = (task.kind, task.key.clone());
        let (wait, why) = match done {
            Done::Written(object) => {
                self.backoff.reset();
                self.pause_until = None;
                let json = object_json(*object);
                let left_out = left_out(&task.patch, &json);
                let stored = match task.kind {
                    Kind::Service => service_digest(&seen_service("", &json)),
                    _ => pool_digest(&seen_pool("", &json)),
                };
                let without = (!left_out.is_empty()).then_some((stored, left_out));
                self.attempts
                    .wrote(place, task.content, without, task.by, now);
                self.see(task.kind, json);
                for note in task.notes {
                    if let Err(error) = self.notes.try_send(note) {
                        tracing::warn!(%error, "an event is left out");
                    }
                }
                return None;
            }
            Done::Conflict(object) => {
                tracing::debug!(object = %task.key, "changed meanwhile: read again");
                if let Some(object) = object {
                    self.see(task.kind, object_json(*object));
                }
                (CONFLICT, None)
            }
            // The watch tells of it.
            Done::Gone => (REFUSED, None),
            Done::Refused(why) => {
                tracing::warn!(kind = task.kind.name(), object = %task.key, why, "not written");
                let what = format!("the status of {} {}", task.kind.name(), task.key);
                (REFUSED, Some(format!("{what} cannot be written: {why}")))
            }
            Done::Away(why) => {
                // Those that were sent together fail together: that is one failure.
                let until = self.pause_until.filter(|until| *until > now);
                let until = until.unwrap_or_else(|| now + self.backoff.pause());
                self.pause_until = Some(until);
                tracing::debug!(why, "no status can be written now");
                (
                    until - now,
                    Some(format!("no status can be written now: {why}")),
                )
            }
        };
        // What is said of one version is said of no other: a new one, or one that was made anew, is
        // not held up by it.
        let version = task.patch.pointer("/metadata/resourceVersion");
        let version = version.and_then(Json::as_str).filter(|_| wait == REFUSED);
        self.later.add(place, version, now, wait);
        why
    }

    fn see(&self, kind: Kind, json: Json) {
        self.shared.update(|store| store.answer(kind, json));
    }
}

/// Sends a patch, and reads again what has changed meanwhile.
async fn send(client: Client, resource: ApiResource, mut task: Task) -> (Task, Done) {
    let api: Api<DynamicObject> = Api::namespaced_with(client, &task.key.namespace, &resource);
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(&task.patch);
    // Both within the time that one may take: another node may write after that.
    let answer = timeout(REQUEST, async {
        if task.asks_who {
            // Our own write takes the fields over, and with them the other's name.
            let is = api.get(&task.key.name).await.ok();
            let managed = is.and_then(|is| is.metadata.managed_fields);
            task.by = other_writer(task.kind, &managed.unwrap_or_default(), MANAGER);
        }
        api.patch_status(&task.key.name, &params, &patch).await
    })
    .await;
    let done = match answer {
        Ok(Ok(object)) => Done::Written(Box::new(object)),
        Ok(Err(kube::Error::Api(status))) => match status.code {
            409 => {
                let again = timeout(REQUEST, api.get(&task.key.name)).await;
                Done::Conflict(again.ok().and_then(Result::ok).map(Box::new))
            }
            404 => Done::Gone,
            429 | 500.. => Done::Away(error_text(&kube::Error::Api(status))),
            _ => Done::Refused(error_text(&kube::Error::Api(status))),
        },
        Ok(Err(error)) => Done::Away(error_text(&error)),
        Err(_) => Done::Away(format!("no answer within {} s", REQUEST.as_secs())),
    };
    (task, done)
}

/// The earliest of several moments.
struct Again(Option<Instant>);

impl Again {
    fn at(&mut self, moment: Option<Instant>) {
        self.0 = self.0.into_iter().chain(moment).min();
    }
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}
