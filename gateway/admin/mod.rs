//! The admin API: what is configured and what happens, over HTTP on the control thread.
//!
//! Reads a [`View`] that the daemon publishes; asks for metrics through [`Scrape`]. It changes
//! nothing but the log level.

mod answer;
mod endpoints;
mod guard;
mod page;
mod server;
pub mod view;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use gatehouse_config::Finding;

use crate::worker::KnownEndpoints;

pub use server::{Admin, Server};
pub use view::{AddressRow, EndpointRow, InterfaceRow, ListenerRow, RouteRow, ServiceRow, View};

/// Where the admin servers listen; none: off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminSettings {
    /// Pages and API (127.0.0.1:15000).
    pub admin: Option<SocketAddr>,
    /// Metrics and health, istio-agent's port (15020).
    pub status: Option<SocketAddr>,
    /// `/healthz/ready`, for load balancers and probes (15021).
    pub health: Option<SocketAddr>,
    /// `/stats/prometheus`, Envoy's own port (15090).
    pub metrics: Option<SocketAddr>,
    /// A host name that the admin server answers to, beside `localhost` and IP addresses.
    pub host_name: Option<String>,
}

impl Default for AdminSettings {
    fn default() -> Self {
        let loopback = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
        Self {
            admin: loopback(15000),
            status: loopback(15020),
            health: loopback(15021),
            metrics: loopback(15090),
            host_name: None,
        }
    }
}

/// What the servers show.
#[derive(Clone)]
pub struct AdminState {
    /// The configuration; the daemon stores a new one after every change.
    pub view: Arc<ArcSwap<View>>,
    /// Who knows of endpoints.
    pub states: Arc<dyn EndpointStates>,
    /// Renders metrics.
    pub scrape: Arc<dyn Scrape>,
    /// The log level.
    pub logging: Arc<dyn Logging>,
}

/// A future of `T`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Renders metrics: asks the workers, sums, formats.
pub trait Scrape: Send + Sync {
    /// The whole text of `/stats/prometheus`.
    fn scrape(&self) -> BoxFuture<'_, String>;
}

/// What the workers know of endpoints, which changes with every request: it is asked for when
/// somebody looks.
pub trait EndpointStates: Send + Sync {
    /// Of each worker what it knows.
    fn endpoint_states(&self) -> BoxFuture<'_, Vec<KnownEndpoints>>;
}

/// Shows and changes the log level at run time.
pub trait Logging: Send + Sync {
    /// The directives in force: `info`, `info,gatehouse_gateway=debug`.
    fn level(&self) -> String;

    /// Puts other directives in force.
    ///
    /// # Errors
    ///
    /// What is wrong with them, for the caller to read.
    fn set_level(&self, directives: &str) -> Result<(), String>;
}

impl Admin {
    /// Binds every server that is on and serves until the value is dropped.
    ///
    /// Must be called within a tokio runtime with I/O and time. An address that cannot be bound
    /// is a finding; the other servers run.
    pub async fn start(settings: &AdminSettings, state: AdminState) -> (Self, Vec<Finding>) {
        server::start(settings, state).await
    }
}

#[cfg(test)]
mod tests;
