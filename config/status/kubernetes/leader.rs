//! Holds the allocator's Lease, or waits for it.

use std::pin::pin;
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
use crate::source::kubernetes::{Backoff, Shared, error_text, object_json};

/// The Lease's name.
pub const LEASE: &str = "gatehouse-allocator";

/// How long a list of all Services may take.
const CATCH_UP: Duration = Duration::from_secs(30);

/// Who deals addresses, as far as this node knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// Until when this node may deal; none while another does.
    pub acts_until: Option<Instant>,
    /// How often this node began to deal. Between two terms another may have dealt, whether or not
    /// anybody saw a moment in which this one did not.
    pub term: u64,
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

    /// Whether it does, and has done so since that term began.
    pub fn is_mine_in(&self, term: u64) -> bool {
        self.term == term && self.is_mine()
    }

    /// That it goes on is no news; only who asks needs the new time.
    fn is_news_after(&self, before: &Self) -> bool {
        self.is_mine() != before.is_mine()
            || self.term != before.term
            || self.holder != before.holder
            || self.trouble != before.trouble
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
    term: u64,
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
            term: 0,
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
            let listing = catch_up(self.client.clone(), self.shared.clone());
            let mut held = Held { leader: self, seen };
            // In a box: it is large, and needed once in a while.
            let listed = Box::pin(meanwhile(listing, RENEW, &mut held)).await;
            if listed.is_err() {
                // It may have been given up in its midst.
                self.shared
                    .update(|store| store.also_list_ends(Kind::Service));
            }
            listed?;
        }
        let leads = self.candidate.acts_until(Instant::now()).is_some();
        self.term += u64::from(leads && !self.is_up_to_date);
        self.is_up_to_date = leads;
        self.tell(seen.as_ref(), None);
        Ok(())
    }

    /// Renews it once; an error where it is not this node's any more.
    async fn renew(&mut self, seen: &mut Option<Record>) -> Result<(), Failure> {
        let Some(record) = seen.clone() else {
            return Ok(());
        };
        let sent = Instant::now();
        let me = self.me.clone();
        match self.write(&record, &me, record.transitions).await {
            Ok(written) => {
                self.took(seen, written, sent);
                Ok(())
            }
            // One may fail; and one whose answer was lost may have renewed it.
            Err(Failure::Other(_)) if self.candidate.acts_until(Instant::now()).is_some() => Ok(()),
            Err(Failure::Conflict) => {
                let is = within(self.api.get_opt(LEASE)).await?.map(self::record);
                let is_mine = is.as_ref().is_some_and(|is| is.holder == self.me);
                *seen = is;
                match is_mine {
                    true => Ok(()),
                    false => Err(Failure::Conflict),
                }
            }
            Err(failure) => Err(failure),
        }
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
            term: self.term,
            holder: seen.map(|record| record.holder.clone()).unwrap_or_default(),
            trouble,
        };
        self.told.send_if_modified(|leadership| {
            let news = next.is_news_after(leadership);
            *leadership = next;
            news
        });
    }
}

/// Sees what the holder before wrote up to its last moment, which a watch may bring later: an
/// address that it dealt must not be dealt again.
async fn catch_up(client: Client, shared: Shared) -> Result<(), Failure> {
    let kind = Kind::Service;
    shared.update(|store| store.also_list_begins(kind));
    let listed = services(client, &shared).await.map(|list| {
        for object in list {
            let json = object_json(object);
            shared.update(|store| store.also_listed(kind, json));
        }
    });
    shared.update(|store| store.also_list_ends(kind));
    listed
}

async fn services(client: Client, shared: &Shared) -> Result<ObjectList<DynamicObject>, Failure> {
    let api: Api<DynamicObject> = Api::all_with(client, &shared.resource_of(Kind::Service));
    let why = match timeout(CATCH_UP, api.list(&ListParams::default())).await {
        Ok(Ok(list)) => return Ok(list),
        Ok(Err(error)) => error_text(&error),
        Err(_) => "Services cannot be listed in time".to_owned(),
    };
    Err(Failure::Other(why))
}

/// What has to be renewed.
trait Renews {
    /// Once; an error where it is lost.
    fn renew(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// The Lease, while this node has it.
struct Held<'a> {
    leader: &'a mut Leader,
    seen: &'a mut Option<Record>,
}

impl Renews for Held<'_> {
    async fn renew(&mut self) -> Result<(), Failure> {
        self.leader.renew(self.seen).await
    }
}

/// Renews at this pace until the work is done: a Lease that runs out while it goes on would have it
/// begun anew for ever.
async fn meanwhile(
    work: impl Future<Output = Result<(), Failure>>,
    pace: Duration,
    held: &mut impl Renews,
) -> Result<(), Failure> {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(pace) => {}
        }
        // One that was begun is brought to its end, so that its version is known.
        let mut renewal = pin!(held.renew());
        let done = tokio::select! {
            done = &mut work => Some(done),
            renewed = &mut renewal => {
                renewed?;
                None
            }
        };
        if let Some(done) = done {
            renewal.await?;
            return done;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Duration = Duration::from_millis(20);

    /// A Lease that ran out, was another's and is this node's again may look at every moment that
    /// anybody looks as if it had gone on.
    #[test]
    fn a_new_term_is_news_and_what_was_decided_in_the_old_one_does_not_count() {
        let until = |acts_until, term| Leadership {
            acts_until: Some(acts_until),
            term,
            holder: "node1".to_owned(),
            trouble: None,
        };
        let soon = Instant::now() + Duration::from_secs(3600);
        let (old, renewed, new) = (until(soon, 1), until(soon + PACE, 1), until(soon + PACE, 2));
        assert!(!renewed.is_news_after(&old));
        assert!(new.is_news_after(&old));
        assert!(renewed.is_mine_in(1) && !new.is_mine_in(1) && new.is_mine_in(2));
        assert!(!Leadership::default().is_mine_in(0));
    }

    /// Takes so many paces to be renewed, and is lost or not.
    struct Counted {
        paces: u32,
        is_lost: bool,
        renewed: u32,
    }

    impl Renews for Counted {
        async fn renew(&mut self) -> Result<(), Failure> {
            let _ = work(self.paces).await;
            self.renewed += 1;
            match self.is_lost {
                true => Err(Failure::Conflict),
                false => Ok(()),
            }
        }
    }

    fn counted(paces: u32, is_lost: bool) -> Counted {
        Counted {
            paces,
            is_lost,
            renewed: 0,
        }
    }

    async fn work(paces: u32) -> Result<(), Failure> {
        tokio::time::sleep(PACE * paces).await;
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_renewed_for_as_long_as_the_list_takes() {
        let mut held = counted(0, false);
        assert!(meanwhile(work(20), PACE, &mut held).await.is_ok());
        // Once more or not as both end at one moment.
        assert!((19..=20).contains(&held.renewed), "{}", held.renewed);
        // There was no time for it.
        let mut held = counted(0, false);
        assert!(meanwhile(work(0), PACE * 100, &mut held).await.is_ok());
        assert_eq!(held.renewed, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_lost_the_lease_does_not_go_on_with_the_list() {
        let work_without_end = std::future::pending();
        let failure = meanwhile(work_without_end, PACE, &mut counted(0, true)).await;
        assert!(matches!(failure, Err(Failure::Conflict)));
        // A renewal that is under way when the list comes is brought to its end.
        let mut held = counted(4, false);
        assert!(meanwhile(work(2), PACE, &mut held).await.is_ok());
        assert_eq!(held.renewed, 1);
    }
}
