//! What a MeshConfig says to the proxy and to other objects.

use std::time::Duration;

use crate::model::{Action, EscapedSlashes, PathNormalization, ServerHeader, Underscores};
use crate::translate::tests::{BASE, findings, translated, with_http};

const TO_REVIEWS: &str = "[{route: [{destination: {host: reviews}}]}]";

#[test]
fn the_proxys_settings_are_read() {
    let mesh = "kind: MeshConfig\npathNormalization: {normalization: DECODE_AND_MERGE_SLASHES}\n\
                defaultConfig:\n  gatewayTopology: {numTrustedProxies: 2}\n  proxyHeaders:\n    \
                server: {value: front}\n    requestId: {disabled: true}\n    attemptCount: \
                {disabled: true}\n    envoyDebugHeaders: {disabled: true}\n    xForwardedHost: \
                {enabled: true}\n    xForwardedPort: {enabled: true}\n  connectionSettings: \
                {profile: EDGE, httpIdleTimeout: 5s}\n";
    let translation = translated(mesh);
    assert_eq!(findings(&translation), Vec::<String>::new());
    let proxy = translation.model.proxy;
    let normalization = PathNormalization::DecodeAndMergeSlashes;
    assert_eq!(proxy.path_normalization, normalization);
    assert_eq!(proxy.trusted_proxies, 2);
    let headers = proxy.headers;
    assert_eq!(
        headers.server,
        Some(ServerHeader::Value("front".to_owned()))
    );
    assert!(!headers.request_id && !headers.attempt_count && !headers.debug);
    assert!(headers.forwarded_host && headers.forwarded_port);
    let connections = proxy.connections;
    assert_eq!(connections.idle_timeout, Some(Duration::from_secs(5)));
    assert_eq!(connections.head_timeout, Some(Duration::from_secs(60)));
    assert_eq!(connections.underscores, Underscores::Reject);
    assert_eq!(connections.escaped_slashes, EscapedSlashes::Redirect);
}

#[test]
fn the_config_map_of_the_root_namespace_is_read() {
    let map = |namespace: &str, mesh: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: \
             {namespace}}}\ndata:\n  mesh: |\n{mesh}"
        )
    };
    let mesh = "    pathNormalization:\n      normalization: NONE\n";
    let none = translated(&map("istio-system", mesh));
    assert_eq!(none.model.proxy.path_normalization, PathNormalization::None);
    let other = translated(&map("shop", mesh));
    assert_eq!(
        other.model.proxy.path_normalization,
        PathNormalization::Base
    );
    for (text, expected) in [
        (
            "    pathNormalisation: {}\n",
            "GH0001 data.mesh: line 1 of the text: unknown field `pathNormalisation`",
        ),
        ("    a: [\n", "IST0106 data.mesh: line "),
        (
            "    accessLogEncoding: XML\n",
            "IST0106 data.mesh: line 1 of the text: `accessLogEncoding`",
        ),
        (
            "    rootNamespace: a\n    rootNamespace: b\n",
            "IST0106 data.mesh: line 2 of the text: `rootNamespace` is written twice",
        ),
    ] {
        let found = findings(&translated(&map("istio-system", text)));
        assert!(
            found.iter().any(|f| f.starts_with(expected)),
            "{text}: {found:?}"
        );
    }
    let document = "---\nkind: MeshConfig\npathNormalization: {normalization: MERGE_SLASHES}\n";
    let both = translated(&format!("{}{document}", map("istio-system", mesh)));
    assert_eq!(
        both.model.proxy.path_normalization,
        PathNormalization::MergeSlashes
    );
    assert!(
        findings(&both)
            .iter()
            .any(|f| f.starts_with("GH0120 data.mesh"))
    );
}

#[test]
fn defaults_hold_where_nothing_else_is_said() {
    let yaml = |mesh: &str, http: &str| {
        format!("{BASE}{}---\nkind: MeshConfig\n{mesh}\n", with_http(http))
    };
    let retry = |mesh: &str, http: &str| {
        let translation = translated(&yaml(mesh, http));
        let server = translation.model.servers.first().expect("a server");
        match &server.virtual_hosts().next().unwrap().routes[0].action {
            Action::Forward(forward) => forward.retry.as_ref().map(|retry| retry.attempts),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(retry("", TO_REVIEWS), Some(2), "Istio's own");
    assert_eq!(
        retry(
            "defaultHttpRetryPolicy: {attempts: 5, retryOn: 5xx}",
            TO_REVIEWS
        ),
        Some(5)
    );
    assert_eq!(
        retry("defaultHttpRetryPolicy: {attempts: 0}", TO_REVIEWS),
        None
    );
    let own = "[{retries: {attempts: 1}, route: [{destination: {host: reviews}}]}]";
    assert_eq!(retry("defaultHttpRetryPolicy: {attempts: 5}", own), Some(1));

    let hidden = translated(&yaml("defaultVirtualServiceExportTo: [.]", TO_REVIEWS));
    let hosts = hidden
        .model
        .servers
        .iter()
        .map(|server| server.virtual_hosts().count());
    assert_eq!(
        hosts.sum::<usize>(),
        0,
        "the gateway's namespace does not see it"
    );
}

#[test]
fn a_proxys_own_config_is_nothing_to_a_gateway() {
    let yaml = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gw, namespace: \
                istio-system, annotations: {proxy.istio.io/config: 'concurrency: 2'}}\nspec: \
                {servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}\n";
    let found = findings(&translated(yaml));
    let field = "GH0120 metadata.annotations[\"proxy.istio.io/config\"]: ";
    assert!(found.iter().any(|f| f.starts_with(field)), "{found:?}");
}

#[test]
fn what_reaches_no_gateway_is_told_with_the_reason() {
    let mesh = "kind: MeshConfig\ningressClass: nginx\ntlsDefaults: \
                {cipherSuites: [a, a]}\nconnectTimeout: 0s\ndefaultConfig: {concurrency: 2, \
                gatewayTopology: {numTrustedProxies: 1000}, connectionSettings: \
                {http2InitialStreamWindowSize: 5}}\nextensionProviders: \
                [{name: a}]\n";
    let found = findings(&translated(mesh));
    for expected in [
        "GH0120 spec.ingressClass: ingressClass has no effect here: Ingress objects are not read.",
        "IST0106 spec.defaultConfig.connectionSettings.http2InitialStreamWindowSize: 5 is below",
        "GH0101 spec.tlsDefaults.cipherSuites[0]: `a` is not supported yet",
        "IST0133 spec.tlsDefaults.cipherSuites[1]: `a` is named twice",
        "IST0106 spec.connectTimeout: 0s is shorter",
        "GH0120 spec.defaultConfig.concurrency: concurrency has no effect here: `--workers`",
        "IST0106 spec.defaultConfig.gatewayTopology.numTrustedProxies: 1000 trusted proxies",
        "IST0106 spec.extensionProviders[0]: a provider is of one kind",
    ] {
        assert!(
            found.iter().any(|f| f.starts_with(expected)),
            "{expected}: {found:#?}"
        );
    }
}
