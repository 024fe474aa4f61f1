//! Host to virtual host: exact, then the longest wildcard, then `*`; never a second choice.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use gatehouse_config::model::Domain;

use crate::snapshot::HostId;

/// The domains of one server (reference: Istio §2.2), and what each leads to: a virtual host, or
/// whatever else names lead to.
#[derive(Debug)]
pub struct HostTable<T = HostId> {
    exact: HashMap<Box<[u8]>, T, RandomState>,
    /// `.example.com` of `*.example.com`: found by cutting the host at its dots.
    suffix: HashMap<Box<[u8]>, T, RandomState>,
    /// Wildcards that do not begin at a dot (`*-x.example.com`), longest first.
    partial: Vec<(Box<[u8]>, T)>,
    any: Option<T>,
}

/// Longer than any legal host: names are at most 255 bytes (RFC 1035 §2.3.4).
const MAX_HOST: usize = 256;

impl<T> Default for HostTable<T> {
    fn default() -> Self {
        Self {
            exact: HashMap::default(),
            suffix: HashMap::default(),
            partial: Vec::new(),
            any: None,
        }
    }
}

impl<T: Copy> HostTable<T> {
    /// A table for this many domains.
    pub fn with_capacity(domains: usize) -> Self {
        let mut table = Self::default();
        table.exact.reserve(domains);
        table
    }

    /// Adds a domain; the first of equal ones stays.
    pub fn insert(&mut self, domain: &Domain, host: T) {
        match domain {
            Domain::Exact(name) => {
                self.exact.entry(name.as_bytes().into()).or_insert(host);
            }
            Domain::Suffix(suffix) if suffix.starts_with('.') => {
                self.suffix.entry(suffix.as_bytes().into()).or_insert(host);
            }
            Domain::Suffix(suffix) => {
                self.partial.push((suffix.as_bytes().into(), host));
                self.partial
                    .sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
            }
            Domain::Any => {
                self.any.get_or_insert(host);
            }
        }
    }

    /// The virtual host of a Host or `:authority` value; any port is ignored.
    pub fn find(&self, authority: &[u8]) -> Option<T> {
        if self.exact.is_empty() && self.suffix.is_empty() && self.partial.is_empty() {
            return self.any;
        }
        let name = without_port(authority);
        let mut lower = [0_u8; MAX_HOST];
        let Some(lower) = lower.get_mut(..name.len()) else {
            return self.any;
        };
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        let name = &*lower;
        if let Some(host) = self.exact.get(name) {
            return Some(*host);
        }
        self.wildcard(name).or(self.any)
    }

    /// Every domain that fits a Host, the one that [`find`](Self::find) chooses first.
    pub fn fitting(&self, authority: &[u8]) -> Vec<String> {
        let name = without_port(authority).to_ascii_lowercase();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let exact = self
            .exact
            .get_key_value(&*name)
            .filter(|_| name.len() <= MAX_HOST);
        let mut wildcards: Vec<&[u8]> = memchr::memchr_iter(b'.', &name)
            .filter(|dot| *dot > 0)
            .filter_map(|dot| self.suffix.get_key_value(&name[dot..]))
            .map(|(suffix, _)| &**suffix)
            .chain(
                self.partial
                    .iter()
                    .map(|(suffix, _)| &**suffix)
                    .filter(|suffix| name.len() > suffix.len() && name.ends_with(suffix)),
            )
            .collect();
        wildcards.sort_by_key(|suffix| std::cmp::Reverse(suffix.len()));
        let wildcards = wildcards
            .into_iter()
            .map(|suffix| format!("*{}", text(suffix)));
        let exact = exact.map(|(name, _)| text(name));
        let any = self.any.map(|_| "*".to_owned());
        exact.into_iter().chain(wildcards).chain(any).collect()
    }

    /// The domains that are no wildcards, in no order.
    pub fn exact_names(&self) -> impl Iterator<Item = &str> {
        self.exact
            .keys()
            .filter_map(|name| std::str::from_utf8(name).ok())
    }

    fn wildcard(&self, name: &[u8]) -> Option<T> {
        // Something must stand in for the `*`, hence the search from 1.
        let by_label = if self.suffix.is_empty() {
            None
        } else {
            memchr::memchr_iter(b'.', name)
                .filter(|dot| *dot > 0)
                .find_map(|dot| {
                    self.suffix
                        .get(&name[dot..])
                        .map(|host| (name.len() - dot, *host))
                })
        };
        let by_part = self
            .partial
            .iter()
            .find(|(suffix, _)| name.len() > suffix.len() && name.ends_with(suffix))
            .map(|(suffix, host)| (suffix.len(), *host));
        match (by_label, by_part) {
            (Some(a), Some(b)) => Some(if b.0 > a.0 { b.1 } else { a.1 }),
            (a, b) => a.or(b).map(|(_, host)| host),
        }
    }
}

/// `name:80` → `name`, `[::1]:80` → `[::1]`; a bare IPv6 address stays whole.
pub(crate) fn without_port(authority: &[u8]) -> &[u8] {
    match memchr::memrchr(b':', authority) {
        Some(colon)
            if authority[colon + 1..].iter().all(u8::is_ascii_digit)
                && (authority.first() == Some(&b'['))
                    == (authority[..colon].last() == Some(&b']'))
                && !(authority.first() != Some(&b'[')
                    && memchr::memchr(b':', &authority[..colon]).is_some()) =>
        {
            &authority[..colon]
        }
        _ => authority,
    }
}
