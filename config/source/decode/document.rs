//! A file's documents, and the items of a `kind: List`.

use std::sync::Arc;

use super::object::object;
use super::place::{Source, repeated_finding};
use super::{DecodedFile, position};
use crate::finding::{Finding, Level};
use crate::source::yaml::{Document, Limits, Node, SyntaxError, chunks, parse};

/// Reads the text of a file. `path` names it in findings and origins.
pub fn decode_text(path: &Arc<str>, text: &str, limits: &Limits) -> DecodedFile {
    let mut file = DecodedFile::default();
    each_document(text, limits, |number, document| match document {
        Ok(document) => decode_document(path, &document, number, &mut file),
        Err(error) => {
            file.unreadable = true;
            file.findings.push(syntax_finding(path, error));
        }
    });
    file
}

/// Every document of a text with its number, which is the one that origins carry.
pub(crate) fn each_document(
    text: &str,
    limits: &Limits,
    mut visit: impl FnMut(u32, Result<Document, SyntaxError>),
) {
    let mut number = 0;
    for chunk in chunks(text) {
        let parsed = parse(chunk, limits);
        let documents = parsed.documents.into_iter().map(Ok);
        for document in documents.chain(parsed.error.map(Err)) {
            visit(number, document);
            number += 1;
        }
    }
}

/// The root of the object that stands at this document and item, in text read before.
pub(crate) fn item_at(root: &Node, item: Option<u32>) -> Option<&Node> {
    match item {
        None => Some(root),
        Some(item) => root.get("items")?.items()?.get(usize::try_from(item).ok()?),
    }
}

/// The finding for text that is no YAML.
fn syntax_finding(path: &Arc<str>, error: SyntaxError) -> Finding {
    Finding {
        code: error.code,
        level: Level::Error,
        object: None,
        field: String::new(),
        position: Some(position(path, error.mark)),
        message: error.message,
        hint: error.hint,
    }
}

fn decode_document(path: &Arc<str>, document: &Document, number: u32, file: &mut DecodedFile) {
    let root = &document.root;
    if root.is_null() {
        return;
    }
    let mut source = Source {
        path,
        document: number,
        item: None,
        start: root.mark,
        repeated: document.repeated.iter().collect(),
        resource_version: None,
    };
    let Some(items) = list_items(root) else {
        return object(&source, root, file);
    };
    for (index, item) in (0u32..).zip(items) {
        let prefix = format!("items[{index}]");
        let belongs = |path: &str| {
            let rest = path.strip_prefix(&prefix);
            rest.is_some_and(|rest| rest.starts_with(['.', '[']))
        };
        source.item = Some(index);
        source.repeated = document
            .repeated
            .iter()
            .filter(|repeated| belongs(&repeated.path))
            .collect();
        object(&source, item, file);
    }
    // Keys written twice in the List itself: which `items` is meant cannot be told.
    for repeated in &document.repeated {
        if !repeated.path.starts_with("items[") {
            file.unreadable = true;
            file.findings.push(repeated_finding(
                path,
                &repeated.path,
                repeated.mark,
                repeated.first,
            ));
        }
    }
}

/// The items, if this is a `List` (or a typed one such as `ServiceList`, as kubectl may print).
fn list_items(root: &Node) -> Option<&[Node]> {
    let kind = root.get("kind")?.text()?;
    if !kind.ends_with("List") {
        return None;
    }
    match root.get("items") {
        None => Some(&[]),
        Some(items) if items.is_null() => Some(&[]),
        Some(items) => items.items(),
    }
}
