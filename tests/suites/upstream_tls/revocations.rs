//! Lists of revoked certificates that nobody renewed.

use std::fs;

use gatehouse_e2e::{DEADLINE, eventually, satisfied};

use crate::{Lan, NEEDS};

#[test]
fn with_an_expired_list_endpoints_are_not_trusted_and_with_a_new_one_they_are() {
    if !satisfied(&NEEDS) {
        return;
    }
    let policy = "tls: {mode: SIMPLE, caCertificates: '@/ca.crt', caCrl: '@/old.crl', sni: x.lan}";
    let lan = Lan::start(
        &["up:up", "revoked:revoked"],
        &[("up", "up", policy, ""), ("revoked", "revoked", policy, "")],
    );
    let outcome = lan.outcome("/up/1");
    let parts = ["503 ", "UF", "CERTIFICATE_VERIFY_FAILED", "CRL has expired"];
    assert!(parts.iter().all(|part| outcome.contains(part)), "{outcome}");
    let findings = || lan.gatehouse.ask(&["get", "findings"]).stdout;
    let found = findings();
    let expected = "`CN=ca` expired on 2024-02-01";
    assert!(found.contains(expected), "{found}");

    let (new, place) = (
        lan.certs.path().join("new"),
        lan.certs.path().join("old.crl"),
    );
    fs::copy(lan.certs.path().join("ca.crl"), &new).expect("copied");
    fs::rename(new, place).expect("replaced");
    eventually("the new list", DEADLINE, || {
        (lan.get("/up/2").status == 200).then_some(())
    });
    let found = findings();
    assert!(!found.contains(expected), "{found}");
    let outcome = lan.outcome("/revoked/3");
    let parts = ["503 ", "UF", "certificate revoked"];
    assert!(parts.iter().all(|part| outcome.contains(part)), "{outcome}");
}
