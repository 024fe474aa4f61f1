//! The routes of a virtual host, each with the first condition that the request fails.

use crate::route::{RequestView, RouteList};
use crate::snapshot::Route;
use crate::why::RouteRow;

/// So many routes are told at most; the one that won always is.
const MOST: usize = 200;

/// The routes up to the one that won, or all of them.
pub(super) fn walked(
    list: &RouteList,
    request: &RequestView<'_>,
    won: Option<u32>,
) -> Vec<RouteRow> {
    let last = won.map_or(list.all().len(), |won| won as usize + 1);
    let tried = list.all().get(..last).unwrap_or_default();
    let skipped = tried.len().saturating_sub(MOST);
    (0_u32..)
        .zip(tried)
        .skip(skipped)
        .map(|(position, route)| row(route, request, won == Some(position)))
        .collect()
}

fn row(route: &Route, request: &RequestView<'_>, chosen: bool) -> RouteRow {
    let (object, field, position) = place(route);
    RouteRow {
        name: route.source.name.to_string(),
        object,
        field,
        position,
        failed: route
            .matcher
            .first_unmet(request)
            .map(|unmet| unmet.describe(request)),
        chosen,
    }
}

/// Object, field and position of a route.
pub(super) fn place(route: &Route) -> (String, String, String) {
    let origin = &route.source.origin;
    let (object, rule) = match &origin.delegate {
        Some(delegate) => (&delegate.virtual_service, delegate.rule),
        None => (&origin.virtual_service, origin.rule),
    };
    let field = match origin.matched {
        Some(matched) => format!("spec.http[{rule}].match[{matched}]"),
        None => format!("spec.http[{rule}]"),
    };
    (format!("VirtualService {object}"), field, origin.place())
}
