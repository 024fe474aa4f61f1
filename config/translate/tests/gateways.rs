//! The rules of a Gateway, each with a wrong value.

use super::*;

/// A Gateway with these servers.
fn gateway(servers: &str) -> Translation {
    translated(&format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: gw, namespace: \
         default}}\nspec: {{selector: {{istio: ingressgateway}}, servers: [{servers}]}}\n"
    ))
}

/// An HTTPS server with this `tls`.
fn https(tls: &str) -> Translation {
    gateway(&format!(
        "{{port: {{number: 443, name: s, protocol: HTTPS}}, hosts: [a.lan], tls: {{{tls}}}}}"
    ))
}

fn is_refused(translation: &Translation, expected: &str) {
    let found = findings(translation);
    let said = found
        .iter()
        .any(|f| f.starts_with("IST0106") && f.contains(expected));
    assert!(
        said && translation.refused.len() == 1,
        "{expected}: {found:?}"
    );
}

fn is_questioned(translation: &Translation, expected: &str) {
    let found = findings(translation);
    let said = found
        .iter()
        .any(|f| (f.starts_with("IST0133") || f.starts_with("GH0120")) && f.contains(expected));
    assert!(
        said && translation.refused.is_empty(),
        "{expected}: {found:?}"
    );
}

#[test]
fn rules_of_servers() {
    let http = "port: {number: 80, name: http, protocol: HTTP}";
    for (servers, expected) in [
        (String::new(), "spec.servers: it has no servers"),
        ("{hosts: [a.lan]}".to_owned(), "spec.servers[0].port: the port is missing"),
        (format!("{{{http}}}"), "spec.servers[0].hosts: the server has no hosts"),
        (
            format!("{{{http}, hosts: [a.lan]}}, {{{http}, hosts: [b.lan]}}"),
            "spec.servers[1].port.name: the port name `http` is used twice",
        ),
        (
            "{port: {number: 80, protocol: HTTP}, hosts: [a.lan]}".to_owned(),
            "spec.servers[0].port.name: the port has no name",
        ),
        (
            "{port: {number: 65536, name: a, protocol: HTTP}, hosts: [a.lan]}".to_owned(),
            "spec.servers[0].port.number: 65536 is not a port",
        ),
        (
            "{port: {number: 0, name: a, protocol: HTTP}, hosts: [a.lan]}".to_owned(),
            "spec.servers[0].port.number: 0 is not a port",
        ),
        (
            "{port: {number: 80, name: a, protocol: UDP}, hosts: [a.lan]}".to_owned(),
            "spec.servers[0].port.protocol: `UDP` is not a protocol of a Gateway",
        ),
        (
            format!("{{{http}, hosts: [a.lan], bind: eth0}}"),
            "spec.servers[0].bind: `eth0` is not an IP address",
        ),
        (
            format!("{{{http}, hosts: [a.lan], bind: \"unix:///run/a\"}}"),
            "spec.servers[0].port.number: a server at a socket has no port",
        ),
        (
            "{port: {number: 0, name: a, protocol: HTTP}, hosts: [a.lan], bind: \"unix://run/\"}".to_owned(),
            "spec.servers[0].bind: the socket `run/` is wrong",
        ),
        (format!("{{{http}, hosts: [a]}}"), "spec.servers[0].hosts[0]: the host `a` is wrong: short names"),
        (format!("{{{http}, hosts: [\"*a.lan\"]}}"), "the host `*a.lan` is wrong: a `*` must be a label"),
        (format!("{{{http}, hosts: [\"a.*.lan\"]}}"), "the host `a.*.lan` is wrong"),
        (format!("{{{http}, hosts: [/a.lan]}}"), "the host `/a.lan` is wrong: what stands before"),
        (format!("{{{http}, hosts: [a/]}}"), "the host `a/` is wrong"),
        (format!("{{{http}, hosts: [a/b/c.lan]}}"), "the host `a/b/c.lan` is wrong"),
        (format!("{{{http}, hosts: [a_b/c.lan]}}"), "the host `a_b/c.lan` is wrong"),
        (
            format!("{{{http}, hosts: [a.lan], tls: {{mode: SIMPLE, credentialName: c}}}}"),
            "spec.servers[0].tls: a plain HTTP server has no TLS",
        ),
        (
            "{port: {number: 1, name: t, protocol: TCP}, hosts: [a.lan], tls: {httpsRedirect: true}}".to_owned(),
            "spec.servers[0].tls: a TCP server has no TLS",
        ),
        (
            "{port: {number: 1, name: t, protocol: TLS}, hosts: [a.lan]}".to_owned(),
            "spec.servers[0].tls: an HTTPS or TLS server needs",
        ),
    ] {
        is_refused(&gateway(&servers), expected);
    }
    for (rest, expected) in [
        (
            "defaultEndpoint: \"127.0.0.1:1\"",
            "spec.servers[0].defaultEndpoint: ",
        ),
        (
            "port: {number: 80, name: a, protocol: HTTP, targetPort: 8080}",
            "spec.servers[0].port.targetPort: targetPort has no effect",
        ),
    ] {
        let port = if rest.starts_with("port") {
            String::new()
        } else {
            format!("{http}, ")
        };
        is_questioned(
            &gateway(&format!("{{{port}hosts: [a.lan], {rest}}}")),
            expected,
        );
    }
}

#[test]
fn every_protocol_and_form_of_host_is_known() {
    for (protocol, servers) in [
        ("http", 1),
        ("HTTP2", 1),
        ("GRPC", 1),
        ("grpc-web", 1),
        ("MONGO", 0),
        ("Redis", 0),
        ("MYSQL", 0),
    ] {
        let translation = gateway(&format!(
            "{{port: {{number: 80, name: a, protocol: {protocol}}}, name: x, bind: \"::\", hosts: \
             [a.lan, \"*.b.lan\", \"*\", ns/c.lan, ./d.lan, \"*/e.lan\", \"ns/*\", 10.0.0.1, \"::1\"]}}"
        ));
        assert!(
            translation.refused.is_empty(),
            "{protocol}: {:?}",
            translation.findings
        );
        // A TCP server without a route stays closed.
        assert_eq!(translation.model.servers.len(), servers, "{protocol}");
    }
}

#[test]
fn rules_of_tls() {
    let field = "spec.servers[0].tls";
    for (tls, expected) in [
        (
            "mode: SIMPLE",
            ".serverCertificate: TLS is ended here, which needs a certificate",
        ),
        (
            "mode: SIMPLE",
            ".privateKey: TLS is ended here, which needs a private key",
        ),
        (
            "mode: MUTUAL, serverCertificate: a, privateKey: b",
            ".caCertificates: TLS is ended here",
        ),
        (
            "mode: OPTIONAL_MUTUAL, serverCertificate: a, privateKey: b",
            ".caCertificates: TLS is ended here",
        ),
        (
            "mode: SIMPLE, tlsCertificates: [{serverCertificate: a}]",
            ".tlsCertificates[0].privateKey: TLS is ended here",
        ),
        (
            "mode: SIMPLE, credentialName: a, serverCertificate: b, privateKey: c",
            ": the certificate is given more than once",
        ),
        (
            "mode: SIMPLE, credentialName: a, credentialNames: [b]",
            ": the certificate is given more than once",
        ),
        (
            "mode: SIMPLE, serverCertificate: a, privateKey: b, caCrl: c",
            ".caCrl: with SIMPLE",
        ),
        (
            "mode: ISTIO_MUTUAL, serverCertificate: a",
            ".serverCertificate: with ISTIO_MUTUAL",
        ),
        (
            "mode: ISTIO_MUTUAL, privateKey: a",
            ".privateKey: with ISTIO_MUTUAL",
        ),
        (
            "mode: ISTIO_MUTUAL, caCertificates: a",
            ".caCertificates: with ISTIO_MUTUAL",
        ),
        (
            "mode: ISTIO_MUTUAL, tlsCertificates: [{}]",
            ".tlsCertificates: with ISTIO_MUTUAL",
        ),
        (
            "mode: ISTIO_MUTUAL, credentialName: a",
            ".credentialName: with ISTIO_MUTUAL",
        ),
        (
            "mode: ISTIO_MUTUAL, credentialNames: [a]",
            ".credentialNames: with ISTIO_MUTUAL",
        ),
    ] {
        is_refused(&https(tls), &format!("{field}{expected}"));
    }
    let simple = "mode: SIMPLE, credentialName: c";
    for (tls, expected) in [
        (
            "credentialName: c".to_owned(),
            ".credentialName: TLS is passed through unopened",
        ),
        (
            format!("{simple}, httpsRedirect: true"),
            ".httpsRedirect: httpsRedirect has no effect",
        ),
        (
            format!("{simple}, minProtocolVersion: TLSV1_1"),
            ".minProtocolVersion: TLS before 1.2",
        ),
        (
            format!("{simple}, cipherSuites: [AES]"),
            ".cipherSuites[0]: `AES` is no cipher suite",
        ),
        (
            format!("{simple}, cipherSuites: [AES128-SHA, AES128-SHA]"),
            ".cipherSuites[1]: `AES128-SHA` is named twice",
        ),
        (
            "mode: SIMPLE, credentialNames: [a, b, c]".to_owned(),
            ".credentialNames: a server has two certificates at most",
        ),
        (
            format!(
                "mode: SIMPLE, tlsCertificates: [{0}, {0}, {0}]",
                "{serverCertificate: a, privateKey: b}"
            ),
            ".tlsCertificates: a server has two certificates at most",
        ),
    ] {
        is_questioned(&https(&tls), &format!("{field}{expected}"));
    }
}
