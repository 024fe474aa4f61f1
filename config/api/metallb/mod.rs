//! `metallb.io/v1beta1`.

pub mod ip_address_pool;
pub mod l2_advertisement;

pub use ip_address_pool::{IPAddressPool, ServiceAllocation};
pub use l2_advertisement::{L2Advertisement, PreferredNodeSelector};
