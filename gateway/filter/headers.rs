//! `headers`: set, add and remove, of requests and responses.

use std::net::SocketAddr;

use gatehouse_config::model::ValuePiece;

use crate::http1::{Fields, RequestHead};
use crate::snapshot::{Edit, Template};

/// What a value's operators can speak of.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The request, for `%REQ(name)%`; none while it is the one being edited.
    pub request: Option<&'a RequestHead>,
    /// The client.
    pub peer: SocketAddr,
}

/// Applies edits to a request. `%REQ(x)%` reads the request as edited so far; an edit whose value
/// names a missing header is left out.
pub fn edit_request(head: &mut RequestHead, edits: &[Edit], peer: SocketAddr) {
    for edit in edits {
        match edit {
            Edit::Remove(name) => {
                head.fields_mut().remove(name);
            }
            Edit::Set(name, Template::Literal(value)) => head.fields_mut().set(name, value),
            Edit::Add(name, Template::Literal(value)) => head.fields_mut().append(name, value),
            Edit::Set(name, Template::Pieces(pieces)) => {
                if let Some(value) = fill(
                    pieces,
                    Facts {
                        request: Some(head),
                        peer,
                    },
                ) {
                    head.fields_mut().set(name, &value);
                }
            }
            Edit::Add(name, Template::Pieces(pieces)) => {
                if let Some(value) = fill(
                    pieces,
                    Facts {
                        request: Some(head),
                        peer,
                    },
                ) {
                    head.fields_mut().append(name, &value);
                }
            }
        }
    }
}

/// Applies edits to a response's fields.
pub fn edit_response(fields: &mut Fields, edits: &[Edit], facts: Facts<'_>) {
    for edit in edits {
        let (name, template) = match edit {
            Edit::Remove(name) => {
                fields.remove(name);
                continue;
            }
            Edit::Set(name, template) | Edit::Add(name, template) => (name, template),
        };
        let filled;
        let value: &[u8] = match template {
            Template::Literal(value) => value,
            Template::Pieces(pieces) => match fill(pieces, facts) {
                Some(value) => {
                    filled = value;
                    &filled
                }
                None => continue,
            },
        };
        if matches!(edit, Edit::Set(..)) {
            fields.set(name, value);
        } else {
            fields.append(name, value);
        }
    }
}

/// The value; none if it would be empty because what it names is missing.
fn fill(pieces: &[ValuePiece], facts: Facts<'_>) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    for piece in pieces {
        match piece {
            ValuePiece::Literal(text) => value.extend_from_slice(text.as_bytes()),
            ValuePiece::RequestHeader(name) => {
                if let Some(found) = facts
                    .request
                    .and_then(|head| request_header(head, name.as_str()))
                {
                    value.extend_from_slice(found);
                }
            }
            ValuePiece::DownstreamRemoteAddress => {
                value.extend_from_slice(facts.peer.to_string().as_bytes());
            }
            ValuePiece::DownstreamRemoteAddressWithoutPort => {
                value.extend_from_slice(facts.peer.ip().to_string().as_bytes());
            }
        }
    }
    (!value.is_empty()).then_some(value)
}

fn request_header<'a>(head: &'a RequestHead, name: &str) -> Option<&'a [u8]> {
    match name {
        ":method" => Some(head.method()),
        ":path" => Some(head.target()),
        ":authority" | "host" => Some(head.authority()),
        name => head.fields().get(name),
    }
}
