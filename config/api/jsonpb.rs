//! Reading JSON as istiod does: leniently, the way protobuf's JSON mapping for Go reads it.
//!
//! `null` means "not set" everywhere; integers may be strings; durations are Go's (`1m30s`, `100ms`);
//! enums go by name or number; field names may be camelCase or snake_case. Unknown fields are
//! ignored here and found by the source layer, which watches what serde ignores.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::de::{self, Deserialize, Deserializer, IntoDeserializer as _, Visitor};

pub use crate::api::duration::Duration;
use crate::api::shape::Shape;

/// A type that can stand in a message's field; `null` reads as its default.
pub trait Field: Sized {
    /// Reads the field's value.
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;

    /// What may be written there; the reference pages are made from it.
    fn shape() -> Shape;
}

/// Reads any field: the one `deserialize_with` of all messages.
pub fn field<'de, D: Deserializer<'de>, T: Field>(deserializer: D) -> Result<T, D::Error> {
    T::read(deserializer)
}

/// Whether a field need not be written out.
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Defines a message: every field optional, documented and read through [`Field`].
macro_rules! message {
    ($(#[$($meta:tt)*])* pub struct $name:ident {
        $($(#[$($field_meta:tt)*])* pub $field:ident: $type:ty,)*
    }) => {
        $(#[$($meta)*])*
        #[derive(Clone, Debug, Default, PartialEq, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name {
            $(
                $(#[$($field_meta)*])*
                #[serde(
                    deserialize_with = "crate::api::jsonpb::field",
                    skip_serializing_if = "crate::api::jsonpb::is_default"
                )]
                pub $field: $type,
            )*
        }

        impl $crate::api::jsonpb::Field for $name {
            fn read<'de, D: ::serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                Ok(<Option<Self> as ::serde::Deserialize>::deserialize(d)?.unwrap_or_default())
            }

            fn shape() -> $crate::api::shape::Shape {
                use $crate::api::shape::{self, MessageShape, Shape};
                static SHAPE: MessageShape = MessageShape {
                    name: stringify!($name),
                    doc: shape::doc_text!([] $([$($meta)*])*),
                    fields: &[$(shape::FieldShape {
                        field: stringify!($field),
                        renamed: shape::renamed!($([$($field_meta)*])*),
                        doc: shape::doc_text!([] $([$($field_meta)*])*),
                        shape: <$type as $crate::api::jsonpb::Field>::shape,
                    },)*],
                };
                Shape::Message(&SHAPE)
            }
        }
    };
}
pub(crate) use message;

/// Defines an enum whose values go by name or number; the first value is the default.
macro_rules! enumeration {
    ($(#[$($meta:tt)*])* pub enum $name:ident {
        $(#[$first_meta:meta])* $first:ident = $first_number:literal $first_text:literal,
        $($(#[$value_meta:meta])* $value:ident = $number:literal $text:literal,)*
    }) => {
        $(#[$($meta)*])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(#[$first_meta])*
            #[default]
            $first,
            $($(#[$value_meta])* $value,)*
        }

        impl $name {
            /// The name in the API.
            pub fn as_str(self) -> &'static str {
                match self {
                    Self::$first => $first_text,
                    $(Self::$value => $text,)*
                }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.as_str())
            }
        }

        impl $crate::api::jsonpb::Field for $name {
            fn read<'de, D: ::serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                $crate::api::jsonpb::enum_value(d, &[
                    ($first_number, $first_text, Self::$first),
                    $(($number, $text, Self::$value),)*
                ])
            }

            fn shape() -> $crate::api::shape::Shape {
                $crate::api::shape::Shape::Enumeration(&[$first_text, $($text),*])
            }
        }
    };
}
pub(crate) use enumeration;

/// Reads through [`Field`] inside collections.
struct Through<T>(T);

impl<'de, T: Field> Deserialize<'de> for Through<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(deserializer).map(Through)
    }
}

macro_rules! plain_fields {
    ($($type:ty: $name:literal),*) => {$(
        impl Field for $type {
            fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(Option::<$type>::deserialize(deserializer)?.unwrap_or_default())
            }

            fn shape() -> Shape {
                Shape::Scalar($name)
            }
        }
    )*};
}
plain_fields!(
    String: "text",
    bool: "true or false",
    LabelSelector: "label selector",
    serde_json::Value: "anything"
);

impl Field for Box<str> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::read(deserializer).map(String::into_boxed_str)
    }

    fn shape() -> Shape {
        String::shape()
    }
}

impl Field for ByteString {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
        let text = text.as_str();
        Self::deserialize(text.into_deserializer()).map_err(|_: de::value::Error| {
            let shown: String = text.chars().take(60).collect();
            de::Error::custom(format_args!(
                "`{}` is not base64, in which bytes are written (plain text goes into `string`)",
                shown.escape_debug()
            ))
        })
    }

    fn shape() -> Shape {
        Shape::Scalar("bytes in base64")
    }
}

macro_rules! number_fields {
    ($($type:ty: $range:literal),*) => {$(
        impl Field for $type {
            fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let Some(number) = number(deserializer)? else { return Ok(0) };
                integral(number).and_then(|n| Self::try_from(n).ok()).ok_or_else(|| {
                    de::Error::custom(format_args!("{number} is not {}", $range))
                })
            }

            fn shape() -> Shape {
                Shape::Scalar("number")
            }
        }
    )*};
}
number_fields!(u32: "a whole number from 0 to 4294967295", i32: "a whole number of 32 bits", i64: "a whole number of 64 bits");

impl Field for f64 {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match number(deserializer)? {
            None => 0.0,
            Some(Number::Integer(n)) => n as f64,
            Some(Number::Float(n)) => n,
        })
    }

    fn shape() -> Shape {
        Shape::Scalar("number")
    }
}

impl<T: Field> Field for Option<T> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<Through<T>>::deserialize(deserializer)?.map(|value| value.0))
    }

    fn shape() -> Shape {
        T::shape()
    }
}

/// For what is large and seldom written: an object costs what its text has.
impl<T: Field> Field for Box<T> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(deserializer).map(Self::new)
    }

    fn shape() -> Shape {
        T::shape()
    }
}

impl<T: Field> Field for Vec<T> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = Option::<Vec<Through<T>>>::deserialize(deserializer)?.unwrap_or_default();
        let mut values: Vec<T> = values.into_iter().map(|value| value.0).collect();
        // Objects are kept; most lists have one element, and room was made for four.
        values.shrink_to_fit();
        Ok(values)
    }

    fn shape() -> Shape {
        Shape::List(Box::new(T::shape()))
    }
}

impl<T: Field> Field for BTreeMap<String, T> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = Option::<BTreeMap<String, Through<T>>>::deserialize(deserializer)?;
        let values = values.unwrap_or_default().into_iter();
        Ok(values.map(|(key, value)| (key, value.0)).collect())
    }

    fn shape() -> Shape {
        Shape::Map(Box::new(T::shape()))
    }
}

#[derive(Clone, Copy)]
enum Number {
    Integer(i128),
    Float(f64),
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(n) => n.fmt(f),
            Self::Float(n) => n.fmt(f),
        }
    }
}

fn integral(number: Number) -> Option<i128> {
    match number {
        Number::Integer(n) => Some(n),
        Number::Float(n) if n.fract() == 0.0 && n.abs() < 9e15 => Some(n as i128),
        Number::Float(_) => None,
    }
}

struct NumberVisitor;

impl<'de> Visitor<'de> for NumberVisitor {
    type Value = Option<Number>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Self::Value, E> {
        Ok(Some(Number::Integer(n.into())))
    }

    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Self::Value, E> {
        Ok(Some(Number::Integer(n.into())))
    }

    fn visit_f64<E: de::Error>(self, n: f64) -> Result<Self::Value, E> {
        Ok(Some(Number::Float(n)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        if let Ok(n) = text.parse::<i64>() {
            return Ok(Some(Number::Integer(n.into())));
        }
        match text.parse::<f64>() {
            Ok(n) if n.is_finite() => Ok(Some(Number::Float(n))),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Number>, D::Error> {
    deserializer.deserialize_any(NumberVisitor)
}

/// Reads an enum's value: number, name and value of each are given; the first is the default.
pub(crate) fn enum_value<'de, D: Deserializer<'de>, T: Copy>(
    deserializer: D,
    values: &[(i64, &'static str, T)],
) -> Result<T, D::Error> {
    struct EnumVisitor<'a, T>(&'a [(i64, &'static str, T)], PhantomData<T>);

    impl<'de, T: Copy> Visitor<'de> for EnumVisitor<'_, T> {
        type Value = Option<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let names: Vec<_> = self.0.iter().map(|(_, name, _)| *name).collect();
            write!(f, "one of {}", names.join(", "))
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            match self.0.iter().find(|(_, name, _)| *name == text) {
                Some((_, _, value)) => Ok(Some(*value)),
                None => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
            }
        }

        fn visit_i64<E: de::Error>(self, n: i64) -> Result<Self::Value, E> {
            match self.0.iter().find(|(number, _, _)| *number == n) {
                Some((_, _, value)) => Ok(Some(*value)),
                None => Err(E::invalid_value(de::Unexpected::Signed(n), &self)),
            }
        }

        fn visit_u64<E: de::Error>(self, n: u64) -> Result<Self::Value, E> {
            self.visit_i64(i64::try_from(n).unwrap_or(i64::MAX))
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
            d.deserialize_any(self)
        }
    }

    let value = deserializer.deserialize_any(EnumVisitor(values, PhantomData))?;
    value
        .or_else(|| values.first().map(|(_, _, value)| *value))
        .ok_or_else(|| de::Error::custom("an enum without values"))
}

#[cfg(test)]
mod tests {
    use super::*;

    message! {
        /// A message for tests.
        pub struct Sample {
            /// A number.
            pub some_number: u32,
            /// A list.
            #[serde(alias = "the_list")]
            pub the_list: Vec<i32>,
            /// A duration.
            pub timeout: Option<Duration>,
            /// An enum.
            pub mode: Mode,
        }
    }

    enumeration! {
        /// An enum for tests.
        pub enum Mode {
            /// Zero.
            Off = 0 "OFF",
            /// One.
            On = 1 "ON",
        }
    }

    #[test]
    fn reads_what_istiod_reads() {
        let read = |json| serde_json::from_str::<Sample>(json);
        let sample = read(r#"{"someNumber":"7","the_list":["1",2],"timeout":"1s","mode":"ON"}"#);
        let expected = Sample {
            some_number: 7,
            the_list: vec![1, 2],
            timeout: Some(Duration::from_nanos(1_000_000_000)),
            mode: Mode::On,
        };
        assert_eq!(sample.expect("lenient JSON"), expected);
        let nulls = r#"{"someNumber":null,"theList":null,"timeout":null,"mode":null}"#;
        assert_eq!(read(nulls).expect("nulls"), Sample::default());
        assert_eq!(read(r#"{"mode":1}"#).expect("enum number").mode, Mode::On);
        for bad in [
            r#"{"someNumber":-1}"#,
            r#"{"someNumber":1.5}"#,
            r#"{"timeout":"5"}"#,
            r#"{"mode":"on"}"#,
            r#"{"mode":9}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
