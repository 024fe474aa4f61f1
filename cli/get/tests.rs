use std::io::{Read, Write as _};
use std::net::TcpListener;

use clap::Parser;
use serde_json::json;

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    get: GetArgs,
}

fn parse(args: &[&str]) -> Result<GetArgs, clap::Error> {
    Cli::try_parse_from([&["get"], args].concat()).map(|cli| cli.get)
}

fn table(what: What, rows: &Value, namespaces: bool) -> String {
    columns::table(what, rows.as_array().unwrap(), namespaces, 1_787_400_000)
        .unwrap()
        .render(false)
}

fn services() -> Value {
    json!([
        {
            "namespace": "istio-system", "name": "kiali", "type": "LoadBalancer",
            "cluster_ip": "10.96.4.2", "external_ip": [], "ports": ["20001:31000/TCP"],
            "created": null, "pending_reason": "no pool has a free address", "pool": null
        },
        {
            "namespace": "istio-system", "name": "istio-ingressgateway", "type": "LoadBalancer",
            "cluster_ip": null, "external_ip": ["192.168.8.151"],
            "ports": ["80:30080/TCP", "443:30443/TCP"], "created": 1_787_399_700,
            "pending_reason": null, "pool": "first", "a field of tomorrow": 1
        },
    ])
}

#[test]
fn services_have_kubectls_columns_and_the_reason_while_one_waits() {
    assert_eq!(
        table(What::Services, &services(), true),
        "\
NAMESPACE      NAME                   TYPE           CLUSTER-IP   EXTERNAL-IP     PORT(S)                      AGE         REASON
istio-system   istio-ingressgateway   LoadBalancer   <none>       192.168.8.151   80:30080/TCP,443:30443/TCP   5m
istio-system   kiali                  LoadBalancer   10.96.4.2    <pending>       20001:31000/TCP              <unknown>   no pool has a free address
"
    );
    let mut all_served = services();
    all_served[0]["external_ip"] = json!(["192.168.8.152"]);
    all_served[0]["pending_reason"] = Value::Null;
    let text = table(What::Services, &all_served, false);
    let head = text.lines().next().unwrap();
    assert_eq!(
        head.split_whitespace().collect::<Vec<_>>(),
        [
            "NAME",
            "TYPE",
            "CLUSTER-IP",
            "EXTERNAL-IP",
            "PORT(S)",
            "AGE"
        ]
    );
}

#[test]
fn every_list_has_its_table() {
    let text = table(
        What::Addresses,
        &json!([{
            "address": "192.168.8.151", "services": ["istio-system/istio-ingressgateway"],
            "pool": "first", "state": "announced", "owner": "node-a",
            "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:01"}], "reason": null
        }]),
        true,
    );
    assert!(text.contains("eth0 (02:00:00:00:00:01)"), "{text}");
    let text = table(
        What::Routes,
        &json!([{
            "listeners": ["192.168.8.151:80"], "host": "*", "matches": "exact /productpage",
            "action": "forward", "destinations": ["productpage:9080"],
            "origin": "bookinfo.yaml:12", "virtual_service": "default/bookinfo", "name": ""
        }]),
        true,
    );
    assert!(
        text.contains("exact /productpage   forward   productpage:9080"),
        "{text}"
    );
    let endpoint = json!([{
        "cluster": "outbound|9080||productpage.default.svc.cluster.local",
        "address": "10.0.0.7:9080", "health": "healthy", "workload": "productpage-v1", "weight": 1,
        "active": null, "requests": null
    }]);
    let text = table(What::Endpoints, &endpoint, true);
    assert!(
        !text.contains("ACTIVE") && text.contains("healthy   productpage-v1\n"),
        "{text}"
    );
    let text = table(
        What::Findings,
        &json!([{
            "code": "IST0101", "level": "error", "object": "VirtualService default/bookinfo",
            "field": "spec.gateways[0]", "file": "a.yaml", "line": 3, "column": 5,
            "message": "no such gateway.", "hint": "Did you mean bookinfo-gateway?"
        }]),
        true,
    );
    assert!(
        text.contains(
            "a.yaml:3:5   VirtualService default/bookinfo   spec.gateways[0]: no such gateway. \
             Did you mean bookinfo-gateway?\n"
        ),
        "{text}"
    );
}

#[test]
fn a_namespace_selects_what_belongs_to_it() {
    let cases = [
        (What::Services, json!({"namespace": "default"})),
        (What::Addresses, json!({"services": ["x/y", "default/z"]})),
        (What::Routes, json!({"virtual_service": "default/bookinfo"})),
        (
            What::Endpoints,
            json!({"cluster": "outbound|80|v1|a.default.svc.cluster.local"}),
        ),
        (What::Findings, json!({"object": "Service default/a"})),
    ];
    for (what, row) in cases {
        assert!(columns::is_in_namespace(what, &row, "default"), "{what:?}");
        assert!(!columns::is_in_namespace(what, &row, "svc"), "{what:?}");
        assert!(
            !columns::is_in_namespace(what, &json!({}), "default"),
            "{what:?}"
        );
    }
}

#[test]
fn arguments_are_kubectls() {
    let args = parse(&["svc", "-o", "yaml", "-n", "default"]).unwrap();
    assert_eq!((args.what, args.output), (What::Services, Format::Yaml));
    assert_eq!(args.admin, "127.0.0.1:15000");
    assert!(parse(&["services", "-A", "-n", "x"]).is_err());
    assert!(parse(&["pods"]).is_err());
}

#[test]
fn yaml_keeps_text_text() {
    let rows =
        json!([{"name": "yes", "n": 1, "s": "1", "empty": "", "none": null, "m": "a: b\n#"}]);
    let yaml = serde_saphyr::to_string(&rows).unwrap();
    let back: Value = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(back, rows, "{yaml}");
    // YAML 1.1 readers (kubectl) take a bare yes for true.
    assert!(yaml.contains("\"yes\"") || yaml.contains("'yes'"), "{yaml}");
}

/// A daemon that answers one request with these bytes.
fn daemon(answer: &'static str) -> String {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = socket.accept().unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
    });
    address
}

fn fetch_from(admin: &str) -> Result<Vec<Value>, Failure> {
    let args = parse(&["services", "--admin", admin]).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(fetch(&args))
}

#[test]
fn the_daemons_rows_are_fetched() {
    let admin = daemon("HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n[{\"name\":\"a\"}]");
    let rows = fetch_from(&format!("http://{admin}/")).unwrap();
    assert_eq!(rows, [json!({"name": "a"})]);
}

#[test]
fn no_daemon_and_a_wrong_one_are_told_apart() {
    // Bound and closed again: nobody listens there.
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let failure = fetch_from(&free.to_string()).unwrap_err();
    assert!(matches!(failure, Failure::NotRunning { .. }), "{failure}");
    assert!(
        failure.to_string().contains("connection refused"),
        "{failure}"
    );
    for (answer, why) in [
        (
            "HTTP/1.1 403 Forbidden\r\ncontent-length: 3\r\n\r\nno\n",
            "403 Forbidden: no",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
            "not a list",
        ),
        ("220 smtp.example\r\n", "does not answer as gatehouse"),
    ] {
        let failure = fetch_from(&daemon(answer)).unwrap_err();
        assert!(matches!(failure, Failure::Unexpected { .. }), "{failure}");
        assert!(failure.to_string().contains(why), "{failure}");
    }
}
