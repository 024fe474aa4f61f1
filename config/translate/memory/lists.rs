//! Lists of routes, kept while what they were built from stays.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::model::Route;
use crate::resources::ObjectKey;
use crate::translate::memory::Version;
use crate::translate::virtual_service::VirtualService;
use crate::translate::virtual_service::routes::Listener;

/// The routes of one VirtualService on one listener, or of one virtual host.
pub(crate) type Routes = Arc<[Arc<Route>]>;

/// Routes that were built: of each VirtualService for each listener, and of each virtual host that
/// has those of several. What a translation does not use is forgotten with its end.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    translation: u64,
    /// Of each VirtualService for each listener; mostly one.
    built: HashMap<Version, Vec<Built>, RandomState>,
    joined: HashMap<Vec<usize>, Joined>,
    joined_before: HashMap<Vec<usize>, Joined>,
}

#[derive(Debug)]
struct Built {
    gateway: Arc<ObjectKey>,
    port: u16,
    has_tls: bool,
    routes: Routes,
    /// The clusters that the routes lead to.
    clusters: Box<[u32]>,
    /// The last translation that used them.
    used: u64,
}

#[derive(Debug)]
struct Joined {
    /// Held so that no others take their addresses.
    _of: Vec<Routes>,
    routes: Routes,
}

impl Lists {
    pub(super) fn begin(&mut self) {
        self.translation += 1;
        self.joined_before = std::mem::take(&mut self.joined);
    }

    pub(super) fn end(&mut self) {
        self.built.retain(|_, built| {
            built.retain(|built| built.used == self.translation);
            !built.is_empty()
        });
        self.joined_before = HashMap::new();
    }

    /// The routes of a VirtualService on a listener, and the clusters they lead to; none if they
    /// are to be built.
    pub(crate) fn built(
        &mut self,
        service: &VirtualService,
        listener: Listener<'_>,
    ) -> Option<(Routes, &[u32])> {
        let Listener {
            gateway,
            port,
            has_tls,
        } = listener;
        let mut built = self.built.get_mut(&service.version)?.iter_mut();
        let built = built.find(|built| {
            (built.port, built.has_tls) == (port, has_tls) && built.gateway == *gateway
        })?;
        built.used = self.translation;
        Some((Arc::clone(&built.routes), &built.clusters))
    }

    /// Keeps routes that were built.
    pub(crate) fn keep(
        &mut self,
        service: &VirtualService,
        listener: Listener<'_>,
        routes: &Routes,
        clusters: Box<[u32]>,
    ) {
        let Listener {
            gateway,
            port,
            has_tls,
        } = listener;
        let built = Built {
            gateway: Arc::clone(gateway),
            port,
            has_tls,
            routes: Arc::clone(routes),
            clusters,
            used: self.translation,
        };
        let of_service = self.built.entry(service.version);
        of_service
            .or_insert_with(|| Vec::with_capacity(1))
            .push(built);
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
