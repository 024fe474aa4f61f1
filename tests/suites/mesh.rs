//! What a MeshConfig, Telemetries and policies say to the gateway, seen over the wire.

use std::net::SocketAddr;
use std::time::Duration;

use gatehouse_e2e::http::Response;
use gatehouse_e2e::{DEADLINE, Echo, Front, Node, Upstream, eventually, loopback_address};

const TO_ONE: &str = "- route: [{destination: {host: one.test}}]\n";

fn echo() -> Echo {
    let address = SocketAddr::from((loopback_address(), 0));
    Echo::http(&Node::host(), "one", address)
}

/// A front with one service, and these documents beside it.
fn front(echo: &Echo, rules: &str, documents: &str) -> Front {
    front_with(echo, rules, documents, &[])
}

fn front_with(echo: &Echo, rules: &str, documents: &str, arguments: &[&str]) -> Front {
    let address = echo.address();
    let services = [("one.test", &[address][..])];
    Front::start_beside(rules, &services, documents, |builder| {
        builder.arguments(&["--workers", "1"]).arguments(arguments)
    })
}

fn seen_path(response: &Response) -> String {
    response.json()["path"]
        .as_str()
        .unwrap_or("none")
        .to_owned()
}

#[test]
fn paths_are_normalised_as_the_mesh_says() {
    let echo = echo();
    let path = r"/%2Fapp//x%5c..\b";
    for (mode, seen) in [
        ("NONE", path),
        // `%5c` is no separator here, so that `x%5c..` is one segment.
        ("BASE", "/%2Fapp//x%5c../b"),
        ("MERGE_SLASHES", "/%2Fapp/x%5c../b"),
        ("DECODE_AND_MERGE_SLASHES", "/app/b"),
    ] {
        let mesh = format!("kind: MeshConfig\npathNormalization: {{normalization: {mode}}}\n");
        let front = front(&echo, TO_ONE, &mesh);
        assert_eq!(seen_path(&front.get(path, &[])), seen, "{mode}");
    }
}

#[test]
fn trusted_proxies_say_who_the_client_is() {
    let echo = echo();
    let rules = "- match: [{scheme: {exact: https}}]\n  directResponse: {status: 299}\n- route: \
                 [{destination: {host: one.test}}]\n  headers: {request: {set: {x-remote: \
                 '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%'}}}\n";
    let mesh = |hops: u32| {
        format!(
            "kind: MeshConfig\ndefaultConfig: {{gatewayTopology: {{numTrustedProxies: {hops}}}}}\n"
        )
    };
    let forwarded = ["x-forwarded-for: 56.5.6.7, 72.9.5.6, 98.1.2.3"];
    let two = front(&echo, rules, &mesh(2));
    let answer = two.get("/", &forwarded);
    assert_eq!(
        answer.seen("x-envoy-external-address").as_deref(),
        Some("72.9.5.6")
    );
    assert_eq!(answer.seen("x-remote").as_deref(), Some("72.9.5.6"));
    let list = answer.seen("x-forwarded-for").expect("a list");
    assert_eq!(list.split(',').count(), 4, "{list}");
    // Fewer entries than proxies: the connection's own address stands.
    let answer = two.get("/", &["x-forwarded-for: 98.1.2.3"]);
    let own = answer.seen("x-remote");
    assert_eq!(answer.seen("x-envoy-external-address"), own);
    assert!(own.is_some_and(|own| own.starts_with("127.")));
    // Their word on the scheme counts too.
    assert_eq!(two.get("/", &["x-forwarded-proto: https"]).status, 299);

    let none = front(&echo, rules, &mesh(0));
    let answer = none.get("/", &[forwarded[0], "x-forwarded-proto: https"]);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.seen("x-forwarded-proto").as_deref(), Some("http"));
    assert!(
        answer
            .seen("x-remote")
            .is_some_and(|own| own.starts_with("127."))
    );
}

#[test]
fn headers_of_the_proxy_can_be_chosen() {
    let echo = echo();
    let rules = "- match: [{uri: {prefix: /a}}]\n  rewrite: {uri: /b, authority: other.test}\n  \
                 route: [{destination: {host: one.test}}]\n";
    let mesh = "kind: MeshConfig\ndefaultConfig:\n  proxyHeaders:\n    server: {value: front}\n    \
                requestId: {disabled: true}\n    attemptCount: {disabled: true}\n    \
                envoyDebugHeaders: {disabled: true}\n    xForwardedHost: {enabled: true}\n    \
                xForwardedPort: {enabled: true}\n";
    let chosen = front(&echo, rules, mesh);
    let answer = chosen.get("/a", &["x-request-id: mine"]);
    assert_eq!(answer.header("server"), Some("front"));
    assert_eq!(answer.header("x-envoy-upstream-service-time"), None);
    assert_eq!(answer.seen("x-request-id").as_deref(), Some("mine"));
    for absent in [
        "x-envoy-attempt-count",
        "x-envoy-original-path",
        "x-envoy-original-host",
    ] {
        assert_eq!(answer.seen(absent), None, "{absent}");
    }
    assert!(
        answer
            .seen("x-forwarded-host")
            .is_some_and(|host| host != "other.test")
    );
    let port = chosen.address.port().to_string();
    assert_eq!(answer.seen("x-forwarded-port"), Some(port));

    // The command line wins.
    let flagged = front_with(&echo, rules, mesh, &["--server-header", "flag"]);
    assert_eq!(flagged.get("/a", &[]).header("server"), Some("flag"));

    let plain = front(&echo, rules, "kind: MeshConfig\n");
    let answer = plain.get("/a", &["x-request-id: mine"]);
    assert_eq!(answer.header("server"), Some("gatehouse"));
    assert!(answer.header("x-envoy-upstream-service-time").is_some());
    assert_ne!(answer.seen("x-request-id").as_deref(), Some("mine"));
    assert_eq!(answer.seen("x-envoy-attempt-count").as_deref(), Some("1"));
    assert_eq!(answer.seen("x-forwarded-host"), None);
    assert_eq!(answer.seen("x-forwarded-port"), None);
}

#[test]
fn edge_limits_are_an_offer() {
    let echo = echo();
    let mesh = "kind: MeshConfig\ndefaultConfig: {connectionSettings: {profile: EDGE}}\n";
    let edge = front(&echo, TO_ONE, mesh);
    assert_eq!(edge.get("/", &["x_a: b"]).status, 400);
    assert_eq!(seen_path(&edge.get("/a//b", &[])), "/a/b");
    let escaped = edge.get("/a%2Fb?c=%2F", &[]);
    assert_eq!(escaped.status, 307);
    assert_eq!(escaped.header("location"), Some("/a/b?c=%2F"));
    let plain = front(&echo, TO_ONE, "kind: MeshConfig\n");
    assert_eq!(
        plain.get("/", &["x_a: b"]).seen("x_a").as_deref(),
        Some("b")
    );
    assert_eq!(plain.get("/a%2Fb", &[]).status, 200);
}

#[test]
fn hosts_that_a_policy_guards_are_not_served() {
    let echo = echo();
    let policy = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: \
                  deny, namespace: istio-system}\nspec: {action: DENY, rules: [{to: [{operation: \
                  {hosts: ['*.guarded.test']}}]}]}\n";
    let guarded = front(&echo, TO_ONE, policy);
    let ask = |front: &Front, host: &str| {
        gatehouse_e2e::http::get(front.address, host, "/", &[]).expect("an answer")
    };
    let answer = ask(&guarded, "A.guarded.test:80");
    assert_eq!(answer.status, 503);
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(
        body.contains("AuthorizationPolicy istio-system/deny"),
        "{body}"
    );
    assert_eq!(ask(&guarded, "open.test").status, 200);

    let ignoring = front_with(&echo, TO_ONE, policy, &["--ignore-security-policies"]);
    assert_eq!(ask(&ignoring, "a.guarded.test").status, 200);
}

/// Waits until the file holds what `fits` wants, and gives its text.
fn log_text(path: &std::path::Path, fits: impl Fn(&str) -> bool) -> String {
    gatehouse_e2e::eventually("the log has its lines", DEADLINE, || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        fits(&text).then_some(text)
    })
}

#[test]
fn access_logs_are_as_mesh_and_telemetries_say() {
    let echo = echo();
    let folder = tempfile::tempdir().expect("a folder");
    let (all, errors) = (folder.path().join("all"), folder.path().join("errors"));
    let rules = "- match: [{uri: {prefix: /bad}}]\n  directResponse: {status: 503}\n- route: \
                 [{destination: {host: one.test}}]\n";
    let documents = format!(
        "kind: MeshConfig\nextensionProviders:\n- name: all\n  envoyFileAccessLog: {{path: {}, \
         logFormat: {{text: '%REQ(X-WHO)% %RESPONSE_CODE% %RESP(X-ECHO)%'}}}}\n- name: errors\n  \
         envoyFileAccessLog: {{path: {}, logFormat: {{labels: {{code: '%RESPONSE_CODE%', path: \
         '%REQ(:PATH)%'}}}}}}\n---\napiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: \
         {{name: logs, namespace: istio-system}}\nspec:\n  accessLogging:\n  - providers: [{{name: \
         all}}]\n  - providers: [{{name: errors}}]\n    filter: {{expression: 'response.code >= \
         500'}}\n  metrics:\n  - overrides: [{{match: {{metric: REQUEST_COUNT}}, tagOverrides: \
         {{site: {{value: '\"lan\"'}}}}}}, {{match: {{metric: REQUEST_SIZE}}, disabled: true}}]\n",
        all.display(),
        errors.display()
    );
    let front = front(&echo, rules, &documents);
    assert_eq!(front.get("/good", &["x-who: me"]).status, 200);
    assert_eq!(front.get("/bad", &[]).status, 503);
    let text = log_text(&all, |text| {
        text.ends_with('\n') && text.lines().count() == 2
    });
    assert_eq!(text, "me 200 one\n- 503 -\n");
    let text = log_text(&errors, |text| {
        text.ends_with('\n') && text.lines().count() == 1
    });
    assert_eq!(text, "{\"code\":503,\"path\":\"/bad\"}\n");

    let metrics = front.gatehouse.api("/stats/prometheus");
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(metrics.contains("site=\"lan\""), "{metrics}");
    assert!(!metrics.contains("istio_request_bytes"), "{metrics}");

    // While it runs: no Telemetry, and the mesh's own file.
    let own = folder.path().join("own");
    let mesh = format!(
        "kind: MeshConfig\naccessLogFile: {}\naccessLogFormat: '%PROTOCOL%'\n",
        own.display()
    );
    front.config.write("more.yaml", &mesh);
    let text = gatehouse_e2e::eventually("the new log has a line", DEADLINE, || {
        front.get("/good", &[]);
        let text = std::fs::read_to_string(&own).unwrap_or_default();
        (!text.is_empty()).then_some(text)
    });
    assert!(text.starts_with("HTTP/1.1\n"), "{text}");
}

#[test]
fn requests_that_fall_silent_are_given_up() {
    // Says nothing, or begins and stops, by the path.
    let upstream = Upstream::start(|mut incoming| {
        while let Some(head) = incoming.head()? {
            if head.starts_with("GET /half") {
                incoming.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello")?;
            } else if head.starts_with("GET /slow") {
                incoming.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n")?;
                // The pace is what is tested: each piece comes in time, all of them do not.
                for _ in 0..10 {
                    std::thread::sleep(Duration::from_millis(150));
                    incoming.send(b"x")?;
                }
            }
        }
        Ok(())
    });
    let mesh = "kind: MeshConfig
accessLogFile: /dev/stdout
defaultConfig: {connectionSettings: {httpStreamIdleTimeout: 600ms}}
";
    let services = [("one.test", &[upstream.address()][..])];
    let front = Front::start_beside(TO_ONE, &services, mesh, |builder| {
        builder.arguments(&["--workers", "1"])
    });
    let answer = front.get("/silent", &[]);
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (504, "stream timeout")
    );
    let mut client = front.connect();
    client
        .send(b"POST /part HTTP/1.1\r\nhost: a.test\r\ncontent-length: 10\r\n\r\nhello")
        .expect("sent");
    assert_eq!(client.response("POST").expect("an answer").status, 408);
    let mut client = front.connect();
    client
        .send(b"GET /half HTTP/1.1\r\nhost: a.test\r\n\r\n")
        .expect("sent");
    let half = client.until_closed().expect("closed");
    assert!(half.ends_with(b"hello"), "cut off behind what came");
    // As long as something moves, it may take longer in all.
    assert_eq!(front.get("/slow", &[]).text(), "xxxxxxxxxx");
    eventually("the log lines", DEADLINE, || {
        let log = front.gatehouse.log();
        let silent = [" 504 SI ", " 408 SI ", " 200 SI "];
        silent
            .iter()
            .all(|part| log.contains(&format!("{part}stream_idle_timeout")))
            .then_some(())
    });
}

#[test]
fn header_names_keep_their_case_where_the_mesh_says_so() {
    let upstream = Upstream::start(|mut incoming| {
        while let Some(head) = incoming.head()? {
            let told = head.replace("\r\n", "|");
            let length = told.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nX-Made-By: Me\r\n\r\n{told}"
            );
            incoming.send(answer.as_bytes())?;
        }
        Ok(())
    });
    let services = [("one.test", &[upstream.address()][..])];
    let rules = "- route: [{destination: {host: one.test}}]
  headers: {request: {set: {x-own: new, x-other: added}}}
";
    let talk = |keep: bool| {
        let mesh = format!(
            "kind: MeshConfig\ndefaultConfig: {{proxyHeaders: {{preserveHttp1HeaderCase: {keep}}}}}\n"
        );
        let front = Front::start_beside(rules, &services, &mesh, |builder| {
            builder.arguments(&["--workers", "1"])
        });
        let mut client = front.connect();
        client
            .send(b"GET / HTTP/1.1\r\nHost: a.test\r\nX-Own: old\r\nX-KEPT: 1\r\nConnection: close\r\n\r\n")
            .expect("sent");
        String::from_utf8(client.until_closed().expect("closed")).expect("text")
    };
    let kept = talk(true);
    for part in [
        "X-Made-By: Me\r\n",
        "Content-Length: ",
        "server: gatehouse\r\n",
    ] {
        assert!(kept.contains(part), "{part}: {kept}");
    }
    // An edit is written as the name came; what is added is in lower case.
    for part in ["X-KEPT: 1", "X-Own: new", "x-other: added"] {
        assert!(kept.contains(part), "{part}: {kept}");
    }
    let lower = talk(false);
    for part in ["x-made-by: Me\r\n", "x-kept: 1", "x-own: new"] {
        assert!(lower.contains(part), "{part}: {lower}");
    }
}
