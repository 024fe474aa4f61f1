//! What finding a route costs: 10,000 hosts, and a thousand routes on one of them.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use gatehouse_config::model::{
    self, Conditions, Domain, FullMatch, HeaderMatch, HeaderName, Pattern,
};
use gatehouse_gateway::http1::RequestHead;
use gatehouse_gateway::route::{HostTable, Matcher, Path, RequestView, RouteList};
use gatehouse_gateway::snapshot::{Action, HostId, Route};
use regex::bytes::Regex;

fn route(path: Path, conditions: Option<Conditions>) -> Route {
    Route {
        source: Arc::new(model::Route {
            name: Box::default(),
            origin: model::RouteOrigin {
                virtual_service: Arc::default(),
                rule: 0,
                matched: None,
                position: None,
                delegate: None,
            },
            matches: model::RouteMatch::default(),
            action: model::Action::DirectResponse(Arc::new(model::DirectResponse {
                status: 200,
                body: Vec::new(),
            })),
            headers: None,
            fault: None,
            cors: None,
        }),
        matcher: Matcher {
            path,
            conditions: conditions.map(Arc::new),
        },
        filters: None,
        action: Arc::new(Action::DirectResponse {
            status: 200,
            body: Box::default(),
        }),
        request_edits: Box::default(),
        response_edits: Box::default(),
    }
}

/// Prefixes, exact paths, paths with a header condition and regexes, in turn; a catch-all at the
/// end.
fn thousand() -> Vec<Route> {
    let mut routes: Vec<Route> = (0..999)
        .map(|i| {
            let text: Box<[u8]> = format!("/service-{i}/items").into_bytes().into();
            match i % 4 {
                0 => route(Path::Prefix(text), None),
                1 => route(Path::Exact(text), None),
                2 => {
                    let regex = format!("^(?:/service-{i}/[a-z]+/[0-9]+)$");
                    let compiled = Regex::new(&regex).expect("it is one");
                    route(Path::Regex(FullMatch::new(compiled, &regex).into()), None)
                }
                _ => {
                    let header = HeaderMatch {
                        name: HeaderName::parse("x-version").expect("it is a name"),
                        pattern: Pattern::Exact(format!("v{i}")),
                    };
                    let conditions = Conditions {
                        headers: vec![header],
                        ..Conditions::default()
                    };
                    route(Path::Prefix(text), Some(conditions))
                }
            }
        })
        .collect();
    routes.push(route(Path::Any, None));
    routes
}

fn lookup(c: &mut Criterion) {
    let mut table = HostTable::default();
    for i in 0..10_000 {
        table.insert(&Domain::Exact(format!("h{i}.example.com")), HostId(i));
    }
    table.insert(&Domain::Suffix(".home.lan".to_owned()), HostId(10_000));
    c.bench_function("host, exact of 10,000", |b| {
        b.iter(|| table.find(black_box(b"h9999.example.com:8080")));
    });
    c.bench_function("host, wildcard", |b| {
        b.iter(|| table.find(black_box(b"kiali.home.lan")));
    });

    let list = RouteList::new(thousand().into());
    for (name, path) in [
        ("prefix", "/service-996/items/7"),
        ("exact", "/service-997/items"),
        ("catch-all", "/nothing/like/it"),
    ] {
        let head = RequestHead::new(b"GET", path.as_bytes(), b"h1.example.com");
        let request = RequestView {
            method: head.method(),
            path: head.path(),
            query: head.query(),
            authority: head.authority(),
            scheme: b"http",
            fields: head.fields(),
        };
        c.bench_function(&format!("route of 1,000, {name}"), |b| {
            b.iter(|| list.find(black_box(&request)));
        });
        c.bench_function(&format!("route of 1,000 by walking, {name}"), |b| {
            b.iter(|| list.walk(black_box(&request)));
        });
    }
}

criterion_group!(benches, lookup);
criterion_main!(benches);
