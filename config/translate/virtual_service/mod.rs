//! VirtualServices: read once, then turned into routes for each listener that they concern.

mod cors_policy;
mod delegate;
pub(crate) mod destination;
mod direct_response;
mod fault;
mod header_operators;
pub(crate) mod headers;
pub(crate) mod matches;
pub(crate) mod mirror;
mod percent;
pub(crate) mod redirect;
pub(crate) mod retry;
mod rewrite;
pub(crate) mod routes;
pub(crate) mod rule;
pub(crate) mod tcp;
pub(crate) mod tls;
mod unreachable;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use crate::api::istio::VirtualService as Api;
use crate::api::istio::http_route::HttpRoute;
use crate::api::rare::Rare;
use crate::model::Line;
use crate::resources::{Object, ObjectKey, Origin, Resources};
use crate::translate::Settings;
use crate::translate::field_path::FieldPath;
use crate::translate::hosts;
use crate::translate::memory::{Memory, Version};
use crate::translate::report::{ObjectReport, Report};
use crate::translate::visibility::Visibility;
use rule::Rule;
use tcp::TcpRule;
use tls::TlsRule;

/// The gateway name that means the mesh's sidecars.
const MESH: &str = "mesh";

/// A valid VirtualService.
#[derive(Clone, Debug)]
pub(crate) struct VirtualService {
    pub(crate) key: Arc<ObjectKey>,
    /// Unlike that of every other version of any VirtualService.
    pub(crate) version: Version,
    created: Option<i64>,
    /// As written.
    pub(crate) object: Arc<Object<Api>>,
    /// Full names; empty for a delegate.
    pub(crate) hosts: Box<[String]>,
    /// The Gateways it names, `mesh` left out.
    pub(crate) gateways: Box<[ObjectKey]>,
    /// Each gateway's place in `spec.gateways`.
    pub(crate) gateway_places: Box<[usize]>,
    pub(crate) visibility: Visibility,
    /// Forgotten once routes were made of them; [`with_rules`](Self::with_rules) reads them again.
    pub(crate) rules: Vec<Rule>,
    pub(crate) tcp: Rare<Vec<TcpRule>>,
    pub(crate) tls: Rare<Vec<TlsRule>>,
}

/// All valid VirtualServices.
#[derive(Debug, Default)]
pub(crate) struct VirtualServices {
    pub(crate) all: Vec<Arc<VirtualService>>,
    /// Those that the gateway's namespace sees, by Gateway, in Istio's order.
    by_gateway: HashMap<ObjectKey, Vec<usize>>,
}

impl VirtualServices {
    /// Reads every VirtualService that changed since the last time.
    pub(crate) fn parse(
        resources: &Resources,
        settings: &Settings,
        memory: &mut Memory,
        report: &mut Report,
    ) -> Self {
        let mut all: Vec<_> = resources
            .virtual_services
            .values()
            .filter_map(|object| {
                memory.read(object, report, |version, report| {
                    parse(object, version, settings, report)
                })
            })
            .collect();
        all.sort_by(|a, b| order(a).cmp(&order(b)));
        delegate::resolve(&mut all, settings, memory, report);
        // What only the gateway's own namespace sees goes first, then what is exported to it by
        // name, then what everyone sees (Istio: VirtualServicesForGateway).
        let rank = |service: &VirtualService| match &service.visibility {
            Visibility::Namespaces(_) if service.key.namespace == settings.namespace => 0,
            Visibility::Namespaces(_) => 1,
            Visibility::Public => 2,
        };
        let mut visible: Vec<_> = (0..all.len())
            .filter(|i| all[*i].visibility.sees(&settings.namespace))
            .collect();
        visible.sort_by_key(|i| rank(&all[*i]));
        let mut by_gateway: HashMap<ObjectKey, Vec<usize>> = HashMap::new();
        for i in visible {
            for gateway in &all[i].gateways {
                match by_gateway.get_mut(gateway) {
                    Some(list) if list.last() == Some(&i) => {}
                    Some(list) => list.push(i),
                    None => {
                        by_gateway.insert(gateway.clone(), vec![i]);
                    }
                }
            }
        }
        Self { all, by_gateway }
    }

    /// The VirtualServices of a Gateway, in the order in which their routes are laid out.
    pub(crate) fn of_gateway(&self, gateway: &ObjectKey) -> &[usize] {
        self.by_gateway.get(gateway).map_or(&[], Vec::as_slice)
    }
}

fn parse(
    object: &Arc<Object<Api>>,
    version: Version,
    settings: &Settings,
    report: &mut Report,
) -> Option<VirtualService> {
    let Object {
        meta,
        body,
        origin: _,
    } = &**object;
    let Api {
        hosts: names,
        gateways,
        http,
        tls,
        tcp: tcp_routes,
        export_to,
    } = body;
    let namespace = &meta.key.namespace;
    let mut report = report.on("VirtualService", &meta.key);
    let report = &mut report;
    let spec = FieldPath::root("spec");

    check_gateway_names(gateways, &spec.field("gateways"), report);
    let for_mesh = gateways.is_empty() || gateways.iter().any(|name| name == MESH);
    let by_name = tls.iter().flat_map(|route| &route.matches);
    let by_name = by_name.filter(|matched| !matched.sni_hosts.is_empty());
    let for_names = !for_mesh && by_name.count() > 0;
    check_hosts(names, (for_mesh, for_names), &spec.field("hosts"), report);
    if for_mesh {
        check_claims(http, &spec.field("http"), report);
    }
    if names.is_empty() {
        check_delegate(body, &spec, report);
    }
    if http.is_empty() && tls.is_empty() && tcp_routes.is_empty() {
        report.invalid(
            &spec,
            "it has no http, tls or tcp routes; the object is not used.",
            "Add `http: [{route: [{destination: {host: NAME}}]}]`.",
        );
    }
    let export_to = match export_to.as_slice() {
        [] => &settings.mesh.virtual_service_export_to,
        named => named,
    };
    let visibility =
        Visibility::parse(export_to, namespace, false, &spec.field("exportTo"), report);
    let http_path = spec.field("http");
    let rules: Vec<_> = http
        .iter()
        .enumerate()
        .map(|(i, route)| rule::parse(route, i, namespace, settings, &http_path.index(i), report))
        .collect();
    let full_names: Box<[_]> = names
        .iter()
        .map(|host| hosts::qualify(host, namespace, &settings.cluster_domain))
        .collect();
    let tls_path = spec.field("tls");
    let tls_rules = tls::parse(tls, names, namespace, settings, &tls_path, report);
    let tcp_path = spec.field("tcp");
    let tcp = tcp::parse_tcp(tcp_routes, namespace, settings, &tcp_path, report);
    unreachable::check(http, &http_path, report);
    let matches: Vec<_> = tcp_routes
        .iter()
        .map(|route| route.matches.as_slice())
        .collect();
    unreachable::check_l4(&matches, &tcp_path, report);
    let matches: Vec<_> = tls.iter().map(|route| route.matches.as_slice()).collect();
    unreachable::check_l4(&matches, &tls_path, report);
    if !report.is_valid() {
        return None;
    }
    let named = || {
        gateways
            .iter()
            .enumerate()
            .filter(|(_, name)| *name != MESH)
    };
    Some(VirtualService {
        key: Arc::new(meta.key.clone()),
        version,
        created: meta.created,
        object: Arc::clone(object),
        hosts: full_names,
        gateways: named()
            .map(|(_, name)| hosts::gateway_key(name, namespace))
            .collect(),
        gateway_places: named().map(|(i, _)| i).collect(),
        visibility,
        rules,
        tcp: tcp.into(),
        tls: tls_rules.into(),
    })
}

/// A place in a list as routes keep it, of which there are tens of thousands; no source is as large
/// as to have more.
fn place(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// Oldest first; those that do not say by name (Istio: `configCompareByCreationTime`).
fn order(service: &VirtualService) -> (Option<i64>, &str, &str) {
    (service.created, &service.key.name, &service.key.namespace)
}

impl VirtualService {
    /// The same with its rules, should they be forgotten.
    pub(crate) fn with_rules<'s>(self: &'s Arc<Self>, settings: &Settings) -> Cow<'s, Self> {
        if !self.rules.is_empty() || self.object.body.http.is_empty() {
            return Cow::Borrowed(self);
        }
        // What is to be said of them was said when they were read first.
        let read = parse(&self.object, self.version, settings, &mut Report::default());
        read.map_or(Cow::Borrowed(self), Cow::Owned)
    }

    /// Forgets the rules, unless they are needed together with those of others. (A rule is several
    /// times as large as its text; of ten thousand, none is looked at again for days.)
    pub(crate) fn forget_rules(&mut self) {
        if !self.hosts.is_empty() && !delegate::delegating(self) {
            self.rules = Vec::new();
        }
    }

    /// Where the object is written; none for one from an API server.
    pub(crate) fn own_position(&self) -> Option<Line> {
        match &self.object.origin {
            Origin::File { path, line, .. } => Some(Line {
                file: Arc::clone(path),
                line: *line,
            }),
            Origin::Api { .. } => None,
        }
    }

    /// Whether a rule has `mirror` and not `mirrors`.
    pub(crate) fn has_single_mirror(&self, rule: usize) -> bool {
        let route = self.object.body.http.get(rule);
        route.is_some_and(|route| route.mirror.is_some())
    }

    /// Where a rule is written; none for an object from an API server.
    pub(crate) fn position(&self, rule: usize) -> Option<Line> {
        match &self.object.origin {
            Origin::File {
                path, line, rules, ..
            } => Some(Line {
                file: Arc::clone(path),
                line: *rules.get(rule).unwrap_or(line),
            }),
            Origin::Api { .. } => None,
        }
    }
}

/// Reports gateway names that cannot be names.
pub(crate) fn check_gateway_names(
    names: &[String],
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) {
    for (i, name) in names.iter().enumerate() {
        let path = path.index(i);
        let wrong = match name.split_once('/') {
            Some((".", name)) => !hosts::is_label(name),
            Some((namespace, name)) => !hosts::is_label(namespace) || !hosts::is_label(name),
            None => {
                if name.contains('.') {
                    let key = hosts::gateway_key(name, "");
                    report.questionable(
                        &path,
                        format!("`{name}` is an old form of a Gateway's name."),
                        format!("Write `{}/{}`.", key.namespace, key.name),
                    );
                }
                hosts::domain_error(name).is_some()
            }
        };
        if wrong {
            report.invalid(
                &path,
                format!("`{name}` is not a Gateway's name; the object is not used."),
                "Write `name`, or `namespace/name`.",
            );
        }
    }
}

/// Only gateways look at the claims of tokens.
fn check_claims(http: &[HttpRoute], path: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    for (i, route) in http.iter().enumerate() {
        let rule = path.index(i);
        let list = rule.field("match");
        for (j, matched) in route.matches.iter().enumerate() {
            let path = list.index(j);
            let conditions = [
                ("headers", &matched.headers),
                ("withoutHeaders", &matched.without_headers),
            ];
            for (field, headers) in conditions {
                let Some(claim) = matches::claim(headers) else {
                    continue;
                };
                let field = path.field(field);
                report.invalid(
                    &field.field(claim),
                    "routing by JWT claims is for gateways only, and the mesh is meant too; the object is not used.",
                    "Name a Gateway: `gateways: [NAME]`.",
                );
            }
        }
    }
}

fn check_hosts(
    names: &[String],
    (for_mesh, for_names): (bool, bool),
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) {
    let mut valid = true;
    for (i, host) in names.iter().enumerate() {
        let path = path.index(i);
        if let Some(error) = hosts::wildcard_domain_error(host) {
            let is_generated = for_names && hosts::is_generated_name(host);
            if !hosts::is_ip(host) && !is_generated {
                valid = false;
                report.invalid(
                    &path,
                    format!("the host `{host}` is wrong: {error}; the object is not used."),
                    hosts::nearest_valid(host),
                );
            }
        } else if for_mesh && host == "*" {
            valid = false;
            report.invalid(
                &path,
                "the host `*` is not allowed where the mesh is meant too; the object is not used.",
                "Name a Gateway: `gateways: [NAME]`.",
            );
        }
    }
    if !valid || names.len() < 2 {
        return;
    }
    // Exact hosts are compared by set: an object may have thousands.
    let mut exact = std::collections::HashSet::new();
    let wildcards: Vec<_> = (0..names.len())
        .filter(|i| hosts::is_wildcard(&names[*i]))
        .collect();
    for (i, host) in names.iter().enumerate() {
        let duplicate = if hosts::is_wildcard(host) {
            let mut others = wildcards.iter().filter(|other| **other < i);
            others.any(|other| hosts::overlap(&names[*other], host))
        } else {
            let mut others = wildcards.iter();
            !exact.insert(host) || others.any(|other| hosts::is_subset(host, &names[*other]))
        };
        if duplicate {
            report.invalid(
                &path.index(i),
                format!("the host `{host}` is covered by another host of the same object; the object is not used."),
                "Remove one of the two.",
            );
        }
    }
}

fn check_delegate(body: &Api, spec: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    let Api {
        gateways,
        http,
        tls,
        tcp,
        ..
    } = body;
    let fields = [
        ("gateways", !gateways.is_empty()),
        ("tls", !tls.is_empty()),
        ("tcp", !tcp.is_empty()),
    ];
    for (field, is_set) in fields {
        if is_set {
            report.invalid(
                &spec.field(field),
                format!("without hosts it is a delegate, and a delegate has no {field}; the object is not used."),
                "Add `hosts`, or remove the field.",
            );
        }
    }
    for (i, route) in http.iter().enumerate() {
        if route.delegate.is_some() {
            report.invalid(
                &spec.field("http").index(i).field("delegate"),
                "a delegate cannot delegate to another (so nothing can go round in a circle); the object is not used.",
                "Write the route itself here, or add `hosts` to make this a VirtualService of its own.",
            );
        }
    }
}

/// Reports a path that would not stay in one piece in a request line or a Location: RFC 9112 §3.2
/// allows neither spaces nor control characters in a target.
pub(crate) fn check_target(target: &str, path: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    if target.bytes().any(|b| b <= b' ' || b == 0x7f) {
        report.invalid(
            path,
            format!(
                "`{}` holds a space or a control character; the object is not used.",
                target.escape_debug()
            ),
            "Write a space as `%20`.",
        );
    }
}
