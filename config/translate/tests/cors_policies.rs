//! `corsPolicy`: what browsers are told, and what is refused.

use super::*;

#[test]
fn a_policy_is_read() {
    let (route, found) = only_route(
        "corsPolicy: {allowOrigins: [{exact: https://a.lan}, {prefix: https://b}, {regex: '.*lan'}], \
         allowMethods: [GET, '*'], allowHeaders: [x-a, X-B], exposeHeaders: [x-c], maxAge: 24h, \
         allowCredentials: true, unmatchedPreflights: IGNORE}",
    );
    assert_eq!(found, Vec::<String>::new());
    let policy = route.cors.expect("it has a policy");
    let origins: Vec<_> = policy.origins.iter().map(ToString::to_string).collect();
    assert_eq!(
        origins,
        ["exact https://a.lan", "prefix https://b", "regex .*lan"]
    );
    assert_eq!(
        (
            policy.allow_methods.as_str(),
            policy.allow_headers.as_str(),
            policy.expose_headers.as_str(),
            policy.max_age,
            policy.allow_credentials,
            policy.forward_unmatched,
        ),
        ("GET,*", "x-a,X-B", "x-c", Some(86_400), true, false)
    );
}

#[test]
fn unset_fields_mean_what_istio_means() {
    let (route, found) = only_route("corsPolicy: {allowOrigin: [https://a.lan]}");
    assert!(
        found[0]
            .starts_with("IST0133 spec.http[0].corsPolicy.allowOrigin: allowOrigin is deprecated"),
        "{found:#?}"
    );
    let policy = route.cors.expect("it has a policy");
    assert_eq!(policy.origins[0].to_string(), "exact https://a.lan");
    assert!(policy.forward_unmatched && !policy.allow_credentials);
    assert_eq!((policy.allow_methods.as_str(), policy.max_age), ("", None));
}

#[test]
fn redirects_and_direct_responses_have_one_too() {
    for action in ["redirect: {uri: /x}", "directResponse: {status: 204}"] {
        let rule = format!("[{{corsPolicy: {{allowOrigins: [{{exact: a}}]}}, {action}}}]");
        let translation = translated(&base_and(&with_http(&rule)));
        assert!(routes(&translation, "*")[0].cors.is_some(), "{action}");
    }
}

#[test]
fn wrong_policies_are_refused_with_the_field() {
    for (text, expected) in [
        ("allowOrigins: [{}]", "allowOrigins[0]: the origin is empty"),
        (
            "allowOrigins: [{exact: ''}]",
            "allowOrigins[0]: the origin is empty",
        ),
        (
            "allowOrigins: [{regex: '('}]",
            "allowOrigins[0].regex: `(` is not a regular expression",
        ),
        (
            "allowMethods: [GETT]",
            "allowMethods[0]: `GETT` is no method that a policy can allow; the object is not used. Did you mean `GET`?",
        ),
        ("allowMethods: [get]", "allowMethods[0]: `get` is no method"),
        (
            "allowHeaders: ['x a']",
            "allowHeaders[0]: `x a` is not a header name",
        ),
        (
            "exposeHeaders: [x-a, ':status']",
            "exposeHeaders[1]: `:status` is not a header name",
        ),
        (
            "maxAge: 1500ms",
            "maxAge: 1.5s is not a whole number of seconds",
        ),
        ("maxAge: 0s", "maxAge: 0s is not a whole number of"),
    ] {
        let found = refusal(&format!("corsPolicy: {{{text}}}"));
        let want = format!("IST0106 spec.http[0].corsPolicy.{expected}");
        assert!(found.starts_with(&want), "{text}: {found}");
    }
}
