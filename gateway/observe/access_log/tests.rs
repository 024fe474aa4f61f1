use std::fs;
use std::time::Instant;

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

fn line(exchange: &Exchange, resolved: Resolved<'_>, as_format: LogFormat) -> String {
    let mut record = Record::default();
    record.fill_http(exchange, resolved);
    let mut out = Vec::new();
    format(&mut out, &record, as_format);
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
    let text = line(&exchange(), resolved, LogFormat::Text);
    assert!(text.contains(" \"/run/app.sock\" outbound|9080|"), "{text}");
}

#[test]
fn text_is_istios() {
    assert_eq!(
        line(&exchange(), resolved(), LogFormat::Text),
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
    let text = line(&exchange, resolved(), LogFormat::Text);
    assert!(text.contains("\"GET /productpage HTTP/1.1\""), "{text}");
    let json = line(&exchange, resolved(), LogFormat::Json);
    assert!(json.contains("\"path\":\"/productpage\""), "{json}");
}

#[test]
fn tcp_text_is_istios() {
    let mut record = Record::default();
    record.fill_tcp(&TcpConnection {
        started_at: exchange().started_at,
        duration: Duration::from_millis(1500),
        peer: "192.168.8.20:50000".parse().unwrap(),
        local: "192.168.8.152:20001".parse().unwrap(),
        upstream_local: None,
        flags: ResponseFlags::UF,
        transport_failure: "connection refused",
        received: 10,
        sent: 0,
        resolved: resolved(),
    });
    let mut out = Vec::new();
    format(&mut out, &record, LogFormat::Text);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "[2026-08-22T12:00:00.007Z] \"- - -\" 0 UF - - \"connection refused\" 10 0 1500 - \"-\" \
         \"-\" \"-\" \"-\" \"10.0.0.7:9080\" outbound|9080||productpage.default.svc.cluster.local \
         - 192.168.8.152:20001 192.168.8.20:50000 - default\n"
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
    let line = line(&exchange, Resolved::default(), LogFormat::Text);
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
    let line = line(&exchange, resolved(), LogFormat::Json);
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
    let line = line(&exchange, resolved(), LogFormat::Text);
    assert_eq!(line.lines().count(), 1);
    assert!(line.contains("\"x\\x0d\\x0a[forged\\x7f\""), "{line}");
}

#[test]
fn lines_reach_the_file_in_order_and_rotation_opens_it_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let log = AccessLog::start(&AccessLogSettings {
        target: LogTarget::File(path.clone()),
        format: LogFormat::Text,
    })
    .unwrap()
    .unwrap();
    let mut logger = log.logger();
    let mut exchange = exchange();
    for status in 200..350 {
        exchange.status = status;
        logger.log(&exchange, resolved());
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
    logger.log(&exchange, resolved());
    assert_eq!(log.dropped(), 0);
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
    let log = AccessLog::start(&AccessLogSettings {
        target: LogTarget::File(path),
        format: LogFormat::Json,
    })
    .unwrap()
    .unwrap();
    let mut logger = log.logger();
    let exchange = exchange();
    let deadline = Instant::now() + Duration::from_secs(20);
    while log.dropped() == 0 {
        logger.log(&exchange, resolved());
        assert!(Instant::now() < deadline, "nothing was ever dropped");
    }
    // One worker alone cannot fill the queue with bytes either.
    assert!(logger.queued - logger.returns.written.load(Ordering::Relaxed) <= QUEUED_BYTES);
    assert!(!log.finish(Duration::from_millis(50)), "lines are left");
    drop((logger, reader));
}

#[test]
fn off_starts_nothing_and_a_bad_path_is_named() {
    assert!(
        AccessLog::start(&AccessLogSettings::default())
            .unwrap()
            .is_none()
    );
    let settings = AccessLogSettings {
        target: LogTarget::File("/nonexistent/access.log".into()),
        format: LogFormat::Text,
    };
    let error = AccessLog::start(&settings).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/access.log"), "{error}");
}
