//! What a decoder says when a value does not fit its field, in words for the person who wrote it.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use super::Mark;
use crate::nearest::nearest;

/// A value that does not fit its field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The field path.
    pub path: String,
    /// Where the value stands.
    pub mark: Mark,
    /// What is wrong.
    pub message: String,
    /// The nearest fix, or empty.
    pub hint: String,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mark { line, column } = self.mark;
        write!(f, "{line}:{column} {}: {}", self.path, self.message)
    }
}

impl std::error::Error for DecodeError {}

/// A [`DecodeError`] on its way up: the innermost value that knows its place gives it one.
#[derive(Debug)]
pub(super) struct Error {
    pub message: String,
    pub hint: String,
    pub place: Option<(String, Mark)>,
}

impl Error {
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: String::new(),
            place: None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!(
            "wrong type: expected {}, found {}",
            wanted(expected),
            given(found)
        ))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!(
            "wrong value: expected {}, found {}",
            wanted(expected),
            given(found)
        ))
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        let mut error = Self::new(format!("unknown value `{}`", shortened(variant)));
        error.hint = match nearest(variant, known.iter().copied()) {
            Some(near) => format!("Did you mean `{near}`?"),
            None if known.is_empty() => String::new(),
            None => format!("One of {} is meant.", known.join(", ")),
        };
        error
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        let mut error = Self::new(format!("unknown field `{}`", shortened(field)));
        if let Some(near) = nearest(field, known.iter().copied()) {
            error.hint = format!("Did you mean `{near}`?");
        }
        error
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format!("the field `{field}` is missing"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(format!("the field `{field}` is written twice"))
    }
}

/// What the type wanted, without Rust's names.
fn wanted(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    let known = match text.as_str() {
        "a boolean" => "true or false",
        "a string" | "a borrowed string" => "text",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" | "u64" | "usize" => "a whole number, not below 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a sequence" => "a list",
        "a map" => "a mapping",
        text if text.starts_with("struct ") => "a mapping",
        text => text,
    };
    known.to_owned()
}

fn given(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("{value} (true or false)"),
        Unexpected::Unsigned(number) => format!("the number {number}"),
        Unexpected::Signed(number) => format!("the number {number}"),
        Unexpected::Float(number) => format!("the number {number}"),
        Unexpected::Char(c) => format!("the text \"{c}\""),
        Unexpected::Str(text) => format!("the text \"{}\"", shortened(text)),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping".to_owned(),
        other => other.to_string(),
    }
}

/// Text of a file, short enough for one line.
pub(super) fn shortened(text: &str) -> String {
    const CHARACTERS: usize = 60;
    let mut short: String = text.chars().take(CHARACTERS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short.escape_debug().to_string()
}
