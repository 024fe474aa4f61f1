//! Compiled routes, kept from one generation to the next: a list of the model that is the very one
//! of before is not compiled again.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use gatehouse_config::model;

use crate::compile::{action, compile_routes};
use crate::route::RouteList;
use crate::snapshot::Action;

/// The compiled lists of the newest generation, by the list of the model that each was made from.
#[derive(Debug, Default)]
pub struct RouteLists {
    known: HashMap<usize, Known, RandomState>,
    actions: PlainActions,
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

/// What many routes do alike: send requests plainly to one cluster. Each is compiled once.
#[derive(Debug, Default)]
pub(super) struct PlainActions {
    /// By the address of the source, which is held so that no other takes it.
    known: HashMap<usize, (Arc<model::Forward>, Arc<Action>), RandomState>,
}

impl PlainActions {
    /// The compiled form of what the route of this name does.
    pub(super) fn compiled(&mut self, action: &model::Action, route: &str) -> Arc<Action> {
        let compile = || Arc::new(action::compile(action, route));
        match action {
            // It edits nothing, so the route's name does not matter.
            model::Action::Forward(forward) if forward.plainly_to().is_some() => {
                let address = Arc::as_ptr(forward).addr();
                let known = self.known.entry(address);
                let (_, known) = known.or_insert_with(|| (Arc::clone(forward), compile()));
                Arc::clone(known)
            }
            _ => compile(),
        }
    }

    fn forget_unused(&mut self) {
        self.known
            .retain(|_, (_, compiled)| Arc::strong_count(compiled) > 1);
    }
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
            actions,
            compiled,
            generation,
        } = &mut *self.lists;
        let known = known.entry(address).or_insert_with(|| {
            *compiled += 1;
            Known {
                source: Arc::clone(source),
                list: Arc::new(RouteList::new(compile_routes(source, actions))),
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
            known,
            actions,
            generation,
            ..
        } = &mut *self.lists;
        known.retain(|_, known| known.used == *generation);
        actions.forget_unused();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(authority: Option<&str>) -> model::Action {
        model::Action::Forward(Arc::new(model::Forward {
            destinations: vec![model::WeightedDestination {
                destination: model::Destination::Cluster(model::ClusterIndex(0)),
                weight: 1,
                authority: None,
                headers: model::HeaderEdits::default(),
            }],
            rewrite: model::Rewrite {
                uri: None,
                authority: authority.map(str::to_owned),
            },
            timeout: None,
            retry: None,
            mirrors: Vec::new(),
        }))
    }

    #[test]
    fn a_plain_action_is_compiled_once_and_forgotten_with_its_last_route() {
        let mut actions = PlainActions::default();
        let (plain, other) = (forward(None), forward(Some("a.lan")));
        let (one, two) = (actions.compiled(&plain, "a"), actions.compiled(&plain, "b"));
        assert!(Arc::ptr_eq(&one, &two));
        let (three, four) = (actions.compiled(&other, "a"), actions.compiled(&other, "a"));
        assert!(!Arc::ptr_eq(&three, &four) && !Arc::ptr_eq(&one, &three));
        drop(one);
        actions.forget_unused();
        assert_eq!(actions.known.len(), 1);
        drop(two);
        actions.forget_unused();
        assert!(actions.known.is_empty());
    }
}
