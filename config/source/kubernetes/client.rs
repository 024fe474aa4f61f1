//! How the API server is asked.

use std::time::Duration;

use hyper_rustls::FixedServerNameResolver;
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Builder;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ClientBuilder, ConfigExt as _, RustlsTlsError};
use kube::{Client, Config};
use rustls_pki_types::ServerName;
use tower::ServiceBuilder;
use tower::retry::RetryLayer;
use tower::util::option_layer;

/// A shared connection that says nothing for so long is asked whether it is there, and is given up
/// if it does not answer: all watches would wait on it.
const PING: Duration = Duration::from_secs(10);
const PONG: Duration = Duration::from_secs(5);

/// A connection of HTTP/1.1 reads so much at once; what a list made grow stays for as long as it does.
const BUFFER: usize = 64 << 10;

/// An API server that has too much to do is asked again so often; then it is for those who asked to
/// wait, and to tell of it. Not as it says (`Retry-After`), which may be an hour.
const TRIES: u32 = 3;
const FIRST: Duration = Duration::from_millis(200);
const MOST: Duration = Duration::from_secs(2);

/// The connections of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connections {
    /// All requests share one, where the API server speaks HTTP/2. kube's own client speaks
    /// HTTP/1.1 alone, where each of some thirty watches has buffers and keys of its own.
    Shared,
    /// HTTP/1.1: what times out takes its connection along, so that the next try is not kept
    /// waiting by one that is dead. For what has to be done within seconds.
    Each,
}

/// A client for a cluster. Must be called within a tokio runtime.
///
/// Where a proxy is named it is kube's own client, which knows the proxy or refuses it.
///
/// # Errors
///
/// What the configuration names cannot be used.
pub(super) fn client(config: Config, connections: Connections) -> Result<Client, kube::Error> {
    if config.proxy_url.is_some() {
        return Client::try_from(config);
    }
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    let tls = config.rustls_client_config()?;
    let https = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http();
    let https = match &config.tls_server_name {
        Some(name) => https.with_server_name_resolver(FixedServerNameResolver::new(named(name)?)),
        None => https,
    };
    let https = https.enable_http1();
    let https = match connections {
        Connections::Shared => https.enable_http2().wrap_connector(http),
        Connections::Each => https.wrap_connector(http),
    };
    let mut connector = TimeoutConnector::new(https);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    let idle = match connections {
        Connections::Shared => usize::MAX,
        // Of two that are dead the second would cost another timeout.
        Connections::Each => 1,
    };
    let client = Builder::new(TokioExecutor::new())
        .pool_max_idle_per_host(idle)
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http1_max_buf_size(BUFFER)
        .http2_keep_alive_interval(PING)
        .http2_keep_alive_timeout(PONG)
        .http2_keep_alive_while_idle(true)
        .build::<_, Body>(connector);
    let retries = RetryPolicy::new(FIRST, MOST, TRIES, false);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .layer(option_layer(retries.ok().map(RetryLayer::new)))
        .layer(option_layer(config.auth_layer()?))
        .layer(config.extra_headers_layer()?)
        .map_err(tower::BoxError::from)
        .service(client);
    Ok(ClientBuilder::new(service, config.default_namespace).build())
}

fn named(name: &str) -> Result<ServerName<'static>, kube::Error> {
    let name = ServerName::try_from(name.to_owned());
    name.map_err(|error| kube::Error::RustlsTls(RustlsTlsError::InvalidServerName(error)))
}
