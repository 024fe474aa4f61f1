//! What Gateway and VirtualService ask for: matching, rewriting, redirecting, splitting, and the
//! answers of the gateway itself. The expected answers are what istiod with Envoy gives.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener, UnixStream};

use gatehouse_e2e::http::{self, Response};
use gatehouse_e2e::{DEADLINE, Echo, Front, Node, Upstream, eventually, loopback_address};

/// Two echo upstreams, `one` and `two`, as services one.test and two.test.
struct Upstreams {
    one: Echo,
    two: Echo,
}

impl Upstreams {
    fn start() -> Self {
        let echo = |name| {
            Echo::http(
                &Node::host(),
                name,
                SocketAddr::from((loopback_address(), 0)),
            )
        };
        Self {
            one: echo("one"),
            two: echo("two"),
        }
    }

    fn front(&self, rules: &str) -> Front {
        let (one, two) = (self.one.address(), self.two.address());
        let services = [
            ("one.test", &[one][..]),
            ("two.test", &[two][..]),
            ("empty.test", &[]),
        ];
        Front::start(rules, &services)
    }
}

fn to(service: &str) -> String {
    format!("route: [{{destination: {{host: {service}.test}}}}]")
}

fn name(response: &Response) -> &str {
    response.header("x-echo").unwrap_or("none")
}

#[test]
fn the_first_matching_rule_wins_and_catch_alls_come_last() {
    let upstreams = Upstreams::start();
    let (one, two) = (to("one"), to("two"));
    let front = upstreams.front(&format!(
        "- match:
  - uri: {{exact: /exact}}
  - uri: {{prefix: /prefix}}
  - uri: {{regex: '/r[0-9]+/.*'}}
  {one}
- match: [{{headers: {{x-canary: {{exact: 'yes'}}}}, uri: {{prefix: /h}}}}]
  {two}
- match: [{{method: {{exact: DELETE}}}}]
  {two}
- match: [{{uri: {{prefix: /prefix/deeper}}}}]
  {two}
- match: [{{uri: {{prefix: /h}}}}]
  {one}
- match: [{{authority: {{exact: b.test}}, uri: {{prefix: /auth}}}}]
  {two}
- match: [{{queryParams: {{debug: {{exact: '1'}}}}}}]
  {two}
"
    ));
    let served = |path, headers: &[&str]| {
        let answer = front.get(path, headers);
        let by = answer.header("x-echo").map(str::to_owned);
        by.unwrap_or_else(|| answer.status.to_string())
    };
    assert_eq!(served("/exact", &[]), "one");
    assert_eq!(
        served("/exact?q=1", &[]),
        "one",
        "the query is not part of the path"
    );
    assert_eq!(served("/exact/", &[]), "404");
    assert_eq!(
        served("/prefixed", &[]),
        "one",
        "a prefix is of bytes, not of segments"
    );
    assert_eq!(
        served("/prefix/deeper", &[]),
        "one",
        "order decides, not length"
    );
    assert_eq!(served("/r12/x", &[]), "one");
    assert_eq!(
        served("/xr12/x", &[]),
        "404",
        "a regex matches the whole path"
    );
    assert_eq!(served("/h", &["x-canary: yes"]), "two");
    assert_eq!(served("/h", &["x-canary: no"]), "one");
    assert_eq!(served("/nothing?debug=1", &[]), "two");
    let other = http::get(front.address, "b.test", "/auth", &[]).unwrap();
    assert_eq!(name(&other), "two");
    let delete = http::request(front.address, "DELETE", "a.test", "/any", &[]).unwrap();
    assert_eq!(name(&delete), "two");
}

#[test]
fn rewrites_change_what_the_upstream_sees() {
    let upstreams = Upstreams::start();
    let one = to("one");
    let front = upstreams.front(&format!(
        "- match: [{{uri: {{prefix: /rw}}}}]
  rewrite: {{uri: /new}}
  {one}
- match: [{{uri: {{exact: /all}}}}]
  rewrite: {{uri: /whole}}
  {one}
- match: [{{uri: {{prefix: /auth}}}}]
  rewrite: {{authority: up.test}}
  {one}
- {one}
"
    ));
    let path = |path| {
        front.get(path, &[]).json()["path"]
            .as_str()
            .map(str::to_owned)
    };
    assert_eq!(path("/rw/a?q=1").as_deref(), Some("/new/a?q=1"));
    assert_eq!(path("/all?q=1").as_deref(), Some("/whole?q=1"));
    let answer = front.get("/rw/a?q=1", &[]);
    assert_eq!(
        answer.seen("x-envoy-original-path").as_deref(),
        Some("/rw/a?q=1")
    );
    let answer = front.get("/auth", &[]);
    assert_eq!(answer.seen("host").as_deref(), Some("up.test"));
    assert_eq!(
        answer.seen("x-envoy-original-host").as_deref(),
        Some("a.test")
    );
    assert_eq!(path("/kept?a=%20b").as_deref(), Some("/kept?a=%20b"));
}

#[test]
fn redirects_keep_what_they_do_not_replace() {
    let upstreams = Upstreams::start();
    let front = upstreams.front(
        "- match: [{uri: {prefix: /redir}}]
  redirect: {uri: /x, authority: new.test, redirectCode: 308}
- match: [{uri: {prefix: /port}}]
  redirect: {port: 8443}
- match: [{uri: {prefix: /host}}]
  redirect: {authority: new.test}
- match: [{uri: {prefix: /scheme}}]
  redirect: {scheme: https}
",
    );
    let redirect = |path, host| {
        let answer = http::get(front.address, host, path, &[]).unwrap();
        (
            answer.status,
            answer.header("location").unwrap_or("").to_owned(),
        )
    };
    let expected = |status: u16, to: &str| (status, to.to_owned());
    assert_eq!(
        redirect("/redir/a?q", "a.test"),
        expected(308, "http://new.test/x?q")
    );
    assert_eq!(
        redirect("/port?q", "a.test"),
        expected(301, "http://a.test:8443/port?q")
    );
    assert_eq!(
        redirect("/host/a", "a.test"),
        expected(301, "http://new.test/host/a")
    );
    assert_eq!(
        redirect("/scheme/a", "a.test"),
        expected(301, "https://a.test/scheme/a")
    );
}

#[test]
fn weights_split_the_traffic() {
    let upstreams = Upstreams::start();
    let front = upstreams.front(
        "- route:
  - {destination: {host: one.test}, weight: 80}
  - {destination: {host: two.test}, weight: 20}
",
    );
    let mut client = front.connect();
    let mut ones = 0;
    for _ in 0..1000 {
        client
            .send(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")
            .unwrap();
        ones += usize::from(name(&client.response("GET").unwrap()) == "one");
    }
    // The standard deviation is 12.6; eight of them do not happen by chance.
    assert!((700..=900).contains(&ones), "{ones} of 1000, not about 800");
}

#[test]
fn headers_are_set_added_and_removed_both_ways() {
    let upstreams = Upstreams::start();
    let front = upstreams.front(
        "- headers:
    request: {set: {x-set: new}, add: {x-add: more}, remove: [x-gone]}
    response: {set: {x-answer: 'yes'}, remove: [x-secret]}
  route:
  - destination: {host: one.test}
    headers: {request: {set: {x-destination: here}}}
",
    );
    let headers = [
        "x-set: old",
        "x-add: first",
        "x-gone: 1",
        "x-echo-header: x-secret=1,x-kept=2",
    ];
    let answer = front.get("/", &headers);
    assert_eq!(answer.seen("x-set").as_deref(), Some("new"));
    assert_eq!(answer.seen("x-destination").as_deref(), Some("here"));
    assert_eq!(answer.seen("x-gone"), None);
    let json = answer.json().to_string();
    assert!(
        json.contains(r#"["x-add","first"]"#) && json.contains(r#"["x-add","more"]"#),
        "{json}"
    );
    assert_eq!(answer.header("x-answer"), Some("yes"));
    assert_eq!(
        (answer.header("x-secret"), answer.header("x-kept")),
        (None, Some("2"))
    );
}

#[test]
fn upstream_and_client_see_the_headers_of_an_istio_gateway() {
    let upstreams = Upstreams::start();
    let front = upstreams.front(&format!("- {}\n", to("one")));
    let forged = [
        "x-forwarded-for: 1.2.3.4",
        "x-forwarded-proto: https",
        "x-request-id: forged",
        "x-envoy-retry-on: 5xx",
        "x-envoy-upstream-rq-timeout-ms: 1",
        "x-forwarded-client-cert: forged",
    ];
    let answer = front.get("/", &forged);
    assert_eq!(
        answer.seen("x-forwarded-for").as_deref(),
        Some("1.2.3.4,127.0.0.1")
    );
    assert_eq!(answer.seen("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(answer.seen("x-envoy-attempt-count").as_deref(), Some("1"));
    assert_eq!(
        answer.seen("x-envoy-external-address").as_deref(),
        Some("127.0.0.1")
    );
    for stripped in ["x-envoy-retry-on", "x-envoy-upstream-rq-timeout-ms"] {
        assert_eq!(answer.seen(stripped), None, "{stripped}");
    }
    assert_eq!(answer.seen("x-forwarded-client-cert"), None);
    let id = answer.seen("x-request-id").unwrap();
    // RFC 9562 §5.4: version 4, 8-4-4-4-12.
    let lengths: Vec<usize> = id.split('-').map(str::len).collect();
    assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
    assert_eq!(id.as_bytes()[14], b'4', "{id}");
    assert_ne!(front.get("/", &[]).seen("x-request-id"), Some(id));

    assert_eq!(answer.header("server"), Some("gatehouse"));
    let time = answer.header("x-envoy-upstream-service-time");
    assert!(
        time.is_some_and(|time| time.parse::<u64>().is_ok()),
        "{time:?}"
    );
    assert_eq!(answer.header("x-request-id"), None);
    assert!(answer.header("date").is_some());
}

#[test]
fn answers_of_the_gateway_itself_carry_the_edits_too() {
    let upstreams = Upstreams::start();
    let front = upstreams.front(
        "- match: [{uri: {prefix: /unknown}}]
  headers: {response: {set: {x-route: '%PROTOCOL%'}}}
  route: [{destination: {host: missing.test}}]
- headers: {response: {set: {x-route: rule}}}
  route:
  - destination: {host: empty.test}
    headers: {response: {set: {x-to: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%'}}}
",
    );
    let unknown = front.get("/unknown", &[]);
    assert_eq!(
        (unknown.status, unknown.header("x-route")),
        (503, Some("HTTP/1.1"))
    );
    let empty = front.get("/", &[]);
    assert_eq!((empty.status, empty.header("x-route")), (503, Some("rule")));
    assert_eq!(empty.header("x-to"), Some("127.0.0.1"));
}

/// RFC 9110 §7.6.1.
#[test]
fn hop_by_hop_fields_stop_at_the_gateway() {
    let upstreams = Upstreams::start();
    let front = upstreams.front(&format!("- {}\n", to("one")));
    let mut client = front.connect();
    client
        .send(
            b"GET / HTTP/1.1\r\nhost: a.test\r\nconnection: keep-alive, x-mine\r\nx-mine: 1\r\n\
              keep-alive: timeout=5\r\nproxy-connection: keep-alive\r\nte: trailers\r\nx-kept: 1\r\n\r\n",
        )
        .unwrap();
    let answer = client.response("GET").unwrap();
    for gone in ["x-mine", "keep-alive", "proxy-connection"] {
        assert_eq!(answer.seen(gone), None, "{gone}");
    }
    assert_eq!(answer.seen("x-kept").as_deref(), Some("1"));
    // The connection of the client lives on.
    client
        .send(b"GET /again HTTP/1.1\r\nhost: a.test\r\n\r\n")
        .unwrap();
    assert_eq!(client.response("GET").unwrap().json()["path"], "/again");
}

/// Istio's default path normalisation, BASE.
#[test]
fn paths_are_normalised_before_they_are_matched_and_forwarded() {
    let upstreams = Upstreams::start();
    let front = upstreams.front(&format!("- {}\n", to("one")));
    for (sent, forwarded) in [
        ("/app/../admin", "/admin"),
        ("/app//", "/app//"),
        ("/app/%2E./admin", "/admin"),
        (r"/app\admin", "/app/admin"),
        ("/app/%2f", "/app/%2f"),
        ("/app//../admin", "/app/admin"),
        ("/app//../../admin", "/admin"),
        ("/xyz%30..//abc", "/xyz0..//abc"),
        ("/a?b=/../c", "/a?b=/../c"),
    ] {
        assert_eq!(front.get(sent, &[]).json()["path"], forwarded, "{sent}");
    }
    // What Envoy refuses after decoding.
    assert_eq!(front.get("/admin%00", &[]).status, 400);
}

#[test]
fn the_gateway_answers_itself_where_there_is_nothing_to_forward_to() {
    let upstreams = Upstreams::start();
    let (one, empty) = (to("one"), to("empty"));
    let front = upstreams.front(&format!(
        "- match: [{{uri: {{prefix: /slow}}}}]
  timeout: 0.1s
  {one}
- match: [{{uri: {{prefix: /unknown}}}}]
  {}
- match: [{{uri: {{prefix: /empty}}}}]
  {empty}
- match: [{{uri: {{prefix: /direct}}}}]
  directResponse: {{status: 200, body: {{string: hello}}}}
",
        to("missing")
    ));
    let answer = |path, headers: &[&str]| {
        let answer = front.get(path, headers);
        assert_eq!(answer.header("server"), Some("gatehouse"), "{path}");
        (answer.status, answer.text())
    };
    assert_eq!(answer("/slow", &[]).0, 200);
    let timeout = (504, "upstream request timeout".to_owned());
    assert_eq!(answer("/slow", &["x-echo-delay: 2"]), timeout);
    assert_eq!(answer("/nowhere", &[]), (404, String::new()));
    assert_eq!(answer("/unknown", &[]), (503, String::new()));
    assert_eq!(
        answer("/empty", &[]),
        (503, "no healthy upstream".to_owned())
    );
    assert_eq!(answer("/direct", &[]), (200, "hello".to_owned()));
    // The unknown destination is a finding as well, not only an answer.
    let findings = front.gatehouse.api("/api/v1/findings").text();
    assert!(findings.contains("missing.test"), "{findings}");
}

#[test]
fn hosts_choose_the_virtual_host_without_fall_through() {
    let upstreams = Upstreams::start();
    let front = upstreams.front("");
    let host = |name: &str, hosts: &str, rule: &str| {
        let virtual_service = gatehouse_e2e::front::routes_yaml(rule)
            .replace("name: routes", &format!("name: {name}"))
            .replace("hosts: ['*']", &format!("hosts: [{hosts}]"));
        front
            .config
            .write(&format!("{name}.yaml"), &virtual_service);
    };
    front.config.remove("routes.yaml");
    let (one, two) = (to("one"), to("two"));
    host(
        "exact",
        "shop.test",
        &format!("- match: [{{uri: {{prefix: /only}}}}]\n  {one}"),
    );
    host("wild", "'*.test'", &format!("- {two}"));
    let served = |host: &str, path: &str| {
        let answer = http::get(front.address, host, path, &[]).unwrap();
        answer
            .header("x-echo")
            .map_or_else(|| answer.status.to_string(), str::to_owned)
    };
    gatehouse_e2e::eventually("both are served", gatehouse_e2e::DEADLINE, || {
        let both = (served("shop.test", "/only"), served("a.test", "/"));
        (both == ("one".to_owned(), "two".to_owned())).then_some(())
    });
    assert_eq!(
        served("SHOP.test:8080", "/only"),
        "one",
        "case and port do not count"
    );
    assert_eq!(
        served("shop.test", "/other"),
        "404",
        "the wildcard does not step in"
    );
    assert_eq!(served("a.b.test", "/"), "two");
    assert_eq!(served("test", "/"), "404");
    assert_eq!(served("elsewhere.example", "/"), "404");
}

#[test]
fn header_values_tell_of_the_cluster_the_query_and_the_tries() {
    let upstream = Upstream::start(|mut incoming| {
        while let Some(head) = incoming.request()? {
            let told: Vec<_> = head
                .lines()
                .filter(|line| line.starts_with("x-told"))
                .collect();
            let told = told.join("\n");
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{told}",
                told.len()
            );
            incoming.send(answer.as_bytes())?;
        }
        Ok(())
    });
    let rules = "- route: [{destination: {host: api.test}}]
  rewrite: {uri: /new}
  headers:
    request:
      set:
        x-told-cluster: '%UPSTREAM_CLUSTER_RAW%'
        x-told-param: '<%QUERY_PARAM(who)%>'
        x-told-path: '%PATH(NQ)%'
        x-told-tls: 'tls%DOWNSTREAM_TLS_VERSION%'
    response:
      set:
        x-cluster: '%UPSTREAM_CLUSTER%'
        x-tries: '%UPSTREAM_REQUEST_ATTEMPT_COUNT% %UPSTREAM_PROTOCOL%'
        x-took: '%DURATION%'
        x-path: '%PATH(WQ:ORIG)%'
        x-id: '%UNIQUE_ID%'
";
    let front = Front::start(rules, &[("api.test", &[upstream.address()])]);
    let answer = front.get("/old?who=Jane%20Doe%0d%0ax-told-evil:%201", &[]);
    assert_eq!(
        answer.text(),
        "x-told-cluster: outbound|80||api.test\nx-told-param: <Jane Doex-told-evil: 1>\n\
         x-told-path: /old\nx-told-tls: tls"
    );
    assert_eq!(answer.header("x-cluster"), Some("outbound|80||api.test;"));
    assert_eq!(answer.header("x-tries"), Some("1 HTTP/1.1"));
    assert!(
        answer
            .header("x-took")
            .is_some_and(|ms| ms.parse::<u64>().is_ok())
    );
    assert_eq!(
        answer.header("x-path"),
        Some("/old?who=Jane%20Doe%0d%0ax-told-evil:%201")
    );
    assert_eq!(answer.header("x-id").map(str::len), Some(36));
}

#[test]
fn a_route_with_a_stat_prefix_has_counters_of_its_own() {
    let upstream = Upstream::well_behaved();
    let rules = "- match: [{uri: {prefix: /a}, statPrefix: a.routes}]
  route: [{destination: {host: api.test}}]
- route: [{destination: {host: api.test}}]
";
    let front = Front::start(rules, &[("api.test", &[upstream.address()])]);
    for path in ["/a/1", "/a/2", "/other"] {
        assert_eq!(front.get(path, &[]).status, 200);
    }
    let text = front.gatehouse.api("/stats/prometheus").text();
    let stem = format!(
        "envoy_vhost___{}_route_a_routes_upstream_rq",
        front.address.port()
    );
    for line in [
        "{response_code=\"200\"} 2",
        "{response_code_class=\"2xx\"} 2",
        "_total 2",
        "_retry 0",
        "_time_count 2",
    ] {
        assert!(text.contains(&format!("{stem}{line}\n")), "{line}: {text}");
    }
    let routes = |line: &&str| line.starts_with("envoy_vhost") && line.contains("_rq_total ");
    assert_eq!(text.lines().filter(routes).count(), 1, "one route alone");
}

#[test]
fn a_server_listens_at_a_socket_of_this_host() {
    let echo = Echo::http(
        &Node::host(),
        "one",
        SocketAddr::from((loopback_address(), 0)),
    );
    let front = Front::start(
        "- route: [{destination: {host: one.test}}]\n",
        &[("one.test", &[echo.address()])],
    );
    let path = front.config.file("front.sock");
    let path = path.to_str().expect("text");
    // What an earlier process left behind.
    drop(UnixListener::bind(path).expect("bound"));
    let gateway = front.config.read("gateway.yaml");
    let name = format!("gatehouse-front-{}", std::process::id());
    let server = |port: &str, bind: &str| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: {port}, namespace: istio-system}}\nspec:\n  servers: [{{port: {{number: 0, name: {port}, protocol: HTTP}}, bind: 'unix://{bind}', hosts: ['*']}}]\n"
        )
    };
    let with_sockets = format!(
        "{gateway}{}{}",
        server("file", path),
        server("abstract", &format!("@{name}"))
    );
    front.config.write("gateway.yaml", &with_sockets);
    let routes = front.config.read("routes.yaml");
    let routes = routes.replacen(
        "gateways: [",
        "gateways: [istio-system/file, istio-system/abstract, ",
        1,
    );
    front.config.write("routes.yaml", &routes);
    let ask = |stream: std::io::Result<UnixStream>| {
        let mut stream = stream.ok()?;
        stream.set_read_timeout(Some(DEADLINE)).ok()?;
        let request = b"GET /x HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n";
        stream.write_all(request).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer).filter(|answer| answer.starts_with("HTTP/1.1 200 "))
    };
    let abstract_name = UnixAddress::from_abstract_name(&name).expect("a name");
    for connect in [
        &(|| UnixStream::connect(path)) as &dyn Fn() -> std::io::Result<UnixStream>,
        &|| UnixStream::connect_addr(&abstract_name),
    ] {
        let answer = eventually("an answer", DEADLINE, || ask(connect()));
        assert!(answer.contains("x-echo: one"), "{answer}");
        assert!(
            !answer.contains("x-forwarded-for"),
            "nobody's address: {answer}"
        );
    }
    let rows = front.gatehouse.rows("routes");
    let listed = serde_json::to_string(&rows).expect("JSON");
    assert!(listed.contains(&format!("unix://{path}")), "{listed}");
}
