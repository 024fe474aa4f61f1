//! What is refused, and what is served without a field that is not honoured.

use super::*;
use crate::codes;
use crate::source::LastGood;

#[test]
fn objects_that_break_a_rule_are_refused_with_the_field() {
    for (http, expected) in [
        (
            "[{route: [{destination: {host: \"*\"}}]}]",
            "spec.http[0].route[0].destination.host: the destination host `*` is wrong",
        ),
        ("[{}]", "spec.http[0]: the rule does nothing"),
        (
            "[{redirect: {uri: /}, route: [{destination: {host: a}}]}]",
            "spec.http[0].route: a rule cannot have both redirect and route",
        ),
        (
            "[{redirect: {}}]",
            "spec.http[0].redirect: the redirect says nothing new",
        ),
        (
            "[{redirect: {uri: /, redirectCode: 399}}]",
            "spec.http[0].redirect.redirectCode: 399 is no status of a redirect",
        ),
        (
            "[{directResponse: {status: 199}}]",
            "spec.http[0].directResponse.status: the status 199",
        ),
        (
            "[{match: [{uri: {regex: \"(\"}}], route: [{destination: {host: a}}]}]",
            "spec.http[0].match[0].uri.regex: `(` is not a regular expression",
        ),
        (
            "[{match: [{uri: {exact: /a, prefix: /b}}], route: [{destination: {host: a}}]}]",
            "spec.http[0].match[0].uri: only one of",
        ),
        (
            "[{match: [{method: {prefix: \"\"}}], route: [{destination: {host: a}}]}]",
            "spec.http[0].match[0].method.prefix: the prefix is empty",
        ),
        (
            "[{timeout: 1us, route: [{destination: {host: a}}]}]",
            "spec.http[0].timeout: 0.000001s is not a whole number of milliseconds",
        ),
        (
            "[{retries: {attempts: 1, retryOn: gateway-eror}, route: [{destination: {host: a}}]}]",
            "spec.http[0].retries.retryOn: `gateway-eror` is no retry condition; the object is not used. Did you mean `gateway-error`?",
        ),
        (
            "[{headers: {response: {set: {host: a}}}, route: [{destination: {host: a}}]}]",
            "spec.http[0].headers.response.set.host: the Host header cannot be changed here",
        ),
        (
            "[{headers: {request: {set: {x.a: \"%REQ(\"}}}, route: [{destination: {host: a}}]}]",
            "spec.http[0].headers.request.set[\"x.a\"]: `%REQ(`: a `%` opens",
        ),
        (
            "[{headers: {request: {set: {Host: \"a\\r\\nx: y\"}}}, route: [{destination: {host: a}}]}]",
            "spec.http[0].headers.request.set.Host: the value holds a control character",
        ),
        (
            "[{headers: {request: {set: {Host: a/b}}}, route: [{destination: {host: a}}]}]",
            "spec.http[0].headers.request.set.Host: `a/b` is not a host",
        ),
        (
            "[{rewrite: {authority: \"a\\nb\"}, route: [{destination: {host: a}}]}]",
            "spec.http[0].rewrite.authority: `a\\nb` is not a host",
        ),
        (
            "[{rewrite: {uri: \"/a b\"}, route: [{destination: {host: a}}]}]",
            "spec.http[0].rewrite.uri: `/a b` holds a space",
        ),
        (
            "[{redirect: {uri: \"/a\\r\\n\"}}]",
            "spec.http[0].redirect.uri: `/a\\r\\n` holds a space or a control",
        ),
        (
            "[{redirect: {authority: \"a@b\"}}]",
            "spec.http[0].redirect.authority: `a@b` is not a host",
        ),
        (
            "[{rewrite: {authority: a, uri: /}, headers: {request: {set: {Host: b}}}, route: [{destination: {host: a}}]}]",
            "spec.http[0].rewrite.authority: the Host is set twice",
        ),
        (
            "[{headers: {request: {set: {x-a: \"%REQ(a):b%\"}}}, route: [{destination: {host: a}}]}]",
            "spec.http[0].headers.request.set.x-a: `%REQ(a):b%` is no operator of header values",
        ),
        (
            "[{retries: {attempts: -1}, route: [{destination: {host: a}}]}]",
            "spec.http[0].retries.attempts: attempts is -1",
        ),
        (
            "[{retries: {retryOn: 5xx}, route: [{destination: {host: a}}]}]",
            "spec.http[0].retries.attempts: attempts is 0",
        ),
    ] {
        let translation = translated(&base_and(&with_http(http)));
        let found = findings(&translation);
        assert_eq!(translation.refused.len(), 1, "{http}: {found:#?}");
        assert!(
            found
                .iter()
                .any(|f| f.starts_with(&format!("IST0106 {expected}"))),
            "{http}: {found:#?}"
        );
        assert!(
            translation.model.servers[0]
                .virtual_hosts()
                .next()
                .is_none()
        );
    }
}

#[test]
fn what_is_not_honoured_is_said_and_the_rest_served() {
    for (rule, code, level, served, expected) in [
        (
            "match: [{headers: {\"@request.auth.claims.a\": {exact: b}}}]",
            codes::NOT_SUPPORTED,
            Level::Error,
            false,
            "spec.http[0].match[0].headers[\"@request.auth.claims.a\"]",
        ),
        (
            "headers: {request: {set: {x-a: \"%CONNECTION_ID%\"}}}",
            codes::NO_EFFECT,
            Level::Warning,
            true,
            "spec.http[0].headers.request.set.x-a",
        ),
        (
            "headers: {request: {set: {Host: \"%REQ(a)%\"}}}",
            codes::NO_EFFECT,
            Level::Warning,
            true,
            "spec.http[0].headers.request.set.Host",
        ),
    ] {
        let translation = translated(&base_and(&with_http(&format!(
            "[{{{rule}, {TO_REVIEWS}}}]"
        ))));
        let finding = &translation.findings[0];
        assert_eq!(
            (finding.code, finding.level, finding.field.as_str()),
            (code, level, expected)
        );
        assert!(translation.refused.is_empty(), "{rule}");
        assert_eq!(!domains(&translation).is_empty(), served, "{rule}");
    }
}

/// RFC 9112 §6.3: whoever sets Content-Length or Transfer-Encoding decides where a message ends.
#[test]
fn rfc9112_6_3_fields_of_the_framing_are_not_edited_and_the_rest_is() {
    for name in [
        "Content-Length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "upgrade",
        "te",
        "trailer",
        "proxy-connection",
    ] {
        let side = format!(
            "{{set: {{{name}: \"3\", x-a: b}}, add: {{{name}: \"3\"}}, remove: [{name}, x-r]}}"
        );
        let rule = format!("[{{headers: {{request: {side}, response: {side}}}, {TO_REVIEWS}}}]");
        let translation = translated(&base_and(&with_http(&rule)));
        let found: Vec<_> = translation
            .findings
            .iter()
            .map(|f| (f.code, f.level, f.field.clone()))
            .collect();
        let mut expected = Vec::new();
        for side in ["request", "response"] {
            for place in [
                format!("set.{name}"),
                format!("add.{name}"),
                "remove[0]".to_owned(),
            ] {
                let field = format!("spec.http[0].headers.{side}.{place}");
                expected.push(("IST0133", Level::Warning, field));
            }
        }
        assert_eq!(found, expected);
        assert!(translation.refused.is_empty());
        let edits = routes(&translation, "*")[0]
            .headers
            .as_deref()
            .expect("edits");
        for side in [&edits.request, &edits.response] {
            let names: Vec<_> = side
                .iter()
                .map(|edit| match edit {
                    HeaderEdit::Remove(name) => format!("-{name}"),
                    HeaderEdit::Set(name, _) => format!("={name}"),
                    HeaderEdit::Add(name, _) => format!("+{name}"),
                })
                .collect();
            assert_eq!(names, ["-x-r", "=x-a"]);
        }
    }
}

#[test]
fn of_two_overlapping_pools_the_one_in_use_stays() {
    let yaml = r#"
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: a-new-one, namespace: metallb-system}
spec: {addresses: [192.168.8.152-192.168.8.160]}
---
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: in-use, namespace: metallb-system}
spec: {addresses: [192.168.8.151-192.168.8.152]}
"#;
    let names = |settings: &Settings| -> Vec<String> {
        let pools = translate(&resources(yaml), settings).model.pools;
        pools.into_iter().map(|pool| pool.name).collect()
    };
    assert_eq!(names(&Settings::default()), ["a-new-one"]);
    let holding = Settings {
        holding_pools: ["in-use".to_owned()].into(),
        ..Settings::default()
    };
    assert_eq!(names(&holding), ["in-use"]);
}

#[test]
fn a_refused_pool_stays_known_by_name_and_labels() {
    let yaml = r#"
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: broken, namespace: metallb-system, labels: {net: lan}}
spec: {addresses: [192.168.8.151-192.168.8.15]}
---
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: right, namespace: metallb-system}
spec: {addresses: [10.0.0.0/24]}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: all, namespace: metallb-system}
spec: {}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: by-label, namespace: metallb-system}
spec: {ipAddressPoolSelectors: [{matchLabels: {net: lan}}]}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: by-name, namespace: metallb-system}
spec: {ipAddressPools: [broken]}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: other, namespace: metallb-system}
spec: {ipAddressPools: [right]}
"#;
    let covers_it = |translation: &Translation| -> Vec<String> {
        let model = &translation.model;
        let refused: Vec<_> = model.refused_pools.iter().map(|pool| &pool.name).collect();
        assert_eq!(refused, ["broken"]);
        assert!(model.pools.iter().all(|pool| pool.name == "right"));
        let advertisements = model.advertisements.iter();
        advertisements
            .filter(|advertisement| advertisement.pools.contains("broken"))
            .map(|advertisement| advertisement.name.clone())
            .collect()
    };
    let mut left = resources(yaml);
    let first = translate(&left, &Settings::default());
    assert_eq!(covers_it(&first), ["all", "by-label", "by-name"]);
    // Taken out, for there is no last good version: that it exists is known all the same.
    LastGood::default().fall_back(&mut left, &first.refused[0]);
    let second = translate(&left, &Settings::default());
    assert!(second.refused.is_empty());
    assert_eq!(covers_it(&second), ["all", "by-label", "by-name"]);
    // Where a file could not be read, it may have the pools that addresses were dealt from.
    let mut unread = resources("");
    unread.refused_pools.others = true;
    let holding = Settings {
        holding_pools: ["lan".to_owned(), String::new()].into(),
        ..Settings::default()
    };
    let model = translate(&unread, &holding).model;
    let refused: Vec<_> = model.refused_pools.iter().map(|pool| &pool.name).collect();
    assert_eq!(refused, ["lan"]);
}

#[test]
fn a_pool_that_was_edited_does_not_take_down_one_that_was_not() {
    let pool = |name: &str, addresses: &str| {
        format!(
            "---\napiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {{name: {name}, \
             namespace: metallb-system}}\nspec: {{addresses: [{addresses}]}}\n"
        )
    };
    let b = pool("b", "192.168.8.10-192.168.8.19");
    let accepted = resources(&format!("{}{b}", pool("a", "192.168.8.1-192.168.8.9")));
    let mut last_good = LastGood::default();
    last_good.accept(&accepted);
    let settings = Settings {
        holding_pools: ["a".to_owned(), "b".to_owned()].into(),
        accepted_pools: accepted.ip_address_pools.clone(),
        ..Settings::default()
    };
    // The comment moves `b` to another line of the file, which is no edit of it.
    let mut now = resources(&format!(
        "{}# moves it\n{b}",
        pool("a", "192.168.8.1-192.168.8.15")
    ));
    let first = translate(&now, &settings);
    let refused: Vec<_> = first.refused.iter().map(ToString::to_string).collect();
    assert_eq!(refused, ["IPAddressPool metallb-system/a"]);
    last_good.fall_back(&mut now, &first.refused[0]);
    let model = translate(&now, &settings).model;
    let ranges: Vec<_> = model
        .pools
        .iter()
        .map(|pool| (pool.name.as_str(), pool.ranges[0].last().to_string()))
        .collect();
    assert_eq!(
        ranges,
        [
            ("a", "192.168.8.9".to_owned()),
            ("b", "192.168.8.19".to_owned())
        ]
    );
    assert!(model.refused_pools.is_empty());
}
