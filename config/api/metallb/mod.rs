//! `metallb.io/v1beta1`.

use serde::{Deserialize, Serialize};

/// `spec` of an IPAddressPool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IPAddressPool {}
/// `spec` of an L2Advertisement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct L2Advertisement {}
