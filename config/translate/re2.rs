//! RE2's syntax, as Istio and Envoy take it, on top of the regex crate.
//!
//! The two differ in small ways that would change what matches: RE2's `\d`, `\w`, `\s` and `\b`
//! are ASCII, `[` and `&&` within a class are plain characters, `{` that begins no repetition is
//! one too, and `\<`, `\>` mean nothing special. (RE2: github.com/google/re2/wiki/Syntax.)

use regex::bytes::{Regex, RegexBuilder};

use crate::model::FullMatch;

/// Istio's limit on the length of a pattern.
const MAX_PATTERN_BYTES: usize = 1024;
/// The limit on the compiled program, so that a pattern such as `(a{1000}){1000}` costs no memory.
const MAX_PROGRAM_BYTES: usize = 4 << 20;
const DIGIT: &str = "0-9";
const WORD: &str = "0-9A-Za-z_";
const SPACE: &str = "\\t\\n\\x0C\\r ";

/// Compiles a pattern that must match the whole of its input.
pub(crate) fn full_match(pattern: &str) -> Result<FullMatch, String> {
    compile(pattern, true).map(|regex| FullMatch::new(regex, pattern))
}

/// Compiles a pattern that may match anywhere.
pub(crate) fn search(pattern: &str) -> Result<Regex, String> {
    compile(pattern, false)
}

/// Turns RE2's `\1` into the regex crate's `${1}`; `groups` is how many the pattern has.
pub(crate) fn replacement(rewrite: &str, groups: usize) -> Result<String, String> {
    let mut out = String::with_capacity(rewrite.len() + 8);
    let mut chars = rewrite.chars();
    while let Some(c) = chars.next() {
        match c {
            '$' => out.push_str("$$"),
            '\\' => match chars.next() {
                Some('\\') => out.push('\\'),
                Some(digit @ '0'..='9') => {
                    if digit.to_digit(10).is_some_and(|n| n as usize > groups) {
                        return Err(format!(
                            "`\\{digit}` names a group that the pattern does not have"
                        ));
                    }
                    out.push_str("${");
                    out.push(digit);
                    out.push('}');
                }
                _ => return Err("a `\\` must be followed by a digit or another `\\`".to_owned()),
            },
            c => out.push(c),
        }
    }
    Ok(out)
}

fn compile(pattern: &str, whole: bool) -> Result<Regex, String> {
    if pattern.is_empty() {
        return Err("the pattern is empty".to_owned());
    }
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(format!(
            "the pattern is longer than {MAX_PATTERN_BYTES} bytes"
        ));
    }
    let translated = translate(pattern)?;
    // Read alone first: an error then shows the pattern as written, and `a)(?:b` is one.
    let mut parser = regex_syntax::ParserBuilder::new().utf8(false).build();
    let parsed = parser.parse(&translated);
    parsed.map_err(|error| last_line(&error.to_string()))?;
    let anchored = if whole {
        format!("\\A(?:{translated})\\z")
    } else {
        translated
    };
    RegexBuilder::new(&anchored)
        .size_limit(MAX_PROGRAM_BYTES)
        .dfa_size_limit(MAX_PROGRAM_BYTES)
        .build()
        .map_err(|error| last_line(&error.to_string()))
}

/// The regex crate draws a picture and puts the reason on the last line.
fn last_line(error: &str) -> String {
    let line = error.lines().last().unwrap_or(error).trim();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

fn translate(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    let mut after_repetition = false;
    while let Some(c) = rest.chars().next() {
        let tail = &rest[c.len_utf8()..];
        let mut repetition = false;
        match c {
            '\\' => rest = escape(tail, false, &mut out)?,
            '[' => rest = class(tail, &mut out)?,
            '{' => {
                let end = repetition_end(tail);
                if end.is_some() && after_repetition {
                    return Err("a repetition follows a repetition".to_owned());
                }
                match end {
                    Some(end) => {
                        out.push('{');
                        out.push_str(&tail[..end]);
                        rest = &tail[end..];
                        repetition = true;
                    }
                    None => {
                        out.push_str("\\{");
                        rest = tail;
                    }
                }
            }
            '}' => {
                out.push_str("\\}");
                rest = tail;
            }
            '*' | '+' | '?' => {
                // `a**` is an error in RE2; `a*?` is lazy.
                if after_repetition {
                    return Err("a repetition follows a repetition".to_owned());
                }
                out.push(c);
                rest = tail;
                repetition = true;
            }
            c => {
                out.push(c);
                rest = tail;
            }
        }
        if repetition && let Some(lazy) = rest.strip_prefix('?') {
            out.push('?');
            rest = lazy;
        }
        after_repetition = repetition;
    }
    Ok(out)
}

/// Where `n}`, `n,}` or `n,m}` ends, if that is what follows a `{`.
fn repetition_end(tail: &str) -> Option<usize> {
    let end = tail.find('}')?;
    let (min, max) = match tail[..end].split_once(',') {
        Some((min, max)) => (min, Some(max)),
        None => (&tail[..end], None),
    };
    let number = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    (number(min) && max.is_none_or(|max| max.is_empty() || number(max))).then_some(end + 1)
}

/// One escape; `tail` begins behind the backslash. Returns what is left.
fn escape<'a>(tail: &'a str, in_class: bool, out: &mut String) -> Result<&'a str, String> {
    let Some(c) = tail.chars().next() else {
        return Err("the pattern ends in a backslash".to_owned());
    };
    let rest = &tail[c.len_utf8()..];
    let perl = |set: &str, negated: bool| match (in_class, negated) {
        (true, false) => set.to_owned(),
        (true, true) | (false, true) => format!("[^{set}]"),
        (false, false) => format!("[{set}]"),
    };
    match c {
        'd' => out.push_str(&perl(DIGIT, false)),
        'D' => out.push_str(&perl(DIGIT, true)),
        'w' => out.push_str(&perl(WORD, false)),
        'W' => out.push_str(&perl(WORD, true)),
        's' => out.push_str(&perl(SPACE, false)),
        'S' => out.push_str(&perl(SPACE, true)),
        'b' if !in_class => out.push_str("(?-u:\\b)"),
        'B' if !in_class => out.push_str("(?-u:\\B)"),
        'Q' if !in_class => {
            let (literal, rest) = rest.split_once("\\E").unwrap_or((rest, ""));
            out.push_str(&regex::escape(literal));
            return Ok(rest);
        }
        '0'..='7' => {
            let digits = rest
                .bytes()
                .take(2)
                .take_while(|b| (b'0'..=b'7').contains(b));
            let count = digits.count();
            if c != '0' && count == 0 {
                return Err(format!("`\\{c}`: back references do not exist in RE2"));
            }
            let digits = &tail[..=count];
            let code = u32::from_str_radix(digits, 8).unwrap_or(0);
            out.push_str(&format!("\\x{{{code:X}}}"));
            return Ok(&tail[count + 1..]);
        }
        c if c.is_ascii_punctuation() => {
            // Angle brackets would be word boundaries to the regex crate.
            if c != '<' && c != '>' {
                out.push('\\');
            }
            out.push(c);
        }
        c => {
            out.push('\\');
            out.push(c);
        }
    }
    Ok(rest)
}

/// A bracketed class; `tail` begins behind the `[`. Returns what is left.
fn class<'a>(tail: &'a str, out: &mut String) -> Result<&'a str, String> {
    out.push('[');
    let mut rest = tail;
    if let Some(negated) = rest.strip_prefix('^') {
        out.push('^');
        rest = negated;
    }
    let mut first = true;
    loop {
        let Some(c) = rest.chars().next() else {
            return Err("a `[` is never closed".to_owned());
        };
        let tail = &rest[c.len_utf8()..];
        match c {
            ']' if !first => {
                out.push(']');
                return Ok(tail);
            }
            '\\' => rest = escape(tail, true, out)?,
            '[' if tail.starts_with(':') && tail.contains(":]") => {
                let end = tail.find(":]").map_or(tail.len(), |end| end + 2);
                out.push('[');
                out.push_str(&tail[..end]);
                rest = &tail[end..];
            }
            // Plain characters to RE2; set operations to the regex crate.
            '[' | ']' | '&' | '~' => {
                out.push('\\');
                out.push(c);
                rest = tail;
            }
            '-' if tail.starts_with('-') => {
                out.push_str("\\-");
                rest = tail;
            }
            c => {
                out.push(c);
                rest = tail;
            }
        }
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, input: &str) -> bool {
        full_match(pattern)
            .unwrap_or_else(|error| panic!("{pattern}: {error}"))
            .is_match(input.as_bytes())
    }

    #[test]
    fn patterns_match_as_re2_does() {
        for (pattern, yes, no) in [
            ("/re/([a-z]+)", "/re/abc", "/re/abc/d"),
            ("a|b", "b", "ab"),
            (r"\d+", "12", "\u{0661}"),
            (r"\w", "_", "é"),
            (r"[\w-]+", "a-b", "a b"),
            (r"[^\d]", "a", "1"),
            (r"[a&&b]+", "a&b", "c"),
            (r"[[]x", "[x", "x"),
            (r"[]a]+", "]a", "b"),
            ("a{", "a{", "a"),
            ("a{,2}", "a{,2}", "aa"),
            ("a{2}", "aa", "a{2}"),
            (r"a\<b\>", "a<b>", "ab"),
            (r"\Qa.b\E+", "a.bb", "axb"),
            (r"[[:alpha:]]+", "ab", "1"),
            (r"(?i)abc", "ABC", "abd"),
            (r"/a\/b", "/a/b", "/ab"),
            (r"\x41\101", "AA", "A"),
            (r"a*?b", "aab", "a"),
            ("x{2}?y", "xxy", "xy"),
        ] {
            assert!(matches(pattern, yes), "{pattern} ~ {yes}");
            assert!(!matches(pattern, no), "{pattern} !~ {no}");
        }
        // A line end is no way around the end of the text.
        assert!(!matches("a", "a\n"));
    }

    #[test]
    fn patterns_that_re2_refuses_are_refused() {
        for pattern in [
            "",
            "*",
            "a**",
            "a{2}{3}",
            "(",
            "[a",
            r"\1",
            "a\\",
            "(?=a)",
            "x{9999999}",
        ] {
            assert!(full_match(pattern).is_err(), "{pattern}");
        }
        assert!(full_match(&"a".repeat(1025)).is_err());
        assert!(full_match("((a{100}){100}){100}").is_err());
    }

    #[test]
    fn replacements_name_groups() {
        assert_eq!(replacement(r"/\1/x$\\", 1).as_deref(), Ok(r"/${1}/x$$\"));
        assert!(replacement(r"\2", 1).is_err());
        assert!(replacement(r"\x", 1).is_err());
    }
}
