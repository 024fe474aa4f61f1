//! What earlier translations worked out, for the parts that did not change since.
//!
//! Two objects are the same version when they are the same `Arc`: nothing is compared by value.
//! Routes depend on their VirtualService and on the *surroundings*, every other kind of object but
//! those that only tell which endpoints there are. While the surroundings stay, a VirtualService
//! that did not change keeps its routes, and clusters keep their numbers, so that those routes
//! still mean the right ones.

mod lists;
mod read_services;

use std::sync::Arc;
use std::time::SystemTime;

use crate::api::istio::VirtualService as Api;
use crate::resources::{Object, Resources};
use crate::source::Kind;
use crate::translate::Settings;
use crate::translate::certificates::Certificates;
use crate::translate::clusters::KnownClusters;
use crate::translate::report::Report;
use crate::translate::virtual_service::VirtualService;
pub(crate) use lists::{Lists, Routes};
pub(crate) use read_services::{Look, ReadServices, Trait};

/// Numbers the VirtualServices that were read; no two have the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Version(u64);

/// Kinds that routes do not depend on: they tell which endpoints there are.
const OF_ENDPOINTS: &[Kind] = &[
    Kind::Endpoints,
    Kind::EndpointSlice,
    Kind::WorkloadEntry,
    Kind::Pod,
    Kind::Node,
    Kind::Namespace,
    Kind::Secret,
];

/// What is kept from one translation to the next.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    settings: Option<Settings>,
    resources: Resources,
    pub(crate) read: ReadServices,
    versions: u64,
    pub(crate) lists: Lists,
    pub(crate) clusters: KnownClusters,
    pub(crate) certificates: Certificates,
    pub(crate) work: Work,
}

/// What a translation had to do anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// VirtualServices that were read.
    pub virtual_services: usize,
    /// VirtualServices whose routes were built, once for each listener.
    pub route_lists: usize,
}

impl Memory {
    /// Forgets what does not hold any more for these objects and settings.
    pub(crate) fn begin(&mut self, resources: &Resources, settings: &Settings) {
        self.work = Work::default();
        let lasting = lasting(settings);
        if self.settings.as_ref() != Some(&lasting) {
            *self = Self {
                settings: Some(lasting),
                certificates: std::mem::take(&mut self.certificates),
                ..Self::default()
            };
        }
        let same = |kind: &Kind| self.resources.same_objects(resources, *kind);
        let surroundings =
            |kind: &&Kind| **kind != Kind::VirtualService && !OF_ENDPOINTS.contains(kind);
        if !Kind::ALL.iter().filter(surroundings).all(same) || self.clusters.is_wasteful() {
            self.read.forget_looks();
            self.lists = Lists::default();
            self.clusters = KnownClusters::default();
        }
        self.resources = resources.clone();
        self.read.begin();
        self.lists.begin();
        self.clusters.begin();
        self.certificates.begin();
    }

    /// Reads a VirtualService, or says again what was said of this version of it.
    pub(crate) fn read(
        &mut self,
        object: &Arc<Object<Api>>,
        report: &mut Report,
        parse: impl FnOnce(Version, &mut Report) -> Option<VirtualService>,
    ) -> Option<Arc<VirtualService>> {
        if let Some(known) = self.read.known(object) {
            return known.say_again(report);
        }
        self.work.virtual_services += 1;
        let version = self.next_version();
        self.read
            .remember(object, report, |report| parse(version, report))
    }

    /// A number that was never given.
    pub(crate) fn next_version(&mut self) -> Version {
        self.versions += 1;
        Version(self.versions)
    }

    /// Forgets VirtualServices that are gone, and what is not needed of the others.
    pub(crate) fn end(&mut self) {
        self.read.end();
        self.lists.end();
        self.certificates.end();
    }
}

/// The settings without what changes all the time and concerns no route: pools, what DNS says, what
/// files hold, the time.
fn lasting(settings: &Settings) -> Settings {
    Settings {
        holding_pools: Default::default(),
        accepted_pools: Default::default(),
        names: Arc::default(),
        files: Arc::default(),
        now: SystemTime::UNIX_EPOCH,
        ..settings.clone()
    }
}
