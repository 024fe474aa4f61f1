//! Which fields are honoured, which are not, and why: one entry for each field.
//!
//! The same words stand in the reference pages and in the findings about such fields.

mod addresses;
mod destination_rule;
mod gateway;
mod mesh;
mod security;
mod service_entry;
mod telemetry;
mod virtual_service;

/// Whether a field is honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It does what it does at an Istio gateway.
    Supported,
    /// So too, with something to know.
    Note(&'static str),
    /// It has no effect, and why none is missed.
    Ignored(&'static str),
    /// It will be honoured; until then, this is what happens.
    NotYet(&'static str),
    /// An object with it is refused, and why.
    Refused(&'static str),
}

impl Support {
    /// The reason, where there is one.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Supported => None,
            Self::Note(reason)
            | Self::Ignored(reason)
            | Self::NotYet(reason)
            | Self::Refused(reason) => Some(reason),
        }
    }
}

/// The fields of one message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    /// Its name in Rust.
    pub(super) name: &'static str,
    /// Each field by its name in YAML.
    pub(super) fields: &'static [(&'static str, Support)],
}

/// All messages, whichever kind they belong to.
pub(super) fn messages() -> impl Iterator<Item = &'static Message> {
    [
        gateway::MESSAGES,
        virtual_service::MESSAGES,
        destination_rule::MESSAGES,
        service_entry::MESSAGES,
        telemetry::MESSAGES,
        mesh::MESSAGES,
        security::MESSAGES,
        addresses::MESSAGES,
    ]
    .into_iter()
    .flatten()
}

/// What is said of a field.
pub fn of(message: &str, field: &str) -> Option<Support> {
    let message = messages().find(|known| known.name == message)?;
    let entry = message.fields.iter().find(|(name, _)| *name == field)?;
    Some(entry.1)
}
