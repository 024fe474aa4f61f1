//! Paths of fields as YAML writes them, built without allocation until a finding needs one.

use std::fmt;

/// A field within an object: `spec.http[0].match[1].uri.regex`.
#[derive(Clone, Copy)]
pub(crate) struct FieldPath<'a> {
    parent: Option<&'a FieldPath<'a>>,
    segment: Segment<'a>,
}

#[derive(Clone, Copy)]
enum Segment<'a> {
    Field(&'a str),
    Index(usize),
    Written(&'a str),
}

impl<'a> FieldPath<'a> {
    /// A top-level field such as `spec`.
    pub(crate) const fn root(name: &'static str) -> FieldPath<'static> {
        FieldPath {
            parent: None,
            segment: Segment::Field(name),
        }
    }

    /// A path that was written out before.
    pub(crate) const fn written(path: &'a str) -> Self {
        FieldPath {
            parent: None,
            segment: Segment::Written(path),
        }
    }

    /// A field, or a key of a map.
    pub(crate) fn field(&'a self, name: &'a str) -> FieldPath<'a> {
        FieldPath {
            parent: Some(self),
            segment: Segment::Field(name),
        }
    }

    /// Whether the last part is the field of this name.
    pub(crate) fn ends_with(&self, name: &str) -> bool {
        matches!(self.segment, Segment::Field(last) if last == name)
    }

    /// An element of a list.
    pub(crate) fn index(&'a self, index: usize) -> FieldPath<'a> {
        FieldPath {
            parent: Some(self),
            segment: Segment::Index(index),
        }
    }
}

impl fmt::Display for FieldPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.segment {
            Segment::Index(index) => write!(f, "[{index}]"),
            Segment::Written(path) => f.write_str(path),
            Segment::Field(name) if name.contains(['.', '[', ']', '"']) || name.is_empty() => {
                write!(f, "[\"{name}\"]")
            }
            Segment::Field(name) if self.parent.is_some() => write!(f, ".{name}"),
            Segment::Field(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_as_yaml() {
        let spec = FieldPath::root("spec");
        let http = spec.field("http");
        let first = http.index(0);
        let headers = first.field("headers");
        assert_eq!(headers.field("x-a").to_string(), "spec.http[0].headers.x-a");
        assert_eq!(
            headers.field("x.a").to_string(),
            "spec.http[0].headers[\"x.a\"]"
        );
    }
}
