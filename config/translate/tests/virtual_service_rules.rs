//! Every rule of a VirtualService with a value that breaks it, in the order of Istio's reference.
//!
//! What Istio refuses is IST0106 and takes the object out of force; what it only warns of is
//! IST0133.

use crate::codes;
use crate::finding::{Finding, Level};
use crate::source::decode::decode_text;
use crate::source::yaml::Limits;
use crate::translate::{Resources, Settings, translate};

/// The spec, the code, the level, the field, and what the message begins with. `HERE` stands for a
/// host and a Gateway, `ROUTE` for a destination.
type Rule = (
    &'static str,
    &'static str,
    Level,
    &'static str,
    &'static str,
);

fn spec(short: &str) -> String {
    short
        .replace("HERE", "hosts: [a.example], gateways: [gw]")
        .replace("ROUTE", "[{destination: {host: b.example}}]")
}

/// Everything that is said of a VirtualService with this spec, from reading it on.
fn judged(spec: &str) -> (Vec<Finding>, bool) {
    let yaml = format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: x, namespace: \
         default}}\nspec: {spec}\n"
    );
    let file = decode_text(&"test.yaml".into(), &yaml, &Limits::default());
    let mut resources = Resources::default();
    let read = !file.objects.is_empty();
    for object in file.objects {
        resources.insert(object);
    }
    let mut findings = file.findings;
    let translation = translate(&resources, &Settings::default());
    findings.extend(translation.findings);
    (findings, read && translation.refused.is_empty())
}

fn breaks(short: &str, code: &str, level: Level, field: &str, words: &str) {
    let (findings, in_force) = judged(&spec(short));
    let found = findings.iter().any(|finding| {
        finding.code == code
            && finding.level == level
            && finding.field == field
            && finding.message.starts_with(words)
    });
    let start = short.get(..short.len().min(300)).unwrap_or_default();
    let told: Vec<_> = findings.iter().map(ToString::to_string).collect();
    assert!(
        found,
        "{start}\n{code} {level} {field}: {words}\nnot in {told:#?}"
    );
    assert_eq!(in_force, level != Level::Error, "{start}");
}

#[test]
fn what_breaks_a_rule_is_told_with_its_field() {
    for (spec, code, level, field, words) in RULES {
        breaks(spec, code, *level, field, words);
    }
}

#[test]
fn what_is_too_long_is_refused() {
    let long = "x".repeat(1025);
    let spec = format!("{{HERE, http: [{{match: [{{uri: {{regex: {long}}}}}], route: ROUTE}}]}}");
    let field = "spec.http[0].match[0].uri.regex";
    breaks(&spec, codes::SCHEMA, Level::Error, field, "");

    let long = "a.".repeat(130);
    let spec = format!("{{hosts: [{long}example], gateways: [gw], http: [{{route: ROUTE}}]}}");
    breaks(&spec, codes::SCHEMA, Level::Error, "spec.hosts[0]", "");

    let body = |length: usize| {
        let text = "x".repeat(length);
        format!("{{HERE, http: [{{directResponse: {{status: 200, body: {{string: {text}}}}}}}]}}")
    };
    let field = "spec.http[0].directResponse.body";
    breaks(
        &body((100 << 10) + 1),
        codes::SCHEMA_WARNING,
        Level::Warning,
        field,
        "",
    );
    breaks(&body((1 << 20) + 1), codes::SCHEMA, Level::Error, field, "");
}

#[test]
fn what_breaks_no_rule_is_not_complained_about() {
    for short in FINE {
        let (findings, in_force) = judged(&spec(short));
        let mut told = findings.iter();
        let wrong = told.find(|f| [codes::SCHEMA, codes::SCHEMA_WARNING].contains(&f.code));
        assert!(wrong.is_none() && in_force, "{short}: {wrong:?}");
    }
}

const FINE: &[&str] = &[
    "{hosts: [10.0.0.1], gateways: [gw], http: [{route: ROUTE}]}",
    r#"{hosts: ["*x.example"], gateways: [gw], http: [{route: ROUTE}]}"#,
    r#"{hosts: ["*-x.example"], gateways: [gw], http: [{route: ROUTE}]}"#,
    "{hosts: [outbound_.80_._.a.example], gateways: [gw], tls: [{match: [{sniHosts: [outbound_.80_._.a.example]}], route: ROUTE}]}",
    r#"{HERE, http: [{match: [{uri: {prefix: ""}}], route: ROUTE}]}"#,
    r#"{HERE, http: [{match: [{headers: {x-a: {exact: ""}}}], route: ROUTE}]}"#,
    "{HERE, http: [{match: [{headers: {x-a: {}}}], route: ROUTE}]}",
    r#"{HERE, http: [{match: [{headers: {x-a: {regex: "*"}}}], route: ROUTE}]}"#,
    r#"{HERE, http: [{match: [{queryParams: {a: {regex: "*"}}}], route: ROUTE}]}"#,
    "{http: [{route: ROUTE}]}",
    r#"{hosts: [a.example], gateways: ["./gw"], http: [{route: ROUTE}]}"#,
    "{HERE, http: [{route: [{destination: {host: b.example}, weight: 0}]}]}",
    "{HERE, http: [{timeout: 0s, route: ROUTE}]}",
    "{HERE, http: [{redirect: {uri: /x}, headers: {response: {set: {a: b}}}}]}",
    "{HERE, http: [{match: [null], route: ROUTE}]}",
    "{HERE, http: [{match: [{headers: {x-a: null}}], route: ROUTE}]}",
    r#"{HERE, http: [{match: [{headers: {":method": {exact: GET}}}], route: ROUTE}]}"#,
    "{HERE, http: [{match: [{withoutHeaders: {x-a: null}}], route: ROUTE}]}",
    "{HERE, http: [{match: [{queryParams: {a: null}}], route: ROUTE}]}",
    "{HERE, http: [{match: [{port: 0}], route: ROUTE}]}",
    r#"{HERE, http: [{match: [{headers: {"@request.auth.claims.a": {exact: b}}}], route: ROUTE}]}"#,
    r#"{HERE, http: [{match: [{headers: {"@request.auth.claims[a][b]": {exact: b}}}], route: ROUTE}]}"#,
    r#"{HERE, http: [{route: [{destination: {host: "*.b.example"}}]}]}"#,
    "{HERE, tcp: [{match: [null], route: ROUTE}]}",
    "{HERE, http: [{redirect: {port: 0}}]}",
    "{HERE, http: [{redirect: {prefixRewrite: /y}}]}",
    "{HERE, http: [{redirect: {port: 8080}}]}",
    "{HERE, http: [{rewrite: {authority: x.example}, route: ROUTE}]}",
    r#"{HERE, http: [{rewrite: {authority: x.example}, route: [{destination: {host: b.example}, headers: {request: {set: {":authority": y.example}}}}]}]}"#,
    r#"{HERE, http: [{headers: {request: {set: {a: "%REQ(x)% 100%%"}}}, route: ROUTE}]}"#,
    r#"{HERE, http: [{route: [{destination: {host: b.example, port: {number: "8080"}}}]}]}"#,
];

#[rustfmt::skip] // one rule, one line
const RULES: &[Rule] = &[
    // 1.0 names of hosts
    (r#"{hosts: [""], gateways: [gw], http: [{route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.hosts[0]", "the host `` is wrong: a host name is empty"),
    ("{hosts: [a_b.example], gateways: [gw], http: [{route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.hosts[0]", "the host `a_b.example` is wrong: `a_b` is not a valid label of a host name"),
    (r#"{hosts: ["a.*.example"], gateways: [gw], http: [{route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.hosts[0]", "the host `a.*.example` is wrong: `*` is not a valid label of a host name"),
    ("{hosts: [a.123], gateways: [gw], http: [{route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.hosts[0]", "the host `a.123` is wrong: the last label `123` must not be a number"),
    ("{hosts: [outbound_.80_._.a.example], gateways: [gw], http: [{route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.hosts[0]", "the host `outbound_.80_._.a.example` is wrong: `outbound_` is not a valid label of a host name"),
    // 1.0 conditions
    (r#"{HERE, http: [{match: [{headers: {x-a: {prefix: ""}}}], route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].match[0].headers.x-a.prefix", "the prefix is empty"),
    (r#"{HERE, http: [{match: [{headers: {x-a: {regex: ""}}}], route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].match[0].headers.x-a.regex", "`` is not a regular expression: the pattern is empty"),
    (r#"{HERE, http: [{match: [{uri: {regex: ""}}], route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].match[0].uri.regex", "`` is not a regular expression: the pattern is empty"),
    (r#"{HERE, http: [{match: [{uri: {regex: "("}}], route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].match[0].uri.regex", "`(` is not a regular expression: unclosed group"),
    (r#"{HERE, http: [{match: [{uri: {regex: "(a)\\1"}}], route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].match[0].uri.regex", r#"`(a)\1` is not a regular expression: `\1`: back references do not exist in RE2"#),
    (r#"{HERE, http: [{match: [{uri: {regex: "a(?=b)"}}], route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].match[0].uri.regex", "`a(?=b)` is not a regular expression: look-around, including look-ahead and look-behind, is not supported"),
    (r#"{HERE, http: [{match: [{uri: {regex: "*"}}], route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].match[0].uri.regex", "`*` is not a regular expression: repetition operator missing expression"),
    ("{HERE, http: [{match: [{uri: {exact: /a, prefix: /b}}], route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.http[0].match[0].uri", "only one of exact, prefix and regex may be given"),
    (r#"{HERE, http: [{match: [{method: {prefix: ""}}], route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].match[0].method.prefix", "the prefix is empty"),
    (r#"{HERE, http: [{match: [{authority: {regex: "["}}], route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].match[0].authority.regex", "`[` is not a regular expression: a `[` is never closed"),
    (r#"{HERE, http: [{match: [{scheme: {prefix: ""}}], route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].match[0].scheme.prefix", "the prefix is empty"),
    // 1.0 exportTo
    (r#"{HERE, exportTo: [".", default], http: [{route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.exportTo[1]", "the namespace `default` is named twice in exportTo"),
    ("{HERE, exportTo: [x, x], http: [{route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.exportTo[1]", "the namespace `x` is named twice in exportTo"),
    (r#"{HERE, exportTo: ["*", x], http: [{route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.exportTo", "exportTo says both everyone (`*`) or no one (`~`) and something else"),
    (r#"{HERE, exportTo: ["~"], http: [{route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.exportTo[0]", "`~` is neither a namespace nor `.` nor `*`"),
    (r#"{HERE, exportTo: ["a.b"], http: [{route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.exportTo[0]", "`a.b` is neither a namespace nor `.` nor `*`"),
    // 1.2 hosts and kinds of routes
    (r#"{hosts: ["*"], http: [{route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.hosts[0]", "the host `*` is not allowed where the mesh is meant too"),
    (r#"{hosts: ["*"], gateways: [mesh, gw], http: [{route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.hosts[0]", "the host `*` is not allowed where the mesh is meant too"),
    ("{hosts: [a.example, a.example], gateways: [gw], http: [{route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.hosts[1]", "the host `a.example` is covered by another host of the same object"),
    (r#"{hosts: ["*.example", "*.foo.example"], gateways: [gw], http: [{route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.hosts[1]", "the host `*.foo.example` is covered by another host of the same object"),
    (r#"{hosts: ["*.example", a.example], gateways: [gw], http: [{route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.hosts[1]", "the host `a.example` is covered by another host of the same object"),
    ("{hosts: [a.example], gateways: [gw]}", codes::SCHEMA, Level::Error, "spec", "it has no http, tls or tcp routes"),
    ("{gateways: [gw], http: [{route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.gateways", "without hosts it is a delegate, and a delegate has no gateways"),
    ("{tls: [{match: [{sniHosts: [a.example]}], route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.tls", "without hosts it is a delegate, and a delegate has no tls"),
    ("{tcp: [{route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.tcp", "without hosts it is a delegate, and a delegate has no tcp"),
    // 1.2 gateways
    (r#"{hosts: [a.example], gateways: ["/gw"], http: [{route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.gateways[0]", "`/gw` is not a Gateway's name"),
    (r#"{hosts: [a.example], gateways: ["x/"], http: [{route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.gateways[0]", "`x/` is not a Gateway's name"),
    (r#"{hosts: [a.example], gateways: ["x_y/gw"], http: [{route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.gateways[0]", "`x_y/gw` is not a Gateway's name"),
    (r#"{hosts: [a.example], gateways: ["x/g_w"], http: [{route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.gateways[0]", "`x/g_w` is not a Gateway's name"),
    (r#"{hosts: [a.example], gateways: ["g_w"], http: [{route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.gateways[0]", "`g_w` is not a Gateway's name"),
    (r#"{hosts: [a.example], gateways: ["x/y/z"], http: [{route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.gateways[0]", "`x/y/z` is not a Gateway's name"),
    (r#"{hosts: [a.example], gateways: ["gw.ns.svc.cluster.local"], http: [{route: ROUTE}]}"#, codes::SCHEMA_WARNING, Level::Warning, "spec.gateways[0]", "`gw.ns.svc.cluster.local` is an old form of a Gateway's name."),
    // 1.2 HTTPRoute
    ("{HERE, http: [{name: x}]}", codes::SCHEMA, Level::Error, "spec.http[0]", "the rule does nothing: it has no route, redirect or directResponse"),
    ("{HERE, http: [null]}", codes::SCHEMA, Level::Error, "spec.http[0]", "the rule does nothing: it has no route, redirect or directResponse"),
    ("{HERE, http: [{route: ROUTE, redirect: {uri: /x}}]}", codes::SCHEMA, Level::Error, "spec.http[0].route", "a rule cannot have both redirect and route"),
    ("{HERE, http: [{fault: {abort: {httpStatus: 500}}, redirect: {uri: /x}}]}", codes::SCHEMA, Level::Error, "spec.http[0].fault", "a rule cannot have both redirect and fault"),
    ("{HERE, http: [{rewrite: {uri: /y}, redirect: {uri: /x}}]}", codes::SCHEMA, Level::Error, "spec.http[0].rewrite", "a rule cannot have both redirect and rewrite"),
    ("{HERE, http: [{directResponse: {status: 200}, redirect: {uri: /x}}]}", codes::SCHEMA, Level::Error, "spec.http[0].directResponse", "a rule cannot have both redirect and directResponse"),
    ("{HERE, http: [{directResponse: {status: 200}, route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.http[0].route", "a rule cannot have both directResponse and route"),
    ("{HERE, http: [{directResponse: {status: 200}, fault: {abort: {httpStatus: 500}}}]}", codes::SCHEMA, Level::Error, "spec.http[0].fault", "a rule cannot have both directResponse and fault"),
    ("{HERE, http: [{directResponse: {status: 200}, rewrite: {uri: /y}}]}", codes::SCHEMA, Level::Error, "spec.http[0].rewrite", "a rule cannot have both directResponse and rewrite"),
    ("{HERE, http: [{mirror: {host: b.example}, mirrors: ROUTE, route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.http[0].mirrors", "a rule cannot have both mirror and mirrors"),
    ("{HERE, http: [{route: [{destination: {host: b.example}, weight: 0}, {destination: {host: c.example}, weight: 0}]}]}", codes::SCHEMA, Level::Error, "spec.http[0].route", "the weights sum to zero, so no destination would get a request"),
    ("{HERE, http: [{route: [{destination: {host: b.example}, weight: -1}]}]}", codes::SCHEMA, Level::Error, "spec.http[0].route[0].weight", "the weight -1 is below zero"),
    ("{HERE, http: [{route: [{weight: 1}]}]}", codes::SCHEMA, Level::Error, "spec.http[0].route[0]", "a destination is missing"),
    ("{HERE, http: [{timeout: 0.1ms, route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.http[0].timeout", "0.0001s is not a whole number of milliseconds of at least 1"),
    ("{HERE, http: [{timeout: 1.5ms, route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.http[0].timeout", "0.0015s is not a whole number of milliseconds of at least 1"),
    ("{HERE, http: [{timeout: -1s, route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.http[0].timeout", "-1s is not a whole number of milliseconds of at least 1"),
    // 1.2 HTTPMatchRequest
    (r#"{HERE, http: [{match: [{headers: {"x a": {exact: b}}}], route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].match[0].headers.x a", "`x a` is not a header name"),
    (r#"{HERE, http: [{match: [{headers: {"": {exact: b}}}], route: ROUTE}]}"#, codes::SCHEMA, Level::Error, r#"spec.http[0].match[0].headers[""]"#, "`` is not a header name"),
    (r#"{HERE, http: [{match: [{withoutHeaders: {"x a": {exact: b}}}], route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].match[0].withoutHeaders.x a", "`x a` is not a header name"),
    (r#"{HERE, http: [{match: [{withoutHeaders: {x-a: {regex: "("}}}], route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].match[0].withoutHeaders.x-a.regex", "`(` is not a regular expression: unclosed group"),
    (r#"{HERE, http: [{match: [{queryParams: {a: {prefix: ""}}}], route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].match[0].queryParams.a.prefix", "the prefix is empty"),
    ("{HERE, http: [{match: [{port: 70000}], route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.http[0].match[0].port", "70000 is not a port from 1 to 65535"),
    (r#"{HERE, http: [{match: [{gateways: ["g_w"]}], route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].match[0].gateways[0]", "`g_w` is not a Gateway's name"),
    (r#"{HERE, http: [{match: [{sourceLabels: {"a b": c}}], route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].match[0].sourceLabels", "`a b` is no name of a label"),
    (r#"{HERE, http: [{match: [{sourceLabels: {a: "b c"}}], route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].match[0].sourceLabels", "`b c` is no value of the label `a`"),
    (r#"{hosts: [a.example], http: [{match: [{headers: {"@request.auth.claims.a": {exact: b}}}], route: ROUTE}]}"#, codes::SCHEMA, Level::Error, r#"spec.http[0].match[0].headers["@request.auth.claims.a"]"#, "routing by JWT claims is for gateways only, and the mesh is meant too"),
    (r#"{hosts: [a.example], http: [{match: [{withoutHeaders: {"@request.auth.claims.a": {exact: b}}}], route: ROUTE}]}"#, codes::SCHEMA, Level::Error, r#"spec.http[0].match[0].withoutHeaders["@request.auth.claims.a"]"#, "routing by JWT claims is for gateways only, and the mesh is meant too"),
    // 1.2 Destination
    (r#"{HERE, http: [{route: [{destination: {host: ""}}]}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].route[0].destination.host", "the destination host `` is wrong: a host name is empty"),
    (r#"{HERE, http: [{route: [{destination: {host: "*"}}]}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].route[0].destination.host", "the destination host `*` is wrong: `*` is no destination"),
    (r#"{HERE, http: [{route: [{destination: {host: "a_b"}}]}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].route[0].destination.host", "the destination host `a_b` is wrong: `a_b` is not a valid label of a host name"),
    (r#"{HERE, http: [{route: [{destination: {host: b.example, subset: "a b"}}]}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].route[0].destination.subset", "`a b` is not a subset's name"),
    ("{HERE, http: [{route: [{destination: {host: b.example, port: {number: 0}}}]}]}", codes::SCHEMA, Level::Error, "spec.http[0].route[0].destination.port.number", "0 is not a port from 1 to 65535"),
    ("{HERE, http: [{route: [{destination: {host: b.example, port: {number: 70000}}}]}]}", codes::SCHEMA, Level::Error, "spec.http[0].route[0].destination.port.number", "70000 is not a port from 1 to 65535"),
    ("{HERE, http: [{route: [{destination: {host: b.example, port: {}}}]}]}", codes::SCHEMA, Level::Error, "spec.http[0].route[0].destination.port.number", "0 is not a port from 1 to 65535"),
    // 1.2 TLSRoute
    ("{HERE, tls: [{route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.tls[0].match", "a TLS route needs a match with sniHosts"),
    ("{HERE, tls: [{match: [{sniHosts: [a.example]}]}]}", codes::SCHEMA, Level::Error, "spec.tls[0].route", "a TLS route needs destinations"),
    ("{HERE, tls: [{match: [null], route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.tls[0].match[0].sniHosts", "a TLS match needs at least one name"),
    ("{HERE, tls: [{match: [{port: 443}], route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.tls[0].match[0].sniHosts", "a TLS match needs at least one name"),
    ("{HERE, tls: [{match: [{sniHosts: [x.example]}], route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.tls[0].match[0].sniHosts[0]", "the name `x.example` is not among the object's hosts (a.example)"),
    (r#"{hosts: ["*"], gateways: [gw], tls: [{match: [{sniHosts: [10.0.0.1]}], route: ROUTE}]}"#, codes::SCHEMA_WARNING, Level::Warning, "spec.tls[0].match[0].sniHosts[0]", "`10.0.0.1` is an address, and clients send no addresses as SNI."),
    (r#"{hosts: ["*"], gateways: [gw], tls: [{match: [{sniHosts: [a_b.example]}], route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.tls[0].match[0].sniHosts[0]", "the name `a_b.example` is wrong: `a_b` is not a valid label of a host name"),
    ("{HERE, tls: [{match: [{sniHosts: [a.example], destinationSubnets: [x]}], route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.tls[0].match[0].destinationSubnets[0]", "`x` is neither a subnet nor an address"),
    ("{HERE, tls: [{match: [{sniHosts: [a.example], port: 70000}], route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.tls[0].match[0].port", "70000 is not a port from 1 to 65535"),
    (r#"{HERE, tls: [{match: [{sniHosts: [a.example], sourceLabels: {"a b": c}}], route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.tls[0].match[0].sourceLabels", "`a b` is no name of a label"),
    (r#"{HERE, tls: [{match: [{sniHosts: [a.example], gateways: ["g_w"]}], route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.tls[0].match[0].gateways[0]", "`g_w` is not a Gateway's name"),
    ("{HERE, tls: [{match: [{sniHosts: [a.example]}], route: [{destination: {host: b.example}, weight: 0}, {destination: {host: c.example}}]}]}", codes::SCHEMA, Level::Error, "spec.tls[0].route", "the weights sum to zero, so no destination would get a request"),
    // 1.2 TCPRoute
    ("{HERE, tcp: [{match: [{port: 80}]}]}", codes::SCHEMA, Level::Error, "spec.tcp[0].route", "a TCP route needs destinations"),
    ("{HERE, tcp: [{match: [{destinationSubnets: [x]}], route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.tcp[0].match[0].destinationSubnets[0]", "`x` is neither a subnet nor an address"),
    ("{HERE, tcp: [{match: [{port: 70000}], route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.tcp[0].match[0].port", "70000 is not a port from 1 to 65535"),
    (r#"{HERE, tcp: [{match: [{sourceLabels: {"a b": c}}], route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.tcp[0].match[0].sourceLabels", "`a b` is no name of a label"),
    (r#"{HERE, tcp: [{match: [{gateways: ["g_w"]}], route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.tcp[0].match[0].gateways[0]", "`g_w` is not a Gateway's name"),
    ("{HERE, tcp: [{route: [{weight: 1}]}]}", codes::SCHEMA, Level::Error, "spec.tcp[0].route[0]", "a destination is missing"),
    ("{HERE, tcp: [{route: [{destination: {host: b.example}, weight: -1}]}]}", codes::SCHEMA, Level::Error, "spec.tcp[0].route[0].weight", "the weight -1 is below zero"),
    // 1.2 HTTPRedirect
    ("{HERE, http: [{redirect: {}}]}", codes::SCHEMA, Level::Error, "spec.http[0].redirect", "the redirect says nothing new: no uri, authority, scheme or port"),
    ("{HERE, http: [{redirect: {uri: /x, redirectCode: 200}}]}", codes::SCHEMA, Level::Error, "spec.http[0].redirect.redirectCode", "200 is no status of a redirect"),
    ("{HERE, http: [{redirect: {uri: /x, redirectCode: 304}}]}", codes::SCHEMA, Level::Error, "spec.http[0].redirect.redirectCode", "304 is no status of a redirect"),
    ("{HERE, http: [{redirect: {scheme: ftp}}]}", codes::SCHEMA, Level::Error, "spec.http[0].redirect.scheme", "`ftp` is no scheme of a redirect"),
    ("{HERE, http: [{redirect: {port: 70000}}]}", codes::SCHEMA, Level::Error, "spec.http[0].redirect.port", "70000 is not a port from 1 to 65535"),
    ("{HERE, http: [{match: [{uri: {prefix: /a}}], redirect: {uri: /x, prefixRewrite: /y}}]}", codes::SCHEMA, Level::Error, "spec.http[0].redirect", "only one of uri and prefixRewrite may be given"),
    ("{HERE, http: [{match: [{uri: {exact: /a}}], redirect: {prefixRewrite: /y}}]}", codes::SCHEMA, Level::Error, "spec.http[0].redirect.prefixRewrite", "prefixRewrite needs every uri match to be a prefix"),
    ("{HERE, http: [{redirect: {port: 80, derivePort: FROM_REQUEST_PORT}}]}", codes::SCHEMA, Level::Error, "spec.http[0].redirect", "only one of port and derivePort may be given"),
    // 1.2 HTTPDirectResponse
    ("{HERE, http: [{directResponse: {status: 199}}]}", codes::SCHEMA, Level::Error, "spec.http[0].directResponse.status", "the status 199 is not between 200 and 599"),
    ("{HERE, http: [{directResponse: {status: 600}}]}", codes::SCHEMA, Level::Error, "spec.http[0].directResponse.status", "the status 600 is not between 200 and 599"),
    ("{HERE, http: [{directResponse: {}}]}", codes::SCHEMA, Level::Error, "spec.http[0].directResponse.status", "the status 0 is not between 200 and 599"),
    ("{HERE, http: [{directResponse: {status: 200, body: {string: a, bytes: YQ==}}}]}", codes::SCHEMA, Level::Error, "spec.http[0].directResponse.body", "only one of string and bytes may be given"),
    // 1.2 HTTPRewrite
    ("{HERE, http: [{rewrite: {}, route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.http[0].rewrite", "the rewrite changes nothing"),
    ("{HERE, http: [{rewrite: {uri: /x, uriRegexRewrite: {match: a, rewrite: b}}, route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.http[0].rewrite", "only one of uri and uriRegexRewrite may be given"),
    ("{HERE, http: [{rewrite: {uriRegexRewrite: {match: a}}, route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.http[0].rewrite.uriRegexRewrite", "uriRegexRewrite needs both match and rewrite"),
    ("{HERE, http: [{rewrite: {uriRegexRewrite: {rewrite: a}}, route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.http[0].rewrite.uriRegexRewrite", "uriRegexRewrite needs both match and rewrite"),
    (r#"{HERE, http: [{rewrite: {uriRegexRewrite: {match: "(", rewrite: a}}, route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].rewrite.uriRegexRewrite.match", "`(` is not a regular expression: unclosed group"),
    ("{HERE, http: [{rewrite: {authority: x.example}, headers: {request: {set: {host: y.example}}}, route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.http[0].rewrite.authority", "the Host is set twice, by rewrite.authority and by headers.request"),
    ("{HERE, http: [{headers: {request: {set: {host: x.example}, add: {host: y.example}}}, route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.http[0].headers.request.add.host", "the Host is set twice by the same headers"),
    // 1.2 Headers
    (r#"{HERE, http: [{headers: {request: {set: {"x a": b}}}, route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].headers.request.set.x a", "`x a` is not a header name"),
    (r#"{HERE, http: [{headers: {request: {set: {":path": b}}}, route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].headers.request.set.:path", "`:path`: names that begin with `:` cannot be edited"),
    (r#"{HERE, http: [{headers: {request: {remove: [":path"]}}, route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].headers.request.remove[0]", "`:path`: names that begin with `:` cannot be edited"),
    ("{HERE, http: [{headers: {response: {set: {host: b}}}, route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.http[0].headers.response.set.host", "the Host header cannot be changed here"),
    ("{HERE, http: [{headers: {response: {add: {host: b}}}, route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.http[0].headers.response.add.host", "the Host header cannot be changed here"),
    ("{HERE, http: [{headers: {request: {remove: [host]}}, route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.http[0].headers.request.remove[0]", "the Host header cannot be changed here"),
    ("{HERE, http: [{headers: {response: {remove: [Host]}}, route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.http[0].headers.response.remove[0]", "the Host header cannot be changed here"),
    (r#"{HERE, http: [{headers: {request: {remove: ["x a"]}}, route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].headers.request.remove[0]", "`x a` is not a header name"),
    (r#"{HERE, http: [{headers: {request: {set: {"": b}}}, route: ROUTE}]}"#, codes::SCHEMA, Level::Error, r#"spec.http[0].headers.request.set[""]"#, "`` is not a header name"),
    (r#"{HERE, http: [{headers: {request: {set: {a: "%REQ(x"}}}, route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].headers.request.set.a", "`%REQ(x`: a `%` opens an operator that is never closed"),
    (r#"{HERE, http: [{headers: {request: {set: {a: "100%"}}}, route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].headers.request.set.a", "`100%`: a `%` opens an operator that is never closed"),
    (r#"{HERE, http: [{headers: {request: {set: {a: "%NOPE%"}}}, route: ROUTE}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].headers.request.set.a", "`%NOPE%` is no operator of header values"),
    (r#"{HERE, http: [{route: [{destination: {host: b.example}, headers: {response: {set: {":x": b}}}}]}]}"#, codes::SCHEMA, Level::Error, "spec.http[0].route[0].headers.response.set.:x", "`:x`: names that begin with `:` cannot be edited"),
    // 1.2 values of the wrong type
    ("{HERE, http: [{redirect: {uri: /x, derivePort: NOPE}}]}", codes::SCHEMA, Level::Error, "spec.http[0].redirect.derivePort", "wrong value"),
    ("{HERE, http: [{directResponse: {status: 200, body: {string: a, string: b}}}]}", codes::DUPLICATE_KEY, Level::Error, "spec.http[0].directResponse.body.string", "the key is written twice (first in line 4) and which one is meant cannot be told"),
    ("{HERE, http: [{timeout: soon, route: ROUTE}]}", codes::SCHEMA, Level::Error, "spec.http[0].timeout", r#""soon" is not a duration"#),
    ("{HERE, http: [{route: {destination: {host: b.example}}}]}", codes::SCHEMA, Level::Error, "spec.http[0].route", "wrong type"),
];
