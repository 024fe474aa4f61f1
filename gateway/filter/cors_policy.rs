//! `corsPolicy`: preflights are answered here, and answers tell browsers who may read them.
//!
//! As Envoy's CORS filter does it: a request without `origin`, or from an origin that is not
//! allowed, is served as if there were no policy.

use gatehouse_config::model::CorsPolicy;

use crate::http1::{KnownName, RequestHead};

/// A response field.
pub type Field = (&'static str, Box<[u8]>);

/// What a policy makes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on; whatever the answer is, it gets these fields.
    Serve(Vec<Field>),
    /// It is answered here: 200, no body, and these fields.
    Answer(Vec<Field>),
}

/// Judges a request.
pub fn judge(policy: &CorsPolicy, request: &RequestHead) -> Verdict {
    let Some(origin) = request
        .fields()
        .known(KnownName::Origin)
        .filter(|origin| !origin.is_empty())
    else {
        return Verdict::Serve(Vec::new());
    };
    let asks = request.method() == b"OPTIONS"
        && request
            .fields()
            .get("access-control-request-method")
            .is_some_and(|method| !method.is_empty());
    if !is_allowed(policy, origin) {
        return if asks && !policy.forward_unmatched {
            Verdict::Answer(Vec::new())
        } else {
            Verdict::Serve(Vec::new())
        };
    }
    let mut fields: Vec<Field> = vec![("access-control-allow-origin", origin.into())];
    if policy.allow_credentials {
        fields.push((
            "access-control-allow-credentials",
            b"true".as_slice().into(),
        ));
    }
    let mut list = |name, value: &str| {
        if !value.is_empty() {
            fields.push((name, value.as_bytes().into()));
        }
    };
    // Envoy says this of preflights too.
    list("access-control-expose-headers", &policy.expose_headers);
    if !asks {
        return Verdict::Serve(fields);
    }
    list("access-control-allow-methods", &policy.allow_methods);
    list("access-control-allow-headers", &policy.allow_headers);
    if let Some(seconds) = policy.max_age {
        list("access-control-max-age", &seconds.to_string());
    }
    Verdict::Answer(fields)
}

fn is_allowed(policy: &CorsPolicy, origin: &[u8]) -> bool {
    policy
        .origins
        .iter()
        .any(|allowed| allowed.matches(b"*") || allowed.matches(origin))
}

#[cfg(test)]
mod tests {
    use gatehouse_config::model::Pattern;

    use super::*;

    fn policy(origins: Vec<Pattern>) -> CorsPolicy {
        CorsPolicy {
            origins,
            allow_methods: "GET,POST".to_owned(),
            allow_headers: "x-a".to_owned(),
            expose_headers: "x-b,x-c".to_owned(),
            max_age: Some(86_400),
            allow_credentials: true,
            forward_unmatched: true,
        }
    }

    fn request(method: &str, origin: Option<&str>, asks: Option<&str>) -> RequestHead {
        let mut head = RequestHead::new(method.as_bytes(), b"/", b"a.lan");
        if let Some(origin) = origin {
            head.fields_mut().append("origin", origin.as_bytes());
        }
        if let Some(asks) = asks {
            let name = "access-control-request-method";
            head.fields_mut().append(name, asks.as_bytes());
        }
        head
    }

    fn text(fields: Vec<Field>) -> Vec<String> {
        let text = |(name, value): Field| format!("{name}: {}", String::from_utf8_lossy(&value));
        fields.into_iter().map(text).collect()
    }

    #[test]
    fn a_preflight_is_answered_with_everything() {
        let policy = policy(vec![Pattern::Prefix("https://a".to_owned())]);
        let request = request("OPTIONS", Some("https://a.lan"), Some("DELETE"));
        let Verdict::Answer(fields) = judge(&policy, &request) else {
            panic!("it is answered here");
        };
        assert_eq!(
            text(fields),
            [
                "access-control-allow-origin: https://a.lan",
                "access-control-allow-credentials: true",
                "access-control-expose-headers: x-b,x-c",
                "access-control-allow-methods: GET,POST",
                "access-control-allow-headers: x-a",
                "access-control-max-age: 86400",
            ]
        );
    }

    #[test]
    fn a_simple_request_is_served_and_its_answer_says_what_may_be_read() {
        let policy = policy(vec![Pattern::Exact("https://a.lan".to_owned())]);
        for (method, asks) in [
            ("GET", Some("GET")),
            ("OPTIONS", None),
            ("OPTIONS", Some("")),
        ] {
            let request = request(method, Some("https://a.lan"), asks);
            let Verdict::Serve(fields) = judge(&policy, &request) else {
                panic!("it is served");
            };
            assert_eq!(
                text(fields),
                [
                    "access-control-allow-origin: https://a.lan",
                    "access-control-allow-credentials: true",
                    "access-control-expose-headers: x-b,x-c",
                ]
            );
        }
    }

    #[test]
    fn other_origins_are_served_as_without_a_policy() {
        let mut policy = policy(vec![Pattern::Exact("https://a.lan".to_owned())]);
        for origin in [None, Some(""), Some("https://b.lan"), Some("null")] {
            let preflight = request("OPTIONS", origin, Some("GET"));
            assert_eq!(judge(&policy, &preflight), Verdict::Serve(Vec::new()));
            let simple = request("GET", origin, None);
            assert_eq!(judge(&policy, &simple), Verdict::Serve(Vec::new()));
        }
        policy.forward_unmatched = false;
        let preflight = request("OPTIONS", Some("https://b.lan"), Some("GET"));
        assert_eq!(judge(&policy, &preflight), Verdict::Answer(Vec::new()));
        let simple = request("GET", Some("https://b.lan"), None);
        assert_eq!(judge(&policy, &simple), Verdict::Serve(Vec::new()));
    }

    #[test]
    fn a_star_lets_everyone_in() {
        let policy = policy(vec![Pattern::Exact("*".to_owned())]);
        let request = request("GET", Some("https://b.lan"), None);
        assert!(matches!(judge(&policy, &request), Verdict::Serve(fields) if !fields.is_empty()));
    }
}
