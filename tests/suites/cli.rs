//! The command line: verbs, help, exit codes, and output for people and programs.

use std::net::SocketAddr;

use gatehouse_e2e::{Echo, Front, Gatehouse, Node, Output, loopback_address};

fn gatehouse(arguments: &[&str]) -> Output {
    Gatehouse::verb(&Node::host(), arguments)
}

#[test]
fn help_names_every_verb_and_option() {
    let help = gatehouse(&["--help"]).ok();
    for verb in [
        "demo",
        "run",
        "speaker",
        "gateway",
        "check",
        "why",
        "get",
        "completion",
    ] {
        assert!(help.contains(verb), "{verb} in {help}");
    }
    let run = gatehouse(&["run", "--help"]).ok();
    for option in [
        "--config",
        "--state",
        "--node",
        "--admin",
        "--labels",
        "--namespace",
        "--listen",
        "--workers",
        "--retry-buffer",
        "--max-mirrors",
        "--max-mirror-bytes",
        "--mirror-timeout",
    ] {
        assert!(run.contains(option), "{option} in {run}");
    }
    for default in [
        "/var/lib/gatehouse",
        "127.0.0.1:15000",
        "istio-system",
        "istio=ingressgateway",
    ] {
        assert!(run.contains(default), "the default {default} in {run}");
    }
    // Each part has the flags that concern it, and examples.
    let speaker = gatehouse(&["speaker", "--help"]).ok();
    assert!(speaker.contains("--peer-listen") && !speaker.contains("--workers"));
    let gateway = gatehouse(&["gateway", "--help"]).ok();
    assert!(gateway.contains("--workers") && !gateway.contains("--peer-listen"));
    for help in [&run, &speaker, &gateway] {
        assert!(
            help.contains("--kube") && help.contains("Examples:"),
            "{help}"
        );
    }
    let get = gatehouse(&["get", "--help"]).ok();
    for what in ["services", "addresses", "routes", "endpoints"] {
        assert!(get.contains(what), "{what} in {get}");
    }
    assert!(gatehouse(&["demo", "--help"]).ok().contains("--port"));
    assert!(
        gatehouse(&["--version"])
            .ok()
            .contains(env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn shells_complete_every_verb() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = gatehouse(&["completion", shell]).ok();
        for word in [
            "demo",
            "run",
            "speaker",
            "gateway",
            "check",
            "why",
            "get",
            "mirror-timeout",
            "reason-header",
        ] {
            assert!(script.contains(word), "{word} for {shell}");
        }
    }
}

#[test]
fn wrong_usage_ends_with_2_and_tells_the_way() {
    for wrong in [
        &["no-such-verb"][..],
        &["run"],
        &["get", "nothing"],
        &["run", "--no-such"],
        &["check"],
        &["check", "/no/such/folder"],
        &["check", "--explain", "IST9999"],
        &["check", ".", "--fail-on", "never"],
    ] {
        let output = gatehouse(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {output:?}");
        assert!(
            output.stderr.contains("--help") && output.stdout.is_empty(),
            "{output:?}"
        );
    }
}

#[test]
fn a_daemon_that_is_not_there_ends_with_3_and_says_where_it_was_looked_for() {
    let nobody = format!("{}:1", loopback_address());
    let output = gatehouse(&["get", "services", "--admin", &nobody]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(output.stderr.contains(&nobody), "{output:?}");
}

#[test]
fn a_folder_that_is_not_there_ends_with_1_and_is_named() {
    let output = gatehouse(&["run", "--config", "/no/such/folder"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stderr.contains("/no/such/folder"), "{output:?}");
}

#[test]
fn check_speaks_to_people_and_to_programs_and_by_its_exit_code() {
    let holder = tempfile::tempdir().expect("a directory");
    let path = holder.path().join("a.yaml");
    let file = path.to_str().expect("a path of text");
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ports: [{name: http, port: 80}]\n";
    std::fs::write(&path, service).expect("written");
    let fine = gatehouse(&["check", file]).ok();
    assert!(fine.starts_with('✔'), "{fine}");

    std::fs::write(&path, format!("{service}  tpye: ClusterIP\n")).expect("written");
    let found = gatehouse(&["check", file, "-o", "json"]).ok();
    let rows: serde_json::Value = serde_json::from_str(&found).expect("JSON");
    let row = &rows[0];
    assert_eq!(
        (row["code"].as_str(), row["level"].as_str()),
        (Some("GH0001"), Some("warning"))
    );
    assert_eq!(row["object"], "Service default/a");
    assert_eq!(row["file"], file);
    assert_eq!(
        (row["line"].as_u64(), row["column"].as_u64()),
        (Some(6), Some(3))
    );
    assert_eq!(row["field"], "spec.tpye");
    assert_eq!(row["hint"], "Did you mean `type`?");
    // A warning is a failure only when told so.
    let strict = gatehouse(&["check", file, "--fail-on", "warning"]);
    assert_eq!(strict.status.code(), Some(1), "{strict:?}");
    assert!(strict.stdout.contains("6:3  warning  GH0001"), "{strict:?}");

    std::fs::write(&path, service.replace("80", "http")).expect("written");
    let wrong = gatehouse(&["check", holder.path().to_str().expect("text")]);
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    assert!(wrong.stdout.contains("5:30  error    IST0106"), "{wrong:?}");
    gatehouse(&["check", file, "--fail-on", "none", "-o", "yaml"]).ok();
    assert!(
        gatehouse(&["check", "--explain", "ist0106"])
            .ok()
            .contains("Schema")
    );
}

#[test]
fn get_speaks_to_people_and_to_programs() {
    let upstream = Echo::http(
        &Node::host(),
        "api",
        SocketAddr::from((loopback_address(), 0)),
    );
    let rule = "- match: [{uri: {prefix: /api}}]\n  route: [{destination: {host: api.test}}]\n";
    let front = Front::start(rule, &[("api.test", &[upstream.address()])]);
    front.config.write(
        "service.yaml",
        "apiVersion: v1
kind: Service
metadata: {name: waiting, namespace: shop}
spec:
  type: LoadBalancer
  clusterIP: 10.96.0.7
  ports: [{port: 443, nodePort: 30443}, {port: 53, protocol: UDP, name: dns}]
",
    );
    let row = gatehouse_e2e::eventually("the Service is shown", gatehouse_e2e::DEADLINE, || {
        front.gatehouse.service("waiting")
    });
    assert_eq!(
        (&row["namespace"], &row["type"]),
        (&"shop".into(), &"LoadBalancer".into())
    );
    assert_eq!(row["cluster_ip"], "10.96.0.7");

    let table = front.gatehouse.ask(&["get", "services"]).ok();
    let mut lines = table.lines();
    let header: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    let expected = [
        "NAMESPACE",
        "NAME",
        "TYPE",
        "CLUSTER-IP",
        "EXTERNAL-IP",
        "PORT(S)",
        "AGE",
    ];
    assert_eq!(header[..expected.len()], expected, "{table}");
    let line = lines.find(|line| line.contains("waiting")).unwrap();
    for cell in [
        "shop",
        "LoadBalancer",
        "10.96.0.7",
        "<pending>",
        "443:30443/TCP",
        "53/UDP",
    ] {
        assert!(line.contains(cell), "{cell} in {line}");
    }
    assert!(!table.contains('\u{1b}'), "no colour without a terminal");

    let routes = front.gatehouse.ask(&["get", "routes"]).ok();
    assert!(
        routes.contains("/api") && routes.contains("api.test"),
        "{routes}"
    );
    assert!(
        routes.contains("routes.yaml:"),
        "the route says where it was written: {routes}"
    );
    let endpoints = front.gatehouse.ask(&["get", "endpoints"]).ok();
    assert!(
        endpoints.contains(&upstream.address().to_string()),
        "{endpoints}"
    );
    for what in ["services", "addresses", "routes", "endpoints"] {
        let json = front.gatehouse.rows(what);
        let yaml = front.gatehouse.ask(&["get", what, "-o", "yaml"]).ok();
        // The same keys in both, whatever they hold.
        for key in json
            .iter()
            .filter_map(|row| row.as_object())
            .flat_map(|row| row.keys())
        {
            assert!(yaml.contains(&format!("{key}:")), "{what}: {key} in {yaml}");
        }
        front.gatehouse.ask(&["get", what, "-o", "table"]).ok();
    }
    let api = front.gatehouse.api("/api/v1/endpoints");
    assert_eq!(api.header("content-type"), Some("application/json"));
    assert!(api.text().contains(&upstream.address().to_string()));
}
