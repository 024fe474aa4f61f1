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
