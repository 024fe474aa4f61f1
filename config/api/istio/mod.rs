//! `networking.istio.io/v1` (v1beta1 and v1alpha3 are the same schema).

pub mod destination_rule;
pub mod envoy_filter;
pub mod gateway;
pub mod http_route;
pub mod service_entry;
pub mod sidecar;
pub mod traffic_policy;
pub mod virtual_service;
pub mod wasm_plugin;
pub mod workload_entry;

pub use destination_rule::DestinationRule;
pub use envoy_filter::EnvoyFilter;
pub use gateway::Gateway;
pub use service_entry::ServiceEntry;
pub use sidecar::Sidecar;
pub use virtual_service::VirtualService;
pub use wasm_plugin::WasmPlugin;
pub use workload_entry::WorkloadEntry;
