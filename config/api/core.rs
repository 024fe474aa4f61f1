//! Kubernetes' own kinds, from `k8s-openapi`.

pub use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Namespace, Node, Secret, Service, ServicePort,
};
pub use k8s_openapi::api::discovery::v1::EndpointSlice;
pub use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
