//! Durations as Go writes them.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer};
use serde::{Serialize, Serializer};

use crate::api::jsonpb::Field;
use crate::api::shape::Shape;

/// A duration as Go writes it; may be negative, which validation refuses where it matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration {
    nanos: i64,
}

impl Duration {
    /// From nanoseconds.
    pub fn from_nanos(nanos: i64) -> Self {
        Self { nanos }
    }

    /// In nanoseconds.
    pub fn as_nanos(self) -> i64 {
        self.nanos
    }

    /// As std's, a negative one as zero.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(u64::try_from(self.nanos).unwrap_or(0))
    }

    /// Parses Go's syntax: `[-+]` and then numbers with units `h m s ms us µs ns`, or a bare `0`.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, mut rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Some(Self::default());
        }
        if rest.is_empty() {
            return None;
        }
        let mut nanos: i128 = 0;
        while !rest.is_empty() {
            let whole_len = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (whole, after) = rest.split_at(whole_len);
            let (fraction, after) = match after.strip_prefix('.') {
                Some(after) => after.split_at(after.bytes().take_while(u8::is_ascii_digit).count()),
                None => ("", after),
            };
            if whole.is_empty() && fraction.is_empty() || whole.len() > 18 {
                return None;
            }
            let unit_len = after
                .bytes()
                .take_while(|b| *b != b'.' && !b.is_ascii_digit())
                .count();
            let (unit, after) = after.split_at(unit_len);
            let scale: i128 = match unit {
                "ns" => 1,
                "us" | "µs" | "μs" => 1_000,
                "ms" => 1_000_000,
                "s" => 1_000_000_000,
                "m" => 60_000_000_000,
                "h" => 3_600_000_000_000,
                _ => return None,
            };
            if !whole.is_empty() {
                nanos += whole.parse::<i128>().ok()? * scale;
            }
            let mut digit_scale = scale;
            for digit in fraction.bytes() {
                digit_scale /= 10;
                nanos += i128::from(digit - b'0') * digit_scale;
            }
            rest = after;
        }
        let nanos = i64::try_from(nanos).ok()?;
        Some(Self {
            nanos: if negative { -nanos } else { nanos },
        })
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos < 0 {
            f.write_str("-")?;
        }
        let nanos = self.nanos.unsigned_abs();
        let (whole, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
        if rest == 0 {
            write!(f, "{whole}s")
        } else {
            let digits = format!("{rest:09}");
            write!(f, "{whole}.{}s", digits.trim_end_matches('0'))
        }
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Field for Duration {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else {
            return Ok(Self::default());
        };
        Self::parse(&text).ok_or_else(|| {
            de::Error::custom(format_args!(
                "{text:?} is not a duration; write a number with a unit, such as 10s, 1m30s or 100ms"
            ))
        })
    }

    fn shape() -> Shape {
        Shape::Scalar("duration")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (text, nanos) in [
            ("24h", 86_400_000_000_000),
            ("1m30s", 90_000_000_000),
            ("100ms", 100_000_000),
            ("0.1s", 100_000_000),
            (".5s", 500_000_000),
            ("-2s", -2_000_000_000),
            ("0", 0),
            ("1.5h", 5_400_000_000_000),
            ("3us", 3_000),
        ] {
            let parsed = Duration::parse(text);
            assert_eq!(parsed, Some(Duration::from_nanos(nanos)), "{text}");
        }
        for text in ["", "5", "s", "1d", "1 s", "-", "9999999999h", "1s.", "é"] {
            assert_eq!(Duration::parse(text), None, "{text:?}");
        }
        assert_eq!(Duration::from_nanos(1_500_000_000).to_string(), "1.5s");
    }
}
