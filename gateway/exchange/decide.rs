//! What becomes of a request, decided without a socket: this code serves requests, and the same
//! code answers `gatehouse why`.

use std::borrow::Cow;

use gatehouse_config::model::{Proxy, Underscores};

use crate::exchange::Connection;
use crate::exchange::reply::Reply;
use crate::exchange::serve::set_length;
use crate::filter::headers::Known;
use crate::filter::path_normalization::{self, BadPath, Normal};
use crate::filter::sanitize::{self, Trusted};
use crate::filter::{headers, redirect, rewrite};
use crate::http1::{BodyLength, KnownName, RequestHead, Version};
use crate::route::RequestView;
use crate::snapshot::{Forward, Route, RouteId, ServerId, Snapshot, WeightedDestination};
use crate::worker::random::Random;

/// Judges and cleans a request before anything looks at it. `scheme` is what we were spoken to;
/// from then on it is what trusted proxies say.
pub(crate) fn receive(
    head: &mut RequestHead,
    connection: &Connection,
    scheme: &'static str,
    proxy: &Proxy,
    random: &Random,
) -> Result<Trusted, Reply> {
    if head.version() == Version::Http10 {
        return Err(Reply::upgrade_required());
    }
    if head.is_connect() {
        return Err(Reply::no_route());
    }
    match head.upgrade() {
        Some(protocol) if protocol.eq_ignore_ascii_case(b"websocket") => {}
        // An offer that may be ignored (RFC 9110 §7.8), and that clients make unasked.
        Some(protocol) if is_ignored_upgrade(protocol) => head.decline_upgrade(),
        Some(_) => return Err(Reply::upgrade_forbidden()),
        None => {}
    }
    match proxy.connections.underscores {
        Underscores::Allow => {}
        Underscores::Reject if has_underscore(head) => return Err(Reply::underscore()),
        Underscores::Reject => {}
        Underscores::Drop => head.fields_mut().retain(|name, _| !name.contains(&b'_')),
    }
    match path_normalization::normalize(head.path(), proxy) {
        Ok(Normal::Path(Cow::Borrowed(_))) => {}
        Ok(Normal::Path(Cow::Owned(normal))) => head.set_path(&normal),
        Ok(Normal::Redirect(normal)) => {
            head.set_path(&normal);
            return Err(Reply::to_normal_path(head.target().to_vec()));
        }
        Err(BadPath::Nul | BadPath::EscapedSlash) => return Err(Reply::bad_path()),
    }
    Ok(sanitize::sanitize(head, connection, scheme, proxy, random))
}

fn has_underscore(head: &RequestHead) -> bool {
    head.fields().iter().any(|(name, _)| name.contains(&b'_'))
}

/// HTTP/2 in plain text (`h2c`) and TLS: what a client would like better than HTTP/1.1.
fn is_ignored_upgrade(protocol: &[u8]) -> bool {
    protocol.eq_ignore_ascii_case(b"h2c")
        || protocol
            .get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"tls/"))
}

/// The route of a request that was received; or the answer where there is none.
pub(crate) fn route(
    snapshot: &Snapshot,
    server: ServerId,
    head: &RequestHead,
    scheme: &str,
) -> Result<RouteId, Reply> {
    if let Some(guards) = &snapshot.guards
        && let Some(policy) = guards.policy(head.authority())
    {
        return Err(Reply::not_enforced(policy));
    }
    let id = snapshot
        .server(server)
        .table
        .find(head.authority())
        .ok_or_else(Reply::no_route)?;
    let host = snapshot.host(id);
    if host.require_tls && scheme == "http" {
        return Err(Reply::redirect(301, redirect::to_https(head)));
    }
    let position = host
        .routes
        .find(&looked_at(head, scheme))
        .ok_or_else(Reply::no_route)?;
    Ok(RouteId { host: id, position })
}

/// What routes look at.
pub(crate) fn looked_at<'a>(head: &'a RequestHead, scheme: &'a str) -> RequestView<'a> {
    RequestView {
        method: head.method(),
        path: head.path(),
        query: head.query(),
        authority: head.authority(),
        scheme: scheme.as_bytes(),
        fields: head.fields(),
    }
}

/// Turns the request into the one that the upstream is sent; tries only change its attempt count.
pub(crate) fn prepare(
    head: &mut RequestHead,
    known: Known<'_>,
    route: &Route,
    forward: &Forward,
    to: &WeightedDestination,
    proxy: &Proxy,
) {
    headers::edit_request(head, &to.request_edits, known);
    headers::edit_request(head, &route.request_edits, known);
    rewrite::rewrite(head, route, forward, to, &proxy.headers);
    if head.upgrade().is_some() {
        head.fields_mut().remove_hop_by_hop_but_upgrade();
    } else {
        head.fields_mut().remove_hop_by_hop();
    }
    // Framing is said last, so that no edit can contradict the bytes that follow.
    match head.body() {
        BodyLength::Chunked => {
            head.fields_mut().remove_known(KnownName::ContentLength);
            head.fields_mut().append("transfer-encoding", b"chunked");
        }
        BodyLength::Length(length) => set_length(head.fields_mut(), length),
        // Methods that usually carry a body say so when they carry none (RFC 9110 §8.6).
        BodyLength::Empty => {
            if !matches!(head.method(), b"GET" | b"HEAD" | b"DELETE" | b"TRACE") {
                set_length(head.fields_mut(), 0);
            } else if head.fields().known(KnownName::ContentLength) != Some(b"0") {
                head.fields_mut().remove_known(KnownName::ContentLength);
            }
        }
    }
}
