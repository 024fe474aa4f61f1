//! Endpoints that are looked up by the request's Host (DYNAMIC_DNS): whom they are asked for, and
//! whose certificate they must show.

use std::fmt::Write as _;

use gatehouse_e2e::{DEADLINE, Dns, eventually, satisfied};

use crate::{Lan, NEEDS, port_of, text};

/// A service for every host below a name, and what its DestinationRule says beside its CA.
fn wild(lan: &Lan, name: &str, below: &str, tls: &str) -> String {
    let (port, certs) = (port_of(&lan.endpoints, "up"), text(lan.certs.path()));
    format!(
        "---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: default}}
spec:
  hosts: ['{below}']
  resolution: DYNAMIC_DNS
  ports: [{{number: 80, name: p, protocol: HTTP, targetPort: {port}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: default}}
spec: {{host: '{below}', trafficPolicy: {{tls: {{mode: SIMPLE{}}}}}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: default}}
spec: {{hosts: ['{below}'], gateways: [istio-system/gw], http: [{{route: [{{destination: {{host: '{below}'}}}}]}}]}}
",
        tls.replace('@', certs)
    )
}

/// The certificate of `up` is for up.lan and *.w.lan. With Istio it must be for the Host, also
/// where `sni` asks for another name (`setAutoSniAndAutoSanValidation`).
#[test]
fn the_certificate_must_be_for_the_host_whatever_is_asked_for() {
    if !satisfied(&NEEDS) {
        return;
    }
    let dns = Dns::start();
    let server = dns.address().to_string();
    let lan = Lan::start_with(&["up:up"], &[], &["--resolver", &server]);
    let ca = ", caCertificates: '@/ca.crt'";
    let mut yaml = String::new();
    for (name, below, tls) in [
        ("auto", "*.w.lan", ca.to_owned()),
        ("other", "*.x.lan", ca.to_owned()),
        ("named", "*.lan", format!("{ca}, sni: other.lan")),
        ("fixed", "*.fixed.lan", format!("{ca}, sni: up.lan")),
        (
            "skip",
            "*.skip.lan",
            ", sni: up.lan, insecureSkipVerify: true".to_owned(),
        ),
        ("system", "*.system.lan", String::new()),
    ] {
        yaml.write_str(&wild(&lan, name, below, &tls))
            .expect("a string can grow");
    }
    for host in [
        "a.w.lan",
        "b.w.lan",
        "a.x.lan",
        "up.lan",
        "tv.lan",
        "a.fixed.lan",
        "a.skip.lan",
        "a.system.lan",
    ] {
        dns.set_addresses(host, &[lan.http.ip()], 300);
    }
    lan.config.write("dynamic.yaml", &yaml);
    eventually("the services", DEADLINE, || {
        (lan.outcome_for("a.w.lan", "/0/close") == "up a.w.lan none").then_some(())
    });
    let refused = |host: &str, path: &str, why: &str| {
        let outcome = lan.outcome_for(host, path);
        let parts = ["503 ", "UF", "CERTIFICATE_VERIFY_FAILED:", why];
        assert!(parts.iter().all(|part| outcome.contains(part)), "{outcome}");
    };
    // Without `sni` the endpoint is asked for the Host.
    assert_eq!(lan.outcome_for("b.w.lan", "/1/close"), "up b.w.lan none");
    refused("a.x.lan", "/2", "it is not for a.x.lan");
    // With it for that, and the certificate must be for the Host all the same: also of an endpoint
    // that has just shown it for a Host that it is for, whose session could be resumed.
    for number in 0..3 {
        let path = format!("/named-{number}/close");
        assert_eq!(lan.outcome_for("up.lan", &path), "up other.lan none");
        let path = format!("/tv-{number}/close");
        refused("tv.lan", &path, "it is not for tv.lan");
    }
    refused("a.fixed.lan", "/3", "it is not for a.fixed.lan");
    // Nobody is judged, or by another CA.
    assert_eq!(lan.outcome_for("a.skip.lan", "/4"), "up up.lan none");
    refused("a.system.lan", "/5", "no CA that is trusted has issued it");
}
