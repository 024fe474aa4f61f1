//! Compiled routes, kept from one generation to the next: a list of the model that is the very one
//! of before is not compiled again.

use std::collections::HashMap;
use std::sync::Arc;

use gatehouse_config::model;

use crate::compile::compile_route;
use crate::route::RouteList;

/// The compiled lists of the newest generation, by the list of the model that each was made from.
#[derive(Debug, Default)]
pub struct RouteLists {
    known: HashMap<usize, Known>,
    compiled: u64,
}

#[derive(Debug)]
struct Known {
    /// Held so that no other list takes its address.
    source: Arc<[Arc<model::Route>]>,
    list: Arc<RouteList>,
}

/// The lists of the generation that is being built; what it does not use is forgotten with it.
#[derive(Debug)]
pub(super) struct Generation<'a> {
    before: HashMap<usize, Known>,
    lists: &'a mut RouteLists,
}

impl RouteLists {
    /// How many lists were ever compiled: what a change cost, for tests and metrics.
    pub fn compiled(&self) -> u64 {
        self.compiled
    }

    pub(super) fn next_generation(&mut self) -> Generation<'_> {
        Generation {
            before: std::mem::take(&mut self.known),
            lists: self,
        }
    }
}

impl Generation<'_> {
    /// The compiled form of a list.
    pub(super) fn compiled(&mut self, source: &Arc<[Arc<model::Route>]>) -> Arc<RouteList> {
        // An empty list has no address of its own.
        if source.is_empty() {
            return Arc::default();
        }
        let address = source.as_ptr().addr();
        let RouteLists { known, compiled } = &mut *self.lists;
        let known = known.entry(address).or_insert_with(|| {
            self.before.remove(&address).unwrap_or_else(|| {
                *compiled += 1;
                Known {
                    source: Arc::clone(source),
                    list: Arc::new(RouteList::new(source.iter().map(compile_route).collect())),
                }
            })
        });
        debug_assert!(
            Arc::ptr_eq(&known.source, source),
            "an address means one list"
        );
        Arc::clone(&known.list)
    }
}
