//! What `gatehouse check` prints.

use gatehouse_config::finding::Position;
use gatehouse_config::{ObjectKey, resources::ObjectRef};

use super::report::{Look, json, sort, text, wrap, yaml};
use super::*;

const PLAIN: Look = Look {
    color: false,
    width: None,
};

fn finding(level: Level, file: &str, line: u32, field: &str) -> Finding {
    Finding {
        code: "IST0101",
        level,
        object: Some(ObjectRef {
            kind: "VirtualService".to_owned(),
            key: ObjectKey::new("default", "reviews"),
        }),
        field: field.to_owned(),
        position: Some(Position {
            file: file.to_owned(),
            line,
            column: 5,
        }),
        message: "there is no Gateway default/gw, so these routes are not served.".to_owned(),
        hint: "Did you mean `gateway`?".to_owned(),
    }
}

fn checked(findings: Vec<Finding>) -> Checked {
    let mut checked = Checked {
        findings,
        files: 2,
        objects: 9,
    };
    sort(&mut checked.findings);
    checked
}

#[test]
fn findings_stand_under_their_file_and_line_up() {
    let mut general = finding(Level::Info, "", 0, "");
    general.position = None;
    general.object = None;
    general.code = "GH1";
    let found = checked(vec![
        general,
        finding(Level::Warning, "b.yaml", 120, "spec.gateways[0]"),
        finding(Level::Error, "b.yaml", 7, ""),
        finding(Level::Info, "a.yaml", 1, "spec"),
        finding(Level::Info, "a.yaml", 1, "spec"),
    ]);
    assert_eq!(
        text(&found, PLAIN),
        "\
a.yaml
  1:5  info     IST0101  VirtualService default/reviews  spec
                         there is no Gateway default/gw, so these routes are not served.
                         Did you mean `gateway`?

b.yaml
    7:5  error    IST0101  VirtualService default/reviews
                           there is no Gateway default/gw, so these routes are not served.
                           Did you mean `gateway`?
  120:5  warning  IST0101  VirtualService default/reviews  spec.gateways[0]
                           there is no Gateway default/gw, so these routes are not served.
                           Did you mean `gateway`?

the whole configuration
  info     GH1  there is no Gateway default/gw, so these routes are not served.
                Did you mean `gateway`?

✘ 1 error, 1 warning, 2 notes: 9 objects in 2 files
  gatehouse check --explain CODE tells what a code means
"
    );
}

#[test]
fn a_narrow_terminal_wraps_and_colour_changes_no_text() {
    let found = checked(vec![finding(Level::Error, "b.yaml", 7, "")]);
    let narrow = Look {
        color: true,
        width: Some(70),
    };
    let colored = text(&found, narrow);
    assert!(colored.contains("\x1b[31merror  \x1b[0m"), "{colored:?}");
    let plain = ["\x1b[31m", "\x1b[1m", "\x1b[0m"]
        .iter()
        .fold(colored, |text, code| text.replace(code, ""));
    let widest = plain.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(70), "{plain}");
}

#[test]
fn all_is_well_has_a_tick() {
    assert_eq!(
        text(&checked(Vec::new()), PLAIN),
        "✔ nothing to complain about: 9 objects in 2 files\n"
    );
}

#[test]
fn every_key_is_always_there() {
    let mut bare = finding(Level::Error, "", 0, "");
    bare.position = None;
    bare.object = None;
    bare.hint.clear();
    let rows: serde_json::Value = serde_json::from_str(&json(&[bare.clone()]).expect("text"))
        .expect("what was written is JSON");
    let expected = serde_json::json!([{
        "code": "IST0101", "level": "error", "object": "", "field": "", "file": "", "line": 0,
        "column": 0, "hint": "",
        "message": "there is no Gateway default/gw, so these routes are not served.",
    }]);
    assert_eq!(rows, expected);
    assert!(yaml(&[bare]).expect("text").contains("hint:"));
}

#[test]
fn the_threshold_decides() {
    let found = [finding(Level::Warning, "a", 1, "")];
    assert!(!Threshold::Error.is_reached(&found));
    assert!(Threshold::Warning.is_reached(&found));
    assert!(Threshold::Info.is_reached(&found));
    assert!(!Threshold::None.is_reached(&found));
    assert!(!Threshold::Info.is_reached(&[]));
}

#[test]
fn lines_break_at_spaces() {
    assert_eq!(wrap("a bc def", 4), ["a bc", "def"]);
    assert_eq!(wrap("abcdefgh i", 4), ["abcdefgh", "i"]);
    assert_eq!(wrap("", 4), [""]);
    assert_eq!(wrap("größe über", 5), ["größe", "über"]);
}

#[test]
fn codes_are_explained() {
    let text = explain::text("ist0101", false).expect("a code");
    assert!(text.starts_with("IST0101  "), "{text}");
    assert!(text.contains("https://istio.io/"), "{text}");
    assert!(text.contains("\nHow to fix it: "), "{text}");
    assert!(explain::text("", false).expect("a list").contains("GH0001"));
    let wrong = explain::text("IST01O1", false).expect_err("no code");
    assert!(wrong.contains("Did you mean IST01"), "{wrong}");
}
