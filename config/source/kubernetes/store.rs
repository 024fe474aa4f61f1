//! What the cluster holds, as far as it was seen: objects, what is wrong with them, and what
//! allocators and others wrote of them. No I/O.
//!
//! Objects are kept without what changes all the time and concerns no traffic, and a version that
//! says the same is the version before: status writes and heartbeats rebuild nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value as Json;

use super::seen::{
    SeenPool, SeenReport, SeenService, is_reported, seen_pool, seen_report, seen_service,
};
use super::slim::slim;
use super::trouble::Trouble;
use crate::codes;
use crate::finding::{Finding, Level};
use crate::labels::Labels;
use crate::resources::{ObjectKey, RefusedPools, Resources};
use crate::source::decode::{AnyObject, Kind, decode_json};

/// Everything that was seen of the cluster.
#[derive(Debug, Default)]
pub struct Store {
    resources: Resources,
    findings: BTreeMap<(Kind, ObjectKey), Vec<Finding>>,
    kinds: BTreeMap<Kind, Sight>,
    services: Arc<BTreeMap<ObjectKey, SeenService>>,
    pools: BTreeMap<ObjectKey, SeenPool>,
    /// Pools that could never be read, with their labels.
    unread_pools: BTreeMap<ObjectKey, Labels>,
    reports: BTreeMap<(Kind, ObjectKey), SeenReport>,
    /// What is known by an answer, and not by the watch yet: a list that was begun before is older.
    ahead: BTreeSet<(Kind, ObjectKey)>,
    changes: u64,
    object_changes: u64,
}

/// How well a kind is known.
#[derive(Debug, Default)]
struct Sight {
    /// Its objects were seen as a whole once, or the cluster has no such kind.
    known: bool,
    /// The cluster has no such kind.
    absent: bool,
    /// The version of the API that its objects are read in.
    version: Option<&'static str>,
    /// What a list that is under way has brought.
    listing: Option<BTreeSet<ObjectKey>>,
    /// What went while somebody else than the watch reads a list.
    gone_meanwhile: Option<BTreeSet<ObjectKey>>,
    /// Why it cannot be seen now, or its changes cannot.
    trouble: Option<Trouble>,
}

/// What a change concerns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Objects, or which kinds are known.
    pub objects: bool,
    /// What allocators wrote: Services' addresses, pools' counters.
    pub status: bool,
    /// What analysis wrote of Istio's objects.
    pub reports: bool,
}

impl Store {
    /// The objects.
    pub fn resources(&self) -> &Resources {
        &self.resources
    }

    /// What Services' statuses say.
    pub fn services(&self) -> &Arc<BTreeMap<ObjectKey, SeenService>> {
        &self.services
    }

    /// What pools' statuses say.
    pub fn pools(&self) -> &BTreeMap<ObjectKey, SeenPool> {
        &self.pools
    }

    /// Pools that exist and could never be read.
    pub fn refused_pools(&self) -> RefusedPools {
        let unread = self.unread_pools.iter();
        RefusedPools {
            named: unread
                .map(|(key, labels)| (key.name.clone(), labels.clone()))
                .collect(),
            others: false,
        }
    }

    /// What the statuses of Istio's objects say of them.
    pub fn reports(&self) -> &BTreeMap<(Kind, ObjectKey), SeenReport> {
        &self.reports
    }

    /// Counts changes of objects and of what allocators wrote.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Counts changes of objects alone.
    pub fn object_changes(&self) -> u64 {
        self.object_changes
    }

    /// The kinds of those given that the cluster has not got.
    pub fn absent<'k>(&self, kinds: &'k [Kind]) -> Vec<&'k Kind> {
        let is_absent = |kind: &&Kind| self.kinds.get(kind).is_some_and(|sight| sight.absent);
        kinds.iter().filter(is_absent).collect()
    }

    /// Whether everything of these kinds was seen.
    pub fn knows(&self, kinds: &[Kind]) -> bool {
        kinds
            .iter()
            .all(|kind| self.kinds.get(kind).is_some_and(|sight| sight.known))
    }

    /// Why a kind cannot be seen now.
    pub fn trouble(&self, kind: Kind) -> Option<&Trouble> {
        self.kinds.get(&kind)?.trouble.as_ref()
    }

    /// Whether each of these kinds is known, or is known not to be seen now.
    pub fn has_tried(&self, kinds: &[Kind]) -> bool {
        kinds.iter().all(|kind| {
            let sight = self.kinds.get(kind);
            sight.is_some_and(|sight| sight.known || sight.trouble.is_some())
        })
    }

    /// Whether everything of these kinds was seen, or is known not to be seen now where the kind is
    /// one of `apart`.
    pub fn knows_but(&self, kinds: &[Kind], apart: &[Kind]) -> bool {
        let mut kinds = kinds.iter();
        kinds.all(|kind| self.knows(&[*kind]) || (apart.contains(kind) && self.has_tried(&[*kind])))
    }

    /// What is wrong with objects, and with seeing them.
    pub fn findings(&self) -> Vec<Finding> {
        let mut by_trouble: BTreeMap<&Trouble, Vec<&str>> = BTreeMap::new();
        for (kind, sight) in &self.kinds {
            if let Some(trouble) = &sight.trouble {
                by_trouble.entry(trouble).or_default().push(kind.name());
            }
        }
        let troubles = by_trouble
            .into_iter()
            .map(|(trouble, kinds)| trouble.finding(&kinds));
        troubles
            .chain(self.findings.values().flatten().cloned())
            .collect()
    }

    /// The version of the API that objects of a kind are read in; none before they were.
    pub fn version(&self, kind: Kind) -> Option<&'static str> {
        self.kinds.get(&kind).and_then(|sight| sight.version)
    }

    /// Objects of a kind are read in this version of the API.
    pub fn is_read_in(&mut self, kind: Kind, version: &'static str) {
        self.kinds.entry(kind).or_default().version = Some(version);
    }

    /// A list of a kind begins.
    pub fn list_begins(&mut self, kind: Kind) {
        self.kinds.entry(kind).or_default().listing = Some(BTreeSet::new());
    }

    /// A list is complete: what it did not bring is gone. Whether changes will be seen is another
    /// question ([`is_well`](Self::is_well)).
    pub fn list_ends(&mut self, kind: Kind) -> Changed {
        let sight = self.kinds.entry(kind).or_default();
        let mut changed = Changed {
            objects: !sight.known,
            status: !sight.known,
            reports: false,
        };
        sight.known = true;
        sight.absent = false;
        if let Some(listed) = sight.listing.take() {
            let failed = self.findings.keys().filter(|(of, _)| *of == kind);
            let known: BTreeSet<ObjectKey> = failed
                .map(|(_, key)| key.clone())
                .chain(self.resources.keys(kind))
                .collect();
            for key in known.difference(&listed) {
                changed.join(self.remove(kind, key));
            }
        }
        self.note(changed)
    }

    /// The cluster has no such kind (its CRD is not there).
    pub fn is_absent(&mut self, kind: Kind) -> Changed {
        let sight = self.kinds.entry(kind).or_default();
        let changed = Changed {
            objects: !sight.known || sight.trouble.is_some(),
            status: !sight.known,
            reports: false,
        };
        sight.known = true;
        sight.absent = true;
        sight.trouble = None;
        self.note(changed)
    }

    /// A kind cannot be seen now, or its changes cannot; what is known of it stays.
    pub fn is_troubled(&mut self, kind: Kind, trouble: Trouble) -> Changed {
        let sight = self.kinds.entry(kind).or_default();
        let objects = sight.trouble.as_ref() != Some(&trouble);
        sight.trouble = Some(trouble);
        self.note(Changed {
            objects,
            ..Changed::default()
        })
    }

    /// A kind is seen, and so are its changes.
    pub fn is_well(&mut self, kind: Kind) -> Changed {
        let sight = self.kinds.entry(kind).or_default();
        let objects = sight.trouble.take().is_some();
        self.note(Changed {
            objects,
            ..Changed::default()
        })
    }

    /// An object is there, in this version.
    pub fn apply(&mut self, kind: Kind, json: Json) -> Changed {
        let Some((key, version)) = name(&json, kind) else {
            return Changed::default();
        };
        let is_older = self.is_older(kind, &key, &version);
        let place = (kind, key);
        let is_ahead = self.ahead.contains(&place);
        let key = place.1.clone();
        match &mut self.kinds.entry(kind).or_default().listing {
            Some(listed) => {
                listed.insert(key.clone());
                // Once: where the server went back to older versions for good, the next list says so.
                if is_older && is_ahead && self.is_same(kind, &key, &json) {
                    self.ahead.remove(&place);
                    return Changed::default();
                }
            }
            // An answer to a write and the watch come by two ways.
            None if is_older => return Changed::default(),
            None => {}
        }
        self.ahead.remove(&place);
        self.take(kind, key, &version, json)
    }

    /// Whether it is the object that is known, and not one that was made anew under its name.
    fn is_same(&self, kind: Kind, key: &ObjectKey, json: &Json) -> bool {
        let uid = json.pointer("/metadata/uid").and_then(Json::as_str);
        match kind {
            Kind::Service => {
                let seen = self.services.get(key);
                seen.is_some_and(|seen| seen.uid == uid.unwrap_or_default())
            }
            // Of others the version tells: one that is made anew has a later one.
            _ => true,
        }
    }

    /// The answer to a write of an object. Whether the object is there the watch alone can tell: it
    /// may have told meanwhile that it is gone.
    pub fn answer(&mut self, kind: Kind, json: Json) -> Changed {
        match name(&json, kind) {
            Some((key, version))
                if self.is_there(kind, &key) && !self.is_older(kind, &key, &version) =>
            {
                let place = (kind, key.clone());
                let changed = self.take(kind, key, &version, json);
                self.is_ahead(place, changed);
                changed
            }
            _ => Changed::default(),
        }
    }

    /// Somebody else than the watch begins to read a list ([`also_listed`](Self::also_listed)).
    pub fn also_list_begins(&mut self, kind: Kind) -> Changed {
        self.kinds.entry(kind).or_default().gone_meanwhile = Some(BTreeSet::new());
        Changed::default()
    }

    /// An object of a list that was read beside the watch, which may be behind, or ahead: what it
    /// told to be gone since that list began stays gone.
    pub fn also_listed(&mut self, kind: Kind, json: Json) -> Changed {
        let gone = self.kinds.get(&kind).map(|sight| &sight.gone_meanwhile);
        match (name(&json, kind), gone) {
            (Some((key, _)), Some(Some(gone))) if gone.contains(&key) => Changed::default(),
            (Some((key, _)), _) => {
                let changed = self.apply(kind, json);
                self.is_ahead((kind, key), changed);
                changed
            }
            (None, _) => Changed::default(),
        }
    }

    /// Something was seen that the watch has not brought.
    fn is_ahead(&mut self, place: (Kind, ObjectKey), changed: Changed) {
        if changed.status || changed.reports {
            self.ahead.insert(place);
        }
    }

    /// All of that list was told, or it could not be had.
    pub fn also_list_ends(&mut self, kind: Kind) -> Changed {
        self.kinds.entry(kind).or_default().gone_meanwhile = None;
        Changed::default()
    }

    /// Also of what cannot be read: that is what there is to write about.
    fn is_there(&self, kind: Kind, key: &ObjectKey) -> bool {
        match kind {
            Kind::Service => self.services.contains_key(key),
            Kind::IPAddressPool => self.pools.contains_key(key),
            kind if is_reported(kind) => self.reports.contains_key(&(kind, key.clone())),
            kind => self.resources.object(kind, key).is_some(),
        }
    }

    fn take(&mut self, kind: Kind, key: ObjectKey, version: &str, mut json: Json) -> Changed {
        let mut changed = self.see_status(kind, &key, version, &json);
        slim(kind, &mut json);
        let mut read = decode_json(kind, version, &json);
        let before = self.resources.object(kind, &key);
        match read.objects.pop() {
            Some(object) if before.as_ref().is_some_and(|old| old.same_content(&object)) => {}
            Some(object) => {
                self.resources.insert(object);
                changed.objects = true;
            }
            None if before.is_some() => read.findings.push(last_good(kind, &key)),
            None => {}
        }
        if kind == Kind::IPAddressPool {
            match read.failed_pools.remove(&key) {
                Some(labels) if before.is_none() => self.unread_pools.insert(key.clone(), labels),
                _ => self.unread_pools.remove(&key),
            };
        }
        let place = (kind, key);
        if self.findings.get(&place).map_or(&[][..], Vec::as_slice) != read.findings {
            changed.objects = true;
            match read.findings.is_empty() {
                true => self.findings.remove(&place),
                false => self.findings.insert(place, read.findings),
            };
        }
        self.note(changed)
    }

    /// An object is gone.
    pub fn delete(&mut self, kind: Kind, json: &Json) -> Changed {
        let Some((key, _)) = name(json, kind) else {
            return Changed::default();
        };
        let changed = self.remove(kind, &key);
        self.note(changed)
    }

    fn remove(&mut self, kind: Kind, key: &ObjectKey) -> Changed {
        let sight = self.kinds.get_mut(&kind);
        if let Some(gone) = sight.and_then(|sight| sight.gone_meanwhile.as_mut()) {
            gone.insert(key.clone());
        }
        self.ahead.remove(&(kind, key.clone()));
        let had_findings = self.findings.remove(&(kind, key.clone())).is_some();
        if kind == Kind::IPAddressPool {
            self.unread_pools.remove(key);
        }
        let status = match kind {
            Kind::Service => Arc::make_mut(&mut self.services).remove(key).is_some(),
            Kind::IPAddressPool => self.pools.remove(key).is_some(),
            _ => false,
        };
        let reports = is_reported(kind) && self.reports.remove(&(kind, key.clone())).is_some();
        Changed {
            objects: self.resources.remove(kind, key) || had_findings,
            status,
            reports,
        }
    }

    fn is_older(&self, kind: Kind, key: &ObjectKey, version: &str) -> bool {
        let seen = match kind {
            Kind::Service => self.services.get(key).map(|seen| &seen.resource_version),
            Kind::IPAddressPool => self.pools.get(key).map(|seen| &seen.resource_version),
            kind if is_reported(kind) => {
                let seen = self.reports.get(&(kind, key.clone()));
                seen.map(|seen| &seen.resource_version)
            }
            _ => None,
        };
        // Numbers that grow, since Kubernetes 1.35 by definition.
        let seen: Option<u64> = seen.and_then(|seen| seen.parse().ok());
        let new: Option<u64> = version.parse().ok();
        seen.zip(new).is_some_and(|(seen, new)| new < seen)
    }

    fn see_status(&mut self, kind: Kind, key: &ObjectKey, version: &str, json: &Json) -> Changed {
        let mut changed = Changed::default();
        match kind {
            Kind::Service => {
                let seen = seen_service(version, json);
                let services = Arc::make_mut(&mut self.services);
                changed.status = services.insert(key.clone(), seen.clone()) != Some(seen);
            }
            Kind::IPAddressPool => {
                let seen = seen_pool(version, json);
                changed.status = self.pools.insert(key.clone(), seen.clone()) != Some(seen);
            }
            kind if is_reported(kind) => {
                let seen = seen_report(version, json);
                let place = (kind, key.clone());
                changed.reports = self.reports.insert(place, seen.clone()) != Some(seen);
            }
            _ => {}
        }
        changed
    }

    fn note(&mut self, changed: Changed) -> Changed {
        self.changes += u64::from(changed.objects || changed.status);
        self.object_changes += u64::from(changed.objects);
        changed
    }
}

impl Changed {
    pub(super) fn join(&mut self, other: Self) {
        self.objects |= other.objects;
        self.status |= other.status;
        self.reports |= other.reports;
    }
}

/// Namespace, name and version.
fn name(json: &Json, kind: Kind) -> Option<(ObjectKey, String)> {
    let metadata = json.get("metadata")?;
    let text = |field| metadata.get(field).and_then(Json::as_str);
    let namespace = match kind.namespaced() {
        true => text("namespace").unwrap_or("default"),
        false => "",
    };
    let version = text("resourceVersion").unwrap_or_default();
    Some((ObjectKey::new(namespace, text("name")?), version.to_owned()))
}

fn last_good(kind: Kind, key: &ObjectKey) -> Finding {
    Finding {
        code: codes::LAST_GOOD,
        level: Level::Warning,
        object: Some(kind.reference(key)),
        field: String::new(),
        position: None,
        message: "what the cluster has now cannot be read, so the last good version stays in force"
            .to_owned(),
        hint: "Correct the object, or delete it to take it out of force.".to_owned(),
    }
}

impl Store {
    /// The object of this kind and key, for tests and explanations.
    pub fn object(&self, kind: Kind, key: &ObjectKey) -> Option<AnyObject> {
        self.resources.object(kind, key)
    }
}
