//! Holds the allocator's Lease, or waits for it.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ListParams, ObjectMeta, PostParams};
use kube::core::{DynamicObject, ObjectList};
use kube::{Api, Client};
use tokio::sync::watch as channel;
use tokio::time::timeout;

use super::lease::{Candidate, DURATION, LOOK, RENEW, REQUEST, Record, Step};
use crate::source::Kind;
use crate::source::kubernetes::{Backoff, Shared, error_text, object_json, resource_of};

/// The Lease's name.
pub const LEASE: &str = "gatehouse-allocator";

/// How long a list of all Services may take.
const CATCH_UP: Duration = Duration::from_secs(30);

/// Who deals addresses, as far as this node knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// Until when this node may deal; none while another does.
    pub acts_until: Option<Instant>,
    /// The node that holds the Lease; empty while nobody is known to.
    pub holder: String,
    /// Why the Lease cannot be had or seen.
    pub trouble: Option<String>,
}

impl Leadership {
    /// Whether this node deals addresses now.
    pub fn is_mine(&self) -> bool {
        self.acts_until.is_some_and(|until| until > Instant::now())
    }
}

/// A node and the Lease.
pub(super) struct Leader {
    api: Api<Lease>,
    me: String,
    candidate: Candidate,
    client: Client,
    shared: Shared,
    /// Whether everything was seen that the holder before wrote.
    is_up_to_date: bool,
    told: channel::Sender<Leadership>,
}

impl Leader {
    pub(super) fn new(
        client: Client,
        shared: Shared,
        namespace: &str,
        me: &str,
        told: channel::Sender<Leadership>,
    ) -> Self {
        Self {
            api: Api::namespaced(client.clone(), namespace),
            me: me.to_owned(),
            candidate: Candidate::new(me),
            client,
            shared,
            is_up_to_date: false,
            told,
        }
    }

    /// For as long as the process lives, or until it is told to give up.
    pub(super) async fn run(mut self, mut give_up: channel::Receiver<bool>) {
        let mut backoff = Backoff::new(Duration::from_millis(200), LOOK);
        let mut seen: Option<Record> = None;
        let mut is_fresh = false;
        loop {
            let pause = match self.step(&mut seen, is_fresh).await {
                Ok(()) => {
                    backoff.reset();
                    // What was written is what is there, until a write fails.
                    is_fresh = self.candidate.acts_until(Instant::now()).is_some();
                    if is_fresh { RENEW } else { LOOK }
                }
                Err(failure) => {
                    is_fresh = false;
                    if let Failure::Other(why) = failure {
                        self.tell(seen.as_ref(), Some(why));
                    }
                    backoff.pause()
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = give_up.wait_for(|now| *now) => break,
            }
        }
        if self.candidate.acts_until(Instant::now()).is_some()
            && let Some(record) = seen
        {
            self.told
                .send_modify(|leadership| leadership.acts_until = None);
            // If it cannot be given up it is over by itself.
            if let Err(error) = self.write(&record, "", record.transitions).await {
                tracing::debug!(%error, "the Lease could not be given up");
            }
        }
        self.told
            .send_modify(|leadership| leadership.holder.clear());
    }

    async fn step(&mut self, seen: &mut Option<Record>, is_fresh: bool) -> Result<(), Failure> {
        // Somebody else may have dealt since it ran out.
        if self.candidate.acts_until(Instant::now()).is_none() {
            self.is_up_to_date = false;
        }
        if !is_fresh {
            *seen = within(self.api.get_opt(LEASE)).await?.map(record);
        }
        match self.candidate.judge(seen.as_ref(), Instant::now()) {
            Step::Wait => {}
            Step::Create => {
                let sent = Instant::now();
                let lease = self.lease(None, &self.me, 0);
                let made = within(self.api.create(&PostParams::default(), &lease)).await?;
                self.took(seen, made, sent);
            }
            Step::Take {
                before,
                transitions,
            } => {
                let sent = Instant::now();
                let me = self.me.clone();
                let written = self.write(&before, &me, transitions).await?;
                self.took(seen, written, sent);
            }
        }
        let leads = self.candidate.acts_until(Instant::now()).is_some();
        if leads && !self.is_up_to_date {
            self.catch_up().await?;
        }
        self.is_up_to_date = leads;
        self.tell(seen.as_ref(), None);
        Ok(())
    }

    /// Sees what the holder before wrote up to its last moment, which a watch may bring later: an
    /// address that it dealt must not be dealt again.
    async fn catch_up(&self) -> Result<(), Failure> {
        let kind = Kind::Service;
        self.shared.update(|store| store.also_list_begins(kind));
        let listed = self.services().await.map(|list| {
            for object in list {
                let json = object_json(object);
                self.shared.update(|store| store.also_listed(kind, json));
            }
        });
        self.shared.update(|store| store.also_list_ends(kind));
        listed
    }

    async fn services(&self) -> Result<ObjectList<DynamicObject>, Failure> {
        let api: Api<DynamicObject> =
            Api::all_with(self.client.clone(), &resource_of(Kind::Service));
        let why = match timeout(CATCH_UP, api.list(&ListParams::default())).await {
            Ok(Ok(list)) => return Ok(list),
            Ok(Err(error)) => error_text(&error),
            Err(_) => "Services cannot be listed in time".to_owned(),
        };
        Err(Failure::Other(why))
    }

    fn took(&mut self, seen: &mut Option<Record>, lease: Lease, sent: Instant) {
        let record = record(lease);
        self.candidate.took(&record.version, sent);
        *seen = Some(record);
    }

    async fn write(
        &self,
        before: &Record,
        holder: &str,
        transitions: i32,
    ) -> Result<Lease, Failure> {
        let lease = self.lease(Some(before), holder, transitions);
        within(self.api.replace(LEASE, &PostParams::default(), &lease)).await
    }

    fn lease(&self, before: Option<&Record>, holder: &str, transitions: i32) -> Lease {
        let now = MicroTime(Timestamp::now());
        Lease {
            metadata: ObjectMeta {
                name: Some(LEASE.to_owned()),
                resource_version: before.map(|record| record.version.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                renew_time: Some(now.clone()),
                acquire_time: Some(now),
                lease_transitions: Some(transitions),
                ..LeaseSpec::default()
            }),
        }
    }

    fn tell(&self, seen: Option<&Record>, trouble: Option<String>) {
        let acts_until = self.candidate.acts_until(Instant::now());
        let next = Leadership {
            acts_until: acts_until.filter(|_| self.is_up_to_date),
            holder: seen.map(|record| record.holder.clone()).unwrap_or_default(),
            trouble,
        };
        self.told.send_if_modified(|leadership| {
            // That it goes on is no news; only who asks needs the new time.
            let news = leadership.is_mine() != next.is_mine()
                || leadership.holder != next.holder
                || leadership.trouble != next.trouble;
            *leadership = next;
            news
        });
    }
}

fn record(lease: Lease) -> Record {
    let spec = lease.spec.unwrap_or_default();
    let seconds = spec.lease_duration_seconds.unwrap_or_default();
    Record {
        holder: spec.holder_identity.unwrap_or_default(),
        duration: Duration::from_secs(u64::try_from(seconds).unwrap_or_default()),
        version: lease.metadata.resource_version.unwrap_or_default(),
        transitions: spec.lease_transitions.unwrap_or_default(),
    }
}

/// Why a request did nothing.
pub(super) enum Failure {
    /// Somebody else was faster: it is read again.
    Conflict,
    /// Anything else.
    Other(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Conflict => f.write_str("somebody else was faster"),
            Self::Other(why) => f.write_str(why),
        }
    }
}

/// A request that must be over before another node may act.
pub(super) async fn within<T>(
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, Failure> {
    match timeout(REQUEST, request).await {
        Ok(Err(kube::Error::Api(status))) if status.code == 409 => Err(Failure::Conflict),
        Ok(answer) => answer.map_err(|error| Failure::Other(error_text(&error))),
        Err(_) => Err(Failure::Other(format!(
            "no answer within {} s",
            REQUEST.as_secs()
        ))),
    }
}
