//! What endpoints, logs and operators learn of a client by TLS, and what nobody learns.

use std::fs;
use std::net::SocketAddr;

use gatehouse_e2e::{DEADLINE, Need, eventually, http, satisfied};
use serde_json::Value;

use crate::{Recorded, python, text};

const NEEDS: &[Need] = &[
    Need::Program("python3"),
    Need::Program("openssl"),
    Need::Program("curl"),
];

fn mesh(fields: &str) -> String {
    format!("apiVersion: mesh.istio.io/v1alpha1\nkind: MeshConfig\n{fields}\n")
}

impl Recorded {
    fn status(&self, name: &str, port: u16, arguments: &[&str]) -> String {
        let format = ["-o", "/dev/null", "-w", "%{http_version} %{response_code}"];
        self.curl(name, port, &[&format, arguments].concat())
    }

    /// What the endpoint saw of a header, of a client that sends `forged` and may have shown a
    /// certificate.
    fn told(&self, name: &str, with: Option<&str>) -> Option<String> {
        let certs = self.certs.path();
        let forged = "x-forwarded-client-cert: Hash=forged";
        let (cert, key) = (
            certs.join(format!("{}.crt", with.unwrap_or("client"))),
            certs.join(format!("{}.key", with.unwrap_or("client"))),
        );
        let shown = ["--cert", text(&cert), "--key", text(&key)];
        let shown = if with.is_some() { &shown[..] } else { &[] };
        let answer = self.curl(name, 8443, &[&["-H", forged], shown].concat());
        let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{answer}"));
        let fields = answer["headers"].as_array().expect("headers");
        let mut values = fields
            .iter()
            .filter(|field| field[0] == "x-forwarded-client-cert");
        let value = values.next().map(|field| field[1].as_str().expect("text"));
        assert_eq!(values.next(), None, "one field");
        value.map(str::to_owned)
    }
}

#[test]
fn hosts_of_other_servers_are_misdirected() {
    if !satisfied(NEEDS) {
        return;
    }
    let served = Recorded::start(&[]);
    for version in ["--http1.1", "--http2"] {
        let number = version.trim_start_matches("--http");
        for (host, status) in [
            // Another certificate, another server with a certificate asked for, TLS passed on.
            ("x.w.lan", 421),
            ("m.lan", 421),
            ("up.lan:8443", 421),
            ("a.lan:1", 200),
            ("A.LAN", 200),
            ("unknown.lan", 404),
        ] {
            let host = format!("host: {host}");
            let given = served.status("a.lan", 8443, &[version, "-H", &host]);
            assert_eq!(given, format!("{number} {status}"), "{host}");
        }
    }
    let why = served
        .gatehouse
        .ask(&["why", "-H", "host: m.lan", "https://a.lan:8443/"]);
    let why = format!("{}{}", why.stdout, why.stderr);
    assert!(why.contains("421"), "{why}");
}

#[test]
fn endpoints_are_told_of_certificates_as_the_mesh_says() {
    if !satisfied(NEEDS) {
        return;
    }
    let served = Recorded::start(&[]);
    let forged = "Hash=forged";
    let own = |value: &Option<String>| {
        let value = value.as_deref().unwrap_or_default();
        value.starts_with("Hash=") && value.ends_with(";DNS=phone.lan")
    };
    let (without, with) = (
        served.told("o.lan", None),
        served.told("o.lan", Some("client")),
    );
    assert_eq!(without, None);
    assert!(
        own(&with) && !with.as_deref().unwrap_or_default().contains(forged),
        "{with:?}"
    );
    for (mode, of_strangers) in [
        ("SANITIZE", None),
        ("FORWARD_ONLY", None),
        ("APPEND_FORWARD", None),
        ("ALWAYS_FORWARD_ONLY", Some(forged)),
    ] {
        served.config.write(
            "mesh.yaml",
            &mesh(&format!(
                "defaultConfig: {{gatewayTopology: {{forwardClientCertDetails: {mode}}}}}"
            )),
        );
        let told = eventually(mode, DEADLINE, || {
            let told = served.told("o.lan", Some("client"));
            let in_force = match mode {
                "SANITIZE" => told.is_none(),
                "APPEND_FORWARD" => {
                    own(&told
                        .as_ref()
                        .map(|told| told.replacen("Hash=forged,", "", 1)))
                        && told
                            .as_deref()
                            .unwrap_or_default()
                            .starts_with("Hash=forged,Hash=")
                }
                _ => told.as_deref() == Some(forged),
            };
            in_force.then(|| served.told("o.lan", None))
        });
        assert_eq!(told.as_deref(), of_strangers, "{mode}");
    }
}

#[test]
fn a_mesh_says_what_is_spoken_and_a_server_whom_it_believes() {
    if !satisfied(NEEDS) {
        return;
    }
    let served = Recorded::start(&[]);
    assert_eq!(served.status("a.lan", 8443, &["--tls-max", "1.2"]), "2 200");
    served.config.write(
        "mesh.yaml",
        &mesh("tlsDefaults: {minProtocolVersion: TLSV1_3}"),
    );
    eventually("TLS 1.3 alone", DEADLINE, || {
        let old = served.status("a.lan", 8443, &["--tls-max", "1.2"]);
        old.contains("alert protocol version").then_some(())
    });
    assert_eq!(served.status("a.lan", 8443, &[]), "2 200");

    // Any certificate will do, but there must be one.
    let yaml = fs::read_to_string(served.config.path().join("tls.yaml")).expect("there");
    let before = "tls: {mode: MUTUAL, ";
    assert!(yaml.contains(before));
    served.config.write(
        "tls.yaml",
        &yaml.replacen(before, "tls: {mode: MUTUAL, insecureSkipVerify: true, ", 1),
    );
    let certs = served.certs.path();
    let (cert, key) = (certs.join("stranger.crt"), certs.join("stranger.key"));
    let shown = ["--cert", text(&cert), "--key", text(&key)];
    eventually("strangers are let in", DEADLINE, || {
        (served.status("m.lan", 8443, &shown) == "2 200").then_some(())
    });
    let told = served.told("m.lan", Some("stranger")).expect("told");
    assert!(told.contains("CN=stranger"), "{told}");
    let without = served.status("m.lan", 8443, &[]);
    assert!(!without.contains("200"), "{without}");
}

#[test]
fn logs_and_headers_name_what_was_asked_for() {
    if !satisfied(NEEDS) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("access.log");
    let served = Recorded::start(&[]);
    let yaml = fs::read_to_string(served.config.path().join("tls.yaml")).expect("there");
    let route = "route: [{destination: {host: api.example.com}}]";
    assert!(yaml.contains(route));
    let headers = "headers: {request: {set: {x-sni: '%REQUESTED_SERVER_NAME%', x-tls: '%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_TLS_CIPHER%', x-peer: '%DOWNSTREAM_PEER_SUBJECT%;%DOWNSTREAM_PEER_ISSUER%;%DOWNSTREAM_PEER_URI_SAN%'}}}";
    served.config.write(
        "tls.yaml",
        &yaml.replacen(route, &format!("{route}\n    {headers}"), 1),
    );
    served.config.write(
        "mesh.yaml",
        &mesh(&format!(
            "accessLogFile: {}\naccessLogFormat: '%REQUESTED_SERVER_NAME%|%DOWNSTREAM_TLS_VERSION%|%DOWNSTREAM_PEER_SUBJECT%|%UPSTREAM_CLUSTER_RAW%|%BYTES_SENT%'",
            text(&log)
        )),
    );
    let certs = served.certs.path();
    let (cert, key) = (certs.join("client.crt"), certs.join("client.key"));
    let shown = [
        "--cert",
        text(&cert),
        "--key",
        text(&key),
        "--tls-max",
        "1.2",
    ];
    let told = eventually("the headers", DEADLINE, || {
        let answer = served.curl("o.lan", 8443, &shown);
        answer.contains("x-sni").then_some(answer)
    });
    for expected in [
        r#"["x-sni", "o.lan"]"#,
        r#"["x-tls", "TLSv1.2 ECDHE-ECDSA-AES"#,
        r#"["x-peer", "CN=phone,O=gatehouse test;CN=ca,O=gatehouse test;spiffe://lan/ns/x/sa/y"]"#,
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    // Passed through, ended for TCP, and plain.
    assert!(served.curl("up.lan", 8443, &[]).contains("\"up\""));
    assert!(
        served
            .curl("a.lan", 8444, &["--http1.1"])
            .contains("api-v1")
    );
    let own = SocketAddr::from((served.own, 8080));
    let plain = http::get(own, "h.lan", "/x", &[]).expect("an answer");
    assert_eq!(plain.seen("x-sni"), None);
    let expected = [
        "o.lan|TLSv1.2|CN=phone,O=gatehouse test|outbound|9080||api.example.com|",
        "up.lan|-|-|outbound|443||raw.example.com|",
        "a.lan|TLSv1.3|-|outbound|9080||api.example.com|",
        "-|-|-|outbound|9080||api.example.com|",
    ];
    eventually("a line for each", DEADLINE, || {
        let lines = fs::read_to_string(&log).ok()?;
        let is_there = |start: &&str| lines.lines().any(|line| line.starts_with(start));
        expected.iter().all(is_there).then_some(())
    });
    let metrics = http::get(
        SocketAddr::from((served.own, 15090)),
        "x",
        "/stats/prometheus",
        &[],
    );
    let metrics = metrics.expect("metrics").text();
    for (metric, service) in [
        ("istio_tcp_connections_opened_total", "raw.example.com"),
        ("istio_tcp_connections_closed_total", "raw.example.com"),
        ("istio_tcp_sent_bytes_total", "api.example.com"),
        ("istio_tcp_received_bytes_total", "api.example.com"),
    ] {
        let fits = |line: &str| {
            line.starts_with(metric) && line.contains(service) && !line.ends_with(" 0")
        };
        assert!(metrics.lines().any(fits), "{metric} {service}");
    }
}

/// So does the rest of what the client says, to servers that end TLS and to those that do not.
#[test]
fn a_hello_may_come_byte_by_byte() {
    if !satisfied(NEEDS) {
        return;
    }
    let served = Recorded::start(&[]);
    let own = served.own.to_string();
    for (port, name) in [("8443", "a.lan"), ("8443", "up.lan"), ("8444", "a.lan")] {
        let arguments = ["drip", text(served.certs.path()), &own, port, name];
        let output = python(&arguments, |command| command.output().expect("python runs"));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(said.trim(), "200", "{port} {name}: {errors}");
    }
}

#[test]
fn private_keys_are_shown_nowhere() {
    if !satisfied(NEEDS) {
        return;
    }
    let served = Recorded::start(&["--log", "trace"]);
    let certs = served.certs.path();
    let pem = |name: &str| fs::read_to_string(certs.join(name)).expect("there");
    let (certificate, key) = (pem("w.crt"), pem("w.key"));
    let indented = |pem: &str| pem.trim_end().replace('\n', "\n    ");
    served.config.write(
        "secret.yaml",
        &format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: w, namespace: istio-system}}\nstringData:\n  tls.crt: |\n    {}\n  tls.key: |\n    {}\n---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: secret, namespace: istio-system}}\nspec:\n  selector: {{istio: ingressgateway}}\n  servers:\n  - {{port: {{number: 8446, name: s, protocol: HTTPS}}, hosts: ['*.w.lan'], tls: {{mode: SIMPLE, credentialName: w}}}}\n",
            indented(&certificate),
            indented(&key),
        ),
    );
    // A broken one is told of, and not shown either.
    served.config.write(
        "broken.yaml",
        &format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: b, namespace: istio-system}}\nstringData:\n  tls.crt: |\n    {}\n  tls.key: |\n    {}\n",
            indented(&pem("a.crt")),
            indented(&key),
        ),
    );
    eventually("it is served", DEADLINE, || {
        let given = served.status("x.w.lan", 8446, &[]);
        given.starts_with("2 ").then_some(())
    });
    let mut shown = vec![("the log".to_owned(), served.gatehouse.log())];
    for path in [
        "/",
        "/config_dump",
        "/listeners",
        "/clusters",
        "/api/v1/findings",
        "/api/v1/objects",
        "/api/v1/routes",
        "/api/v1/services",
        "/api/v1/listeners",
        "/stats/prometheus",
    ] {
        shown.push((path.to_owned(), served.gatehouse.api(path).text()));
    }
    assert!(shown[1..].iter().any(|(_, text)| text.contains("a.lan")));
    for name in ["a.key", "w.key"] {
        let key = pem(name);
        let secret = key.lines().nth(1).expect("a line of base64");
        let inner: Vec<&str> = secret
            .split(['+', '/'])
            .filter(|part| part.len() > 8)
            .collect();
        for (place, text) in &shown {
            assert!(!text.contains("PRIVATE KEY"), "{place}");
            assert!(
                !inner.iter().any(|part| text.contains(part)),
                "{name} in {place}"
            );
        }
    }
}
