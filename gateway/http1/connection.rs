//! Connection and the fields that belong to one hop: RFC 9110 §7.6.1.
//!
//! Invariant: what Connection lists is gone once a head is decoded, so that nothing the gateway
//! sets later can be named away by the peer.

use super::fields::Fields;
use super::{KnownName, Span};

/// Envoy refuses a request whose Connection lists this many names.
const MAX_OPTIONS: usize = 10;

/// Fields that Connection cannot name away: framing is decided from them, Connection and what
/// belongs to it is removed on its own terms, and Host is not an ordinary field.
const KEPT: u64 = KnownName::Connection.bit()
    | KnownName::ContentLength.bit()
    | KnownName::Host.bit()
    | KnownName::Http2Settings.bit()
    | KnownName::KeepAlive.bit()
    | KnownName::Te.bit()
    | KnownName::TransferEncoding.bit()
    | KnownName::Upgrade.bit();

/// The fields of one hop. TE is looked at on its own.
const HOP_BY_HOP: u64 = KnownName::Connection.bit()
    | KnownName::Http2Settings.bit()
    | KnownName::KeepAlive.bit()
    | KnownName::ProxyConnection.bit()
    | KnownName::TransferEncoding.bit();

/// What Connection says about the connection itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
}

/// Connection lists what it must not, or too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused;

impl Options {
    /// Reads Connection and removes the fields that it lists.
    ///
    /// As Envoy: a request that lists `x-forwarded-for`, `-host` or `-proto`, or ten names or
    /// more, is refused, for it may hide where it came from; in a response they are removed.
    pub(super) fn take(fields: &mut Fields, is_request: bool) -> Result<Self, Refused> {
        let mut options = Self::default();
        if !fields.may_have(KnownName::Connection) {
            return Ok(options);
        }
        let mut listed: [Span; MAX_OPTIONS] = Default::default();
        let mut count = 0;
        for field in &fields.list {
            if field.known != KnownName::Connection {
                continue;
            }
            let mut start = field.value.start as usize;
            for part in field.value.of(&fields.buf).split(|byte| *byte == b',') {
                let option = part.trim_ascii();
                let span = Span::new(start, start + part.len());
                start += part.len() + 1;
                if option.is_empty() {
                    continue;
                }
                match option {
                    _ if option.eq_ignore_ascii_case(b"keep-alive") => options.keep_alive = true,
                    _ if option.eq_ignore_ascii_case(b"close") => options.close = true,
                    _ if option.eq_ignore_ascii_case(b"upgrade") => options.upgrade = true,
                    _ if is_request && is_forwarding(option) => return Err(Refused),
                    _ => {}
                }
                *listed.get_mut(count).ok_or(Refused)? = span;
                count += 1;
            }
        }
        if is_request && count >= MAX_OPTIONS {
            return Err(Refused);
        }
        let plain = [options.close, options.keep_alive, options.upgrade];
        if count > plain.into_iter().filter(|said| *said).count() {
            let listed = listed.get(..count).unwrap_or_default();
            fields.remove_listed(KEPT, |buf, name| {
                let mut options = listed.iter().map(|span| span.of(buf).trim_ascii());
                options.any(|option| option.eq_ignore_ascii_case(name))
            });
        }
        Ok(options)
    }
}

/// Names that tell where a request came from; also HTTP/2's pseudo-fields.
fn is_forwarding(option: &[u8]) -> bool {
    option.first() == Some(&b':')
        || [
            KnownName::XForwardedFor,
            KnownName::XForwardedHost,
            KnownName::XForwardedProto,
        ]
        .iter()
        .any(|name| option.eq_ignore_ascii_case(name.as_str().as_bytes()))
}

impl Fields {
    /// Removes what belongs to one hop: Connection, Keep-Alive, Proxy-Connection, Upgrade,
    /// Transfer-Encoding and TE, of which `trailers` is kept. What Connection lists went when
    /// the head was decoded. After this the sender says anew how the body is framed.
    pub fn remove_hop_by_hop(&mut self) {
        self.remove_set(HOP_BY_HOP | KnownName::Upgrade.bit());
        self.keep_te_trailers();
    }

    /// The same for a message that asks for or grants an upgrade: Upgrade stays, and Connection
    /// says `upgrade` and nothing else.
    pub fn remove_hop_by_hop_but_upgrade(&mut self) {
        self.remove_set(HOP_BY_HOP);
        self.keep_te_trailers();
        self.append(KnownName::Connection.as_str(), b"upgrade");
    }

    fn keep_te_trailers(&mut self) {
        let Some(value) = self.known(KnownName::Te) else {
            return;
        };
        if value.eq_ignore_ascii_case(b"trailers") && self.known_all(KnownName::Te).count() == 1 {
            return;
        }
        let trailers = self
            .known_all(KnownName::Te)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"));
        self.remove_known(KnownName::Te);
        if trailers {
            self.append(KnownName::Te.as_str(), b"trailers");
        }
    }
}
