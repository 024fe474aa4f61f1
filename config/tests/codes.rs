//! The reference page of codes is made from the list in the code.
//!
//! `GATEHOUSE_WRITE_DOCS=1 cargo test -p gatehouse-config --test codes` writes it anew.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use gatehouse_config::codes::{CODES, Code};

fn page() -> String {
    let mut text = String::from(
        "<!-- Made from config/codes.rs: GATEHOUSE_WRITE_DOCS=1 cargo test -p gatehouse-config \
         --test codes -->\n\n# Codes\n\nEvery finding carries a code, in `gatehouse check`, the \
         log, the admin API and `gatehouse get findings`. `IST…` are the codes of Istio's analysis \
         with Istio's meaning; `GH…` are gatehouse's own. `gatehouse check --explain CODE` prints \
         the same text.\n",
    );
    let mut codes: Vec<_> = CODES.iter().collect();
    codes.sort_by_key(|code| code.id);
    let (own, istio): (Vec<_>, Vec<_>) = codes.into_iter().partition(|c| c.id.starts_with("GH"));
    for (title, codes) in [("gatehouse's own", own), ("Istio's", istio)] {
        let _ = writeln!(
            text,
            "\n## {title}\n\n| Code | | Meaning | How to fix it |\n|---|---|---|---|"
        );
        for code in codes {
            text.push_str(&row(code));
        }
    }
    text
}

fn row(code: &Code) -> String {
    let id = match code.documentation() {
        Some(address) => format!("[{}]({address})", code.id),
        None => code.id.to_owned(),
    };
    let [explanation, fix] = [code.explanation, code.fix].map(|text| text.replace('|', "\\|"));
    format!("| {id} | {} | {explanation} | {fix} |\n", code.title)
}

#[test]
fn the_reference_page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/codes.md");
    let expected = page();
    if std::env::var_os("GATEHOUSE_WRITE_DOCS").is_some_and(|value| value == "1") {
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(&path, &expected).expect("written");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == expected,
        "docs/reference/codes.md is out of date; write it anew with GATEHOUSE_WRITE_DOCS=1 cargo \
         test -p gatehouse-config --test codes"
    );
}

#[test]
fn titles_are_short_and_explanations_are_sentences() {
    for code in CODES {
        assert!(
            code.title.chars().count() <= 50,
            "{}: {}",
            code.id,
            code.title
        );
        assert!(code.explanation.ends_with(['.', '!']), "{}", code.id);
    }
}
