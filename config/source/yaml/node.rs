//! The tree of a document. Scalars keep their text: what they mean depends on the field.

/// A place: line and column (in characters), both from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its first character.
    pub mark: Mark,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// One value.
    Scalar {
        /// The text after quotes, folding and escapes are undone.
        text: Box<str>,
        /// How it was written.
        form: Form,
    },
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping, in the order of the text; keys are unique.
    Mapping(Vec<Entry>),
}

/// How a scalar was written, which decides whether `80` is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Without quotes.
    Plain,
    /// In quotes, as a block (`|`, `>`), or tagged `!!str`.
    Text,
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key's text.
    pub key: Box<str>,
    /// Where the key begins.
    pub mark: Mark,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The entries, if this is a mapping.
    pub fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// The entry with this key, if this is a mapping and has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries()?.iter().find(|entry| &*entry.key == key)
    }

    /// The value under this key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The items, if this is a list.
    pub fn items(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// Whether this is null: nothing at all, `~` or `null` without quotes.
    pub fn is_null(&self) -> bool {
        match &self.value {
            Value::Scalar { text, form } => {
                matches!(super::resolve(text, *form), super::Resolved::Null)
            }
            _ => false,
        }
    }

    /// The text, if this is a scalar that means text (and not, say, a number).
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, form } => match super::resolve(text, *form) {
                super::Resolved::Text => Some(text),
                _ => None,
            },
            _ => None,
        }
    }

    /// An empty mapping that stands at `mark`.
    pub fn empty(mark: Mark) -> Node {
        Node {
            mark,
            value: Value::Mapping(Vec::new()),
        }
    }
}
