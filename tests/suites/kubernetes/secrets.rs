//! A Secret that vanishes under the server that uses it, and comes back with another certificate.

use std::process::Command;

use gatehouse_e2e::{DEADLINE, eventually};

use crate::setup::{PATIENCE, Setup};

const GATEWAY: &str = "apiVersion: networking.istio.io/v1\nkind: Gateway\n\
    metadata: {name: it, namespace: istio-system}\n\
    spec:\n  selector: {istio: ingressgateway}\n  servers:\n  \
    - port: {number: 8443, name: https, protocol: HTTPS}\n    hosts: ['*']\n    \
    tls: {mode: SIMPLE, credentialName: cert}\n---\n\
    apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
    metadata: {name: it, namespace: default}\n\
    spec:\n  hosts: ['*']\n  gateways: [istio-system/it]\n  \
    http: [{directResponse: {status: 207}}]\n";

#[test]
fn a_secret_that_vanishes_takes_nothing_with_it() {
    let Some(setup) = Setup::new() else { return };
    let server = &setup.server;
    server.install_crds();
    make_secret(&setup, "first.lan");
    server.apply(GATEWAY);
    let gatehouse = setup.start(&setup.nodes[0]);
    let subject = || {
        let line = "echo | openssl s_client -connect 192.168.8.11:8443 2>/dev/null \
                    | openssl x509 -noout -subject";
        setup.client.sh(line).stdout
    };
    let wait_for = |name: &str| {
        eventually(&format!("the certificate of {name}"), PATIENCE, || {
            subject().contains(name).then_some(())
        });
    };
    wait_for("first.lan");

    let delete = ["delete", "secret", "cert", "-n", "istio-system"];
    server.kubectl(&delete).ok();
    eventually("a finding says so", DEADLINE, || {
        let findings = gatehouse.ask(&["get", "findings"]).stdout;
        (findings.contains("Gateway istio-system/it") && findings.contains("cert")).then_some(())
    });
    // What was there before stays in force, and the status says what is missing.
    assert!(subject().contains("first.lan"), "{}", subject());
    let url = "https://192.168.8.11:8443/";
    let curl = [
        "curl",
        "-sk",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "--max-time",
        "2",
        url,
    ];
    assert_eq!(setup.client.exec(curl).stdout, "207");
    eventually("the status says so", PATIENCE, || {
        let path = "{.status.conditions[?(@.type=='GatehouseAccepted')].message}";
        let told = setup.get("gateway/it", "istio-system", path);
        told.contains("cert").then_some(())
    });

    make_secret(&setup, "second.lan");
    wait_for("second.lan");
    eventually("all is well", PATIENCE, || {
        let left = setup.get("gateway/it", "istio-system", "{.status.validationMessages}");
        left.is_empty().then_some(())
    });
}

fn make_secret(setup: &Setup, name: &str) {
    let folder = setup.server.folder();
    let [key, certificate] =
        ["it.key", "it.crt"].map(|name| folder.join(name).display().to_string());
    let subject = format!("/CN={name}");
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args([
            "-days",
            "90",
            "-subj",
            &subject,
            "-keyout",
            &key,
            "-out",
            &certificate,
        ])
        .output()
        .expect("openssl can be started");
    assert!(made.status.success(), "{made:?}");
    let (key, certificate) = (format!("--key={key}"), format!("--cert={certificate}"));
    let create = ["create", "secret", "tls", "cert", "-n", "istio-system"];
    setup
        .server
        .kubectl(&[&create[..], &[&key, &certificate]].concat())
        .ok();
}
