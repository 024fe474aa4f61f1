//! Handshakes that come to nothing: each is counted, by its reason.

use std::net::SocketAddr;

use gatehouse_e2e::http::{self, Client};
use gatehouse_e2e::{DEADLINE, Need, eventually, satisfied};

use crate::{Recorded, text};

const NEEDS: &[Need] = &[
    Need::Program("python3"),
    Need::Program("openssl"),
    Need::Program("curl"),
];

/// A server whose certificate is not there.
const MISSING: &str = "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: missing, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 8443, name: missing, protocol: HTTPS}
    hosts: [missing.lan]
    tls: {mode: SIMPLE, serverCertificate: /none/missing.crt, privateKey: /none/missing.key}
";

/// The beginning of a hello, after which nothing comes.
const STALLED: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

impl Recorded {
    /// A counter; 0 where it is not there yet.
    fn counted(&self, metric: &str, label: &str) -> u64 {
        let own = SocketAddr::from((self.own, 15090));
        let answer = http::get(own, "x", "/stats/prometheus", &[]).expect("metrics");
        assert_eq!(answer.status, 200);
        let text = answer.text();
        let start = format!("{metric}{{{label}}} ");
        let values = text.lines().filter_map(|line| line.strip_prefix(&start));
        values
            .map(|value| value.parse::<u64>().expect("a number"))
            .sum()
    }

    /// Does something, and has it counted as one refusal with this reason, and no other one.
    fn refuses(&self, reason: &str, what: &str, act: impl FnOnce(&Self)) {
        const METRIC: &str = "gatehouse_requests_refused_total";
        let label = format!("reason=\"{reason}\"");
        let before = self.counted(METRIC, &label);
        act(self);
        let count = eventually(what, DEADLINE, || {
            let now = self.counted(METRIC, &label);
            (now > before).then_some(now - before)
        });
        assert_eq!(count, 1, "{what}: {reason}");
    }
}

#[test]
fn each_refused_handshake_is_counted_by_its_reason() {
    if !satisfied(NEEDS) {
        return;
    }
    let served = Recorded::start(&["--handshake-timeout", "1"]);
    served.config.write("missing.yaml", MISSING);
    let file = |name: &str| text(&served.certs.path().join(name)).to_owned();
    let curl = |name: &str, arguments: &[&str], alert: &str| {
        let said = served.curl(name, 8443, arguments);
        assert!(said.contains(alert), "{name} {arguments:?}: {said}");
    };
    eventually("the server without a certificate", DEADLINE, || {
        let said = served.curl("missing.lan", 8443, &[]);
        said.contains("internal error").then_some(())
    });
    served.refuses("tls_no_certificate", "no certificate of ours", |_| {
        curl("missing.lan", &[], "internal error");
    });
    served.refuses("tls_unknown_name", "a name that nobody has", |_| {
        curl("unknown.lan", &[], "unrecognized name");
    });
    served.refuses("tls_client_certificate", "no client certificate", |_| {
        curl("m.lan", &[], "certificate required");
    });
    let (cert, key) = (file("stranger.crt"), file("stranger.key"));
    served.refuses("tls_client_certificate", "a stranger's certificate", |_| {
        curl("m.lan", &["--cert", &cert, "--key", &key], "unknown ca");
    });
    served.refuses("tls_handshake_failed", "no version in common", |_| {
        curl("min.lan", &["--tls-max", "1.2"], "protocol version");
    });
    let other = file("other-ca.crt");
    served.refuses(
        "tls_handshake_failed",
        "a client that does not trust us",
        |_| {
            curl("a.lan", &["--cacert", &other], "certificate");
        },
    );
    let closed = |served: &Recorded, bytes: &[u8]| {
        let mut client = served.connect(8443);
        client.send(bytes).expect("sent");
        client.until_closed().expect("closed");
    };
    for (reason, bytes) in [
        (
            "tls_plain_http",
            &b"GET / HTTP/1.1\r\nhost: a.lan\r\n\r\n"[..],
        ),
        ("tls_not_tls", b"\x00\x01\x02garbage"),
        ("tls_malformed_hello", b"\x16\x03\x01\x00\x00"),
        ("tls_handshake_timeout", STALLED),
        ("tls_handshake_timeout", b""),
    ] {
        served.refuses(reason, reason, |served| closed(served, bytes));
    }
    served.refuses("tls_client_gone", "a client that leaves", |served| {
        let mut client = served.connect(8443);
        client.send(STALLED).expect("sent");
    });
}

/// With TLS 1.3 a client's handshake is done before ours, and it may have sent a request already
/// when its certificate is refused. Were that left unread, the close would be a reset, which
/// overtakes the alert now and then.
#[test]
fn a_client_that_is_refused_reads_why() {
    if !satisfied(NEEDS) {
        return;
    }
    let served = Recorded::start(&[]);
    for _ in 0..30 {
        let said = served.curl("m.lan", 8443, &[]);
        assert!(said.contains("certificate required"), "{said}");
    }
}

#[test]
fn handshakes_beyond_the_limit_are_closed_and_counted() {
    if !satisfied(NEEDS) {
        return;
    }
    let served = Recorded::start(&["--max-handshakes", "1"]);
    // One more than the two workers take.
    let mut stalled: Vec<Client> = (0..3).map(|_| served.connect(8443)).collect();
    for client in &mut stalled {
        // Who is closed already need not take it.
        let _ = client.send(STALLED);
    }
    eventually("the counter", DEADLINE, || {
        let label = "limit=\"max_handshakes\"";
        let count = served.counted("gatehouse_limit_reached_total", label);
        (1..=2).contains(&count).then_some(())
    });
    drop(stalled);
    eventually("room again", DEADLINE, || {
        let code = ["-o", "/dev/null", "-w", "%{response_code}"];
        (served.curl("a.lan", 8443, &code) == "200").then_some(())
    });
}
