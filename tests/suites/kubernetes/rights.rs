//! What becomes of kinds whose objects may be listed and not be watched.

use gatehouse_e2e::{Gatehouse, eventually};

use crate::answers::fault;
use crate::between::Between;
use crate::robust::{numbered, quiet_versions, services, wait_for_dealt};
use crate::setup::{PATIENCE, Setup};

const ADDRESSES: &str = "apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: lan, namespace: metallb-system}
spec: {addresses: [192.168.8.151-192.168.8.198]}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: lan, namespace: metallb-system}
---
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec:
  type: LoadBalancer
  selector: {istio: ingressgateway}
  ports: [{name: http, port: 80}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: it, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ['*']
";

/// A route that says a text.
fn route(text: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
         metadata: {{name: it, namespace: istio-system}}\n\
         spec:\n  hosts: ['*']\n  gateways: [it]\n  http:\n  \
         - directResponse: {{status: 200, body: {{string: {text}}}}}\n"
    )
}

/// The watches of a resource end, and every new one is refused; lists are not.
fn not_watched(resource: &str, code: u16) -> String {
    let what = format!(r#""watch": true, "cut": true, "code": {code}"#);
    fault("GET", &format!("/{resource}?"), &what)
}

fn findings(gatehouse: &Gatehouse) -> String {
    gatehouse.ask(&["get", "findings"]).stdout
}

fn count(log: &str, text: &str) -> usize {
    log.lines().filter(|line| line.contains(text)).count()
}

#[test]
fn a_kind_that_may_not_be_watched_is_told_of_and_nothing_moves() {
    let Some(setup) = Setup::new() else { return };
    let Some(between) = Between::start(&setup) else {
        return;
    };
    setup.server.install_crds();
    setup.server.apply(ADDRESSES);
    setup.server.apply(&route("first"));
    setup.server.apply(&services(numbered(5)));
    let gatehouse = between.gatehouse(&setup);
    wait_for_dealt(&setup, 6);
    let address = setup.address("istio-ingressgateway", "istio-system");
    let page = format!("http://{address}/");
    setup.wait_for_page(&page, "first");

    for (kind, resource, code) in [
        ("VirtualService", "virtualservices", 403),
        ("Service", "services", 401),
    ] {
        let told =
            format!("does not tell of changes of {kind} (verb watch): told to answer {code}");
        let versions = quiet_versions(&setup, "services");
        between.answer(&not_watched(resource, code));
        let finding = eventually(&told, PATIENCE, || {
            let findings = findings(&gatehouse);
            findings.contains(&told).then_some(findings)
        });
        assert!(finding.contains("deploy/rbac.yaml"), "{finding}");
        // So that it is tried again, and refused again, a few times.
        eventually("watches are refused", PATIENCE, || {
            let refused = between.requests("GET", &format!("/{resource}?"));
            let refused = refused
                .iter()
                .filter(|line| line.ends_with(&code.to_string()));
            (refused.count() >= 4).then_some(())
        });
        setup.wait_for_page(&page, "first");
        assert_eq!(quiet_versions(&setup, "services"), versions);
        let log = gatehouse.log();
        assert_eq!(count(&log, &told), 1, "{log}");

        // What is new is listed, if late.
        match kind {
            "Service" => {
                setup.server.apply(&services(["late".to_owned()]));
                wait_for_dealt(&setup, 7);
            }
            _ => {
                setup.server.apply(&route("late"));
                eventually("the new route is served", PATIENCE, || {
                    let page = setup.client.exec(["curl", "-sS", "--max-time", "2", &page]);
                    page.stdout.contains("late").then_some(())
                });
                setup.server.apply(&route("first"));
            }
        }
        assert!(findings(&gatehouse).contains(&told));

        between.answer("");
        eventually("all is well again", PATIENCE, || {
            (!findings(&gatehouse).contains("verb watch")).then_some(())
        });
        // It came once, and went once.
        eventually("the log says so", PATIENCE, || {
            (count(&gatehouse.log(), &told) == 2).then_some(())
        });
    }
    setup.server.apply(&route("last"));
    setup.wait_for_page(&page, "last");
}

/// What nobody may list says nothing of other objects: they are reported on all the same.
#[test]
fn a_kind_that_may_not_be_listed_holds_up_no_report_of_others() {
    let Some(setup) = Setup::new() else { return };
    let Some(between) = Between::start(&setup) else {
        return;
    };
    setup.server.install_crds();
    setup.server.apply(ADDRESSES);
    setup.server.apply(&route("first"));
    between.answer(&fault("GET", "/wasmplugins?", r#""code": 403"#));
    let gatehouse = between.gatehouse(&setup);
    eventually("a finding names the kind", PATIENCE, || {
        let findings = findings(&gatehouse);
        findings
            .contains("cannot be asked for WasmPlugin")
            .then_some(())
    });
    let text = route("first").replace("gateways: [it]", "gateways: [nowhere]");
    setup.server.apply(&text);
    let path = "{.status.conditions[?(@.type==\"GatehouseAccepted\")].message}";
    eventually("the route's status says what is wrong", PATIENCE, || {
        let told = setup.get("virtualservice/it", "istio-system", path);
        told.contains("nowhere").then_some(())
    });
    let state = "{.status.result}";
    eventually("MetalLB's objects are reported on", PATIENCE, || {
        let told = setup.get("configurationstate/controller", "gatehouse-system", state);
        (told == "Valid").then_some(())
    });
}
