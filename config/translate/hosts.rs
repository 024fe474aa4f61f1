//! Host names: validity, short names, wildcards and their overlap.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};
use std::ops::Bound;

use crate::model::Domain;
use crate::resources::ObjectKey;

/// A short name (no dot) becomes a Service's full name in `namespace`; all else stays.
pub(crate) fn qualify(host: &str, namespace: &str, cluster_domain: &str) -> String {
    if host.is_empty() || host == "*" || host.contains('.') || is_ip(host) {
        host.to_owned()
    } else {
        format!("{host}.{namespace}.svc.{cluster_domain}")
    }
}

/// `name`, `./name`, `namespace/name` or the legacy `name.namespace.…` as a key; a Gateway
/// without a namespace lies in `namespace`.
pub(crate) fn gateway_key(name: &str, namespace: &str) -> ObjectKey {
    if let Some((gateway_namespace, name)) = name.split_once('/') {
        let gateway_namespace = match gateway_namespace {
            "." => namespace,
            other => other,
        };
        return ObjectKey::new(gateway_namespace, name);
    }
    let mut parts = name.split('.');
    match (parts.next(), parts.next()) {
        (Some(name), Some(gateway_namespace)) => ObjectKey::new(gateway_namespace, name),
        _ => ObjectKey::new(namespace, name),
    }
}

/// A host in lower case, as it is matched: `*`, `*.example.com` or `example.com`.
pub(crate) fn domain(host: &str) -> Domain {
    match host.strip_prefix('*') {
        Some("") => Domain::Any,
        Some(suffix) => Domain::Suffix(suffix.to_owned()),
        None => Domain::Exact(host.to_owned()),
    }
}

/// Whether `host` begins with a wildcard.
pub(crate) fn is_wildcard(host: &str) -> bool {
    host.starts_with('*')
}

/// Whether `host` is an IP address as text.
pub(crate) fn is_ip(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok()
}

/// Whether `text` is an IP address, or a subnet such as `10.0.0.0/8`.
pub(crate) fn is_subnet(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else {
        return is_ip(text);
    };
    let longest = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    !length.is_empty()
        && length.bytes().all(|b| b.is_ascii_digit())
        && length.parse::<u8>().is_ok_and(|length| length <= longest)
}

/// Whether `text` is a host with or without a port, as a Host field has it (RFC 9110 §7.2,
/// RFC 3986 §3.2): a name of letters, digits, `-`, `.` and `_`, an IPv4 address, or an IPv6 address
/// in brackets.
pub(crate) fn is_authority(text: &str) -> bool {
    let (valid, rest) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, rest)) => (address.parse::<Ipv6Addr>().is_ok(), rest),
            None => return false,
        },
        None => {
            let (name, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
            let valid = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
            (!name.is_empty() && name.bytes().all(valid), rest)
        }
    };
    let is_port =
        |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    valid && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
}

/// Whether every name that `host` covers is covered by `other` (Istio: `Name.SubsetOf`).
pub(crate) fn is_subset(host: &str, other: &str) -> bool {
    match (host.strip_prefix('*'), other.strip_prefix('*')) {
        (Some(suffix), Some(other)) => suffix.len() >= other.len() && suffix.ends_with(other),
        (Some(_), None) => false,
        (None, Some(other)) => host.ends_with(other),
        (None, None) => host == other,
    }
}

/// Whether the two cover a common name (Istio: `Name.Matches`).
pub(crate) fn overlap(a: &str, b: &str) -> bool {
    is_subset(a, b) || is_subset(b, a)
}

/// A DNS label as Istio's validation takes it: letters of either case, digits, inner hyphens.
pub(crate) fn is_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    bytes.len() <= 63
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || *b == b'-')
}

/// Why `host` is not a name with an optional wildcard at its head; none if it is one.
pub(crate) fn wildcard_domain_error(host: &str) -> Option<String> {
    let (first, rest) = match host.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (host, None),
    };
    if let Some(error) = length_error(host) {
        return Some(error);
    }
    let first_valid = match first.strip_prefix('*') {
        Some("") => true,
        Some(label) => is_label(label.strip_prefix('-').unwrap_or(label)),
        None => is_label(first),
    };
    if !first_valid {
        return Some(label_error(first));
    }
    rest.and_then(labels_error)
}

/// Whether this is a server name that Istio makes for AUTO_PASSTHROUGH:
/// `outbound_.80_.v1_.name.namespace.svc.cluster.local`.
pub(crate) fn is_generated_name(host: &str) -> bool {
    let Some(rest) = host.strip_prefix("outbound_.") else {
        return false;
    };
    let mut parts = rest.splitn(3, '_');
    let port = parts.next().unwrap_or_default();
    let host = parts.nth(1).unwrap_or_default();
    let host = host.strip_prefix('.').unwrap_or(host);
    port.parse::<u16>().is_ok() && domain_error(host).is_none()
}

/// Why `host` is not a plain name; none if it is one.
pub(crate) fn domain_error(host: &str) -> Option<String> {
    length_error(host).or_else(|| labels_error(host))
}

fn length_error(host: &str) -> Option<String> {
    if host.is_empty() {
        Some("a host name is empty".to_owned())
    } else if host.len() > 255 {
        Some("a host name is longer than 255 characters".to_owned())
    } else {
        None
    }
}

fn labels_error(domain: &str) -> Option<String> {
    let last = domain.rsplit('.').next().unwrap_or_default();
    if !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()) {
        return Some(format!("the last label `{last}` must not be a number"));
    }
    // An empty last label is the root: `istio.io.`.
    let labels = domain.strip_suffix('.').unwrap_or(domain).split('.');
    let mut wrong = labels.filter(|label| !is_label(label));
    wrong.next().map(label_error)
}

/// Why a label is none; it is known to be wrong.
fn label_error(label: &str) -> String {
    if label.is_empty() {
        return "a label is empty: two dots follow each other, or it begins with one".to_owned();
    }
    let strange = |c: &char| !c.is_ascii_alphanumeric() && *c != '-' && *c != '*';
    let why = if let Some(c) = label.chars().find(strange) {
        format!("`{}` may not stand in it", c.escape_debug())
    } else if label.contains('*') {
        "a `*` may stand only at the very beginning".to_owned()
    } else if label.len() > 63 {
        "it is longer than 63 characters".to_owned()
    } else {
        "it begins or ends with a hyphen".to_owned()
    };
    format!("`{label}` is not a valid label of a host name: {why}")
}

/// The nearest valid name to one that is wrong, for a hint; empty where none comes to mind.
pub(crate) fn nearest_valid(host: &str) -> String {
    // A URL, or a name with a port.
    let name = host.split_once("://").map_or(host, |(_, rest)| rest);
    let name = name.split(['/', ':']).next().unwrap_or_default();
    let (star, name) = match name.strip_prefix("*.") {
        Some(rest) => ("*.", rest),
        None => ("", name),
    };
    let labels = name.split('.').map(|label| {
        let label = label.trim().replace(['_', ' '], "-");
        label.trim_matches('-').to_owned()
    });
    let labels: Vec<_> = labels.filter(|label| !label.is_empty()).collect();
    let name = format!("{star}{}", labels.join("."));
    if name != host && wildcard_domain_error(&name).is_none() {
        format!("Did you mean `{name}`?")
    } else {
        String::new()
    }
}

/// The hosts of a Gateway's server, ready to be intersected with many VirtualServices.
#[derive(Debug, Default)]
pub(crate) struct ServerHosts {
    exact: HashMap<String, Namespaces>,
    /// By what follows the `*`.
    wildcard: HashMap<String, Namespaces>,
    /// The lengths of what follows a `*`.
    lengths: BTreeSet<usize>,
    /// Every host without its `*`, reversed, and whether it is a wildcard: finds what a wildcard
    /// of a VirtualService covers.
    reversed: BTreeMap<(String, bool), ()>,
}

/// The namespaces whose VirtualServices may use a host.
#[derive(Debug, Default)]
struct Namespaces {
    all: bool,
    named: HashSet<String>,
}

impl Namespaces {
    fn allow(&self, namespace: &str) -> bool {
        self.all || self.named.contains(namespace)
    }
}

impl ServerHosts {
    /// From `host` and `namespace/host` entries; `./` and `*/` are resolved already.
    pub(crate) fn new<'a>(hosts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut index = Self::default();
        for entry in hosts {
            let (namespace, host) = match entry.split_once('/') {
                Some((namespace, host)) => (Some(namespace), host),
                None => (None, entry),
            };
            let (map, text, wildcard) = match host.strip_prefix('*') {
                Some(suffix) => (&mut index.wildcard, suffix, true),
                None => (&mut index.exact, host, false),
            };
            if wildcard {
                index.lengths.insert(text.len());
            }
            let namespaces = map.entry(text.to_owned()).or_default();
            match namespace {
                None | Some("*") => namespaces.all = true,
                Some(namespace) => {
                    namespaces.named.insert(namespace.to_owned());
                }
            }
            index
                .reversed
                .insert((text.chars().rev().collect(), wildcard), ());
        }
        index
    }

    /// The hosts that both sides serve: of each overlapping pair the narrower one
    /// (Istio: `Names.Intersection`).
    pub(crate) fn intersection(&self, hosts: &[String], namespace: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut add = |host: String| {
            if !found.contains(&host) {
                found.push(host);
            }
        };
        for host in hosts {
            let Some(suffix) = host.strip_prefix('*') else {
                let exact = self.exact.get(host);
                if exact.is_some_and(|n| n.allow(namespace)) || self.covered(host, namespace) {
                    add(host.clone());
                }
                continue;
            };
            if self.covered(suffix, namespace) {
                add(host.clone());
            }
            let start: String = suffix.chars().rev().collect();
            let range = (Bound::Included((start.clone(), false)), Bound::Unbounded);
            for (reversed, wildcard) in self
                .reversed
                .range(range)
                .map(|(key, ())| key)
                .take_while(|(reversed, _)| reversed.starts_with(&start))
            {
                let text: String = reversed.chars().rev().collect();
                let map = if *wildcard {
                    &self.wildcard
                } else {
                    &self.exact
                };
                if map.get(&text).is_some_and(|n| n.allow(namespace)) {
                    add(if *wildcard { format!("*{text}") } else { text });
                }
            }
        }
        found
    }

    /// Whether the two sides serve a common host.
    pub(crate) fn overlaps(&self, hosts: &[String], namespace: &str) -> bool {
        !self.intersection(hosts, namespace).is_empty()
    }

    /// Whether a wildcard covers `text` (a name, or what follows a `*`).
    fn covered(&self, text: &str, namespace: &str) -> bool {
        self.lengths.iter().any(|length| {
            let start = text.len().checked_sub(*length);
            let suffix = start.and_then(|start| text.get(start..));
            let wildcard = suffix.and_then(|suffix| self.wildcard.get(suffix));
            wildcard.is_some_and(|namespaces| namespaces.allow(namespace))
        })
    }
}
