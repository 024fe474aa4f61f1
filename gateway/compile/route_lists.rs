//! Compiled routes, kept from one generation to the next: a list of the model that is the very one
//! of before is not compiled again.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use gatehouse_config::model;

use crate::compile::compile_routes;
use crate::route::RouteList;

/// The compiled lists of the newest generation, by the list of the model that each was made from.
#[derive(Debug, Default)]
pub struct RouteLists {
    known: HashMap<usize, Known, RandomState>,
    compiled: u64,
    generation: u64,
}

#[derive(Debug)]
struct Known {
    /// Held so that no other list takes its address.
    source: Arc<[Arc<model::Route>]>,
    list: Arc<RouteList>,
    has_names: bool,
    /// The last generation that used it.
    used: u64,
}

/// The lists of the generation that is being built; what it does not use is forgotten with it.
#[derive(Debug)]
pub(super) struct Generation<'a> {
    lists: &'a mut RouteLists,
}

/// A list of the model in its compiled form.
pub(super) struct Compiled {
    pub(super) list: Arc<RouteList>,
    /// Whether some of its routes have a `statPrefix`.
    pub(super) has_names: bool,
}

impl RouteLists {
    /// How many lists were ever compiled: what a change cost, for tests and metrics.
    pub fn compiled(&self) -> u64 {
        self.compiled
    }

    pub(super) fn next_generation(&mut self) -> Generation<'_> {
        self.generation += 1;
        Generation { lists: self }
    }
}

impl Generation<'_> {
    /// The compiled form of a list.
    pub(super) fn compiled(&mut self, source: &Arc<[Arc<model::Route>]>) -> Compiled {
        // An empty list has no address of its own.
        if source.is_empty() {
            return Compiled {
                list: Arc::default(),
                has_names: false,
            };
        }
        let address = source.as_ptr().addr();
        let RouteLists {
            known,
            compiled,
            generation,
        } = &mut *self.lists;
        let known = known.entry(address).or_insert_with(|| {
            *compiled += 1;
            Known {
                source: Arc::clone(source),
                list: Arc::new(RouteList::new(compile_routes(source))),
                has_names: source
                    .iter()
                    .any(|route| route.matches.stat_prefix.is_some()),
                used: 0,
            }
        });
        debug_assert!(
            Arc::ptr_eq(&known.source, source),
            "an address means one list"
        );
        known.used = *generation;
        Compiled {
            list: Arc::clone(&known.list),
            has_names: known.has_names,
        }
    }
}

impl Drop for Generation<'_> {
    fn drop(&mut self) {
        let RouteLists {
            known, generation, ..
        } = &mut *self.lists;
        known.retain(|_, known| known.used == *generation);
    }
}
