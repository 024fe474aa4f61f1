//! One chunk of text to trees, within [`Limits`]: depth, size, and what aliases may expand to.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::{Chunk, Entry, Form, Mark, Node, Value};
use crate::codes;

/// What a file may ask of the reader.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a file.
    pub file_bytes: u64,
    /// Mappings and lists inside one another; Kubernetes' own objects need about 20.
    pub depth: usize,
    /// Values in a document.
    pub nodes: usize,
    /// Bytes of tree that anchors and aliases may add to a document.
    pub alias_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 16 << 20,
            depth: 100,
            nodes: 1_000_000,
            alias_bytes: 4 << 20,
        }
    }
}

/// A document that is well-formed.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its value.
    pub root: Node,
    /// Keys that were written again; the first one counts in `root`.
    pub repeated: Vec<Repeated>,
}

/// A key that a mapping already has.
#[derive(Clone, Debug)]
pub struct Repeated {
    /// The field path of the key.
    pub path: String,
    /// The second place.
    pub mark: Mark,
    /// The first place.
    pub first: Mark,
}

/// Text that is not YAML, or is more than [`Limits`] allow.
#[derive(Clone, Debug)]
pub struct SyntaxError {
    /// [`codes::SCHEMA`] or [`codes::LIMIT`].
    pub code: &'static str,
    /// Where.
    pub mark: Mark,
    /// What is wrong.
    pub message: String,
    /// The nearest fix, or empty.
    pub hint: String,
}

/// What a chunk holds: the documents before the first error, and the error.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// The documents.
    pub documents: Vec<Document>,
    /// Why there are no more.
    pub error: Option<SyntaxError>,
}

/// Parses a chunk. Marks count lines from the start of the file.
pub fn parse(chunk: Chunk<'_>, limits: &Limits) -> Parsed {
    // The scanner is not ours. Should it ever panic, this file alone is refused.
    catch_unwind(AssertUnwindSafe(|| parse_events(chunk, limits))).unwrap_or_else(|_| Parsed {
        documents: Vec::new(),
        error: Some(SyntaxError {
            code: codes::SCHEMA,
            mark: Mark {
                line: chunk.lines_before.saturating_add(1),
                column: 1,
            },
            message: "the YAML reader failed on this document; it is not used".to_owned(),
            hint: "Please report the file as a bug.".to_owned(),
        }),
    })
}

fn parse_events(chunk: Chunk<'_>, limits: &Limits) -> Parsed {
    let mut parsed = Parsed::default();
    let mut builder = Builder::new(chunk.lines_before, limits);
    let mut parser = Parser::new_from_str(chunk.text);
    while let Some(next) = parser.next_event() {
        let outcome = match next {
            Ok((event, span)) => builder.event(event, span.start),
            Err(error) => Err(syntax_error(&error, chunk)),
        };
        match outcome {
            Ok(None) => {}
            Ok(Some(document)) => parsed.documents.push(document),
            Err(mut error) => {
                if error.hint.is_empty() && chunk.text.contains("{{") {
                    "A template must be rendered first, for example with `helm template`."
                        .clone_into(&mut error.hint);
                }
                parsed.error = Some(error);
                break;
            }
        }
    }
    parsed
}

fn syntax_error(error: &saphyr_parser::ScanError, chunk: Chunk<'_>) -> SyntaxError {
    let mark = place(chunk.lines_before, *error.marker());
    // The scanner has a limit of its own inside brackets and braces.
    if error.info().contains("recursion limit") {
        return too_deep(mark);
    }
    if let Some(tab) = tab_near(chunk, mark, error.info().contains("tab")) {
        return SyntaxError {
            code: codes::SCHEMA,
            mark: tab,
            message: "not valid YAML: the line is indented with a tab".to_owned(),
            hint: "Use spaces; YAML does not allow tabs for indentation.".to_owned(),
        };
    }
    SyntaxError {
        code: codes::SCHEMA,
        mark,
        message: format!("not valid YAML: {}", error.info()),
        hint: String::new(),
    }
}

/// The tab in the indentation of the line with the error, or of the nearest line before it; of a
/// line after it where the scanner says that a tab is the matter (it points at the start of the
/// value that the tab ended).
fn tab_near(chunk: Chunk<'_>, error: Mark, ahead: bool) -> Option<Mark> {
    let at = error.line.checked_sub(chunk.lines_before)?.checked_sub(1)?;
    let at = usize::try_from(at).ok()?;
    let tab_in = |(index, line): (usize, &str)| {
        let indent = line.split(|c| c != ' ' && c != '\t').next()?;
        Some(Mark {
            line: chunk.lines_before + count(index) + 1,
            column: count(indent.find('\t')?) + 1,
        })
    };
    let lines = || chunk.text.lines().enumerate();
    let before = lines()
        .take(at + 1)
        .skip(at.saturating_sub(2))
        .filter_map(tab_in)
        .last();
    let after = || lines().skip(at + 1).take(100).find_map(tab_in);
    before.or_else(|| ahead.then(after).flatten())
}

fn place(lines_before: u32, marker: Marker) -> Mark {
    Mark {
        line: lines_before.saturating_add(count(marker.line())),
        column: count(marker.col()).saturating_add(1),
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Puts events together into a tree, without recursion.
struct Builder<'l> {
    lines_before: u32,
    limits: &'l Limits,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    repeated: Vec<Repeated>,
    nodes: usize,
    alias_bytes: usize,
    root: Option<Node>,
}

/// A mapping or list that is not complete yet.
struct Open {
    mark: Mark,
    anchor: usize,
    kind: OpenKind,
}

enum OpenKind {
    Sequence(Vec<Node>),
    Mapping {
        entries: Vec<Entry>,
        seen: HashSet<Box<str>>,
        key: Option<(Box<str>, Mark)>,
        merged: Vec<Node>,
    },
}

type Step = Result<Option<Document>, SyntaxError>;

impl<'l> Builder<'l> {
    fn new(lines_before: u32, limits: &'l Limits) -> Self {
        Self {
            lines_before,
            limits,
            open: Vec::new(),
            anchors: HashMap::new(),
            repeated: Vec::new(),
            nodes: 0,
            alias_bytes: 0,
            root: None,
        }
    }

    fn event(&mut self, event: Event<'_>, start: Marker) -> Step {
        let mark = place(self.lines_before, start);
        match event {
            Event::DocumentStart(_) => {
                self.anchors.clear();
                (self.nodes, self.alias_bytes, self.root) = (0, 0, None);
                Ok(None)
            }
            Event::DocumentEnd => Ok(self.root.take().map(|root| Document {
                root,
                repeated: std::mem::take(&mut self.repeated),
            })),
            Event::Scalar(text, style, anchor, tag) => {
                self.count_node(mark)?;
                let form = form(style, tag.as_deref());
                let text = text.into_owned().into_boxed_str();
                let value = Value::Scalar { text, form };
                self.complete(Node { mark, value }, anchor)
            }
            Event::SequenceStart(anchor, _) => {
                self.begin(mark, anchor, OpenKind::Sequence(Vec::new()))
            }
            Event::MappingStart(anchor, _) => self.begin(
                mark,
                anchor,
                OpenKind::Mapping {
                    entries: Vec::new(),
                    seen: HashSet::new(),
                    key: None,
                    merged: Vec::new(),
                },
            ),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(error(
                        mark,
                        "an alias (`*name`) stands inside the value it points to",
                    ));
                };
                self.count_expansion(&node, mark)?;
                self.complete(Node { mark, ..node }, 0)
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd => Ok(None),
        }
    }

    fn begin(&mut self, mark: Mark, anchor: usize, kind: OpenKind) -> Step {
        self.count_node(mark)?;
        if self.open.len() >= self.limits.depth {
            return Err(too_deep(mark));
        }
        // Keys of a mapping must be text: no object of Kubernetes has any other.
        if let Some(Open {
            kind: OpenKind::Mapping { key: None, .. },
            ..
        }) = self.open.last()
        {
            return Err(error(mark, "a mapping or list stands where a key must be"));
        }
        self.open.push(Open { mark, anchor, kind });
        Ok(None)
    }

    fn end(&mut self) -> Step {
        let Some(Open { mark, anchor, kind }) = self.open.pop() else {
            return Ok(None);
        };
        let value = match kind {
            OpenKind::Sequence(items) => Value::Sequence(items),
            OpenKind::Mapping {
                mut entries,
                mut seen,
                merged,
                ..
            } => {
                for entry in merged.into_iter().flat_map(into_entries) {
                    if seen.insert(entry.key.clone()) {
                        entries.push(entry);
                    }
                }
                Value::Mapping(entries)
            }
        };
        self.complete(Node { mark, value }, anchor)
    }

    /// Puts a complete value where it belongs.
    fn complete(&mut self, node: Node, anchor: usize) -> Step {
        if anchor != 0 {
            self.count_expansion(&node, node.mark)?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(None);
        };
        match &mut open.kind {
            OpenKind::Sequence(items) => items.push(node),
            OpenKind::Mapping {
                entries,
                seen,
                key: pending,
                merged,
            } => match pending.take() {
                None => match node.value {
                    Value::Scalar { text, .. } => *pending = Some((text, node.mark)),
                    _ => {
                        let message = "a mapping or list stands where a key must be";
                        return Err(error(node.mark, message));
                    }
                },
                // YAML 1.1's merge, which Kubernetes' reader has too.
                Some((key, mark)) if &*key == "<<" => match &node.value {
                    Value::Mapping(_) => merged.push(node),
                    Value::Sequence(items) if items.iter().all(|item| item.entries().is_some()) => {
                        merged.extend(items.iter().cloned());
                    }
                    _ => return Err(error(mark, "`<<` merges mappings only")),
                },
                Some((key, mark)) if seen.contains(&key) => {
                    let first = entries.iter().find(|entry| entry.key == key);
                    let first = first.map_or(mark, |entry| entry.mark);
                    let path = self.path(&key);
                    // A thousand are as clear as one; a file must not fill the memory with them.
                    if self.repeated.len() < 1000 {
                        self.repeated.push(Repeated { path, mark, first });
                    }
                }
                Some((key, mark)) => {
                    seen.insert(key.clone());
                    entries.push(Entry {
                        key,
                        mark,
                        value: node,
                    });
                }
            },
        }
        Ok(None)
    }

    /// The field path of a key in the innermost open mapping.
    fn path(&self, key: &str) -> String {
        let mut path = String::new();
        for open in &self.open {
            match &open.kind {
                OpenKind::Sequence(items) => super::path::push_index(&mut path, items.len()),
                OpenKind::Mapping {
                    key: Some((k, _)), ..
                } => super::path::push_key(&mut path, k),
                OpenKind::Mapping { key: None, .. } => {}
            }
        }
        super::path::push_key(&mut path, key);
        path
    }

    fn count_node(&mut self, mark: Mark) -> Result<(), SyntaxError> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            let nodes = self.limits.nodes;
            return Err(limit(
                mark,
                format!("more than {nodes} values in one document"),
            ));
        }
        Ok(())
    }

    fn count_expansion(&mut self, node: &Node, mark: Mark) -> Result<(), SyntaxError> {
        self.alias_bytes = self.alias_bytes.saturating_add(size(node));
        if self.alias_bytes > self.limits.alias_bytes {
            let kib = self.limits.alias_bytes / 1024;
            let message = format!("anchors and aliases expand to more than {kib} KiB");
            return Err(limit(mark, message));
        }
        Ok(())
    }
}

fn into_entries(node: Node) -> Vec<Entry> {
    match node.value {
        Value::Mapping(entries) => entries,
        _ => Vec::new(),
    }
}

/// About how many bytes a tree takes.
fn size(node: &Node) -> usize {
    let own = size_of::<Node>();
    own + match &node.value {
        Value::Scalar { text, .. } => text.len(),
        Value::Sequence(items) => items.iter().map(size).sum(),
        Value::Mapping(entries) => entries
            .iter()
            .map(|entry| size_of::<Entry>() + entry.key.len() + size(&entry.value))
            .sum(),
    }
}

fn form(style: ScalarStyle, tag: Option<&Tag>) -> Form {
    match tag {
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Form::Text,
        _ if style == ScalarStyle::Plain => Form::Plain,
        _ => Form::Text,
    }
}

fn error(mark: Mark, message: &str) -> SyntaxError {
    SyntaxError {
        code: codes::SCHEMA,
        mark,
        message: format!("not usable as an object: {message}"),
        hint: String::new(),
    }
}

fn too_deep(mark: Mark) -> SyntaxError {
    limit(mark, "mappings and lists are nested too deeply".to_owned())
}

fn limit(mark: Mark, message: String) -> SyntaxError {
    SyntaxError {
        code: codes::LIMIT,
        mark,
        message: format!("{message}; the document is not used"),
        hint: "Split the file, or write the values out.".to_owned(),
    }
}
