//! `redirect` and `httpsRedirect`: the Location of an answer that sends the client elsewhere.

use crate::http1::RequestHead;
use crate::route::Path;
use crate::snapshot::Redirect;

/// `httpsRedirect`: the same URL with https; the Host stays as sent, port included.
pub fn to_https(head: &RequestHead) -> Vec<u8> {
    [b"https://", head.authority(), head.target()].concat()
}

/// The Location of a redirect. `scheme` is the request's, `matched` the route's path condition.
pub fn location(redirect: &Redirect, head: &RequestHead, scheme: &str, matched: &Path) -> Vec<u8> {
    let new_scheme = redirect.scheme.as_deref().unwrap_or(scheme);
    let mut location = format!("{new_scheme}://").into_bytes();
    push_authority(
        &mut location,
        redirect,
        head.authority(),
        scheme,
        new_scheme,
    );
    push_path(&mut location, redirect, head, matched);
    location
}

fn push_authority(
    location: &mut Vec<u8>,
    redirect: &Redirect,
    sent: &[u8],
    scheme: &str,
    new_scheme: &str,
) {
    let authority = redirect.authority.as_deref().unwrap_or(sent);
    match redirect.port {
        // Never the new scheme's own: translation leaves that out.
        Some(port) => {
            location.extend_from_slice(crate::route::without_port(authority));
            location.extend_from_slice(format!(":{port}").as_bytes());
        }
        None => {
            // A default port of the old scheme would be wrong with the new one.
            let old_default: &[u8] = if scheme == "https" { b":443" } else { b":80" };
            let kept = match authority.strip_suffix(old_default) {
                Some(host) if new_scheme != scheme && redirect.authority.is_none() => host,
                _ => authority,
            };
            location.extend_from_slice(kept);
        }
    }
}

fn push_path(location: &mut Vec<u8>, redirect: &Redirect, head: &RequestHead, matched: &Path) {
    let mut query = head.query();
    let start = location.len();
    if let Some(uri) = &redirect.uri {
        location.extend_from_slice(uri);
        // A query of its own replaces the request's.
        if memchr::memchr(b'?', uri).is_some() {
            query = None;
        }
    } else if let Some(prefix) = &redirect.prefix_rewrite {
        let path = head.path();
        location.extend_from_slice(prefix);
        location.extend_from_slice(&path[matched.matched_length(path)..]);
    } else {
        location.extend_from_slice(head.path());
    }
    // Nothing of the path may be taken for the host.
    if location.get(start) != Some(&b'/') {
        location.insert(start, b'/');
    }
    if let Some(query) = query {
        location.push(b'?');
        location.extend_from_slice(query);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirect(scheme: Option<&str>, authority: Option<&str>, port: Option<u16>) -> Redirect {
        Redirect {
            code: 301,
            scheme: scheme.map(Into::into),
            authority: authority.map(|text| text.as_bytes().into()),
            port,
            uri: None,
            prefix_rewrite: None,
        }
    }

    #[test]
    fn the_path_begins_with_a_slash() {
        for (uri, prefix_rewrite, want) in [
            (Some("/n"), None, "http://a.lan/n?q"),
            (Some("n"), None, "http://a.lan/n?q"),
            (Some("?r"), None, "http://a.lan/?r"),
            (None, Some("n"), "http://a.lan/n/x?q"),
            (None, Some(".evil.test"), "http://a.lan/.evil.test/x?q"),
        ] {
            let bytes = |text: Option<&str>| text.map(|text| text.as_bytes().into());
            let redirect = Redirect {
                uri: bytes(uri),
                prefix_rewrite: bytes(prefix_rewrite),
                ..redirect(None, None, None)
            };
            let head = RequestHead::new(b"GET", b"/old/x?q", b"a.lan");
            let path = Path::Prefix((*b"/old").into());
            let location = location(&redirect, &head, "http", &path);
            assert_eq!(String::from_utf8_lossy(&location), want);
        }
    }

    #[test]
    fn the_port_is_the_hosts_unless_the_redirect_names_one() {
        for (host, redirect, want) in [
            (
                "a.lan:8080",
                redirect(None, None, None),
                "http://a.lan:8080/x?q",
            ),
            (
                "a.lan:8080",
                redirect(None, None, Some(81)),
                "http://a.lan:81/x?q",
            ),
            (
                "a.lan:80",
                redirect(Some("https"), None, None),
                "https://a.lan/x?q",
            ),
            (
                "a.lan",
                redirect(Some("https"), None, Some(80)),
                "https://a.lan:80/x?q",
            ),
            (
                "a.lan:80",
                redirect(None, Some("b.lan"), None),
                "http://b.lan/x?q",
            ),
            (
                "a.lan",
                redirect(None, Some("b.lan:1"), Some(8443)),
                "http://b.lan:8443/x?q",
            ),
            (
                "[::1]:80",
                redirect(None, None, Some(81)),
                "http://[::1]:81/x?q",
            ),
        ] {
            let head = RequestHead::new(b"GET", b"/x?q", host.as_bytes());
            let location = location(&redirect, &head, "http", &Path::Any);
            assert_eq!(String::from_utf8_lossy(&location), want);
        }
    }
}
