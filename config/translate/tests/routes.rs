//! What a route does.

use super::*;

#[test]
fn weights_of_zero_are_dropped_and_a_single_weight_means_nothing() {
    let split = "[{route: [{destination: {host: reviews}, weight: 0}, {destination: {host: reviews, port: {number: 9080}}, weight: 20}, {destination: {host: other.lan}, weight: 60}]}]";
    let translation = translated(&base_and(&with_http(split)));
    let found = routes(&translation, "*");
    let weights: Vec<_> = forward(found[0])
        .destinations
        .iter()
        .map(|d| d.weight)
        .collect();
    assert_eq!(weights, [20, 60]);
    let single = "[{route: [{destination: {host: reviews}, weight: 0}]}]";
    let translation = translated(&base_and(&with_http(single)));
    assert_eq!(forward(routes(&translation, "*")[0]).destinations.len(), 1);
    let none = "[{route: [{destination: {host: reviews}}, {destination: {host: other.lan}}]}]";
    let translation = translated(&base_and(&with_http(none)));
    assert_eq!(translation.refused.len(), 1);
    assert!(
        findings(&translation)[0]
            .starts_with("IST0106 spec.http[0].route: the weights sum to zero")
    );
}

#[test]
fn header_edits_are_in_envoys_order() {
    let rule = r#"[{headers: {request: {set: {x-b: "1", x-a: "%REQ(x-in)%", Host: set.lan}, add: {x-c: "a%%b"}, remove: [x-r]}},
        route: [{destination: {host: reviews}, headers: {request: {add: {x-d: "2"}, remove: [x-q]}, response: {set: {x-e: "3"}}}}]}]"#;
    let translation = translated(&base_and(&with_http(rule)));
    let found = routes(&translation, "*");
    let text: Vec<_> = found[0]
        .headers
        .as_deref()
        .expect("edits")
        .request
        .iter()
        .map(|edit| match edit {
            HeaderEdit::Remove(name) => format!("-{name}"),
            HeaderEdit::Set(name, _) => format!("={name}"),
            HeaderEdit::Add(name, _) => format!("+{name}"),
        })
        .collect();
    assert_eq!(text, ["-x-r", "-x-q", "=x-a", "=x-b", "+x-c", "+x-d"]);
    assert_eq!(
        found[0].headers.as_deref().expect("edits").response.len(),
        1
    );
    assert!(forward(found[0]).destinations[0].headers.is_empty());
    assert_eq!(
        forward(found[0]).rewrite.authority.as_deref(),
        Some("set.lan")
    );
    let HeaderEdit::Add(_, value) = &found[0].headers.as_deref().expect("edits").request[4] else {
        panic!("x-c is added")
    };
    assert_eq!(*value, crate::model::HeaderValueTemplate::literal("a%b"));
}

#[test]
fn operators_become_pieces() {
    let name = |name: &str| HeaderName::parse(name).expect("a name");
    let header = |first: &str, otherwise: Option<&str>, max_length| ValuePiece::RequestHeader {
        name: name(first),
        otherwise: otherwise.map(name),
        max_length,
    };
    for (value, piece) in [
        ("%REQ(X-In)%", header("x-in", None, None)),
        ("%REQ(:path):7%", header(":path", None, Some(7))),
        ("%REQ(a?:path)%", header("a", Some(":path"), None)),
        ("%PROTOCOL%", ValuePiece::Protocol),
        ("%RESPONSE_CODE%", ValuePiece::ResponseCode),
        (
            "%DOWNSTREAM_REMOTE_ADDRESS%",
            ValuePiece::DownstreamRemote(AddressPart::Whole),
        ),
        (
            "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
            ValuePiece::DownstreamRemote(AddressPart::Ip),
        ),
        (
            "%DOWNSTREAM_LOCAL_PORT%",
            ValuePiece::DownstreamLocal(AddressPart::Port),
        ),
    ] {
        let rule =
            format!("[{{headers: {{request: {{set: {{x-a: \"<{value}>\"}}}}}}, {TO_REVIEWS}}}]");
        let translation = translated(&base_and(&with_http(&rule)));
        assert_eq!(findings(&translation), [""; 0], "{value}");
        let found = routes(&translation, "*");
        let literal = |text: &str| ValuePiece::Literal(text.to_owned());
        let pieces = vec![literal("<"), piece, literal(">")];
        assert_eq!(
            found[0].headers.as_deref().expect("edits").request,
            [HeaderEdit::Set(
                name("x-a"),
                crate::model::HeaderValueTemplate { pieces }
            )]
        );
    }
}

#[test]
fn a_route_says_in_which_line_its_rule_is_written() {
    let http = format!(
        "\n  - match: [{{uri: {{prefix: /a}}}}]\n    {TO_REVIEWS}\n  # the rest\n  - {TO_REVIEWS}"
    );
    let yaml = base_and(&with_http(&http));
    let line = |text: &str| {
        let found = yaml.lines().position(|line| line.contains(text));
        format!("test.yaml:{}", found.expect("it is written") + 1)
    };
    let translation = translated(&yaml);
    let found = routes(&translation, "*");
    let positions: Vec<_> = found.iter().map(|route| route.origin.place()).collect();
    assert_eq!(positions, [line("- match: [{uri"), line("- route: [{dest")]);
}

#[test]
fn a_rules_host_wins_over_a_destinations() {
    let authority = |rule: &str| {
        let translation = translated(&base_and(&with_http(rule)));
        let found = routes(&translation, "*");
        let forward = forward(found[0]);
        let of_destination = forward.destinations[0].authority.clone();
        (forward.rewrite.authority.clone(), of_destination)
    };
    let host = |name: &str| format!("headers: {{request: {{set: {{Host: {name}}}}}}}");
    let one = format!(
        "[{{route: [{{destination: {{host: reviews}}, {}}}]}}]",
        host("d.lan")
    );
    assert_eq!(authority(&one), (Some("d.lan".to_owned()), None));
    let two = format!(
        "[{{route: [{{destination: {{host: reviews}}, weight: 1, {}}}, {{destination: {{host: x.lan}}, weight: 1}}]}}]",
        host("d.lan")
    );
    assert_eq!(authority(&two), (None, Some("d.lan".to_owned())));
    let both = format!("[{{rewrite: {{authority: r.lan}}, {}", &two[2..]);
    assert_eq!(authority(&both), (Some("r.lan".to_owned()), None));
}

#[test]
fn redirects_name_no_port_that_the_scheme_has_anyway() {
    for (redirect, port) in [
        ("{uri: /x}", None),
        ("{port: 8443}", Some(8443)),
        ("{port: 80}", None),
        ("{scheme: https, port: 443}", None),
        ("{scheme: https, port: 80}", Some(80)),
        ("{derivePort: FROM_REQUEST_PORT}", Some(8080)),
        ("{scheme: https, derivePort: FROM_PROTOCOL_DEFAULT}", None),
    ] {
        let translation = translated(&base_and(&with_http(&format!(
            "[{{redirect: {redirect}}}]"
        ))));
        let found = routes(&translation, "*");
        let Action::Redirect(built) = &found[0].action else {
            panic!("{redirect}: no redirect")
        };
        assert_eq!((built.port, built.code), (port, 301), "{redirect}");
    }
}

#[test]
fn rewrites_timeouts_and_retries() {
    let rule = "[{match: [{uri: {regex: \"/re/([a-z]+)\"}, ignoreUriCase: true}], rewrite: {uriRegexRewrite: {match: \"^/re/([a-z]+)\", rewrite: '/\\1/x'}}, timeout: 0.1s, \
        retries: {attempts: 3, retryOn: \"503,gateway-error\", perTryTimeout: 1s}, route: [{destination: {host: reviews}}]}]";
    let translation = translated(&base_and(&with_http(rule)));
    let found = routes(&translation, "*");
    let MatchedPath::Regex(regex) = &found[0].matches.path else {
        panic!("a regex")
    };
    assert!(regex.is_match(b"/re/abc") && !regex.is_match(b"/re/abc/d"));
    let forward = forward(found[0]);
    assert_eq!(forward.timeout, Some(std::time::Duration::from_millis(100)));
    let Some(UriRewrite::Regex { replacement, .. }) = forward.rewrite.uri.as_deref() else {
        panic!("a regex rewrite")
    };
    assert_eq!(replacement, "/${1}/x");
    let retry = forward.retry.as_ref().expect("retries are on");
    assert_eq!(
        (retry.attempts, retry.on.status_codes.as_slice()),
        (3, &[503][..])
    );
    assert!(retry.on.gateway_error && !retry.on.connect_failure);

    let off = "[{retries: {attempts: 0}, timeout: 0s, route: [{destination: {host: reviews}}]}]";
    let translation = translated(&base_and(&with_http(off)));
    let found = routes(&translation, "*");
    assert!(super::forward(found[0]).retry.is_none());
    assert!(super::forward(found[0]).timeout.is_none());
}
