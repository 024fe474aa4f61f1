//! `gatehouse why`: what would become of a request, and why, without sending it.
//!
//! The request is read by the codec, received, routed and prepared by the functions that serve
//! requests (`decide`); nothing is decided a second time here. What chance decides is told as
//! shares.

mod answer;
mod cluster;
mod explanation;
mod forward;
mod hosts;
mod reason;
mod routes;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub use explanation::{
    Answer, DestinationRow, EndpointRow, Explanation, Field, FilterRow, HostRow, ListenerRow,
    Outcome, RouteRow, UpstreamRequest,
};
pub(crate) use reason::reason;

use crate::exchange::reply::Reply;
use crate::exchange::{Connection, decide};
use crate::filter::redirect;
use crate::http1::{Limits, ReadBuffer, RequestHead};
use crate::route::without_port;
use crate::snapshot::{Action, EndpointId, Listener, RouteId, ServerId, Serves, Snapshot};
use crate::tls::{Ends, TlsPort};
use crate::worker::random::Random;

/// A request that nobody sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The method.
    pub method: String,
    /// `http` or `https`.
    pub scheme: String,
    /// The Host: name or address, with a port where the URL has one.
    pub authority: String,
    /// Path and query.
    pub target: String,
    /// Further fields, in order; a `host` takes the place of the URL's.
    pub fields: Vec<(String, String)>,
    /// Who asks.
    pub from: IpAddr,
}

/// Why a question cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadQuestion {
    /// No scheme, or another one than these.
    #[error("a URL begins with http:// or https://, such as http://bookinfo.lan/productpage")]
    Scheme,
    /// No host.
    #[error("the URL has no host, as in http://bookinfo.lan/productpage")]
    Host,
    /// The port is none.
    #[error("`{0}` is not a port from 1 to 65535")]
    Port(String),
}

impl Question {
    /// `GET url`, asked by nobody in particular.
    ///
    /// # Errors
    ///
    /// The URL has no scheme, no host or a port that is none.
    pub fn get(url: &str) -> Result<Self, BadQuestion> {
        let (scheme, rest) = url.split_once("://").ok_or(BadQuestion::Scheme)?;
        let scheme = scheme.to_ascii_lowercase();
        if !matches!(scheme.as_str(), "http" | "https") {
            return Err(BadQuestion::Scheme);
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.is_empty() || authority.starts_with(':') {
            return Err(BadQuestion::Host);
        }
        // A client keeps the fragment to itself (RFC 9110 §7.1).
        let target = target.split('#').next().unwrap_or_default();
        let question = Self {
            method: "GET".to_owned(),
            scheme,
            authority: authority.to_owned(),
            target: if target.starts_with('/') {
                target.to_owned()
            } else {
                format!("/{target}")
            },
            fields: Vec::new(),
            from: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        };
        question.port()?;
        Ok(question)
    }

    /// The port that a client would connect to.
    fn port(&self) -> Result<u16, BadQuestion> {
        let after_address = self.authority.rsplit(']').next().unwrap_or_default();
        match after_address.split_once(':') {
            Some((_, port)) => match port.parse() {
                Ok(port) if port != 0 => Ok(port),
                _ => Err(BadQuestion::Port(port.to_owned())),
            },
            None if self.scheme == "https" => Ok(443),
            None => Ok(80),
        }
    }

    /// The address in the URL, if it is one.
    fn address(&self) -> Option<IpAddr> {
        let host = match self.authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => self.authority.split(':').next().unwrap_or_default(),
        };
        host.parse().ok()
    }

    /// The request as its bytes, for the codec.
    fn bytes(&self) -> Vec<u8> {
        let own_host = self
            .fields
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"));
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !own_host {
            text.push_str(&format!("host: {}\r\n", self.authority));
        }
        for (name, value) in &self.fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text.into_bytes()
    }
}

/// What is known of the endpoints: whether each may be chosen, by [`EndpointId`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Health<'a>(pub &'a [bool]);

impl Health<'_> {
    /// Whether an endpoint may be chosen; those that nothing is known of may.
    pub fn is_available(&self, endpoint: EndpointId) -> bool {
        self.0.get(endpoint.index()).copied().unwrap_or(true)
    }
}

/// Says what would become of a request.
///
/// # Errors
///
/// The URL's port is none.
pub fn explain(
    snapshot: &Snapshot,
    health: Health<'_>,
    question: &Question,
) -> Result<Explanation, BadQuestion> {
    let port = question.port()?;
    let mut explanation = Explanation::of(question);
    let Some(listener) = listener(snapshot, question.address(), port) else {
        explanation.nobody_listens(snapshot, port);
        return Ok(explanation);
    };
    explanation.listener = Some(ListenerRow::new(listener));
    let mut tls = None;
    let server = match listener.serves {
        Serves::Http(server) => server,
        Serves::Tls(server) => {
            let name = without_port(question.authority.as_bytes());
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            if question.scheme == "http" {
                explanation.plain_to_tls(listener);
                return Ok(explanation);
            }
            let port = snapshot.server(server).tls.as_deref();
            // Clients ask for no name where the URL has an address (RFC 6066 §3).
            let asked = question.address().is_none().then_some(&*name);
            match port.and_then(|port| Some((port, port.chain(asked)?))) {
                Some((_, chain)) if matches!(chain.ends, Ends::Nowhere) => {
                    explanation.no_certificate(listener, &name);
                    return Ok(explanation);
                }
                Some((port, chain)) if snapshot.server(chain.server).tcp.is_none() => {
                    tls = Some((port, name));
                    chain.server
                }
                Some((_, chain)) => {
                    let serves = Serves::TcpServer(chain.server);
                    let to = cluster::carried_to(snapshot, health, serves);
                    explanation.carried(listener, to);
                    return Ok(explanation);
                }
                None => {
                    explanation.unknown_name(listener, &name);
                    return Ok(explanation);
                }
            }
        }
        Serves::Tcp(_) | Serves::TcpServer(_) | Serves::Udp(_) => {
            let to = cluster::carried_to(snapshot, health, listener.serves);
            explanation.carried(listener, to);
            return Ok(explanation);
        }
    };
    if question.scheme == "https" && !matches!(listener.serves, Serves::Tls(_)) {
        explanation.no_tls(listener);
        return Ok(explanation);
    }
    Explainer {
        snapshot,
        health,
        server,
        tls,
        random: Random::new(),
        connection: Connection {
            peer: SocketAddr::new(question.from, 0),
            local: listener.address,
            tls: None,
        },
        explanation: &mut explanation,
    }
    .ask(question);
    Ok(explanation)
}

/// The listener that a connection would reach: one at the address in the URL, else any at the port.
fn listener(snapshot: &Snapshot, address: Option<IpAddr>, port: u16) -> Option<&Listener> {
    let at_port = || {
        let all = snapshot.listeners.iter();
        all.filter(move |listener| {
            listener.address.port() == port && !matches!(listener.serves, Serves::Udp(_))
        })
    };
    let at = |ip: IpAddr| at_port().find(move |listener| listener.address.ip() == ip);
    match address {
        Some(ip) => at(ip).or_else(|| {
            at_port().find(|listener| {
                listener.address.ip().is_unspecified() && listener.address.is_ipv4() == ip.is_ipv4()
            })
        }),
        // A name may resolve to any of them; HTTP is what a URL means.
        None => at_port()
            .find(|listener| matches!(listener.serves, Serves::Http(_) | Serves::Tls(_)))
            .or_else(|| at_port().next()),
    }
}

/// One question on its way.
struct Explainer<'a> {
    snapshot: &'a Snapshot,
    health: Health<'a>,
    server: ServerId,
    /// The port that speaks TLS, and the name that is asked for.
    tls: Option<(&'a TlsPort, String)>,
    random: Random,
    connection: Connection,
    explanation: &'a mut Explanation,
}

impl Explainer<'_> {
    fn ask(mut self, question: &Question) {
        let mut head = RequestHead::default();
        let mut buffer = ReadBuffer::new();
        buffer.extend(&question.bytes());
        let scheme = match self.received(&mut head, &mut buffer) {
            Ok(scheme) => scheme,
            Err(reply) => return self.explanation.answered_here(&reply),
        };
        if let Some((port, name)) = &self.tls
            && port.is_misdirected(Some(name), self.server, head.authority())
        {
            return self.explanation.misdirected(&Reply::misdirected(), name);
        }
        let server = self.snapshot.server(self.server);
        self.explanation.hosts = hosts::near(&server.table, head.authority());
        let routed = decide::route(self.snapshot, self.server, &head, scheme);
        if let Some(host) = server.table.find(head.authority()) {
            let list = &self.snapshot.host(host).routes;
            let won = routed.as_ref().ok().map(|id| id.position);
            self.explanation.routes = routes::walked(list, &decide::looked_at(&head, scheme), won);
        }
        match routed {
            Err(reply) => {
                self.explanation.answered_here(&reply);
                let (why, hint) =
                    reason::no_route(self.snapshot, self.server, &head, scheme, &reply);
                self.explanation.because(why, hint);
            }
            Ok(id) => self.routed(&head, id, scheme),
        }
    }

    fn received(
        &mut self,
        head: &mut RequestHead,
        buffer: &mut ReadBuffer,
    ) -> Result<&'static str, Reply> {
        match head.decode(buffer, &Limits::default()) {
            Ok(true) => {}
            // The bytes end with an empty line: what is not complete by then is none.
            Ok(false) => return Err(Reply::head_timeout()),
            Err(error) => return Err(Reply::malformed(&error)),
        }
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let proxy = &self.snapshot.proxy;
        let trusted = decide::receive(head, &self.connection, scheme, proxy, &self.random)?;
        if let Some(client) = trusted.client {
            self.connection.peer = SocketAddr::new(client, 0);
        }
        Ok(trusted.scheme)
    }

    fn routed(&mut self, head: &RequestHead, id: RouteId, scheme: &'static str) {
        let route = self.snapshot.route(id);
        let stat_name = self.snapshot.stat_name(id);
        self.explanation
            .filters
            .extend(stat_name.map(|name| FilterRow {
                name: "statPrefix".to_owned(),
                effect: format!("counts it apart from other routes, as `{name}`"),
            }));
        let mut is_delayed = false;
        if let Some(filters) = &route.filters {
            self.explanation
                .filters
                .extend(answer::filters(filters, head));
            is_delayed = answer::is_delayed(filters);
            // An answer that a filter gives for certain comes before the action: nothing is sent.
            if answer::certain(filters, head, self.explanation) {
                self.explanation.edits(route, false);
                if is_delayed {
                    self.explanation.answer.delayed();
                }
                return;
            }
        }
        let is_sent = matches!(*route.action, Action::Forward(_));
        self.explanation.edits(route, is_sent);
        match &*route.action {
            Action::Redirect(to) => {
                let location = redirect::location(to, head, scheme, &route.matcher.path);
                self.explanation.redirected(to.code, &location);
            }
            Action::DirectResponse { status, body } => {
                self.explanation.answered_directly(*status, body.len());
            }
            Action::Forward(forward) => self.forwarded(head, route, forward),
        }
        if is_delayed {
            let rows = self.explanation.destinations.iter_mut();
            for answer in rows.map(|row| &mut row.answer) {
                answer.delayed();
            }
            self.explanation.answer.delayed();
        }
    }
}

#[cfg(test)]
mod tests;
