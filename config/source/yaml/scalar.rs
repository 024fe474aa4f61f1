//! What a scalar means, by the rules of Kubernetes' own YAML reader.
//!
//! That reader (sigs.k8s.io/yaml) follows YAML 1.1 here: `yes`, `on` and `y` are true, `010` is
//! eight and `1_000` a thousand. A file means the same to gatehouse as to kubectl, so these rules
//! are kept; where one of them turns text into something else, the finding says so.

use super::Form;

/// What a scalar means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Resolved {
    /// Null.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Integer(i128),
    /// Any other number.
    Float(f64),
    /// Text.
    Text,
}

/// What this text means when written in this form.
pub fn resolve(text: &str, form: Form) -> Resolved {
    if form == Form::Text {
        return Resolved::Text;
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Resolved::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Resolved::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Resolved::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Resolved::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Resolved::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Resolved::Float(f64::NEG_INFINITY),
        _ => {}
    }
    // No number is longer, and text that is not one must cost nothing.
    if text.len() > 64 || !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        return Resolved::Text;
    }
    let plain = text.replace('_', "");
    if let Some(integer) = integer(&plain) {
        return Resolved::Integer(integer);
    }
    match float(&plain) {
        Some(float) => Resolved::Float(float),
        None => Resolved::Text,
    }
}

/// A whole number of at most 64 bits: decimal, `0x`, `0o` or a leading 0, `0b`.
fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let (digits, radix) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (digits.get(2..)?, 16),
        [b'0', b'o' | b'O', ..] => (digits.get(2..)?, 8),
        [b'0', b'b' | b'B', ..] => (digits.get(2..)?, 2),
        [b'0', _, ..] => (digits.get(1..)?, 8),
        _ => (digits, 10),
    };
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None; // a second sign
    }
    let magnitude = i128::from(u64::from_str_radix(digits, radix).ok()?);
    let value = if negative { -magnitude } else { magnitude };
    (value >= i128::from(i64::MIN)).then_some(value)
}

/// A number with a point or an exponent; never `inf`, `nan` or hexadecimal.
fn float(text: &str) -> Option<f64> {
    let allowed = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
    if !text.contains(|c: char| c.is_ascii_digit()) || !text.chars().all(allowed) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_kubectl_reads() {
        use Resolved::{Bool, Float, Integer, Null, Text};
        for (text, meaning) in [
            ("", Null),
            ("~", Null),
            ("null", Null),
            ("yes", Bool(true)),
            ("on", Bool(true)),
            ("y", Bool(true)),
            ("Off", Bool(false)),
            ("yEs", Text),
            ("80", Integer(80)),
            ("-1", Integer(-1)),
            ("+7", Integer(7)),
            ("010", Integer(8)),
            ("0o10", Integer(8)),
            ("0x1F", Integer(31)),
            ("0b11", Integer(3)),
            ("1_000", Integer(1000)),
            ("18446744073709551615", Integer(i128::from(u64::MAX))),
            ("0.5", Float(0.5)),
            (".5", Float(0.5)),
            ("1e3", Float(1000.0)),
            ("089", Float(89.0)),
            ("1.2.3.4", Text),
            ("192.168.8.0/24", Text),
            ("2001-01-01", Text),
            ("v1", Text),
            ("--1", Text),
            ("+-1", Text),
            ("-", Text),
            (".", Text),
            ("1m30s", Text),
            ("1:30", Text),
        ] {
            assert_eq!(resolve(text, Form::Plain), meaning, "{text:?}");
            assert_eq!(resolve(text, Form::Text), Text, "{text:?} in quotes");
        }
    }
}
