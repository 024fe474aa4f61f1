use std::fs;
use std::time::Instant;

use gatehouse_config::model;
use gatehouse_config::translate::telemetry::istio_format;

use super::*;
use crate::observe::access_log::format::format;
use crate::observe::sample::exchange;

/// Not a constant: each use would be a value of its own.
static ENDPOINT: EndpointAddress = EndpointAddress::Inet(std::net::SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 7)),
    9080,
));

fn resolved() -> Resolved<'static> {
    Resolved {
        route_name: "default",
        cluster: "outbound|9080||productpage.default.svc.cluster.local",
        endpoint: Some(&ENDPOINT),
    }
}

/// A log with Istio's format.
fn istios(target: LogTarget, json: bool) -> model::AccessLog {
    model::AccessLog {
        target,
        format: istio_format(json),
        omit_empty: false,
        filter: None,
    }
}

fn plan(log: model::AccessLog) -> Arc<LogPlan> {
    LogPlan::new(&[log]).expect("there is a log")
}

fn line(exchange: &Exchange, resolved: Resolved<'_>, json: bool) -> String {
    line_of(exchange, resolved, istios(LogTarget::Stdout, json))
}

fn line_of(exchange: &Exchange, resolved: Resolved<'_>, log: model::AccessLog) -> String {
    let plan = plan(log);
    let mut record = Record::default();
    record.fill_http(exchange, resolved, &plan);
    let mut out = Vec::new();
    format(&mut out, &record, &plan.logs[0]);
    String::from_utf8(out).unwrap()
}

/// Waits until the file holds what `fits` wants.
fn wait_for(path: &std::path::Path, fits: impl Fn(&str) -> bool) -> String {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if fits(&text) {
            return text;
        }
        assert!(Instant::now() < deadline, "not written in time: {text:?}");
        std::thread::yield_now();
    }
}

#[test]
fn an_endpoint_at_a_socket_is_its_path() {
    let path = EndpointAddress::Unix("/run/app.sock".into());
    let resolved = Resolved {
        endpoint: Some(&path),
        ..resolved()
    };
    let text = line(&exchange(), resolved, false);
    assert!(text.contains(" \"/run/app.sock\" outbound|9080|"), "{text}");
}

#[test]
fn text_is_istios() {
    assert_eq!(
        line(&exchange(), resolved(), false),
        "[2026-08-22T12:00:00.007Z] \"GET /productpage?u=normal HTTP/1.1\" 200 - via_upstream - \
         \"-\" 0 1000 3 3 \"192.168.8.20\" \"curl/8.14.1\" \
         \"6c9f2c1e-4c2e-4f5a-9d1c-2d1f6f1c3b77\" \"bookinfo.example\" \"10.0.0.7:9080\" \
         outbound|9080||productpage.default.svc.cluster.local 192.168.8.2:40000 192.168.8.151:80 \
         192.168.8.20:51324 - default\n"
    );
}

#[test]
fn a_rewritten_path_is_logged_as_it_came() {
    let mut exchange = exchange();
    exchange.request.set_target(b"/v2");
    let fields = exchange.request.fields_mut();
    fields.set("x-envoy-original-path", b"/productpage");
    let text = line(&exchange, resolved(), false);
    assert!(text.contains("\"GET /productpage HTTP/1.1\""), "{text}");
    let json = line(&exchange, resolved(), true);
    assert!(json.contains("\"path\":\"/productpage\""), "{json}");
}

#[test]
fn tcp_text_is_istios() {
    let mut record = Record::default();
    let plan = plan(istios(LogTarget::Stdout, false));
    record.fill_tcp(
        &TcpConnection {
            started_at: exchange().started_at,
            duration: Duration::from_millis(1500),
            peer: "192.168.8.20:50000".parse().unwrap(),
            local: "192.168.8.152:20001".parse().unwrap(),
            tls: Some(&TlsConnection::unopened(Some("a.lan".into()))),
            upstream_local: None,
            flags: ResponseFlags::UF,
            details: "",
            transport_failure: "connection refused",
            downstream_failure: "",
            received: 10,
            sent: 0,
            resolved: resolved(),
        },
        &plan,
    );
    let mut out = Vec::new();
    format(&mut out, &record, &plan.logs[0]);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "[2026-08-22T12:00:00.007Z] \"- - -\" 0 UF - - \"connection refused\" 10 0 1500 - \"-\" \
         \"-\" \"-\" \"-\" \"10.0.0.7:9080\" outbound|9080||productpage.default.svc.cluster.local \
         - 192.168.8.152:20001 192.168.8.20:50000 a.lan default\n"
    );
}

#[test]
fn a_request_that_nothing_is_known_of_is_dashes() {
    let mut exchange = exchange();
    exchange.details = "";
    exchange.upstream_local = None;
    exchange.upstream_service_time = None;
    exchange.status = 0;
    exchange.flags = ResponseFlags::DC;
    exchange.request = Default::default();
    let line = line(&exchange, Resolved::default(), false);
    assert_eq!(
        line,
        "[2026-08-22T12:00:00.007Z] \"- - HTTP/1.1\" 0 DC - - \"-\" 0 1000 3 - \"-\" \"-\" \"-\" \
         \"-\" \"-\" - - 192.168.8.151:80 192.168.8.20:51324 - -\n"
    );
}

#[test]
fn json_has_istios_keys_and_types() {
    let mut exchange = exchange();
    exchange.transport_failure = "a \"quoted\"\nreason".to_owned();
    let line = line(&exchange, resolved(), true);
    assert!(line.ends_with("}\n") && line.lines().count() == 1, "{line}");
    let json: serde_json::Value = serde_json::from_str(&line).unwrap();
    let mut keys: Vec<_> = json
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "authority",
            "bytes_received",
            "bytes_sent",
            "connection_termination_details",
            "downstream_local_address",
            "downstream_remote_address",
            "duration",
            "method",
            "path",
            "protocol",
            "request_id",
            "requested_server_name",
            "response_code",
            "response_code_details",
            "response_flags",
            "route_name",
            "start_time",
            "upstream_cluster",
            "upstream_host",
            "upstream_local_address",
            "upstream_service_time",
            "upstream_transport_failure_reason",
            "user_agent",
            "x_forwarded_for",
        ]
    );
    assert_eq!(json["start_time"], "2026-08-22T12:00:00.007Z");
    assert_eq!(json["response_code"], 200);
    assert_eq!(json["duration"], 3);
    assert_eq!(json["upstream_service_time"], "3");
    assert_eq!(json["response_flags"], "-");
    assert_eq!(
        json["connection_termination_details"],
        serde_json::Value::Null
    );
    assert_eq!(
        json["upstream_transport_failure_reason"],
        "a \"quoted\"\nreason"
    );
}

#[test]
fn a_value_cannot_end_a_line() {
    let mut exchange = exchange();
    exchange.transport_failure = "x\r\n[forged\u{7f}".to_owned();
    let line = line(&exchange, resolved(), false);
    assert_eq!(line.lines().count(), 1);
    assert!(line.contains("\"x\\x0d\\x0a[forged\\x7f\""), "{line}");
}

#[test]
fn lines_reach_the_file_in_order_and_rotation_opens_it_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let log = AccessLog::start().unwrap();
    let plan = plan(istios(LogTarget::File(path.clone()), false));
    let mut logger = log.logger();
    let mut exchange = exchange();
    for status in 200..350 {
        exchange.status = status;
        logger.log(&exchange, resolved(), &plan);
    }
    let text = wait_for(&path, |text| text.lines().count() == 150);
    for (line, status) in text.lines().zip(200..) {
        assert!(
            line.contains(&format!(" {status} - via_upstream")),
            "{line}"
        );
    }

    let rotated = folder.path().join("access.log.1");
    fs::rename(&path, &rotated).unwrap();
    log.reopen();
    wait_for(&path, |_| path.exists());
    exchange.status = 418;
    logger.log(&exchange, resolved(), &plan);
    assert_eq!(log.drops().count(), 0);
    drop(logger);
    assert!(log.finish(Duration::from_secs(10)));
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains(" 418 "));
    assert_eq!(fs::read_to_string(&rotated).unwrap().lines().count(), 150);
}

#[test]
fn a_writer_that_is_stuck_costs_lines_not_workers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    // Both ends open, nobody reads: the pipe fills and the writer blocks.
    let reader = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    let log = AccessLog::start().unwrap();
    let plan = plan(istios(LogTarget::File(path), true));
    let mut logger = log.logger();
    let exchange = exchange();
    let deadline = Instant::now() + Duration::from_secs(20);
    while log.drops().count() == 0 {
        logger.log(&exchange, resolved(), &plan);
        assert!(Instant::now() < deadline, "nothing was ever dropped");
    }
    // One worker alone cannot fill the queue with bytes either.
    assert!(logger.queued - logger.returns.written.load(Ordering::Relaxed) <= QUEUED_BYTES);
    assert!(!log.finish(Duration::from_millis(50)), "lines are left");
    drop((logger, reader));
}

#[test]
fn a_bad_path_is_named_and_stops_no_other_log() {
    let error = AccessLog::check(&LogTarget::File("/nonexistent/access.log".into()));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("/nonexistent/access.log"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let bad = istios(LogTarget::File("/nonexistent/access.log".into()), false);
    let good = istios(LogTarget::File(path.clone()), false);
    let plan = LogPlan::new(&[bad, good]).unwrap();
    let log = AccessLog::start().unwrap();
    let mut logger = log.logger();
    logger.log(&exchange(), resolved(), &plan);
    wait_for(&path, |text| text.lines().count() == 1);
    drop(logger);
    assert!(log.finish(Duration::from_secs(10)));
    assert!(LogPlan::new(&[]).is_none(), "nothing to log costs nothing");
}

#[test]
fn formats_of_ones_own_have_any_header() {
    let mut exchange = exchange();
    exchange.response.fields_mut().set("x-answer", b"yes");
    exchange.request.fields_mut().set("x-a", b"a long value");
    let piece = |operator, max_length| model::LogPiece::Operator {
        operator,
        max_length,
    };
    let name = |name: &str| model::HeaderName::parse(name).unwrap();
    let request = |header: &str, otherwise: Option<&str>| model::LogOperator::Request {
        name: name(header),
        otherwise: otherwise.map(name),
    };
    let answer = model::LogOperator::Response {
        name: name("x-answer"),
        otherwise: None,
    };
    let template = |pieces| model::LogTemplate { pieces };
    let log = |format, omit_empty| model::AccessLog {
        format,
        omit_empty,
        ..istios(LogTarget::Stdout, false)
    };
    let text = model::LogFormat::Text(template(vec![
        piece(request("x-a", None), Some(6)),
        model::LogPiece::Literal("|".to_owned()),
        piece(request("x-none", Some(":method")), None),
        model::LogPiece::Literal("|".to_owned()),
        piece(answer.clone(), None),
        model::LogPiece::Literal("|".to_owned()),
        piece(request("x-none", None), None),
        model::LogPiece::Literal("|".to_owned()),
        piece(
            model::LogOperator::StartTime(Some("%Y/%m/%d".to_owned())),
            None,
        ),
        model::LogPiece::Literal("\n".to_owned()),
    ]));
    let dashes = line_of(&exchange, resolved(), log(text.clone(), false));
    assert_eq!(dashes, "a long|GET|yes|-|2026/08/22\n");
    let omitted = line_of(&exchange, resolved(), log(text, true));
    assert_eq!(omitted, "a long|GET|yes||2026/08/22\n");
    let key = |key: &str, pieces| (key.to_owned(), model::LogJson::Text(template(pieces)));
    let json = model::LogFormat::Json(model::LogJson::Object(vec![
        key("code", vec![piece(model::LogOperator::ResponseCode, None)]),
        key("none", vec![piece(request("x-none", None), None)]),
        (
            "nested".to_owned(),
            model::LogJson::List(vec![
                model::LogJson::Text(template(vec![piece(answer, None)])),
                model::LogJson::Fixed(serde_json::json!({"a": true})),
            ]),
        ),
    ]));
    let with_null = line_of(&exchange, resolved(), log(json.clone(), false));
    assert_eq!(
        with_null,
        "{\"code\":200,\"none\":null,\"nested\":[\"yes\",{\"a\":true}]}\n"
    );
    let without = line_of(&exchange, resolved(), log(json, true));
    assert_eq!(
        without,
        "{\"code\":200,\"nested\":[\"yes\",{\"a\":true}]}\n"
    );
}

#[test]
fn a_filter_chooses_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let filter = "response.code >= 400 && request.headers['user-agent'].startsWith('curl') && \
                  request.url_path == '/productpage'";
    let plan = plan(model::AccessLog {
        filter: Some(model::Expression::parse(filter).unwrap()),
        ..istios(LogTarget::File(path.clone()), false)
    });
    let log = AccessLog::start().unwrap();
    let mut logger = log.logger();
    let mut exchange = exchange();
    for status in [200, 503, 204, 404] {
        exchange.status = status;
        logger.log(&exchange, resolved(), &plan);
    }
    let text = wait_for(&path, |text| text.contains(" 404 "));
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains(" 503 "));
}
