use std::sync::Arc;

use gatehouse_config::model::{Conditions, Domain, FullMatch, HeaderMatch, HeaderName, Pattern};

use super::*;
use crate::http1::RequestHead;
use crate::snapshot::{HostId, Route, test_route};
use crate::worker::random::Random;

fn domain(text: &str) -> Domain {
    match text.strip_prefix('*') {
        Some("") => Domain::Any,
        Some(suffix) => Domain::Suffix(suffix.to_owned()),
        None => Domain::Exact(text.to_owned()),
    }
}

fn table(domains: &[&str]) -> HostTable {
    let mut table = HostTable::default();
    for (id, text) in (0..).zip(domains) {
        table.insert(&domain(text), HostId(id));
    }
    table
}

#[test]
fn the_most_specific_host_wins() {
    let domains = ["a.foo.com", "*.foo.com", "*.a.foo.com", "*-x.bar.com", "*"];
    let table = table(&domains);
    for (host, want) in [
        ("a.foo.com", "a.foo.com"),
        ("A.Foo.COM:8080", "a.foo.com"),
        ("b.foo.com", "*.foo.com"),
        ("x.a.foo.com", "*.a.foo.com"),
        ("foo.com", "*"),
        ("y-x.bar.com", "*-x.bar.com"),
        ("bar.com", "*"),
        ("192.168.8.151", "*"),
        ("[::1]:80", "*"),
        (".foo.com", "*"),
    ] {
        let found = table.find(host.as_bytes()).map(|id| domains[id.index()]);
        assert_eq!(found, Some(want), "{host}");
    }
}

#[test]
fn without_a_catch_all_an_unknown_host_has_no_table() {
    let table = table(&["a.foo.com", "*.lan"]);
    assert_eq!(table.find(b"b.foo.com"), None);
    assert_eq!(table.find(b"lan"), None);
    assert_eq!(table.find(&[b'a'; 5000]), None);
}

#[test]
fn ports_are_cut_off_and_addresses_are_not() {
    for (authority, want) in [
        ("a.lan:80", "a.lan"),
        ("a.lan", "a.lan"),
        ("a.lan:", "a.lan"),
        ("[::1]:80", "[::1]"),
        ("[::1]", "[::1]"),
        ("::1", "::1"),
        ("a.lan:http", "a.lan:http"),
    ] {
        assert_eq!(
            without_port(authority.as_bytes()),
            want.as_bytes(),
            "{authority}"
        );
    }
}

/// A small alphabet, so that literals meet often.
fn random_path(random: &Random) -> String {
    let mut path = String::from("/");
    for _ in 0..random.below(5) {
        path.push_str(["a", "b", "/", "A"][random.below(4) as usize]);
    }
    path
}

fn random_matcher(random: &Random) -> Matcher {
    let text: Box<[u8]> = random_path(random).into_bytes().into();
    let path = match random.below(8) {
        0 => Path::Any,
        1 => Path::ExactIgnoreCase(text),
        2 => Path::PrefixIgnoreCase(text),
        3 => {
            let regex = regex::bytes::Regex::new("^(?:/a.*b)$").unwrap();
            Path::Regex(FullMatch::new(regex, "/a.*b").into())
        }
        4 | 5 => Path::Exact(text),
        _ => Path::Prefix(text),
    };
    let conditions = (random.below(3) == 0).then(|| {
        Arc::new(Conditions {
            method: Some(Pattern::Exact(
                ["GET", "POST"][random.below(2) as usize].to_owned(),
            )),
            ..Conditions::default()
        })
    });
    Matcher { path, conditions }
}

#[test]
fn the_index_gives_the_answer_of_the_walk() {
    let random = Random::from_seed(42);
    let rounds = if std::env::var_os("GATEHOUSE_LONG_TESTS").is_some() {
        10_000
    } else {
        300
    };
    for round in 0..rounds {
        let routes: Vec<Route> = (0..1 + random.below(60))
            .map(|_| test_route(random_matcher(&random)))
            .collect();
        let list = RouteList::new(routes.into());
        for _ in 0..100 {
            let path = random_path(&random);
            let method = ["GET", "POST", "PUT"][random.below(3) as usize];
            let head = RequestHead::new(method.as_bytes(), path.as_bytes(), b"h");
            let request = RequestView {
                method: head.method(),
                path: head.path(),
                query: None,
                authority: b"h",
                scheme: b"http",
                fields: head.fields(),
            };
            assert_eq!(
                list.find(&request),
                list.walk(&request),
                "round {round}, {method} {path}"
            );
        }
    }
}

fn with_header(pattern: Pattern, without: bool) -> Matcher {
    let condition = HeaderMatch {
        name: HeaderName::parse("X-P").unwrap(),
        pattern,
    };
    let mut conditions = Conditions::default();
    if without {
        conditions.without_headers.push(condition);
    } else {
        conditions.headers.push(condition);
    }
    Matcher {
        path: Path::Any,
        conditions: Some(Arc::new(conditions)),
    }
}

fn fits(matcher: &Matcher, values: &[&str]) -> bool {
    let mut head = RequestHead::new(b"GET", b"/?a=1&b&a=2", b"h");
    for value in values {
        head.fields_mut().append("x-p", value.as_bytes());
    }
    matcher.matches(&RequestView {
        method: head.method(),
        path: head.path(),
        query: head.query(),
        authority: head.authority(),
        scheme: b"http",
        fields: head.fields(),
    })
}

#[test]
fn headers_are_joined_and_absent_ones_do_not_match() {
    let exact = |text: &str| with_header(Pattern::Exact(text.to_owned()), false);
    assert!(fits(&exact("1"), &["1"]));
    assert!(!fits(&exact("1"), &[]));
    assert!(fits(&exact("1,2"), &["1", "2"]));
    assert!(!fits(&exact("1"), &["1", "2"]));
    assert!(fits(&with_header(Pattern::Present, false), &[""]));
    assert!(!fits(&with_header(Pattern::Present, false), &[]));
}

/// Reference: Istio `withoutHeaders`; a missing header counts as empty.
#[test]
fn without_headers_match_what_is_missing_or_different() {
    let exact = |text: &str| with_header(Pattern::Exact(text.to_owned()), true);
    assert!(fits(&exact("1"), &[]));
    assert!(fits(&exact("1"), &["2"]));
    assert!(!fits(&exact("1"), &["1"]));
    assert!(!fits(&exact(""), &[]));
    assert!(fits(&with_header(Pattern::Present, true), &[]));
    assert!(!fits(&with_header(Pattern::Present, true), &["x"]));
}

#[test]
fn the_first_value_of_a_query_parameter_counts() {
    assert_eq!(query_param(b"a=1&b&a=2", b"a"), Some(&b"1"[..]));
    assert_eq!(query_param(b"a=1&b&a=2", b"b"), Some(&b""[..]));
    assert_eq!(query_param(b"a=1", b"c"), None);
    assert_eq!(query_param(b"", b"a"), None);
}
