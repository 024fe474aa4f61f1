//! The routes of a virtual host: first match in order, found without walking them all.

use std::collections::HashMap;

use crate::route::matcher::{Path, RequestView};
use crate::snapshot::{Route, RouteId};

/// Below this many routes a walk is faster than the index.
const INDEX_FROM: usize = 8;

/// Routes in the API's order (Istio: first match wins).
#[derive(Debug, Default)]
pub struct RouteList {
    routes: Vec<RouteId>,
    index: Option<Box<Index>>,
}

/// Positions in [`RouteList::routes`] by literal path. Gives the same answer as the walk.
#[derive(Debug, Default)]
struct Index {
    exact: HashMap<Box<[u8]>, Vec<u32>>,
    prefix: HashMap<Box<[u8]>, Vec<u32>>,
    /// The lengths of the prefixes that exist, ascending.
    prefix_lengths: Vec<usize>,
    /// Routes whose path is no literal: any, regex, without case.
    other: Vec<u32>,
}

impl RouteList {
    /// A list; `all` holds the routes that the ids point to.
    pub fn new(routes: Vec<RouteId>, all: &[Route]) -> Self {
        let index = (routes.len() >= INDEX_FROM).then(|| Box::new(Index::new(&routes, all)));
        Self { routes, index }
    }

    /// The routes in order.
    pub fn ids(&self) -> &[RouteId] {
        &self.routes
    }

    /// The first route that fits.
    pub fn find(&self, all: &[Route], request: &RequestView<'_>) -> Option<RouteId> {
        match &self.index {
            Some(index) => index.find(&self.routes, all, request),
            None => self.walk(all, request),
        }
    }

    /// The first route that fits, by walking all of them: the definition of [`find`](Self::find).
    pub fn walk(&self, all: &[Route], request: &RequestView<'_>) -> Option<RouteId> {
        self.routes
            .iter()
            .copied()
            .find(|id| all[id.index()].matcher.matches(request))
    }
}

impl Index {
    fn new(routes: &[RouteId], all: &[Route]) -> Self {
        let mut index = Self::default();
        for (position, id) in (0_u32..).zip(routes) {
            match &all[id.index()].matcher.path {
                Path::Exact(path) => index.exact.entry(path.clone()).or_default().push(position),
                Path::Prefix(path) => index.prefix.entry(path.clone()).or_default().push(position),
                Path::Any
                | Path::ExactIgnoreCase(_)
                | Path::PrefixIgnoreCase(_)
                | Path::Regex(_) => {
                    index.other.push(position);
                }
            }
        }
        index.prefix_lengths = index.prefix.keys().map(|prefix| prefix.len()).collect();
        index.prefix_lengths.sort_unstable();
        index.prefix_lengths.dedup();
        index
    }

    fn find(
        &self,
        routes: &[RouteId],
        all: &[Route],
        request: &RequestView<'_>,
    ) -> Option<RouteId> {
        let mut best = u32::MAX;
        let route = |position: u32| &all[routes[position as usize].index()];
        let mut consider = |positions: &[u32]| {
            for position in positions
                .iter()
                .copied()
                .take_while(|position| *position < best)
            {
                if route(position).matcher.conditions_match(request) {
                    best = position;
                    break;
                }
            }
        };
        if let Some(positions) = self.exact.get(request.path) {
            consider(positions);
        }
        for length in self.prefix_lengths.iter().copied() {
            let Some(start) = request.path.get(..length) else {
                break;
            };
            if let Some(positions) = self.prefix.get(start) {
                consider(positions);
            }
        }
        for position in self
            .other
            .iter()
            .copied()
            .take_while(|position| *position < best)
        {
            if route(position).matcher.matches(request) {
                best = position;
                break;
            }
        }
        routes.get(best as usize).copied()
    }
}
