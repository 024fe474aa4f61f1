//! Gateways: which select this daemon, and their servers merged per port.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::api::istio::Gateway as Api;
use crate::api::istio::gateway::{Port, Server as ApiServer, ServerTls};
use crate::codes;
use crate::finding::Level;
use crate::model::{self, ServerContent, ServerOrigin, socket_stand_in};
use crate::resources::{Object, ObjectKey, Resources};
use crate::translate::Settings;
use crate::translate::field_path::FieldPath;
use crate::translate::hosts::{self, ServerHosts};
use crate::translate::labels;
use crate::translate::report::{ObjectReport, Report};
use crate::translate::{registry, scalars, server_tls};

/// ProxyConfig for a single pod.
const PROXY_CONFIG: &str = "proxy.istio.io/config";

/// A valid Gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) key: Arc<ObjectKey>,
    created: Option<i64>,
    /// Whether its selector selects this daemon.
    pub(crate) selected: bool,
    /// Where relative paths of files begin.
    pub(crate) folder: Option<PathBuf>,
    pub(crate) servers: Vec<Server>,
}

/// A server, of any protocol.
#[derive(Debug)]
pub(crate) struct Server {
    /// Its place in `spec.servers`.
    pub(crate) index: usize,
    pub(crate) port: u16,
    pub(crate) port_name: String,
    pub(crate) protocol: Protocol,
    pub(crate) bind: Option<IpAddr>,
    /// `host`, `namespace/host`; `./` and `*/` are resolved.
    pub(crate) hosts: Vec<String>,
    pub(crate) index_of_hosts: ServerHosts,
    pub(crate) has_tls: bool,
    /// As written.
    pub(crate) tls: Option<Box<ServerTls>>,
    /// Whether what comes out of TLS is HTTP: `protocol: HTTPS`.
    pub(crate) is_https: bool,
    /// Whether calls of grpc-web are turned into gRPC: `protocol: GRPC-WEB`.
    pub(crate) is_grpc_web: bool,
    pub(crate) https_redirect: bool,
    /// Where it listens in place of a port.
    socket: Option<Arc<str>>,
}

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP, HTTP2, GRPC, GRPC-WEB: plain text.
    Http,
    /// HTTPS and TLS.
    Tls,
    /// TCP, and what is carried as TCP.
    Tcp,
}

/// The servers of one port and bind address, in merge order; of TCP servers there is one.
pub(crate) struct Merged<'g> {
    pub(crate) port: u16,
    pub(crate) bind: Option<IpAddr>,
    pub(crate) socket: Option<Arc<str>>,
    pub(crate) protocol: Protocol,
    pub(crate) servers: Vec<(&'g Gateway, &'g Server)>,
}

/// Reads every Gateway, oldest first.
pub(crate) fn parse_all(
    resources: &Resources,
    settings: &Settings,
    report: &mut Report,
) -> Vec<Gateway> {
    let mut gateways: Vec<_> = resources
        .gateways
        .values()
        .filter_map(|object| parse(object, settings, report))
        .collect();
    gateways.sort_by(|a, b| {
        (a.created, &a.key.name, &a.key.namespace).cmp(&(b.created, &b.key.name, &b.key.namespace))
    });
    gateways
}

/// Merges the servers of the Gateways that select this daemon (Istio: `MergeGateways`): on one port
/// and bind address the first protocol stands, HTTP servers share one listener, and what else
/// stands in the way of an earlier server does not listen.
pub(crate) fn merge<'g>(gateways: &'g [Gateway], report: &mut Report) -> Vec<Merged<'g>> {
    let mut merged: Vec<Merged<'g>> = Vec::new();
    let mut places: HashMap<(u16, Option<IpAddr>), Taken<'g>> = HashMap::new();
    for gateway in gateways.iter().filter(|gateway| gateway.selected) {
        let mut report = report.on("Gateway", &gateway.key);
        for server in &gateway.servers {
            let taken = match places.entry((server.port, server.bind)) {
                Entry::Occupied(taken) => taken.into_mut(),
                Entry::Vacant(place) => {
                    merged.push(Merged {
                        port: server.port,
                        bind: server.bind,
                        socket: server.socket.clone(),
                        protocol: server.protocol,
                        servers: vec![(gateway, server)],
                    });
                    let mut taken = Taken {
                        protocol: server.protocol,
                        by: &gateway.key,
                        index: merged.len() - 1,
                        names: HashMap::new(),
                    };
                    taken.claim(&gateway.key, server);
                    place.insert(taken);
                    continue;
                }
            };
            match taken.refuses(server) {
                Some((field, message, hint)) => report.add(
                    codes::PORT_CONFLICT,
                    Level::Error,
                    &FieldPath::root("spec")
                        .field("servers")
                        .index(server.index)
                        .field(field),
                    message,
                    hint,
                ),
                None => {
                    merged[taken.index].servers.push((gateway, server));
                    taken.claim(&gateway.key, server);
                }
            }
        }
    }
    merged
}

/// Who has a port and bind address.
struct Taken<'g> {
    protocol: Protocol,
    by: &'g ObjectKey,
    /// The place in the merged list.
    index: usize,
    /// Of servers with a `tls` block: names that are taken, and by whom. Servers that end TLS take
    /// the name itself, since a client's SNI says no namespace; those that pass it through take the
    /// host as it is written.
    names: HashMap<&'g str, &'g ObjectKey>,
}

impl<'g> Taken<'g> {
    fn claim(&mut self, gateway: &'g ObjectKey, server: &'g Server) {
        // A plain server with a `tls` block (`httpsRedirect`) is judged like one that speaks TLS:
        // Istio looks at the block alone.
        if server.has_tls {
            for name in server.tls_names() {
                self.names.entry(name).or_insert(gateway);
            }
        }
    }

    /// Why the server cannot listen beside those that are there: the field, the message, the fix.
    fn refuses(&self, server: &Server) -> Option<(&'static str, String, String)> {
        let port = server.port;
        match (self.protocol, server.protocol) {
            (Protocol::Http, Protocol::Http) if !server.has_tls => None,
            (Protocol::Tcp, Protocol::Tcp) => Some((
                "port",
                format!(
                    "port {port} is taken by a TCP server of Gateway {}, and TCP tells no hosts apart: this server does not listen.",
                    self.by
                ),
                "Give one of the two another port or bind address.".to_owned(),
            )),
            (Protocol::Tls, Protocol::Tls) | (Protocol::Http, Protocol::Http) => {
                let mut names = server.tls_names();
                let (name, by) = names.find_map(|name| self.names.get_key_value(name))?;
                Some((
                    "hosts",
                    format!(
                        "the host `{name}` on port {port} is taken by Gateway {by}, so this server does not listen, with none of its hosts."
                    ),
                    format!("Remove `{name}` from one of the two."),
                ))
            }
            (first, second) => Some((
                "port",
                format!(
                    "port {port} is taken by Gateway {} for {first}, so this {second} server does not listen.",
                    self.by
                ),
                "Give one of the two another port.".to_owned(),
            )),
        }
    }
}

impl Server {
    /// What a TLS server claims on its port.
    fn tls_names(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().map(|host| match host.split_once('/') {
            Some((_, name)) if self.ends_tls() => name,
            _ => host,
        })
    }

    /// Whether it holds the certificate itself.
    pub(crate) fn ends_tls(&self) -> bool {
        let tls = self.tls.as_deref();
        tls.is_some_and(|tls| !server_tls::passes_through(tls))
    }

    /// What the model calls it.
    pub(crate) fn origin(&self, gateway: &Gateway) -> ServerOrigin {
        ServerOrigin {
            gateway: (*gateway.key).clone(),
            port_name: self.port_name.clone(),
        }
    }
}

impl Merged<'_> {
    /// The server of the model that serves this.
    pub(crate) fn server(&self, serves: ServerContent) -> model::Server {
        let origins = self.servers.iter();
        model::Server {
            port: self.port,
            bind: self.bind,
            socket: self.socket.clone(),
            // Of those that share a port the first stands for all (Istio).
            grpc_web: self.servers.first().is_some_and(|(_, s)| s.is_grpc_web),
            origins: origins
                .map(|(gateway, server)| server.origin(gateway))
                .collect(),
            serves,
        }
    }
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Http => "HTTP",
            Self::Tls => "TLS",
            Self::Tcp => "TCP",
        })
    }
}

fn parse(object: &Object<Api>, settings: &Settings, report: &mut Report) -> Option<Gateway> {
    let Object { meta, body, origin } = object;
    let Api { selector, servers } = body;
    let mut report = report.on("Gateway", &meta.key);
    let report = &mut report;
    let spec = FieldPath::root("spec");
    if meta.annotations.contains_key(PROXY_CONFIG) {
        let metadata = FieldPath::root("metadata");
        report.add(
            codes::NO_EFFECT,
            Level::Warning,
            &metadata.field("annotations").field(PROXY_CONFIG),
            "the annotation configures the pod that carries it, and a Gateway is none; it has no \
             effect, nor has it in Istio.",
            "Write `defaultConfig` in a document of `kind: MeshConfig`.",
        );
    }
    if !hosts::is_label(&meta.key.name) {
        report.invalid(
            &FieldPath::root("metadata").field("name"),
            format!(
                "`{}` is not a Gateway's name; the object is not used.",
                meta.key.name
            ),
            "Use letters, digits and `-`, and no dot.",
        );
    }
    let path = spec.field("servers");
    if servers.is_empty() {
        report.invalid(&path, "it has no servers; the object is not used.", "");
    }
    let selected = labels::is_subset(selector, &settings.labels);
    let mut names = HashSet::new();
    let mut parsed = Vec::with_capacity(servers.len());
    for (i, server) in servers.iter().enumerate() {
        let path = path.index(i);
        if let Some(port) = &server.port
            && !names.insert(port.name.as_str())
        {
            report.invalid(
                &path.field("port").field("name"),
                format!(
                    "the port name `{}` is used twice; the object is not used.",
                    port.name
                ),
                "Names must be unique within a Gateway.",
            );
        }
        parsed.extend(parse_server(server, i, &meta.key.namespace, &path, report));
    }
    report.is_valid().then(|| Gateway {
        key: Arc::new(meta.key.clone()),
        created: meta.created,
        selected,
        folder: origin.folder().map(Path::to_owned),
        servers: parsed,
    })
}

fn parse_server(
    server: &ApiServer,
    index: usize,
    namespace: &str,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<Server> {
    let ApiServer {
        port,
        bind,
        hosts: names,
        tls,
        default_endpoint,
        name: _, // names statistics of Envoy's connection manager
    } = server;
    if !default_endpoint.is_empty() {
        report.no_effect(
            &path.field("defaultEndpoint"),
            "defaultEndpoint has no effect, nor has it in Istio.",
            "",
        );
    }
    check_hosts(names, &path.field("hosts"), report);
    let port_path = path.field("port");
    let Some(port) = port else {
        report.invalid(
            &port_path,
            "the port is missing; the object is not used.",
            "",
        );
        return None;
    };
    let Port {
        number,
        protocol: protocol_name,
        name: port_name,
        target_port,
    } = port;
    if *target_port != 0 {
        report.questionable(
            &port_path.field("targetPort"),
            "targetPort has no effect on a Gateway.",
            "",
        );
    }
    if port_name.is_empty() {
        report.invalid(
            &port_path.field("name"),
            "the port has no name; the object is not used.",
            "",
        );
    }
    let socket = bind.strip_prefix("unix://");
    let parsed_bind = if let Some(socket) = socket {
        Some(socket_stand_in(socket))
    } else if bind.is_empty() {
        None
    } else {
        let parsed = bind.parse().ok();
        if parsed.is_none() {
            report.invalid(
                &path.field("bind"),
                format!("`{bind}` is not an IP address; the object is not used."),
                "",
            );
        }
        parsed
    };
    if let Some(socket) = socket {
        registry::check_socket(socket, &path.field("bind"), report);
        if port.number != 0 {
            report.invalid(
                &port_path.field("number"),
                "a server at a socket has no port; the object is not used.",
                "Write `number: 0`.",
            );
        }
    }
    let number = match *number {
        0 if socket.is_some() => 0,
        number => scalars::port(number, &port_path.field("number"), report)?,
    };
    let protocol = parse_protocol(protocol_name, &port_path.field("protocol"), report)?;
    server_tls::check(tls.as_ref(), protocol, path, report);
    let hosts = resolve_hosts(names, namespace);
    Some(Server {
        index,
        port: number,
        port_name: port_name.clone(),
        protocol,
        bind: parsed_bind,
        index_of_hosts: ServerHosts::new(hosts.iter().map(String::as_str)),
        hosts,
        has_tls: tls.is_some(),
        tls: tls.clone().map(Box::new),
        is_grpc_web: protocol_name.eq_ignore_ascii_case("GRPC-WEB"),
        is_https: protocol_name.eq_ignore_ascii_case("HTTPS"),
        https_redirect: tls.as_ref().is_some_and(|tls| tls.https_redirect),
        socket: socket.map(Into::into),
    })
}

/// `./host` means the Gateway's namespace, `*/host` any, and `*/*` any host whatever else is
/// listed (Istio: `sanitizeServerHostNamespace`).
pub(crate) fn resolve_hosts(names: &[String], namespace: &str) -> Vec<String> {
    if names.iter().any(|name| name == "*/*") {
        return vec!["*".to_owned()];
    }
    names
        .iter()
        .map(|name| match name.split_once('/') {
            Some((".", host)) => format!("{namespace}/{host}"),
            Some(("*", host)) => host.to_owned(),
            _ => name.clone(),
        })
        .collect()
}

fn check_hosts(names: &[String], path: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    if names.is_empty() {
        report.invalid(
            path,
            "the server has no hosts; the object is not used.",
            "Write `hosts: [\"*\"]` for any.",
        );
    }
    for (i, name) in names.iter().enumerate() {
        let (namespace, host) = match name.split_once('/') {
            Some((namespace, host)) => (Some(namespace), host),
            None => (None, name.as_str()),
        };
        let wrong = if namespace.is_some_and(|n| n != "*" && n != "." && !hosts::is_label(n)) {
            Some("what stands before the `/` is not a namespace".to_owned())
        } else if host.is_empty() {
            Some("no host stands there".to_owned())
        } else if host != "*" && !host.contains('.') && !hosts::is_ip(host) {
            Some("short names are not allowed".to_owned())
        } else if host.starts_with('*') && host.len() > 1 && !host.starts_with("*.") {
            Some("a `*` must be a label of its own".to_owned())
        } else if hosts::is_ip(host) {
            None
        } else {
            hosts::wildcard_domain_error(host)
        };
        if let Some(wrong) = wrong {
            report.invalid(
                &path.index(i),
                format!("the host `{name}` is wrong: {wrong}; the object is not used."),
                "Write a full name, `*.example.com`, or `*`.",
            );
        }
    }
}

fn parse_protocol(
    name: &str,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<Protocol> {
    match name.to_ascii_uppercase().as_str() {
        "HTTP" | "HTTP2" | "GRPC" | "GRPC-WEB" => Some(Protocol::Http),
        "HTTPS" | "TLS" => Some(Protocol::Tls),
        "TCP" | "MONGO" | "REDIS" | "MYSQL" => Some(Protocol::Tcp),
        _ => {
            report.invalid(
                path,
                format!("`{name}` is not a protocol of a Gateway; the object is not used."),
                "Use HTTP, HTTPS, HTTP2, GRPC, GRPC-WEB, TCP or TLS.",
            );
            None
        }
    }
}
