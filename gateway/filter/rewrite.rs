//! `rewrite`: another path or Host for the upstream.

use gatehouse_config::model::ProxyHeaders;

use crate::http1::{Fields, RequestHead};
use crate::snapshot::{Forward, Route, UriRewrite, WeightedDestination};

/// Rewrites path and Host, and keeps the originals in `x-envoy-original-path` and
/// `x-envoy-original-host` as Envoy does. The rule's Host wins over that of the destination `to`.
pub fn rewrite(
    head: &mut RequestHead,
    route: &Route,
    forward: &Forward,
    to: &WeightedDestination,
    proxy: &ProxyHeaders,
) {
    if let Some(rewrite) = &forward.rewrite {
        rewrite_path(head, route, rewrite, proxy.debug);
    }
    if let Some(authority) = forward.authority.as_ref().or(to.authority.as_ref())
        && **authority != *head.authority()
    {
        let original = head.authority().to_vec();
        if proxy.debug {
            head.fields_mut().set("x-envoy-original-host", &original);
        }
        if proxy.forwarded_host {
            append_forwarded_host(head.fields_mut(), &original);
        }
        head.set_authority(authority);
    }
}

/// Appends the Host to `x-forwarded-host`, unless it is the last one there already (Envoy:
/// `append_x_forwarded_host`).
fn append_forwarded_host(fields: &mut Fields, host: &[u8]) {
    let mut all = Vec::new();
    for value in fields.get_all("x-forwarded-host") {
        all.extend_from_slice(value);
        all.push(b',');
    }
    let said = all.strip_suffix(b",").unwrap_or_default();
    let last = said.rsplit(|byte| *byte == b',').next().unwrap_or_default();
    if last.trim_ascii() != host {
        all.extend_from_slice(host);
        fields.set("x-forwarded-host", &all);
    }
}

fn rewrite_path(head: &mut RequestHead, route: &Route, rewrite: &UriRewrite, debug: bool) {
    let path = head.path();
    if path == b"*" {
        return; // It is no path, but the server as a whole (RFC 9112 §3.2.4).
    }
    let mut new = match rewrite {
        UriRewrite::Prefix(replacement) => {
            let rest = &path[route.matcher.path.matched_length(path)..];
            [replacement, rest].concat()
        }
        UriRewrite::Regex { regex, replacement } => {
            regex.replace_all(path, &replacement[..]).into_owned()
        }
    };
    // The origin form begins with a slash (RFC 9112 §3.2.1).
    if new.first() != Some(&b'/') {
        new.insert(0, b'/');
    }
    let original = head.target().to_vec();
    if debug {
        head.fields_mut().set("x-envoy-original-path", &original);
    }
    head.set_path(&new);
}

#[cfg(test)]
mod tests {
    use regex::bytes::Regex;

    use super::*;
    use crate::route::{Matcher, Path};
    use crate::snapshot::{Destination, test_route};

    fn route(path: Path) -> Route {
        test_route(Matcher {
            path,
            conditions: None,
        })
    }

    fn to(authority: Option<&str>) -> WeightedDestination {
        WeightedDestination {
            destination: Destination::Unknown {
                name: String::new(),
            },
            weight: 1,
            authority: authority.map(|text| text.as_bytes().into()),
            request_edits: Box::default(),
            response_edits: Box::default(),
        }
    }

    fn forward(rewrite: Option<UriRewrite>, authority: Option<&str>) -> Forward {
        Forward {
            destinations: Box::default(),
            total_weight: 1,
            rewrite: rewrite.map(Box::new),
            authority: authority.map(|text| text.as_bytes().into()),
            timeout: None,
            retry: None,
            mirrors: Box::default(),
        }
    }

    fn prefix(text: &str) -> UriRewrite {
        UriRewrite::Prefix(text.as_bytes().into())
    }

    fn regex(regex: &str, replacement: &str) -> UriRewrite {
        UriRewrite::Regex {
            regex: Regex::new(regex).unwrap(),
            replacement: replacement.as_bytes().into(),
        }
    }

    /// RFC 9112 §3.2.1.
    #[test]
    fn rfc9112_3_2_1_a_rewritten_target_begins_with_a_slash() {
        for (target, rewrite, want) in [
            ("/old/x?q=1", prefix("/new"), "/new/x?q=1"),
            ("/old", prefix("new"), "/new"),
            ("/old/x", regex("^/old/x$", ""), "/"),
            ("/old/x?q=1", regex("/old/x", ""), "/?q=1"),
            ("/old/x", regex("^/", ""), "/old/x"),
            ("*", prefix("/new"), "*"),
            ("*", regex("[*]", ""), "*"),
        ] {
            let mut head = RequestHead::new(b"OPTIONS", target.as_bytes(), b"a.lan");
            let route = route(Path::Prefix((*b"/old").into()));
            let what = format!("{target} {rewrite:?}");
            super::rewrite(
                &mut head,
                &route,
                &forward(Some(rewrite), None),
                &to(None),
                &ProxyHeaders::default(),
            );
            assert_eq!(String::from_utf8_lossy(head.target()), want, "{what}");
        }
    }

    #[test]
    fn the_rules_host_wins_over_a_destinations() {
        for (rule, destination, want, original) in [
            (None, None, "a.lan", None),
            (None, Some("d.lan"), "d.lan", Some("a.lan")),
            (Some("r.lan"), Some("d.lan"), "r.lan", Some("a.lan")),
            (None, Some("a.lan"), "a.lan", None),
        ] {
            let mut head = RequestHead::new(b"GET", b"/", b"a.lan");
            rewrite(
                &mut head,
                &route(Path::Any),
                &forward(None, rule),
                &to(destination),
                &ProxyHeaders::default(),
            );
            assert_eq!(String::from_utf8_lossy(head.authority()), want);
            let kept = head.fields().get("x-envoy-original-host");
            assert_eq!(kept, original.map(str::as_bytes));
        }
    }
}
