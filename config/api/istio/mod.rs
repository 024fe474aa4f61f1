//! `networking.istio.io/v1` (v1beta1 and v1alpha3 are the same schema), and the objects of
//! `telemetry.istio.io`, `security.istio.io` and the mesh that reach a gateway.

pub mod authorization_policy;
pub mod destination;
pub mod destination_rule;
pub mod envoy_filter;
pub mod gateway;
pub mod http_route;
pub mod mesh_config;
pub mod peer_authentication;
pub mod policy_target;
pub mod proxy_config;
pub mod request_authentication;
pub mod service_entry;
pub mod sidecar;
pub mod telemetry;
pub mod traffic_policy;
pub mod virtual_service;
pub mod wasm_plugin;
pub mod workload_entry;

pub use authorization_policy::AuthorizationPolicy;
pub use destination_rule::DestinationRule;
pub use envoy_filter::EnvoyFilter;
pub use gateway::Gateway;
pub use mesh_config::MeshConfig;
pub use peer_authentication::PeerAuthentication;
pub use request_authentication::RequestAuthentication;
pub use service_entry::ServiceEntry;
pub use sidecar::Sidecar;
pub use telemetry::Telemetry;
pub use virtual_service::VirtualService;
pub use wasm_plugin::WasmPlugin;
pub use workload_entry::WorkloadEntry;
