//! The routes of a virtual host: first match in order, found without walking them all.

use std::collections::HashMap;

use crate::route::literal_prefixes::literal_prefixes;
use crate::route::matcher::{Path, RequestView};
use crate::snapshot::Route;

/// Below this many routes a walk is faster than the index.
const INDEX_FROM: usize = 8;

/// Routes in the API's order (Istio: first match wins).
///
/// Virtual hosts with the same routes share one list, and so do the generations of a configuration.
#[derive(Debug, Default)]
pub struct RouteList {
    routes: Box<[Route]>,
    index: Option<Box<Index>>,
}

/// Positions in [`RouteList::routes`] by literal path, or by what every path begins with that a
/// regex matches. Gives the same answer as the walk.
#[derive(Debug, Default)]
struct Index {
    exact: HashMap<Box<[u8]>, Vec<u32>>,
    prefix: HashMap<Box<[u8]>, Vec<u32>>,
    /// The lengths of the prefixes that exist, ascending.
    prefix_lengths: Vec<usize>,
    /// Routes whose path begins with nothing in particular: any, without case, some regexes.
    other: Vec<u32>,
}

impl RouteList {
    /// A list in the API's order.
    pub fn new(routes: Box<[Route]>) -> Self {
        let index = (routes.len() >= INDEX_FROM).then(|| Box::new(Index::new(&routes)));
        Self { routes, index }
    }

    /// The routes in order.
    pub fn all(&self) -> &[Route] {
        &self.routes
    }

    /// The position of the first route that fits.
    pub fn find(&self, request: &RequestView<'_>) -> Option<u32> {
        match &self.index {
            Some(index) => index.find(&self.routes, request),
            None => self.walk(request),
        }
    }

    /// The first route that fits, by walking all of them: the definition of [`find`](Self::find).
    pub fn walk(&self, request: &RequestView<'_>) -> Option<u32> {
        (0..)
            .zip(&self.routes)
            .find_map(|(position, route)| route.matcher.matches(request).then_some(position))
    }
}

impl Index {
    fn new(routes: &[Route]) -> Self {
        let mut index = Self::default();
        for (position, route) in (0_u32..).zip(routes) {
            match &route.matcher.path {
                Path::Exact(path) => index.exact.entry(path.clone()).or_default().push(position),
                Path::Prefix(path) => index.prefix.entry(path.clone()).or_default().push(position),
                Path::Regex(regex) => match literal_prefixes(regex.regex()) {
                    Some(prefixes) => {
                        for prefix in prefixes {
                            index.prefix.entry(prefix).or_default().push(position);
                        }
                    }
                    None => index.other.push(position),
                },
                Path::Any | Path::ExactIgnoreCase(_) | Path::PrefixIgnoreCase(_) => {
                    index.other.push(position);
                }
            }
        }
        index.prefix_lengths = index.prefix.keys().map(|prefix| prefix.len()).collect();
        index.prefix_lengths.sort_unstable();
        index.prefix_lengths.dedup();
        index
    }

    fn find(&self, routes: &[Route], request: &RequestView<'_>) -> Option<u32> {
        let mut best = u32::MAX;
        let route = |position: u32| &routes[position as usize];
        let mut consider = |positions: &[u32]| {
            for position in positions
                .iter()
                .copied()
                .take_while(|position| *position < best)
            {
                if route(position).matcher.matches_found(request) {
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
        (best != u32::MAX).then_some(best)
    }
}
