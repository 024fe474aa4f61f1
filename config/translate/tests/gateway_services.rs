//! Which Services are this gateway's.

use std::sync::Arc;

use crate::resources::{Origin, Resources};
use crate::translate::tests::{findings, resources};
use crate::translate::{Settings, Translation, translate};

const SERVICE: &str = "apiVersion: v1
kind: Service
metadata: {name: ingress, namespace: NAMESPACE}
spec:
  type: LoadBalancer
  selector: {istio: ingressgateway}
  ports: [{name: http, port: 80, targetPort: 8080}]
";

/// The Service as a cluster has it.
fn in_cluster(yaml: &str) -> Resources {
    let mut resources = resources(yaml);
    for object in resources.services.values_mut() {
        Arc::make_mut(object).origin = Origin::Api {
            resource_version: "7".to_owned(),
        };
    }
    resources
}

fn gateway_of(namespace: &str, settings: &Settings) -> (bool, Vec<String>) {
    let translation = translate(
        &in_cluster(&SERVICE.replace("NAMESPACE", namespace)),
        settings,
    );
    (is_gateway(&translation), told(&translation))
}

fn is_gateway(translation: &Translation) -> bool {
    translation.model.services[0].is_gateway
}

fn told(translation: &Translation) -> Vec<String> {
    let all = findings(translation).into_iter();
    all.filter(|finding| finding.starts_with("GH0110"))
        .collect()
}

/// Kubernetes: a selector matches Pods of the Service's own namespace.
#[test]
fn a_service_of_another_namespace_is_not_taken_over() {
    let settings = Settings::default();
    assert_eq!(gateway_of("istio-system", &settings), (true, vec![]));
    let (is_gateway, told) = gateway_of("tenant", &settings);
    assert!(!is_gateway);
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("--namespace=tenant"), "{told:?}");
    // Its Pod may stand elsewhere than the gateway whose place it takes.
    let settings = Settings {
        service_namespaces: vec!["istio-system".to_owned(), "gatehouse-system".to_owned()],
        ..settings
    };
    assert_eq!(gateway_of("gatehouse-system", &settings), (true, vec![]));
    assert_eq!(gateway_of("istio-system", &settings), (true, vec![]));
}

/// In a directory nobody says where the gateway runs.
#[test]
fn a_file_may_have_the_gateways_service_anywhere() {
    let yaml = SERVICE.replace("NAMESPACE", "tenant");
    let translation = translate(&resources(&yaml), &Settings::default());
    assert!(is_gateway(&translation));
    assert_eq!(told(&translation), Vec::<String>::new());
}

/// Istio: among the Services that select the workload, of whatever type.
#[test]
fn other_services_lead_to_the_gateway_too() {
    let class = "type: LoadBalancer\n  loadBalancerClass: other";
    for (type_, leads) in [
        ("type: ClusterIP", true),
        ("type: NodePort", true),
        (class, true),
        ("type: LoadBalancer", false),
        ("type: ExternalName", false),
    ] {
        let yaml = SERVICE.replace("NAMESPACE", "istio-system");
        let yaml = yaml.replace("type: LoadBalancer", type_);
        let model = translate(&in_cluster(&yaml), &Settings::default()).model;
        let ports = model.gateway_services.iter().flat_map(|one| &one.ports);
        let targets: Vec<_> = ports.map(|port| port.target_port).collect();
        let expected = if leads { vec![Some(8080)] } else { vec![] };
        assert_eq!(targets, expected, "{type_}");
    }
    let elsewhere = SERVICE.replace("NAMESPACE", "tenant");
    let elsewhere = elsewhere.replace("type: LoadBalancer", "type: NodePort");
    let model = translate(&in_cluster(&elsewhere), &Settings::default()).model;
    assert_eq!(model.gateway_services, []);
}

/// MetalLB's `--lb-class`: without it Services without a class, with it those of that class alone.
#[test]
fn services_of_one_class_are_served() {
    let class = |written: &str, ours: Option<&str>| {
        let yaml = SERVICE.replace("NAMESPACE", "istio-system");
        let yaml = yaml.replace(
            "type: LoadBalancer",
            &format!("type: LoadBalancer{written}"),
        );
        let settings = Settings {
            load_balancer_class: ours.map(str::to_owned),
            ..Settings::default()
        };
        let translation = translate(&in_cluster(&yaml), &settings);
        let told = findings(&translation).into_iter();
        let told: Vec<_> = told.filter(|text| text.starts_with("GH0103")).collect();
        assert_eq!(
            told.is_empty(),
            !translation.model.services.is_empty(),
            "{told:?}"
        );
        told.is_empty()
    };
    let (mine, other) = (
        "\n  loadBalancerClass: mine",
        "\n  loadBalancerClass: other",
    );
    assert!(class("", None) && !class(mine, None));
    assert!(class(mine, Some("mine")));
    assert!(!class(other, Some("mine")) && !class("", Some("mine")));
}

/// Istio: a label keeps the target ports of a Service out of where the gateway listens.
#[test]
fn a_label_keeps_ports_as_they_are() {
    let label = "experimental.istio.io/disable-gateway-port-translation";
    for (value, keeps) in [("'true'", true), ("'false'", false)] {
        for type_ in ["LoadBalancer", "NodePort"] {
            let yaml = SERVICE.replace("NAMESPACE", "istio-system");
            let yaml = yaml.replace("type: LoadBalancer", &format!("type: {type_}"));
            let labels = format!("name: ingress, labels: {{{label}: {value}}}");
            let yaml = yaml.replace("name: ingress", &labels);
            let model = translate(&in_cluster(&yaml), &Settings::default()).model;
            let ours = model.services.iter().map(|one| one.keeps_ports);
            let others = model.gateway_services.iter().map(|one| one.keeps_ports);
            assert_eq!(ours.chain(others).collect::<Vec<_>>(), [keeps], "{type_}");
        }
    }
}
