//! `redirect` and `httpsRedirect`: the Location of an answer that sends the client elsewhere.

use gatehouse_config::model::RedirectPort;

use crate::http1::RequestHead;
use crate::route::Path;
use crate::snapshot::Redirect;

/// `httpsRedirect`: the same URL with https; the Host stays as sent, port included.
pub fn to_https(head: &RequestHead) -> Vec<u8> {
    [b"https://", head.authority(), head.target()].concat()
}

/// The Location of a redirect. `scheme` is the request's, `listener_port` the server's port as
/// written, `matched` the route's path condition.
pub fn location(
    redirect: &Redirect,
    head: &RequestHead,
    scheme: &str,
    listener_port: u16,
    matched: &Path,
) -> Vec<u8> {
    let new_scheme = redirect.scheme.as_deref().unwrap_or(scheme);
    let mut location = format!("{new_scheme}://").into_bytes();
    push_authority(
        &mut location,
        redirect,
        head.authority(),
        scheme,
        new_scheme,
        listener_port,
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
    listener_port: u16,
) {
    let authority = redirect.authority.as_deref().unwrap_or(sent);
    let explicit = match redirect.port {
        RedirectPort::Number(port) => Some(port),
        RedirectPort::Request => Some(listener_port),
        RedirectPort::ProtocolDefault => None,
    };
    match explicit {
        Some(port) => {
            location.extend_from_slice(crate::route::without_port(authority));
            // The default port of the scheme that the client is sent to goes without saying.
            if (new_scheme, port) != ("http", 80) && (new_scheme, port) != ("https", 443) {
                location.extend_from_slice(format!(":{port}").as_bytes());
            }
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
    if let Some(query) = query {
        location.push(b'?');
        location.extend_from_slice(query);
    }
}
