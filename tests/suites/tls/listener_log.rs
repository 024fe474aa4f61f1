//! Lines of the access log for connections that no server takes, as Envoy's listeners write them,
//! and none for others that come to nothing.

use std::fs;

use gatehouse_e2e::{DEADLINE, Need, eventually, satisfied};

use crate::{Recorded, text};

const NEEDS: &[Need] = &[
    Need::Program("python3"),
    Need::Program("openssl"),
    Need::Program("curl"),
];

/// Istio's line from the status on, then what was wrong with the first bytes.
const FORMAT: &str = "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% \
    %CONNECTION_TERMINATION_DETAILS% \\\"%UPSTREAM_TRANSPORT_FAILURE_REASON%\\\" %BYTES_RECEIVED% \
    %BYTES_SENT% %UPSTREAM_CLUSTER_RAW% %DOWNSTREAM_LOCAL_ADDRESS% %REQUESTED_SERVER_NAME% \
    %ROUTE_NAME% %DOWNSTREAM_TRANSPORT_FAILURE_REASON%\\n";

const HTTP_REQUEST: &str =
    "TLS_error|error:1000009c:SSL_routines:OPENSSL_internal:HTTP_REQUEST:TLS_error_end";
const WRONG_VERSION: &str =
    "TLS_error|error:100000f7:SSL_routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end";

impl Recorded {
    fn mesh(&self, more: &str) {
        let log = self.certs.path().join("access.log");
        let mesh = format!(
            "kind: MeshConfig\naccessLogFile: {}\naccessLogFormat: \"{FORMAT}\"\n{more}",
            text(&log)
        );
        self.config.write("mesh.yaml", &mesh);
    }

    fn lines(&self) -> Vec<String> {
        let log = fs::read_to_string(self.certs.path().join("access.log"));
        let log = log.unwrap_or_default();
        // A line that is being written has no end yet.
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        whole.lines().map(str::to_owned).collect()
    }

    /// Lines of connections that no server took, after one of a request that was served: lines come
    /// in order.
    fn refused(&self) -> Vec<String> {
        let served = |lines: &[String]| lines.iter().filter(|line| line.contains("a.lan")).count();
        let before = served(&self.lines());
        let lines = eventually("a line of a request", DEADLINE, || {
            self.curl("a.lan", 8443, &[]);
            Some(self.lines()).filter(|lines| served(lines) > before)
        });
        let of_nobody = lines.into_iter().filter(|line| !line.contains("a.lan"));
        of_nobody.collect()
    }

    /// Each of the ways not to be served.
    fn knock(&self) {
        self.curl("unknown.lan", 8443, &[]);
        for bytes in [
            &b"GET / HTTP/1.1\r\nhost: a.lan\r\n\r\n"[..],
            b"\x00\x01\x02garbage",
            b"\x16\x03\x01\x00\x00",
        ] {
            let mut client = self.connect(8443);
            client.send(bytes).expect("sent");
            client.until_closed().expect("closed");
        }
        // Servers take these, and the handshake fails.
        self.curl("m.lan", 8443, &[]);
        self.curl("min.lan", 8443, &["--tls-max", "1.2"]);
    }
}

#[test]
fn a_connection_that_no_server_takes_has_a_line_as_with_istio() {
    if !satisfied(NEEDS) {
        return;
    }
    let served = Recorded::start(&[]);
    served.mesh("");
    assert_eq!(served.refused(), Vec::<String>::new());
    served.knock();
    let own = served.own;
    let line = |name: &str, failure: &str| {
        format!("0 NR filter_chain_not_found - \"-\" 0 0 - {own}:8443 {name} - {failure}")
    };
    let expected = [
        line("unknown.lan", "-"),
        line("-", HTTP_REQUEST),
        line("-", WRONG_VERSION),
    ];
    assert_eq!(served.refused(), expected);

    served.mesh("disableEnvoyListenerLog: true\n");
    eventually("no line any more", DEADLINE, || {
        let before = served.refused().len();
        served.curl("unknown.lan", 8443, &[]);
        (served.refused().len() == before).then_some(())
    });
    let before = served.refused();
    served.knock();
    assert_eq!(served.refused(), before);
}
