//! What the tree, the decoder and the places say about good and bad text.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;
use crate::codes;

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Route {
    hosts: Vec<String>,
    http_port: u16,
    enabled: bool,
    mode: Option<Mode>,
    labels: BTreeMap<String, String>,
    inner: Option<Box<Route>>,
    list: Vec<Route>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Mode {
    Simple,
    MutualTls,
}

fn read(text: &str) -> Parsed {
    let mut all = Parsed::default();
    for chunk in chunks(text) {
        let parsed = parse(chunk, &Limits::default());
        all.documents.extend(parsed.documents);
        all.error = all.error.or(parsed.error);
    }
    all
}

fn root(text: &str) -> Node {
    let mut parsed = read(text);
    assert!(parsed.error.is_none(), "{:?}", parsed.error);
    assert_eq!(parsed.documents.len(), 1, "{text}");
    parsed.documents.remove(0).root
}

fn fails(text: &str) -> SyntaxError {
    read(text).error.expect("text that is refused")
}

fn route(text: &str) -> Decoded<Route> {
    decode(&root(text), "spec", Dialect::Protobuf)
}

fn refused(text: &str) -> (String, String, String, String) {
    let error = route(text).value.expect_err("a value that is refused");
    let Mark { line, column } = error.mark;
    (
        error.path,
        format!("{line}:{column}"),
        error.message,
        error.hint,
    )
}

#[test]
fn values_land_in_their_fields() {
    let text = "hosts: [a, 'b']\nhttp_port: '80'\nenabled: on\nmode: MUTUAL_TLS\nlabels:\n  a.b/c: x\n\
                inner:\n  hosts:\n  list:\n  - httpPort: 8080.0\n";
    let decoded = route(text);
    assert_eq!(decoded.unknown, []);
    let expected = Route {
        hosts: vec!["a".into(), "b".into()],
        http_port: 80,
        enabled: true,
        mode: Some(Mode::MutualTls),
        labels: BTreeMap::from([("a.b/c".into(), "x".into())]),
        inner: Some(Box::new(Route {
            list: vec![Route {
                http_port: 8080,
                ..Route::default()
            }],
            ..Route::default()
        })),
        ..Route::default()
    };
    assert_eq!(decoded.value, Ok(expected));
}

#[test]
fn a_wrong_type_names_its_field_and_place() {
    let (path, place, message, hint) =
        refused("inner:\n  list:\n  - hosts: [x]\n    httpPort: web\n");
    assert_eq!(path, "spec.inner.list[0].httpPort");
    assert_eq!(place, "4:15");
    assert_eq!(
        message,
        "wrong type: expected a whole number from 0 to 65535, found the text \"web\""
    );
    assert_eq!(hint, "");
}

#[test]
fn near_misses_come_with_their_fix() {
    let (path, place, _, hint) = refused("hosts: [200]\n");
    assert_eq!((path.as_str(), place.as_str()), ("spec.hosts[0]", "1:9"));
    assert_eq!(hint, "Put it in quotes: \"200\"");

    let (.., hint) = refused("labels:\n  canary: yes\n");
    assert_eq!(hint, "Put it in quotes: \"yes\"");

    let (.., hint) = refused("enabled: \"true\"\n");
    assert_eq!(hint, "Write it without quotes: true");

    let (_, place, message, hint) = refused("mode: SIMPEL\n");
    assert_eq!(message, "unknown value `SIMPEL`");
    assert_eq!(
        (place.as_str(), hint.as_str()),
        ("1:7", "Did you mean `SIMPLE`?")
    );

    let (path, place, message, _) = refused("list:\n  hosts: []\n");
    assert_eq!((path.as_str(), place.as_str()), ("spec.list", "1:1"));
    assert_eq!(message, "wrong type: expected a list, found a mapping");

    let (.., message, _) = refused("httpPort: 70000\n");
    assert!(
        message.contains("from 0 to 65535, found the number 70000"),
        "{message}"
    );

    let decoded: Decoded<Route> = decode(&root("httpPort: '80'"), "", Dialect::Kubernetes);
    let error = decoded
        .value
        .expect_err("Kubernetes takes no number in quotes");
    assert_eq!(error.hint, "Write it without quotes: 80");
}

#[test]
fn a_field_written_in_both_styles_is_refused() {
    let (path, _, message, _) = refused("httpPort: 1\nhttp_port: 2\n");
    assert_eq!(path, "spec.http_port");
    assert_eq!(message, "the field `httpPort` is written twice");
}

#[test]
fn unknown_fields_are_collected_with_the_nearest_name() {
    let text = "host: [a]\ninner:\n  - x\n";
    assert!(route(text).value.is_err());
    assert_eq!(
        route(text).unknown.len(),
        1,
        "those before the error are kept"
    );

    let text = "host: [a]\nlist:\n- zebra: {hosts: 1}\n  hosts: [b]\n- http_prot:\n";
    let decoded = route(text);
    assert!(decoded.value.is_ok());
    let unknown: Vec<_> = decoded
        .unknown
        .iter()
        .map(|u| (u.path.as_str(), u.mark.line, u.mark.column, u.nearest))
        .collect();
    assert_eq!(
        unknown,
        [
            ("spec.host", 1, 1, Some("hosts")),
            ("spec.list[0].zebra", 3, 3, None),
            ("spec.list[1].http_prot", 5, 3, Some("httpPort")),
        ]
    );
}

#[test]
fn every_field_path_leads_to_its_place() {
    let root = root(
        "spec:\n  http:\n  - match:\n    - uri: {exact: /a}\n    route:\n    - destination:\n        host: reviews\n  \
         metadata:\n    a.b/c: x\n  snake_case: 1\n",
    );
    for (path, line, column) in [
        ("spec", 1, 1),
        ("spec.http", 2, 3),
        ("spec.http[0]", 3, 5),
        ("spec.http[0].match[0].uri", 4, 7),
        ("spec.http[0].match[0].uri.exact", 4, 20),
        ("spec.http[0].route[0].destination", 6, 7),
        ("spec.http[0].route[0].destination.host", 7, 15),
        ("spec.http[0].route[0].destination.port.number", 6, 7),
        ("spec.http[7]", 2, 3),
        ("spec.metadata[\"a.b/c\"]", 9, 12),
        ("spec.snakeCase", 10, 15),
        ("nothing.at.all", 1, 1),
        ("", 1, 1),
    ] {
        assert_eq!(find(&root, path), Mark { line, column }, "{path}");
    }
}

#[test]
fn lines_count_from_the_start_of_the_file() {
    let parsed = read("# one\na: 1\n---\n# four\nb:\n  c: 2\n---\nd: [\n");
    assert_eq!(parsed.documents.len(), 2);
    let second = &parsed.documents[1].root;
    assert_eq!(find(second, "b.c"), Mark { line: 6, column: 6 });
    assert!(parsed.error.expect("the third").mark.line >= 8);
}

#[test]
fn a_broken_document_leaves_its_neighbours() {
    let parsed = read("a: 1\n---\nb: [1\n---\nc: 3\n");
    assert_eq!(parsed.documents.len(), 2);
    assert!(parsed.error.is_some());
}

#[test]
fn a_tab_is_called_a_tab() {
    for text in [
        "spec:\n\thosts: []\n",
        "spec:\n  hosts:\n\t- a\n",
        "spec:\n  a: 1\n\tb: 2\n",
        "spec:\n  http:\n  - a: 1\n  \tb: 2\n",
    ] {
        let error = fails(text);
        assert!(
            error.message.contains("indented with a tab"),
            "{text:?}: {error:?}"
        );
        let line = text
            .lines()
            .nth(error.mark.line as usize - 1)
            .expect("the line");
        let found = line.chars().nth(error.mark.column as usize - 1);
        assert_eq!(found, Some('\t'), "{text:?}: {error:?}");
    }
}

#[test]
fn a_tab_elsewhere_is_no_offence() {
    assert!(
        read("a: 1\t# one\nb: \"x\ty\"\nc: |\n  \tx\n")
            .error
            .is_none()
    );
}

#[test]
fn a_key_written_twice_names_both_places() {
    let parsed = read("spec:\n  http:\n  - name: a\n    name: b\n    name: c\n");
    let repeated = &parsed.documents[0].repeated;
    let places: Vec<_> = repeated
        .iter()
        .map(|r| (r.path.as_str(), r.mark.line, r.first.line))
        .collect();
    assert_eq!(
        places,
        [("spec.http[0].name", 4, 3), ("spec.http[0].name", 5, 3)]
    );
}

#[test]
fn aliases_and_merges_are_followed() {
    let root = root("base: &b {x: 1, y: 2}\nuse: *b\nmerged:\n  <<: *b\n  y: 3\n");
    let text = |path: [&str; 2]| match &root.get(path[0]).expect("a").get(path[1]).expect("b").value
    {
        Value::Scalar { text, .. } => text.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(text(["use", "y"]), "2");
    assert_eq!(text(["merged", "x"]), "1");
    assert_eq!(text(["merged", "y"]), "3");
}

#[test]
fn bombs_do_not_go_off() {
    let mut laughs = "a0: &a0 [lol,lol,lol,lol,lol,lol,lol,lol,lol]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        let list = vec![before; 9].join(",");
        laughs.push_str(&format!("a{level}: &a{level} [{list}]\n"));
    }
    let error = fails(&laughs);
    assert_eq!(error.code, codes::LIMIT);
    assert!(error.message.contains("aliases"), "{error:?}");

    for deep in [
        "[".repeat(100_000),
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
    ] {
        let error = fails(&deep);
        assert!(error.message.contains("too deeply"), "{error:?}");
    }

    let limits = Limits {
        nodes: 1000,
        ..Limits::default()
    };
    let many = "- a\n".repeat(1001);
    let many = chunks(&many)
        .first()
        .map(|chunk| parse(*chunk, &limits).error);
    let error = many.flatten().expect("a limit");
    assert!(error.message.contains("values"), "{error:?}");

    // An anchor inside itself.
    assert!(read("a: &a [*a]\n").error.is_some());
    assert!(read("a: *nobody\n").error.is_some());
}

#[test]
fn json_is_read_as_well() {
    let root = root("{\"a\": [1, true, null, \"x\\u00e9\\/\"],\n  \"b\": {}}");
    let decoded: Decoded<serde_json::Value> = decode(&root, "", Dialect::Kubernetes);
    let expected = serde_json::json!({"a": [1, true, null, "xé/"], "b": {}});
    assert_eq!(decoded.value, Ok(expected));
}
