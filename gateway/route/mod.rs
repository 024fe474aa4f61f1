//! From a request to its route: host, then path and conditions, in the API's own order.
//!
//! Pure: the same code serves requests, answers `gatehouse why` and is tested without sockets.

mod host;
mod list;
mod literal_prefixes;
mod matcher;

pub use host::HostTable;
pub(crate) use host::without_port;
pub use list::RouteList;
pub use matcher::{Matcher, Path, RequestView, Unmet, query_param};

#[cfg(test)]
mod tests;
