//! Every rule of §1.6 with a wrong value, and which hosts a policy guards.

use crate::finding::Level;
use crate::model::GuardedHosts;
use crate::translate::tests::{resources, translated};
use crate::translate::{Settings, Translation, translate};

fn policy(kind: &str, namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: {kind}\nmetadata: {{name: p, namespace: \
         {namespace}}}\nspec: {spec}\n"
    )
}

fn errors(translation: &Translation) -> Vec<String> {
    let wrong = translation.findings.iter().filter(|f| f.code == "IST0106");
    wrong
        .map(|f| format!("{}: {}", f.field, f.message))
        .collect()
}

#[test]
fn every_rule_of_an_authorization_policy_is_judged() {
    for (spec, expected) in [
        (
            "{selector: {matchLabels: {app: 'a*'}}}",
            "spec.selector.matchLabels.app: `app: a*` has a wildcard",
        ),
        (
            "{selector: {matchLabels: {'': a}}}",
            "spec.selector.matchLabels: a label without a name",
        ),
        (
            "{selector: {matchLabels: {a: b}}, targetRefs: [{kind: Service, name: a}]}",
            "spec: only one of selector",
        ),
        (
            "{targetRefs: [{kind: Service}]}",
            "spec.targetRefs[0]: the reference needs a kind and a name",
        ),
        (
            "{targetRef: {group: networking.istio.io, kind: Gateway, name: a}}",
            "spec.targetRef: `networking.istio.io/Gateway` is nothing",
        ),
        (
            "{targetRefs: [{kind: Service, name: a, namespace: other}]}",
            "spec.targetRefs[0].namespace: a policy cannot",
        ),
        (
            "{action: CUSTOM, rules: [{}]}",
            "spec.provider.name: CUSTOM needs the name",
        ),
        (
            "{action: CUSTOM, provider: {name: ''}, rules: [{}]}",
            "spec.provider.name: CUSTOM needs the name",
        ),
        (
            "{action: CUSTOM, provider: {name: a}}",
            "spec.rules: CUSTOM without rules",
        ),
        (
            "{action: DENY, provider: {name: a}, rules: [{}]}",
            "spec.provider: a provider is for CUSTOM",
        ),
        (
            "{action: CUSTOM, provider: {name: a}, rules: [{from: [{source: {principals: [a]}}]}]}",
            "spec.rules[0].from[0].source.principals: principals cannot",
        ),
        (
            "{action: CUSTOM, provider: {name: a}, rules: [{when: [{key: source.namespace, values: [a]}]}]}",
            "spec.rules[0].when[0].key: `source.namespace` cannot",
        ),
        (
            "{action: CUSTOM, provider: {name: a}, rules: [{when: [{key: 'request.auth.claims[a]', values: [a]}]}]}",
            "spec.rules[0].when[0].key: `request.auth.claims[a]` cannot",
        ),
        (
            "{rules: [{from: [{}]}]}",
            "spec.rules[0].from[0].source: the source says nothing",
        ),
        (
            "{rules: [{from: [{source: {}}]}]}",
            "spec.rules[0].from[0].source: the source says nothing",
        ),
        (
            "{rules: [{from: [{source: {namespaces: ['']}}]}]}",
            "spec.rules[0].from[0].source.namespaces[0]: an empty value",
        ),
        (
            "{rules: [{from: [{source: {serviceAccounts: [a], namespaces: [b]}}]}]}",
            "spec.rules[0].from[0].source: serviceAccounts cannot",
        ),
        (
            "{rules: [{from: [{source: {serviceAccounts: [a], principals: [b]}}]}]}",
            "spec.rules[0].from[0].source: serviceAccounts cannot",
        ),
        (
            "{rules: [{from: [{source: {ipBlocks: [10.0.0.0/33]}}]}]}",
            "spec.rules[0].from[0].source.ipBlocks[0]: `10.0.0.0/33` is neither",
        ),
        (
            "{rules: [{from: [{source: {notRemoteIpBlocks: [a]}}]}]}",
            "spec.rules[0].from[0].source.notRemoteIpBlocks[0]: `a` is neither",
        ),
        (
            "{rules: [{to: [{}]}]}",
            "spec.rules[0].to[0].operation: the operation says nothing",
        ),
        (
            "{rules: [{to: [{operation: {}}]}]}",
            "spec.rules[0].to[0].operation: the operation says nothing",
        ),
        (
            "{rules: [{to: [{operation: {ports: ['0']}}]}]}",
            "spec.rules[0].to[0].operation.ports[0]: `0` is no port",
        ),
        (
            "{rules: [{to: [{operation: {notPorts: [http]}}]}]}",
            "spec.rules[0].to[0].operation.notPorts[0]: `http` is no port",
        ),
        (
            "{rules: [{to: [{operation: {hosts: ['']}}]}]}",
            "spec.rules[0].to[0].operation.hosts[0]: an empty value",
        ),
        (
            "{rules: [{to: [{operation: {paths: ['/a/{*}b']}}]}]}",
            "spec.rules[0].to[0].operation.paths[0]: `/a/{*}b` is no path template",
        ),
        (
            "{rules: [{to: [{operation: {paths: ['/{**}/{*}']}}]}]}",
            "spec.rules[0].to[0].operation.paths[0]: `/{**}/{*}` is no path template",
        ),
        (
            "{rules: [{when: [{values: [a]}]}]}",
            "spec.rules[0].when[0].key: the condition names nothing",
        ),
        (
            "{rules: [{when: [{key: source.ip}]}]}",
            "spec.rules[0].when[0]: the condition on `source.ip` needs values",
        ),
        (
            "{rules: [{when: [{key: source.ip, values: [a]}]}]}",
            "spec.rules[0].when[0].values[0]: `a` is neither",
        ),
        (
            "{rules: [{when: [{key: destination.port, notValues: ['70000']}]}]}",
            "spec.rules[0].when[0].notValues[0]: `70000` is no port",
        ),
        (
            "{rules: [{when: [{key: source.namespce, values: [a]}]}]}",
            "spec.rules[0].when[0].key: `source.namespce` is nothing",
        ),
        (
            "{rules: [{when: [{key: 'request.headers[]', values: [a]}]}]}",
            "spec.rules[0].when[0].key: `request.headers[]` is nothing",
        ),
    ] {
        let translation = translated(&policy("AuthorizationPolicy", "shop", spec));
        let errors = errors(&translation);
        assert!(
            errors.iter().any(|e| e.starts_with(expected)),
            "{spec}: {errors:?}"
        );
        assert_eq!(
            translation.refused,
            [],
            "a policy that is dropped would guard nothing"
        );
    }
    let good = "{action: DENY, rules: [{from: [{source: {ipBlocks: [10.0.0.0/8, '::1'], \
                notNamespaces: [a]}}], to: [{operation: {paths: ['/a/{*}/{**}', '/b*'], ports: \
                ['80'], methods: [GET]}}], when: [{key: 'request.headers[x-a]', values: [b]}, {key: \
                'request.auth.claims[a][b]', notValues: [c]}]}]}";
    let translation = translated(&policy("AuthorizationPolicy", "shop", good));
    assert_eq!(errors(&translation), Vec::<String>::new());
}

#[test]
fn every_rule_of_a_request_authentication_is_judged() {
    for (rule, expected) in [
        ("{}", "issuer: the rule names neither"),
        (
            "{issuer: a, audiences: ['']}",
            "audiences[0]: an empty value",
        ),
        (
            "{issuer: a, jwksUri: 'ftp://a'}",
            "jwksUri: `ftp://a` is no http",
        ),
        (
            "{issuer: a, jwks: '{'}",
            "jwks: the text is no JSON Web Key Set",
        ),
        (
            "{issuer: a, fromHeaders: [{}]}",
            "fromHeaders[0].name: the header has no name",
        ),
        (
            "{issuer: a, fromHeaders: [{name: 'a b'}]}",
            "fromHeaders[0].name: `a b` is no header name",
        ),
        (
            "{issuer: a, fromParams: ['']}",
            "fromParams[0]: an empty value",
        ),
        (
            "{issuer: a, fromCookies: ['']}",
            "fromCookies[0]: an empty value",
        ),
        (
            "{issuer: a, outputPayloadToHeader: 'a b'}",
            "outputPayloadToHeader: `a b` is no header",
        ),
        (
            "{issuer: a, outputClaimToHeaders: [{claim: b}]}",
            "outputClaimToHeaders[0].header: the header has no name",
        ),
        (
            "{issuer: a, outputClaimToHeaders: [{header: b}]}",
            "outputClaimToHeaders[0].claim: the claim has no name",
        ),
        (
            "{issuer: a, timeout: 1us}",
            "timeout: the timeout is shorter",
        ),
    ] {
        let spec = format!("{{jwtRules: [{rule}]}}");
        let errors = errors(&translated(&policy("RequestAuthentication", "shop", &spec)));
        let expected = format!("spec.jwtRules[0].{expected}");
        assert!(
            errors.iter().any(|e| e.starts_with(&expected)),
            "{rule}: {errors:?}"
        );
    }
    let good = "{jwtRules: [{issuer: a, jwksUri: 'https://a/keys', jwks: '{\"keys\": []}'}]}";
    assert!(errors(&translated(&policy("RequestAuthentication", "shop", good))).is_empty());
}

#[test]
fn every_rule_of_a_peer_authentication_is_judged() {
    for (spec, expected) in [
        (
            "{portLevelMtls: {'80': {mode: STRICT}}}",
            "spec.portLevelMtls: ports can be named only",
        ),
        (
            "{selector: {matchLabels: {a: b}}, portLevelMtls: {}}",
            "spec.portLevelMtls: the map names no port",
        ),
        (
            "{selector: {matchLabels: {a: b}}, portLevelMtls: {'0': {}}}",
            "spec.portLevelMtls.0: `0` is no port",
        ),
    ] {
        let translation = translated(&policy("PeerAuthentication", "istio-system", spec));
        let errors = errors(&translation);
        assert!(
            errors.iter().any(|e| e.starts_with(expected)),
            "{spec}: {errors:?}"
        );
        assert_eq!(translation.model.proxy.guards, [], "it is for sidecars");
    }
}

fn guards(kind: &str, namespace: &str, spec: &str) -> Vec<GuardedHosts> {
    let translation = translated(&policy(kind, namespace, spec));
    let guards = translation.model.proxy.guards.into_iter();
    guards.map(|guard| guard.hosts).collect()
}

#[test]
fn a_policy_guards_the_hosts_that_it_could_deny() {
    let only = |hosts: &[&str]| {
        let hosts = hosts.iter().map(|host| (*host).to_owned());
        vec![GuardedHosts::Only(hosts.collect())]
    };
    let every = vec![GuardedHosts::Every];
    let here = "istio-system";
    for (spec, expected) in [
        ("{}", every.clone()),
        (
            "{action: ALLOW, rules: [{to: [{operation: {hosts: [a.example]}}]}]}",
            every.clone(),
        ),
        ("{action: DENY}", vec![]),
        ("{action: DENY, rules: [{}]}", every.clone()),
        (
            "{action: DENY, rules: [{to: [{operation: {hosts: [B.example, '*.a.example']}}]}]}",
            only(&["*.a.example", "b.example"]),
        ),
        (
            "{action: DENY, rules: [{to: [{operation: {hosts: [a]}}, {operation: {paths: [/x]}}]}]}",
            every.clone(),
        ),
        (
            "{action: DENY, rules: [{to: [{operation: {hosts: ['*']}}]}]}",
            every.clone(),
        ),
        (
            "{action: DENY, rules: [{to: [{operation: {notHosts: [a]}}]}]}",
            every.clone(),
        ),
        (
            "{action: CUSTOM, provider: {name: a}, rules: [{to: [{operation: {hosts: [a]}}]}]}",
            only(&["a"]),
        ),
        ("{action: AUDIT, rules: [{}]}", vec![]),
        // A wrong policy may mean anything.
        (
            "{action: DENY, rules: [{from: [{}], to: [{operation: {hosts: [a]}}]}]}",
            every.clone(),
        ),
        (
            "{selector: {matchLabels: {istio: ingressgateway}}}",
            every.clone(),
        ),
        ("{selector: {matchLabels: {app: other}}}", vec![]),
        (
            "{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: other}]}",
            vec![],
        ),
        (
            "{targetRefs: [{group: networking.istio.io, kind: Gateway, name: gw}]}",
            every.clone(),
        ),
    ] {
        assert_eq!(
            guards("AuthorizationPolicy", here, spec),
            expected,
            "{spec}"
        );
    }
    assert_eq!(
        guards("AuthorizationPolicy", "shop", "{}"),
        [],
        "another namespace's workloads"
    );
    assert_eq!(
        guards("RequestAuthentication", here, "{jwtRules: [{issuer: a}]}"),
        every
    );
    assert_eq!(
        guards("RequestAuthentication", "shop", "{jwtRules: [{issuer: a}]}"),
        []
    );
}

#[test]
fn what_becomes_of_guarded_hosts_is_told() {
    let yaml = policy(
        "AuthorizationPolicy",
        "istio-system",
        "{action: DENY, rules: [{}]}",
    );
    let told = |settings: &Settings| {
        let translation = translate(&resources(&yaml), settings);
        let found = translation
            .findings
            .into_iter()
            .find(|f| f.code == "GH0005");
        let finding = found.expect("a finding");
        assert!(finding.message.contains("NOT enforced"), "{finding}");
        (
            finding.level,
            finding.message,
            translation.model.proxy.guards.len(),
        )
    };
    let (level, message, guards) = told(&Settings::default());
    assert_eq!((level, guards), (Level::Error, 1));
    assert!(
        message.contains("every host are answered with 503"),
        "{message}"
    );
    let ignoring = Settings {
        ignore_security_policies: true,
        ..Settings::default()
    };
    let (level, message, guards) = told(&ignoring);
    assert_eq!((level, guards), (Level::Warning, 0));
    assert!(message.contains("let through"), "{message}");
}
