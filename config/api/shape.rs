//! What the messages look like, as data: the reference pages are made from it.
//!
//! Written by the macros that define the messages, so that it cannot say anything else than they.

/// What may stand in a field.
#[derive(Clone, Debug)]
pub enum Shape {
    /// A plain value; this is its name.
    Scalar(&'static str),
    /// One of these words.
    Enumeration(&'static [&'static str]),
    /// A message of its own.
    Message(&'static MessageShape),
    /// Any number of these.
    List(Box<Shape>),
    /// A map from text to these.
    Map(Box<Shape>),
}

/// A message.
#[derive(Debug)]
pub struct MessageShape {
    /// The type's name; unique among the messages of one kind.
    pub name: &'static str,
    /// What it is; begins with a space where it was written as a doc comment.
    pub doc: &'static str,
    /// Its fields, in the order in which they were written.
    pub fields: &'static [FieldShape],
}

/// A field of a message.
#[derive(Debug)]
pub struct FieldShape {
    /// Its name in Rust.
    pub field: &'static str,
    /// Its name in YAML, where that is not the camelCase of the one in Rust.
    pub renamed: Option<&'static str>,
    /// What it means.
    pub doc: &'static str,
    /// What may be written there.
    pub shape: fn() -> Shape,
}

impl FieldShape {
    /// The name in YAML.
    pub fn name(&self) -> String {
        if let Some(name) = self.renamed {
            return name.to_owned();
        }
        let mut name = String::with_capacity(self.field.len());
        let mut upper = false;
        for letter in self.field.trim_start_matches("r#").chars() {
            match letter {
                '_' => upper = true,
                letter if upper => {
                    name.push(letter.to_ascii_uppercase());
                    upper = false;
                }
                letter => name.push(letter),
            }
        }
        name
    }
}

impl Shape {
    /// The message in it, however deep in lists and maps.
    pub fn message(&self) -> Option<&'static MessageShape> {
        match self {
            Self::Message(message) => Some(message),
            Self::List(inner) | Self::Map(inner) => inner.message(),
            Self::Scalar(_) | Self::Enumeration(_) => None,
        }
    }
}

/// The doc comments among attributes, joined.
macro_rules! doc_text {
    ([$($text:tt)*]) => { concat!($($text)*) };
    ([$($text:tt)*] [doc = $line:literal] $($rest:tt)*) => {
        $crate::api::shape::doc_text!([$($text)* $line,] $($rest)*)
    };
    ([$($text:tt)*] [$($other:tt)*] $($rest:tt)*) => {
        $crate::api::shape::doc_text!([$($text)*] $($rest)*)
    };
}
pub(crate) use doc_text;

/// The name in `#[serde(rename = …)]`, if one is there.
macro_rules! renamed {
    () => { None };
    ([serde(rename = $name:literal $($others:tt)*)] $($rest:tt)*) => { Some($name) };
    ([$($other:tt)*] $($rest:tt)*) => { $crate::api::shape::renamed!($($rest)*) };
}
pub(crate) use renamed;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::istio;
    use crate::api::jsonpb::Field as _;

    #[test]
    fn a_message_tells_its_fields() {
        let shape = istio::VirtualService::shape();
        let message = shape.message().expect("a message");
        assert_eq!(message.name, "VirtualService");
        let names: Vec<String> = message.fields.iter().map(FieldShape::name).collect();
        assert_eq!(
            names,
            ["hosts", "gateways", "http", "tls", "tcp", "exportTo"]
        );
        let http = (message.fields[2].shape)().message().expect("a message");
        assert_eq!(http.fields[1].name(), "match", "renamed");
        assert!(http.fields.iter().all(|field| !field.doc.is_empty()));
    }
}
