//! `rewrite`: another path or Host for the upstream.

use crate::http1::RequestHead;
use crate::snapshot::{Forward, Route, UriRewrite};

/// Rewrites path and Host, and keeps the originals in `x-envoy-original-path` and
/// `x-envoy-original-host` as Envoy does.
pub fn rewrite(head: &mut RequestHead, route: &Route, forward: &Forward) {
    if let Some(rewrite) = &forward.rewrite {
        let path = head.path();
        let new = match rewrite {
            UriRewrite::Prefix(replacement) => {
                let rest = &path[route.matcher.path.matched_length(path)..];
                [replacement, rest].concat()
            }
            UriRewrite::Regex { regex, replacement } => {
                regex.replace_all(path, &replacement[..]).into_owned()
            }
        };
        let original = head.target().to_vec();
        head.fields_mut().set("x-envoy-original-path", &original);
        head.set_path(&new);
    }
    if let Some(authority) = &forward.authority
        && **authority != *head.authority()
    {
        let original = head.authority().to_vec();
        head.fields_mut().set("x-envoy-original-host", &original);
        head.set_authority(authority);
    }
}
