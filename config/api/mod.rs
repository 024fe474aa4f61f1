//! The objects' shapes, field for field as their APIs define them; nothing is judged here.

pub mod core;
pub mod duration;
pub mod gateway_api;
pub mod istio;
pub mod jsonpb;
pub mod metallb;
pub mod rare;
pub mod shape;
pub mod webhook;
pub mod workload;
