//! What earlier translations worked out, for the parts that did not change since.
//!
//! Two objects are the same version when they are the same `Arc`: nothing is compared by value.
//! Routes depend on their VirtualService and on the *surroundings*, every other kind of object but
//! those that only tell which endpoints there are. While the surroundings stay, a VirtualService
//! that did not change keeps its routes, and clusters keep their numbers, so that those routes
//! still mean the right ones.

use std::collections::HashMap;
use std::sync::Arc;

use crate::api::istio::VirtualService as Api;
use crate::finding::Finding;
use crate::model::Route;
use crate::resources::{Object, ObjectKey, ObjectRef, Resources};
use crate::source::Kind;
use crate::translate::Settings;
use crate::translate::clusters::KnownClusters;
use crate::translate::report::Report;
use crate::translate::virtual_service::VirtualService;
use crate::translate::virtual_service::routes::Listener;

/// The routes of one VirtualService on one listener, or of one virtual host.
pub(crate) type Routes = Arc<[Arc<Route>]>;

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
    services: HashMap<ObjectKey, Read>,
    pub(crate) lists: Lists,
    pub(crate) clusters: KnownClusters,
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

/// A VirtualService that was read.
#[derive(Debug)]
struct Read {
    object: Arc<Object<Api>>,
    service: Option<Arc<VirtualService>>,
    findings: Vec<Finding>,
    refused: bool,
}

impl Memory {
    /// Forgets what does not hold any more for these objects and settings.
    pub(crate) fn begin(&mut self, resources: &Resources, settings: &Settings) {
        self.work = Work::default();
        let lasting = lasting(settings);
        if self.settings.as_ref() != Some(&lasting) {
            *self = Self {
                settings: Some(lasting),
                ..Self::default()
            };
        }
        let same = |kind: &Kind| self.resources.same_objects(resources, *kind);
        let surroundings =
            |kind: &&Kind| **kind != Kind::VirtualService && !OF_ENDPOINTS.contains(kind);
        if !Kind::ALL.iter().filter(surroundings).all(same) || self.clusters.is_wasteful() {
            self.lists = Lists::default();
            self.clusters = KnownClusters::default();
        }
        self.resources = resources.clone();
        self.lists.begin();
        self.clusters.begin();
    }

    /// Reads a VirtualService, or says again what was said of this version of it.
    pub(crate) fn read(
        &mut self,
        object: &Arc<Object<Api>>,
        report: &mut Report,
        parse: impl FnOnce(&mut Report) -> Option<VirtualService>,
    ) -> Option<Arc<VirtualService>> {
        let key = &object.meta.key;
        let known = self.services.get(key);
        if let Some(known) = known.filter(|known| Arc::ptr_eq(&known.object, object)) {
            report.findings.extend(known.findings.iter().cloned());
            if known.refused {
                report.refused.insert(reference(key));
            }
            return known.service.clone();
        }
        self.work.virtual_services += 1;
        let before = report.findings.len();
        let service = parse(report).map(Arc::new);
        let read = Read {
            object: Arc::clone(object),
            service: service.clone(),
            findings: report.findings.get(before..).unwrap_or_default().to_vec(),
            refused: report.refused.contains(&reference(key)),
        };
        self.services.insert(key.clone(), read);
        service
    }

    /// Forgets VirtualServices that are gone.
    pub(crate) fn end(&mut self) {
        if self.services.len() > self.resources.virtual_services.len() {
            let there = &self.resources.virtual_services;
            self.services.retain(|key, _| there.contains_key(key));
        }
        self.lists.end();
    }
}

fn reference(key: &ObjectKey) -> ObjectRef {
    Kind::VirtualService.reference(key)
}

/// The settings without what changes all the time and concerns no route: pools, and what DNS says.
fn lasting(settings: &Settings) -> Settings {
    Settings {
        holding_pools: Default::default(),
        names: Arc::default(),
        ..settings.clone()
    }
}

/// Routes that were built: of each VirtualService for each listener, and of each virtual host that
/// has those of several. What a translation does not use is forgotten with its end.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    built: HashMap<ListenerKey, Built>,
    built_before: HashMap<ListenerKey, Built>,
    joined: HashMap<Vec<usize>, Joined>,
    joined_before: HashMap<Vec<usize>, Joined>,
}

/// A VirtualService by its address, and the listener.
type ListenerKey = (usize, ObjectKey, u16, bool);

#[derive(Debug)]
struct Built {
    /// Held so that no other takes its address.
    _service: Arc<VirtualService>,
    routes: Routes,
    /// The clusters that the routes lead to.
    clusters: Box<[u32]>,
}

#[derive(Debug)]
struct Joined {
    /// Held so that no others take their addresses.
    _of: Vec<Routes>,
    routes: Routes,
}

impl Lists {
    fn begin(&mut self) {
        self.built_before = std::mem::take(&mut self.built);
        self.joined_before = std::mem::take(&mut self.joined);
    }

    fn end(&mut self) {
        self.built_before = HashMap::new();
        self.joined_before = HashMap::new();
    }

    /// The routes of a VirtualService on a listener, and the clusters they lead to; none if they
    /// are to be built.
    pub(crate) fn built(
        &mut self,
        service: &Arc<VirtualService>,
        listener: Listener<'_>,
    ) -> Option<(Routes, &[u32])> {
        let key = listener_key(service, listener);
        if let Some(before) = self.built_before.remove(&key) {
            self.built.insert(key.clone(), before);
        }
        let built = self.built.get(&key)?;
        Some((Arc::clone(&built.routes), &built.clusters))
    }

    /// Keeps routes that were built.
    pub(crate) fn keep(
        &mut self,
        service: &Arc<VirtualService>,
        listener: Listener<'_>,
        routes: &Routes,
        clusters: Box<[u32]>,
    ) {
        let built = Built {
            _service: Arc::clone(service),
            routes: Arc::clone(routes),
            clusters,
        };
        self.built.insert(listener_key(service, listener), built);
    }

    /// One list of several, made by `join` unless it was made before.
    pub(crate) fn joined(
        &mut self,
        lists: Vec<Routes>,
        join: impl FnOnce(&[Routes]) -> Routes,
    ) -> Routes {
        if let [only] = lists.as_slice() {
            return Arc::clone(only);
        }
        let key: Vec<_> = lists.iter().map(|list| list.as_ptr().addr()).collect();
        let joined = self.joined_before.remove(&key);
        let joined = self.joined.entry(key).or_insert_with(|| {
            joined.unwrap_or_else(|| Joined {
                routes: join(&lists),
                _of: lists,
            })
        });
        Arc::clone(&joined.routes)
    }
}

fn listener_key(service: &Arc<VirtualService>, listener: Listener<'_>) -> ListenerKey {
    let Listener {
        gateway,
        port,
        has_tls,
    } = listener;
    (Arc::as_ptr(service).addr(), gateway.clone(), port, has_tls)
}
