//! The pages are complete, and are what the repository holds.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;

/// Every field of every message that some kind has.
fn fields() -> BTreeSet<(&'static str, String)> {
    let all = SUBJECTS
        .iter()
        .flat_map(|subject| messages(&(subject.spec)()));
    all.flat_map(|message| {
        let fields = message.fields.iter();
        fields.map(move |field| (message.name, field.name()))
    })
    .collect()
}

#[test]
fn every_field_has_exactly_one_entry() {
    let mut told = BTreeSet::new();
    for message in support::messages() {
        for (field, _) in message.fields {
            let entry = (message.name, (*field).to_owned());
            assert!(told.insert(entry.clone()), "{entry:?} is told twice");
        }
    }
    let fields = fields();
    let missing: Vec<_> = fields.difference(&told).collect();
    assert!(
        missing.is_empty(),
        "say whether these are honoured: {missing:?}"
    );
    let gone: Vec<_> = told.difference(&fields).collect();
    assert!(gone.is_empty(), "no message has these: {gone:?}");
}

#[test]
fn fields_and_messages_are_documented() {
    for subject in SUBJECTS {
        for message in messages(&(subject.spec)()) {
            assert!(!message.doc.trim().is_empty(), "{}", message.name);
            for field in message.fields {
                assert!(
                    !field.doc.trim().is_empty(),
                    "{}.{}",
                    message.name,
                    field.field
                );
            }
        }
    }
}

#[test]
fn the_pages_are_what_the_code_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference");
    let write = std::env::var_os("GATEHOUSE_WRITE_REFERENCE").is_some();
    if write {
        std::fs::create_dir_all(&folder).expect("the folder can be made");
    }
    let mut known = BTreeSet::new();
    for page in pages() {
        let name = format!("{}.md", page.kind);
        let path = folder.join(&name);
        if write {
            std::fs::write(&path, &page.text).expect("the page can be written");
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            text == page.text,
            "docs/reference/{name} is not what the code says; write it anew with \
             GATEHOUSE_WRITE_REFERENCE=1 cargo test -p gatehouse-config reference"
        );
        known.insert(name);
    }
    // The codes of findings are made, and held to, in another place.
    known.insert("codes.md".to_owned());
    for entry in std::fs::read_dir(&folder).expect("there is a reference") {
        let name = entry.expect("an entry").file_name();
        assert!(
            known.contains(&*name.to_string_lossy()),
            "{name:?} is of no kind"
        );
    }
}
