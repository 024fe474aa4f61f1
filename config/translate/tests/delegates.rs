//! `delegate`: which rules stand in the place of a rule that delegates.

use super::*;
use crate::model::Line;

/// A delegate with these rules, exported as said.
fn delegate(name: &str, export_to: &str, http: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, \
         namespace: other, creationTimestamp: \"2025-01-01T00:00:00Z\"}}\nspec:\n  exportTo: \
         {export_to}\n  http: {http}\n"
    )
}

fn summary(translation: &Translation) -> Vec<String> {
    if translation.model.servers[0]
        .virtual_hosts()
        .next()
        .is_none()
    {
        return Vec::new();
    }
    let routes = routes(translation, "*");
    let line = |route: &&Route| {
        let path = match &route.matches.path {
            MatchedPath::Any => "any".to_owned(),
            MatchedPath::Exact(path) => format!("exact {path}"),
            MatchedPath::Prefix(path) => format!("prefix {path}"),
            MatchedPath::Regex(regex) => format!("regex {}", regex.as_written()),
        };
        format!("{} {path}", route.name)
    };
    routes.iter().map(line).collect()
}

const TO: &str = "route: [{destination: {host: reviews.default.svc.cluster.local}}]";

#[test]
fn the_delegates_rules_stand_where_the_root_delegates() {
    let root = with_http(&format!(
        "[{{name: first, match: [{{uri: {{prefix: /first}}}}], {TO}}}, \
          {{name: root, match: [{{name: m, uri: {{prefix: /a}}}}], timeout: 5s, delegate: {{name: d, namespace: other}}}}, \
          {{name: last, match: [{{uri: {{prefix: /last}}}}], {TO}}}]"
    ));
    let rules = delegate(
        "d",
        "[default]",
        &format!(
            "[{{name: own, match: [{{name: nn, uri: {{exact: /a/b}}}}, {{uri: {{prefix: /a/c}}}}], {TO}}}, \
              {{timeout: 1s, {TO}}}]"
        ),
    );
    let translation = translated(&base_and(&(root + &rules)));
    assert_eq!(findings(&translation), Vec::<String>::new());
    assert_eq!(
        summary(&translation),
        [
            "first prefix /first",
            "root-own.m-nn exact /a/b",
            "root-own.m prefix /a/c",
            "root.m prefix /a",
            "last prefix /last",
        ]
    );
    let routes = routes(&translation, "*");
    let timeouts: Vec<_> = routes[1..4]
        .iter()
        .map(|route| forward(route).timeout.map(|timeout| timeout.as_secs()))
        .collect();
    assert_eq!(timeouts, [Some(5), Some(5), Some(1)]);
    let origin = &routes[3].origin;
    assert_eq!(origin.virtual_service.to_string(), "default/vs");
    assert_eq!(origin.rule, 1);
    let delegated = origin.delegate.as_ref().expect("it was delegated");
    assert_eq!(delegated.virtual_service.to_string(), "other/d");
    assert_eq!(delegated.rule, 1);
    // `file:line` is the delegate's own rule, below the root's.
    let line = |position: &Option<Line>| position.as_ref().expect("file:line").line;
    assert!(line(&origin.position) > line(&routes[4].origin.position));
}

/// The root's fields count only where the delegate has none; `route` is never taken over.
#[test]
fn a_delegates_own_fields_win() {
    let fields = |n: u8| {
        format!(
            "timeout: {n}s, retries: {{attempts: {n}}}, rewrite: {{uri: /{n}}}, \
             headers: {{response: {{set: {{x-{n}: a}}}}}}, \
             fault: {{abort: {{httpStatus: 50{n}, percentage: {{value: 100}}}}}}, \
             corsPolicy: {{allowOrigins: [{{exact: o{n}}}]}}, \
             mirror: {{host: m{n}.lan}}, mirrorPercentage: {{value: {n}}}"
        )
    };
    let told = |own: &str| {
        let root = with_http(&format!(
            "[{{{}, delegate: {{name: d, namespace: other}}}}]",
            fields(1)
        ));
        let rules = delegate("d", "['*']", &format!("[{{{own} {TO}}}]"));
        let translation = translated(&base_and(&(root + &rules)));
        let [route] = *routes(&translation, "*") else {
            panic!("one route")
        };
        let forward = forward(route);
        let Destination::Unknown { name } = &forward.mirrors[0].destination else {
            panic!("nobody knows the mirror")
        };
        (
            forward.timeout.map(|timeout| timeout.as_secs()),
            forward.retry.as_ref().map(|retry| retry.attempts),
            format!("{:?}", forward.rewrite.uri),
            format!("{:?}", route.headers.as_ref().map(|edits| &edits.response)),
            format!("{:?}", route.fault),
            route.cors.as_ref().map(|cors| cors.origins[0].to_string()),
            (name.clone(), forward.mirrors[0].percentage.millionths()),
        )
    };
    let (inherited, own) = (told(""), told(&format!("{},", fields(2))));
    for (told, n) in [(inherited, 1_u8), (own, 2)] {
        assert_eq!((told.0, told.1), (Some(n.into()), Some(n.into())));
        assert!(told.2.contains(&format!("/{n}")), "{}", told.2);
        assert!(told.3.contains(&format!("x-{n}")), "{}", told.3);
        assert!(told.4.contains(&format!("50{n}")), "{}", told.4);
        assert_eq!(told.5, Some(format!("exact o{n}")));
        let mirror = (format!("outbound|8080||m{n}.lan"), u32::from(n) * 10_000);
        assert_eq!(told.6, mirror);
    }
}

/// Short names mean the namespace of the object that they are written in.
#[test]
fn short_names_keep_their_namespace() {
    let root = with_http("[{mirror: {host: reviews}, delegate: {name: d, namespace: other}}]");
    let rules = delegate("d", "['*']", "[{route: [{destination: {host: reviews}}]}]");
    let translation = translated(&base_and(&(root + &rules)));
    let route = routes(&translation, "*")[0];
    let Destination::Unknown { name } = &forward(route).destinations[0].destination else {
        panic!("other has no reviews")
    };
    assert_eq!(name, "outbound|8080||reviews.other.svc.cluster.local");
    let Destination::Cluster(_) = &forward(route).mirrors[0].destination else {
        panic!("default has reviews")
    };
}

/// Istio: `hasConflict`.
#[test]
fn a_delegate_asks_for_no_more_than_the_root_lets_through() {
    for (root, own, want) in [
        (
            "uri: {prefix: /a}",
            "uri: {prefix: /a/b}",
            Some("prefix /a/b"),
        ),
        ("uri: {prefix: /a}", "uri: {exact: /ab}", Some("exact /ab")),
        ("uri: {prefix: /a/b}", "uri: {prefix: /a}", None),
        ("uri: {prefix: /a}", "uri: {exact: /b}", None),
        ("uri: {exact: /a}", "uri: {exact: /a}", Some("exact /a")),
        ("uri: {exact: /a}", "uri: {exact: /b}", None),
        ("uri: {exact: /a}", "uri: {prefix: /a}", None),
        ("uri: {regex: /a.*}", "uri: {exact: /a}", None),
        ("uri: {regex: /a.*}", "uri: {regex: /a.*}", None),
        ("uri: {prefix: /a}", "uri: {regex: /a.*}", None),
        (
            "uri: {regex: /a.*}",
            "method: {exact: GET}",
            Some("regex /a.*"),
        ),
        (
            "method: {exact: GET}",
            "uri: {regex: /a.*}",
            Some("regex /a.*"),
        ),
        ("headers: {a: {exact: b}}", "headers: {a: {exact: c}}", None),
        (
            "headers: {a: {exact: b}}",
            "headers: {a: {exact: b}}",
            Some("any"),
        ),
        ("headers: {a: {}}", "headers: {a: {exact: b}}", None),
        (
            "headers: {a: {exact: b}}",
            "headers: {c: {exact: d}}",
            Some("any"),
        ),
        (
            "withoutHeaders: {a: {exact: b}}",
            "withoutHeaders: {a: {exact: c}}",
            None,
        ),
        (
            "queryParams: {a: {exact: b}}",
            "queryParams: {a: {prefix: b}}",
            None,
        ),
        ("ignoreUriCase: true", "uri: {prefix: /a}", None),
        ("port: 8080", "port: 9090", None),
        ("port: 8080", "uri: {prefix: /a}", Some("prefix /a")),
        ("sourceNamespace: istio-system", "sourceNamespace: x", None),
        ("sourceLabels: {app: a}", "sourceLabels: {app: b}", None),
        (
            "gateways: [istio-system/gw]",
            "gateways: [istio-system/other]",
            None,
        ),
        (
            "gateways: [istio-system/gw]",
            "gateways: [istio-system/gw]",
            Some("any"),
        ),
    ] {
        let rule = format!("[{{match: [{{{root}}}], delegate: {{name: d, namespace: other}}}}]");
        let rules = delegate("d", "['*']", &format!("[{{match: [{{{own}}}], {TO}}}]"));
        let translation = translated(&base_and(&(with_http(&rule) + &rules)));
        let found = findings(&translation);
        let want: Vec<_> = want.into_iter().map(|path| format!(" {path}")).collect();
        assert_eq!(summary(&translation), want, "{root} with {own}: {found:#?}");
        let conflict = "GH0130 spec.http[0].delegate: rule 0 of the delegate other/d";
        let is_said = found.iter().any(|finding| finding.starts_with(conflict));
        assert_eq!(is_said, want.is_empty(), "{root} with {own}: {found:#?}");
    }
}

#[test]
fn matches_are_paired_and_both_sides_conditions_hold() {
    let root = with_http(
        "[{match: [{uri: {prefix: /a}}, {uri: {prefix: /b}}, {headers: {x: {exact: why}}}], \
          delegate: {name: d, namespace: other}}]",
    );
    let rules = delegate(
        "d",
        "['*']",
        &format!("[{{match: [{{uri: {{prefix: /a/1}}}}, {{uri: {{prefix: /b/1}}}}], {TO}}}]"),
    );
    let translation = translated(&base_and(&(root + &rules)));
    let routes = routes(&translation, "*");
    let pairs: Vec<_> = routes
        .iter()
        .map(|route| {
            (
                route.matches.path.clone(),
                route
                    .matches
                    .conditions
                    .as_ref()
                    .map_or(0, |all| all.headers.len()),
            )
        })
        .map(|(path, headers)| format!("{path:?} {headers}"))
        .collect();
    assert_eq!(
        pairs,
        [
            "Prefix(\"/a/1\") 0",
            "Prefix(\"/a/1\") 1",
            "Prefix(\"/b/1\") 0",
            "Prefix(\"/b/1\") 1",
        ]
    );
}

#[test]
fn a_delegate_that_is_not_there_takes_one_rule_with_it() {
    let rest = format!("{{name: rest, match: [{{uri: {{prefix: /r}}}}], {TO}}}");
    for (name, export_to, expected) in [
        ("nobody", "['*']", "there is no VirtualService other/nobody"),
        (
            "d",
            "['.']",
            "the VirtualService other/d is not exported to the namespace default",
        ),
        (
            "d",
            "[third]",
            "the VirtualService other/d is not exported to the namespace default",
        ),
    ] {
        let root = with_http(&format!(
            "[{{delegate: {{name: {name}, namespace: other}}}}, {rest}]"
        ));
        let rules = delegate("d", export_to, &format!("[{{{TO}}}]"));
        let translation = translated(&base_and(&(root + &rules)));
        let found = findings(&translation);
        let want = format!("IST0101 spec.http[0].delegate: {expected}");
        assert!(found.iter().any(|f| f.starts_with(&want)), "{found:#?}");
        assert!(translation.refused.is_empty());
        assert_eq!(summary(&translation), ["rest prefix /r"]);
    }
}

/// A VirtualService with hosts is no delegate, and a delegate is nothing by itself.
#[test]
fn only_an_object_without_hosts_is_a_delegate() {
    let root = with_http("[{delegate: {name: vs2}}]");
    let other = virtual_service(
        "vs2",
        "2026-01-01T00:00:00Z",
        "[b.lan]",
        &format!("[{{{TO}}}]"),
    );
    let translation = translated(&base_and(&(root + &other)));
    assert_eq!(domains(&translation), ["b.lan"]);
    let alone = translated(&base_and(&delegate("d", "['*']", &format!("[{{{TO}}}]"))));
    assert_eq!(domains(&alone), Vec::<String>::new());
}

/// A circle of delegates: every one that delegates is refused, so nothing goes round.
#[test]
fn a_delegate_does_not_delegate() {
    let root = with_http("[{delegate: {name: a, namespace: other}}]");
    let a = delegate("a", "['*']", "[{delegate: {name: b, namespace: other}}]");
    let b = delegate("b", "['*']", "[{delegate: {name: a, namespace: other}}]");
    let translation = translated(&base_and(&(root + &a + &b)));
    let refused: Vec<_> = translation
        .refused
        .iter()
        .map(|refused| refused.key.to_string())
        .collect();
    assert_eq!(refused, ["other/a", "other/b"]);
    let found = findings(&translation);
    let says = |start: &str| found.iter().any(|f| f.starts_with(start));
    assert!(
        says("IST0106 spec.http[0].delegate: a delegate cannot delegate"),
        "{found:#?}"
    );
    assert!(
        says("IST0101 spec.http[0].delegate: there is no VirtualService other/a"),
        "{found:#?}"
    );
    assert!(domains(&translation).is_empty());
}

/// A delegate changes with its root: order among VirtualServices is the root's.
#[test]
fn order_is_the_roots() {
    let old = virtual_service(
        "old",
        "2025-06-01T00:00:00Z",
        "[\"*\"]",
        &format!("[{{name: old, match: [{{uri: {{prefix: /a}}}}], {TO}}}]"),
    );
    let root = with_http("[{match: [{uri: {prefix: /a}}], delegate: {name: d, namespace: other}}]");
    // Older than both.
    let rules = delegate("d", "['*']", &format!("[{{name: own, {TO}}}]"));
    let translation = translated(&base_and(&(root + &old + &rules)));
    assert_eq!(summary(&translation), ["old prefix /a", "own prefix /a"]);
}
