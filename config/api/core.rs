//! Kubernetes' own kinds, from `k8s-openapi`; of those that there may be thousands of, what is read.

pub use k8s_openapi::api::core::v1::{
    ConfigMap, EndpointPort as PortOfEndpoints, Namespace, Node, Secret, ServicePort,
};
pub use k8s_openapi::api::discovery::v1::{EndpointConditions, EndpointPort};
pub use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use k8s_openapi::api::core::v1 as full;
use k8s_openapi::api::discovery::v1 as discovery;

use crate::labels::Labels;

/// A Service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Service {
    /// `spec`.
    pub spec: Option<ServiceSpec>,
}

/// `spec` of a Service, as Kubernetes has it: the fields that are read.
#[allow(missing_docs)] // the fields are the API's
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceSpec {
    pub cluster_ip: Option<String>,
    pub cluster_ips: Option<Vec<String>>,
    pub external_name: Option<String>,
    pub external_traffic_policy: Option<String>,
    pub ip_families: Option<Vec<String>>,
    pub ip_family_policy: Option<String>,
    pub load_balancer_class: Option<String>,
    pub load_balancer_ip: Option<String>,
    pub load_balancer_source_ranges: Option<Vec<String>>,
    pub ports: Option<Vec<ServicePort>>,
    pub selector: Option<Labels>,
    pub type_: Option<String>,
}

/// An EndpointSlice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndpointSlice {
    /// `endpoints`.
    pub endpoints: Vec<Endpoint>,
    /// `ports`.
    pub ports: Option<Vec<EndpointPort>>,
}

/// An endpoint of an EndpointSlice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Endpoint {
    /// `addresses`.
    pub addresses: Vec<String>,
    /// `conditions`.
    pub conditions: EndpointConditions,
    /// `nodeName`.
    pub node_name: Option<String>,
    /// `targetRef.name`, where its kind is Pod.
    pub pod: Option<String>,
    /// `zone`.
    pub zone: Option<String>,
}

/// An Endpoints.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Endpoints {
    /// `subsets`.
    pub subsets: Vec<Subset>,
}

/// A subset of an Endpoints.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subset {
    /// `addresses`.
    pub addresses: Vec<EndpointAddress>,
    /// `ports`.
    pub ports: Vec<PortOfEndpoints>,
}

/// An address of an Endpoints.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndpointAddress {
    /// `ip`.
    pub ip: String,
    /// `nodeName`.
    pub node_name: Option<String>,
    /// `targetRef.name`, where its kind is Pod.
    pub pod: Option<String>,
}

impl From<full::Service> for Service {
    fn from(service: full::Service) -> Self {
        Self {
            spec: service.spec.map(ServiceSpec::from),
        }
    }
}

impl From<full::ServiceSpec> for ServiceSpec {
    fn from(spec: full::ServiceSpec) -> Self {
        Self {
            cluster_ip: spec.cluster_ip,
            cluster_ips: spec.cluster_ips,
            external_name: spec.external_name,
            external_traffic_policy: spec.external_traffic_policy,
            ip_families: spec.ip_families,
            ip_family_policy: spec.ip_family_policy,
            load_balancer_class: spec.load_balancer_class,
            load_balancer_ip: spec.load_balancer_ip,
            load_balancer_source_ranges: spec.load_balancer_source_ranges,
            ports: spec.ports,
            selector: spec.selector.map(Labels::from),
            type_: spec.type_,
        }
    }
}

impl From<discovery::EndpointSlice> for EndpointSlice {
    fn from(slice: discovery::EndpointSlice) -> Self {
        let endpoints = slice.endpoints.into_iter();
        Self {
            endpoints: endpoints.map(Endpoint::from).collect(),
            ports: slice.ports,
        }
    }
}

impl From<discovery::Endpoint> for Endpoint {
    fn from(endpoint: discovery::Endpoint) -> Self {
        Self {
            addresses: endpoint.addresses,
            conditions: endpoint.conditions.unwrap_or_default(),
            node_name: endpoint.node_name,
            pod: endpoint.target_ref.and_then(pod),
            zone: endpoint.zone,
        }
    }
}

impl From<full::Endpoints> for Endpoints {
    fn from(endpoints: full::Endpoints) -> Self {
        let subsets = endpoints.subsets.into_iter().flatten();
        Self {
            subsets: subsets.map(Subset::from).collect(),
        }
    }
}

impl From<full::EndpointSubset> for Subset {
    fn from(subset: full::EndpointSubset) -> Self {
        let addresses = subset.addresses.into_iter().flatten();
        let addresses = addresses.map(|address| EndpointAddress {
            ip: address.ip,
            node_name: address.node_name,
            pod: address.target_ref.and_then(pod),
        });
        Self {
            addresses: addresses.collect(),
            ports: subset.ports.unwrap_or_default(),
        }
    }
}

fn pod(target: full::ObjectReference) -> Option<String> {
    target
        .name
        .filter(|_| target.kind.as_deref() == Some("Pod"))
}
