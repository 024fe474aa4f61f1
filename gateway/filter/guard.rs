//! Hosts that are not served, because nobody enforces the policies that guard them.
//!
//! A Host is compared with and without its port and a final dot, so that no spelling of it slips
//! through.

use gatehouse_config::model::{Guard, GuardedHosts};

/// The policies that guard hosts.
#[derive(Debug)]
pub struct Guards {
    list: Box<[Guard]>,
}

impl Guards {
    /// None where nothing is guarded, which costs a request nothing.
    pub fn new(guards: &[Guard]) -> Option<Box<Self>> {
        (!guards.is_empty()).then(|| {
            Box::new(Self {
                list: guards.into(),
            })
        })
    }

    /// Whether a policy guards whatever comes, so that carried TCP is guarded too: it has no Host.
    pub fn guard_everything(&self) -> bool {
        let mut guards = self.list.iter();
        guards.any(|guard| guard.hosts == GuardedHosts::Every)
    }

    /// The policy that guards this Host, if one does.
    pub fn policy(&self, authority: &[u8]) -> Option<&str> {
        let host = without_port(authority);
        let bare = host.strip_suffix(b".").unwrap_or(host);
        let spellings = [authority, host, bare];
        let guards = |guard: &&Guard| match &guard.hosts {
            GuardedHosts::Every => true,
            GuardedHosts::Only(patterns) => patterns
                .iter()
                .any(|pattern| spellings.iter().any(|host| fits(pattern, host))),
        };
        let found = self.list.iter().find(guards)?;
        Some(&found.policy)
    }
}

fn without_port(authority: &[u8]) -> &[u8] {
    match memchr::memrchr(b':', authority) {
        // The colons within an IPv6 address in brackets are none of a port.
        Some(colon) if !authority[colon..].contains(&b']') => &authority[..colon],
        _ => authority,
    }
}

/// `name`, `prefix*`, `*suffix` (reference: Istio §1.6). A pattern with a port guards its host on
/// every port. The case of letters does not count.
fn fits(pattern: &str, host: &[u8]) -> bool {
    let pattern = pattern.as_bytes();
    let patterns = [pattern, without_port(pattern)];
    patterns.iter().any(|pattern| match pattern {
        [b'*', suffix @ ..] => host
            .len()
            .checked_sub(suffix.len())
            .and_then(|start| host.get(start..))
            .is_some_and(|end| end.eq_ignore_ascii_case(suffix)),
        [prefix @ .., b'*'] => host
            .get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix)),
        pattern => pattern.eq_ignore_ascii_case(host),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_guarded_host_is_guarded() {
        let only = |patterns: &[&str]| {
            let patterns = patterns.iter().map(|pattern| (*pattern).to_owned());
            Guards::new(&[Guard {
                policy: "AuthorizationPolicy a/b".to_owned(),
                hosts: GuardedHosts::Only(patterns.collect()),
            }])
        };
        let guards = only(&["a.example", "*.b.example", "c*", "d.example:8080"]);
        let guards = guards.expect("there is a guard");
        for host in [
            "a.example",
            "A.Example",
            "a.example:8080",
            "a.example.",
            "a.example.:80",
            "x.b.example",
            "X.B.Example:1",
            "Cc",
            "d.example:8080",
            "d.example",
            "d.example:9090",
        ] {
            let policy = guards.policy(host.as_bytes());
            assert_eq!(policy, Some("AuthorizationPolicy a/b"), "{host}");
        }
        for host in [
            "xa.example",
            "b.example",
            "bc",
            "[::1]",
            "",
            "d.example.com",
        ] {
            assert_eq!(guards.policy(host.as_bytes()), None, "{host}");
        }
        assert!(Guards::new(&[]).is_none());
        assert!(!guards.guard_everything());
        let every = Guards::new(&[Guard {
            policy: "RequestAuthentication a/b".to_owned(),
            hosts: GuardedHosts::Every,
        }]);
        assert!(every.is_some_and(|guards| guards.guard_everything()));
    }
}
