//! Routes of one VirtualService on one listener.

use std::sync::Arc;

use crate::model::{
    Action, Fault, Forward, HeaderEdits, Mirror, Redirect, Rewrite, Route, RouteOrigin,
    WeightedDestination,
};
use crate::resources::ObjectKey;
use crate::translate::clusters::Clusters;
use crate::translate::virtual_service::destination::DestinationTo;
use crate::translate::virtual_service::headers::Edits;
use crate::translate::virtual_service::matches::Match;
use crate::translate::virtual_service::redirect::{RedirectPortTo, RedirectTo};
use crate::translate::virtual_service::rule::{ForwardTo, Rule, RuleAction};
use crate::translate::virtual_service::{VirtualService, place};

/// The listener that routes are built for.
#[derive(Clone, Copy)]
pub(crate) struct Listener<'a> {
    pub(crate) gateway: &'a Arc<ObjectKey>,
    /// As written.
    pub(crate) port: u16,
    /// Whether the server has a `tls` block; only the default port of redirects looks at it.
    pub(crate) has_tls: bool,
}

/// The routes of a VirtualService, up to its first catch-all
/// (Istio: `BuildHTTPRoutesForVirtualService`).
pub(crate) fn build(
    service: &VirtualService,
    listener: Listener<'_>,
    clusters: &mut Clusters<'_>,
) -> Vec<Arc<Route>> {
    let mut routes = Vec::new();
    for rule in &service.rules {
        let mut shared = None;
        for (i, matched) in rule.matches.iter().enumerate() {
            if !matched.concerns(listener.gateway, listener.port) {
                continue;
            }
            if shared.is_none() {
                shared = Shared::new(rule, service, listener, clusters);
            }
            let Some(shared) = &shared else {
                break;
            };
            let matched_index = (!rule.unconditional).then_some(i);
            routes.push(Arc::new(route(
                service,
                rule,
                matched,
                matched_index,
                shared,
            )));
            if matched.is_catch_all() {
                return routes;
            }
        }
    }
    routes
}

/// What all routes of a rule have in common: most of it, and there may be many of them.
struct Shared {
    action: Action,
    headers: Option<Arc<HeaderEdits>>,
    fault: Option<Arc<Fault>>,
}

impl Shared {
    /// None for a rule that does nothing by itself.
    fn new(
        rule: &Rule,
        service: &VirtualService,
        listener: Listener<'_>,
        clusters: &mut Clusters<'_>,
    ) -> Option<Self> {
        // The edits of a single destination are the route's own, as istiod lays them out.
        let inner = match &rule.action {
            RuleAction::Forward(forward) => match forward.destinations.as_slice() {
                [single] if forward.single => Some(&single.headers),
                _ => None,
            },
            _ => None,
        };
        let headers = edits(&rule.headers, inner);
        Some(Self {
            action: action(rule, service, listener, clusters)?,
            headers: (!headers.is_empty()).then(|| Arc::new(headers)),
            fault: rule.fault.clone().map(Arc::new),
        })
    }
}

fn route(
    service: &VirtualService,
    rule: &Rule,
    matched: &Match,
    matched_index: Option<usize>,
    shared: &Shared,
) -> Route {
    let name = if matched.name.is_empty() {
        rule.name.clone()
    } else {
        format!("{}.{}", rule.name, matched.name)
    };
    Route {
        name: name.into(),
        origin: RouteOrigin {
            virtual_service: Arc::clone(&service.key),
            rule: place(rule.index),
            matched: matched_index.map(place),
            position: match &rule.delegate {
                Some(delegated) => delegated.position.clone(),
                None => service.position(rule.index),
            },
            delegate: rule.delegate.as_ref().map(|d| d.origin.clone()),
        },
        matches: matched.route_match.clone(),
        action: shared.action.clone(),
        headers: shared.headers.clone(),
        fault: shared.fault.clone(),
        cors: rule.cors.clone(),
    }
}

fn edits(outer: &Edits, inner: Option<&Edits>) -> HeaderEdits {
    HeaderEdits {
        request: outer.request.ordered(inner.map(|edits| &edits.request)),
        response: outer.response.ordered(inner.map(|edits| &edits.response)),
    }
}

fn action(
    rule: &Rule,
    service: &VirtualService,
    listener: Listener<'_>,
    clusters: &mut Clusters<'_>,
) -> Option<Action> {
    match &rule.action {
        // Its rules were put in its place, or could not be.
        RuleAction::Delegate(_) => None,
        RuleAction::DirectResponse(response) => {
            Some(Action::DirectResponse(Arc::new(response.clone())))
        }
        RuleAction::Redirect(redirect) => Some(Action::Redirect(Arc::new(self::redirect(
            redirect, listener,
        )))),
        RuleAction::Forward(forward) => {
            let forward = self::forward(forward, service, listener, clusters);
            Some(Action::Forward(clusters.shared(forward)))
        }
    }
}

fn forward(
    forward: &ForwardTo,
    service: &VirtualService,
    listener: Listener<'_>,
    clusters: &mut Clusters<'_>,
) -> Forward {
    let mut authority = forward.authority.clone();
    let mut destinations = Vec::with_capacity(forward.destinations.len());
    for to in &forward.destinations {
        let DestinationTo {
            host,
            subset,
            port,
            weight,
            headers,
            index: _,
        } = to;
        let destination =
            clusters.destination(host, subset, *port, listener.port, &service.key.namespace);
        // The rule's own rewrite wins over a destination's.
        let own_authority = headers
            .authority
            .clone()
            .filter(|_| forward.authority.is_none());
        destinations.push(if forward.single {
            authority = authority.or(own_authority);
            WeightedDestination {
                destination,
                weight: *weight,
                authority: None,
                headers: HeaderEdits::default(),
            }
        } else {
            WeightedDestination {
                destination,
                weight: *weight,
                authority: own_authority,
                headers: edits(headers, None),
            }
        });
    }
    Forward {
        destinations,
        rewrite: Rewrite {
            uri: forward.uri.clone().map(Box::new),
            authority,
        },
        timeout: forward.timeout,
        retry: forward.retry.clone(),
        mirrors: forward
            .mirrors
            .iter()
            .map(|mirror| Mirror {
                destination: clusters.destination(
                    &mirror.destination.host,
                    &mirror.destination.subset,
                    mirror.destination.port,
                    listener.port,
                    &service.key.namespace,
                ),
                percentage: mirror.percentage,
            })
            .collect(),
    }
}

fn redirect(redirect: &RedirectTo, listener: Listener<'_>) -> Redirect {
    let RedirectTo {
        code,
        scheme,
        authority,
        port,
        uri,
        prefix_rewrite,
    } = redirect;
    let number = match port {
        RedirectPortTo::Default => None,
        RedirectPortTo::Listener => Some(listener.port),
        RedirectPortTo::Number(number) => Some(*number),
    };
    // The scheme's own port is not written out.
    let assumed = if listener.has_tls { "https" } else { "http" };
    let own_port = match scheme.as_deref().unwrap_or(assumed) {
        "https" => 443,
        _ => 80,
    };
    Redirect {
        code: *code,
        scheme: scheme.clone(),
        authority: authority.clone(),
        port: number.filter(|number| *number != own_port),
        uri: uri.clone(),
        prefix_rewrite: prefix_rewrite.clone(),
    }
}
