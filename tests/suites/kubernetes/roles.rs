//! `speaker --kube` and `gateway --kube`, one each.

use gatehouse_e2e::{DEADLINE, eventually, one_answers};

use crate::setup::{PATIENCE, Setup};
use crate::trio::VIP;

const OBJECTS: &str = "apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: lan, namespace: metallb-system}
spec: {addresses: [192.168.8.151-192.168.8.160]}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: lan, namespace: metallb-system}
---
apiVersion: v1
kind: Pod
metadata:
  name: gateway-1
  namespace: istio-system
  labels: {istio: special}
spec:
  containers: [{name: gatehouse, image: gatehouse}]
---
apiVersion: v1
kind: Service
metadata: {name: special, namespace: istio-system}
spec:
  type: LoadBalancer
  selector: {istio: special}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
# Somebody has to be ready for it, or nobody announces it.
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: special-1
  namespace: istio-system
  labels: {kubernetes.io/service-name: special}
addressType: IPv4
endpoints: [{addresses: [192.168.8.12], conditions: {ready: true}}]
ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: special, namespace: istio-system}
spec:
  selector: {istio: special}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ['*']
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: special, namespace: istio-system}
spec:
  hosts: ['*']
  gateways: [special]
  http:
  - directResponse: {status: 200, body: {string: special}}
";

#[test]
fn a_speaker_deals_and_announces_and_a_gateway_serves_as_its_pod_is_labelled() {
    let Some(setup) = Setup::new() else { return };
    setup.server.install_crds();
    setup.server.apply(OBJECTS);
    let gateway = setup
        .daemon(&setup.nodes[1])
        .verb("gateway")
        .arguments(&["--workers", "1"])
        .variable("POD_NAME", "gateway-1")
        .variable("POD_NAMESPACE", "istio-system")
        .start_in_cluster();
    let url = "http://192.168.8.12:8080/";
    setup.wait_for_page(url, "special");
    // It deals nothing, and announces nothing.
    assert_eq!(setup.leader(), "");
    let row = gateway.service("special").expect("it knows it");
    assert!(
        row["pending_reason"]
            .as_str()
            .is_some_and(|why| why.contains("gatehouse speaker"))
    );

    let speaker = setup
        .daemon(&setup.nodes[0])
        .verb("speaker")
        .start_in_cluster();
    setup.wait_for_address("special", "istio-system", "192.168.8.151");
    assert_eq!(setup.leader(), "node1");
    // Another node's kube-proxy leads to it.
    let mode = "{.status.loadBalancer.ingress[0].ipMode}";
    assert_eq!(setup.get("service/special", "istio-system", mode), "VIP");
    eventually("the speaker answers for it", PATIENCE, || {
        let mac = one_answers(&setup.client, VIP)?;
        (mac == setup.nodes[0].mac()).then_some(())
    });
    eventually("the gateway knows the address", DEADLINE, || {
        (gateway.external_ip("special").as_deref() == Some("192.168.8.151")).then_some(())
    });
    let closed = setup
        .client
        .exec(["curl", "-sS", "--max-time", "2", "http://192.168.8.151/"]);
    assert!(!closed.status.success(), "a speaker serves nobody");

    // Its Pod's labels are those of now.
    let label = [
        "label",
        "pod",
        "gateway-1",
        "-n",
        "istio-system",
        "--overwrite",
        "istio=other",
    ];
    setup.server.kubectl(&label).ok();
    eventually("it is not that gateway any more", DEADLINE, || {
        let output = setup.client.exec(["curl", "-sS", "--max-time", "2", url]);
        (!output.stdout.contains("special")).then_some(())
    });
    assert!(speaker.terminate().success());
    assert!(gateway.terminate().success());
}
