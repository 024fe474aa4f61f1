//! A serde deserializer over [`Node`]: errors know their field and place, unknown fields are
//! collected instead of dropped, and null means "not set" as it does for Kubernetes.

use std::cell::RefCell;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor, value::BorrowedStrDeserializer,
};

use super::error::{DecodeError, Error, shortened};
use super::path::{push_index, push_key};
use super::{Entry, Mark, Node, Resolved, Value, resolve};
use crate::nearest::nearest;

/// Whose rules the JSON form of a type follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Kubernetes' own types: names exactly as written, numbers as numbers.
    Kubernetes,
    /// Protobuf's JSON form, as Istio reads it: `snake_case` names are accepted for `lowerCamel`
    /// ones, and numbers may stand in quotes.
    Protobuf,
}

/// A field that the type does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The field path.
    pub path: String,
    /// Where the key stands.
    pub mark: Mark,
    /// The known field nearest to it.
    pub nearest: Option<&'static str>,
}

/// The outcome of decoding: unknown fields are reported whether or not the value fits.
#[derive(Clone, Debug)]
pub struct Decoded<T> {
    /// The value.
    pub value: Result<T, DecodeError>,
    /// Fields that the type does not have, in the order of the text; at most 1,000.
    pub unknown: Vec<Unknown>,
}

/// Decodes a tree. `at` is the field path of `node` itself (`spec`, or empty for a whole object).
pub fn decode<T: DeserializeOwned>(node: &Node, at: &str, dialect: Dialect) -> Decoded<T> {
    let unknown = RefCell::new(Vec::new());
    let place = Place {
        node,
        path: &Path::Root(at),
        context: &Context {
            dialect,
            unknown: &unknown,
        },
        siblings: &[],
        key_mark: node.mark,
    };
    let value = T::deserialize(place).map_err(|error| {
        let (path, mark) = error.place.unwrap_or_else(|| (at.to_owned(), node.mark));
        DecodeError {
            path,
            mark,
            message: error.message,
            hint: error.hint,
        }
    });
    Decoded {
        value,
        unknown: unknown.into_inner(),
    }
}

/// `snake_case` to `lowerCamel`, as protobuf derives JSON names.
pub(super) fn lower_camel(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut upper = false;
    for c in name.chars() {
        match c {
            '_' => upper = true,
            c if upper => {
                camel.extend(c.to_uppercase());
                upper = false;
            }
            c => camel.push(c),
        }
    }
    camel
}

struct Context<'c> {
    dialect: Dialect,
    unknown: &'c RefCell<Vec<Unknown>>,
}

enum Path<'p> {
    Root(&'p str),
    Key(&'p Path<'p>, &'p str),
    Index(&'p Path<'p>, usize),
}

impl Path<'_> {
    fn write(&self, out: &mut String) {
        match self {
            Path::Root(root) => out.push_str(root),
            Path::Key(parent, key) => {
                parent.write(out);
                push_key(out, key);
            }
            Path::Index(parent, index) => {
                parent.write(out);
                push_index(out, *index);
            }
        }
    }

    fn text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }
}

/// A node, where it stands and how it is read.
#[derive(Clone, Copy)]
struct Place<'de, 'p> {
    node: &'de Node,
    path: &'p Path<'p>,
    context: &'p Context<'p>,
    /// The fields that the type around this one has; to name the nearest to an unknown one.
    siblings: &'static [&'static str],
    /// Where the key before this value stands.
    key_mark: Mark,
}

impl<'de, 'p> Place<'de, 'p> {
    fn located(&self, mut error: Error) -> Error {
        if error.place.is_none() {
            let mark = match &self.node.value {
                Value::Scalar { text, .. } if !text.is_empty() => self.node.mark,
                _ => self.key_mark,
            };
            error.place = Some((self.path.text(), mark));
        }
        error
    }

    fn wrong(&self, expected: &str) -> Error {
        let found = match &self.node.value {
            Value::Scalar { text, .. } => format!("\"{}\"", shortened(text)),
            Value::Sequence(_) => "a list".to_owned(),
            Value::Mapping(_) => "a mapping".to_owned(),
        };
        self.located(Error::new(format!(
            "wrong type: expected {expected}, found {found}"
        )))
    }

    /// Any value, by what it looks like.
    fn any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let result = match &self.node.value {
            Value::Scalar { text, form } => match resolve(text, *form) {
                Resolved::Null => visitor.visit_unit(),
                Resolved::Bool(value) => visitor.visit_bool(value),
                Resolved::Integer(number) => visit_integer(number, visitor),
                Resolved::Float(number) => visitor.visit_f64(number),
                Resolved::Text => visitor.visit_borrowed_str(text),
            },
            Value::Sequence(_) => return self.list(visitor),
            Value::Mapping(_) => return self.mapping(&[], visitor),
        };
        result.map_err(|error| self.located(error))
    }

    fn list<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let items: &[Node] = match &self.node.value {
            Value::Sequence(items) => items,
            _ if self.node.is_null() => &[],
            _ => return Err(self.wrong("a list")),
        };
        let access = Items {
            rest: items.iter().enumerate(),
            place: self,
        };
        visitor
            .visit_seq(access)
            .map_err(|error| self.located(error))
    }

    fn mapping<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let entries: &[Entry] = match &self.node.value {
            Value::Mapping(entries) => entries,
            _ if self.node.is_null() => &[],
            _ => return Err(self.wrong("a mapping")),
        };
        let access = Entries {
            rest: entries.iter(),
            current: None,
            fields,
            place: self,
        };
        visitor
            .visit_map(access)
            .map_err(|error| self.located(error))
    }

    /// A number; in quotes too where the dialect allows it.
    fn number<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Value::Scalar { text, form } = &self.node.value else {
            return self.any(visitor);
        };
        let unquoted = resolve(text, super::Form::Plain);
        let resolved = match self.context.dialect {
            Dialect::Protobuf => unquoted,
            Dialect::Kubernetes => resolve(text, *form),
        };
        let result = match resolved {
            Resolved::Integer(number) => visit_integer(number, visitor),
            // `80.0` is 80 to Kubernetes' and protobuf's readers.
            Resolved::Float(number) if number.fract() == 0.0 && number.abs() < 9e15 => {
                visit_integer(number as i128, visitor)
            }
            Resolved::Float(number) => visitor.visit_f64(number),
            _ => {
                return self.any(visitor).map_err(|mut error| {
                    if matches!(unquoted, Resolved::Integer(_) | Resolved::Float(_)) {
                        error.hint = format!("Write it without quotes: {text}");
                    }
                    error
                });
            }
        };
        result.map_err(|error| self.located(error))
    }

    fn string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.any(visitor).map_err(|mut error| {
            if let Value::Scalar { text, form } = &self.node.value
                && error.hint.is_empty()
            {
                match resolve(text, *form) {
                    Resolved::Bool(_) | Resolved::Integer(_) | Resolved::Float(_) => {
                        error.hint = format!("Put it in quotes: \"{}\"", shortened(text));
                    }
                    Resolved::Null | Resolved::Text => {}
                }
            }
            error
        })
    }

    fn report_unknown(&self) {
        let mut unknown = self.context.unknown.borrow_mut();
        let Path::Key(_, name) = self.path else {
            return;
        };
        if unknown.len() < 1000 {
            unknown.push(Unknown {
                path: self.path.text(),
                mark: self.key_mark,
                nearest: nearest(name, self.siblings.iter().copied()),
            });
        }
    }
}

fn visit_integer<'de, V: Visitor<'de>>(number: i128, visitor: V) -> Result<V::Value, Error> {
    if let Ok(number) = u64::try_from(number) {
        visitor.visit_u64(number)
    } else if let Ok(number) = i64::try_from(number) {
        visitor.visit_i64(number)
    } else {
        Err(serde::de::Error::invalid_value(
            Unexpected::Other("a number of more than 64 bits"),
            &visitor,
        ))
    }
}

macro_rules! forward {
    ($to:ident: $($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.$to(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Place<'de, '_> {
    type Error = Error;

    forward! { any: deserialize_any deserialize_unit }
    forward! { number:
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }
    forward! { string:
        deserialize_char deserialize_str deserialize_string deserialize_identifier
        deserialize_bytes deserialize_byte_buf
    }
    forward! { list: deserialize_seq }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.any(visitor).map_err(|mut error| {
            if let Value::Scalar { text, .. } = &self.node.value
                && matches!(&**text, "true" | "false")
            {
                error.hint = format!("Write it without quotes: {text}");
            }
            error
        })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.node.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.any(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor
            .visit_newtype_struct(self)
            .map_err(|error| self.located(error))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.list(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.list(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.mapping(&[], visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.mapping(fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let (variant, value) = match &self.node.value {
            Value::Scalar { text, .. } if !self.node.is_null() => (&**text, None),
            Value::Mapping(entries) => match entries.as_slice() {
                [entry] => (&*entry.key, Some(entry)),
                _ => {
                    let one = format!("exactly one of {}", variants.join(", "));
                    return Err(self.wrong(&one));
                }
            },
            _ => return Err(self.wrong(&format!("one of {}", variants.join(", ")))),
        };
        let access = Variant {
            variant,
            value,
            place: self,
        };
        visitor
            .visit_enum(access)
            .map_err(|error| self.located(error))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.report_unknown();
        visitor.visit_unit()
    }
}

struct Items<'de, 'p> {
    rest: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
    place: Place<'de, 'p>,
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some((index, node)) = self.rest.next() else {
            return Ok(None);
        };
        let place = Place {
            node,
            path: &Path::Index(self.place.path, index),
            siblings: &[],
            key_mark: node.mark,
            context: self.place.context,
        };
        let value = seed.deserialize(place);
        value.map(Some).map_err(|error| place.located(error))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

struct Entries<'de, 'p> {
    rest: std::slice::Iter<'de, Entry>,
    current: Option<&'de Entry>,
    /// The fields of the type; empty for maps, whose keys are free.
    fields: &'static [&'static str],
    place: Place<'de, 'p>,
}

impl<'de> Entries<'de, '_> {
    /// The field that a key means.
    fn field(&self, key: &'de str) -> Option<&'static str> {
        let named = |name: &str| self.fields.iter().copied().find(|field| *field == name);
        named(key).or_else(|| match self.place.context.dialect {
            Dialect::Protobuf if key.contains('_') => named(&lower_camel(key)),
            _ => None,
        })
    }
}

impl<'de> MapAccess<'de> for Entries<'de, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        while let Some(entry) = self.rest.next() {
            let field = self.field(&entry.key);
            // `labels:` with nothing after it is the same as no `labels`, for a known field.
            if field.is_some() && entry.value.is_null() {
                continue;
            }
            if let Some(field) = field
                && field != &*entry.key
                && self.place.node.entry(field).is_some()
            {
                let mut error = <Error as serde::de::Error>::duplicate_field(field);
                let path = Path::Key(self.place.path, &entry.key);
                error.place = Some((path.text(), entry.mark));
                return Err(error);
            }
            self.current = Some(entry);
            let key = field.unwrap_or(&entry.key);
            return seed
                .deserialize(BorrowedStrDeserializer::new(key))
                .map(Some)
                .map_err(|mut error: Error| {
                    let path = Path::Key(self.place.path, &entry.key);
                    error.place.get_or_insert_with(|| (path.text(), entry.mark));
                    error
                });
        }
        Ok(None)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let Some(entry) = self.current.take() else {
            return Err(Error::new("a value was asked for before its key"));
        };
        let place = Place {
            node: &entry.value,
            path: &Path::Key(self.place.path, &entry.key),
            siblings: self.fields,
            key_mark: entry.mark,
            context: self.place.context,
        };
        seed.deserialize(place)
            .map_err(|error| place.located(error))
    }
}

struct Variant<'de, 'p> {
    variant: &'de str,
    value: Option<&'de Entry>,
    place: Place<'de, 'p>,
}

impl<'de, 'p> EnumAccess<'de> for Variant<'de, 'p> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Error> {
        let name: BorrowedStrDeserializer<'de, Error> = BorrowedStrDeserializer::new(self.variant);
        let value = seed
            .deserialize(name)
            .map_err(|error| self.place.located(error))?;
        Ok((value, self))
    }
}

impl<'de> Variant<'de, '_> {
    fn with<T>(self, read: impl FnOnce(Place<'de, '_>) -> Result<T, Error>) -> Result<T, Error> {
        let Some(entry) = self.value else {
            return Err(self.place.wrong("a mapping"));
        };
        let place = Place {
            node: &entry.value,
            path: &Path::Key(self.place.path, &entry.key),
            siblings: &[],
            key_mark: entry.mark,
            context: self.place.context,
        };
        read(place).map_err(|error| place.located(error))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de, '_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.value {
            None => Ok(()),
            Some(_) => Err(self.place.wrong("a name")),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        self.with(|place| seed.deserialize(place))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Error> {
        self.with(|place| place.list(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.with(|place| place.mapping(fields, visitor))
    }
}
