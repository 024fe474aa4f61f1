//! RequestAuthentication: its rules (reference: Istio §1.6). It guards every host: a token that is
//! wrong would be refused anywhere.

use crate::api::istio::RequestAuthentication;
use crate::api::istio::request_authentication::{ClaimToHeader, JwtHeader, JwtRule};
use crate::model::{Guard, GuardedHosts, HeaderName};
use crate::resources::Object;
use crate::translate::Settings;
use crate::translate::field_path::FieldPath;
use crate::translate::report::Report;
use crate::translate::security::{Judge, Target};

/// Judges a policy; gives what must not be served because of it.
pub(super) fn judge(
    object: &Object<RequestAuthentication>,
    settings: &Settings,
    report: &mut Report,
) -> Option<Guard> {
    let RequestAuthentication {
        selector,
        target_ref,
        target_refs,
        jwt_rules,
    } = &object.body;
    let key = &object.meta.key;
    let mut report = report.on("RequestAuthentication", key);
    let mut judge = Judge::new(&mut report, key);
    let spec = FieldPath::root("spec");
    let target = Target {
        selector: selector.as_ref(),
        reference: target_ref.as_ref(),
        references: target_refs,
    };
    target.judge(&spec, &mut judge);
    let path = spec.field("jwtRules");
    for (i, rule) in jwt_rules.iter().enumerate() {
        judge_rule(rule, &path.index(i), &mut judge);
    }
    let applies = target.is_this_gateway(&key.namespace, settings);
    let hosts = GuardedHosts::Every;
    judge.not_enforced(applies, Some(&hosts.to_string()), settings);
    applies.then(|| Guard {
        policy: format!("RequestAuthentication {key}"),
        hosts,
    })
}

fn judge_rule(rule: &JwtRule, path: &FieldPath<'_>, judge: &mut Judge<'_, '_>) {
    let JwtRule {
        issuer,
        audiences,
        jwks_uri,
        jwks,
        from_headers,
        from_params,
        output_payload_to_header,
        from_cookies,
        forward_original_token: _,
        output_claim_to_headers,
        timeout,
        space_delimited_claims,
    } = rule;
    if issuer.is_empty() && jwks_uri.is_empty() {
        let message = "the rule names neither an issuer nor a jwksUri";
        judge.wrong(&path.field("issuer"), message, "Name the tokens' issuer.");
    }
    if !jwks_uri.is_empty() && !is_http_url(jwks_uri) {
        let message = format!("`{jwks_uri}` is no http or https URL");
        judge.wrong(&path.field("jwksUri"), &message, "");
    }
    if !jwks.is_empty() && !is_key_set(jwks) {
        let message = "the text is no JSON Web Key Set";
        let hint = "It is JSON with a list `keys` (RFC 7517 §5).";
        judge.wrong(&path.field("jwks"), message, hint);
    }
    for (name, values) in [
        ("audiences", audiences),
        ("fromParams", from_params),
        ("fromCookies", from_cookies),
        ("spaceDelimitedClaims", space_delimited_claims),
    ] {
        judge.no_empty_values(values, &path.field(name));
    }
    let headers = path.field("fromHeaders");
    for (i, JwtHeader { name, prefix: _ }) in from_headers.iter().enumerate() {
        judge_header(name, &headers.index(i).field("name"), judge);
    }
    if !output_payload_to_header.is_empty() {
        let path = path.field("outputPayloadToHeader");
        judge_header(output_payload_to_header, &path, judge);
    }
    let claims = path.field("outputClaimToHeaders");
    for (i, ClaimToHeader { header, claim }) in output_claim_to_headers.iter().enumerate() {
        let item = claims.index(i);
        judge_header(header, &item.field("header"), judge);
        if claim.is_empty() {
            judge.wrong(&item.field("claim"), "the claim has no name", "");
        }
    }
    if timeout.is_some_and(|timeout| timeout.as_nanos() < 1_000_000) {
        let message = "the timeout is shorter than 1ms";
        judge.wrong(&path.field("timeout"), message, "");
    }
}

fn judge_header(name: &str, path: &FieldPath<'_>, judge: &mut Judge<'_, '_>) {
    if name.is_empty() {
        judge.wrong(path, "the header has no name", "");
    } else if HeaderName::parse(name).is_none_or(|name| name.as_str().starts_with(':')) {
        let message = format!("`{name}` is no header name");
        judge.wrong(path, &message, "");
    }
}

fn is_http_url(url: &str) -> bool {
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    rest.is_some_and(|rest| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        !host.is_empty() && !host.starts_with(':') && !url.contains(char::is_whitespace)
    })
}

fn is_key_set(text: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(text)
        .is_ok_and(|value| value.get("keys").is_some_and(serde_json::Value::is_array))
}
