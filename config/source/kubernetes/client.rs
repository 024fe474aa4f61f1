//! How the API server is asked: all watches and writes share a connection, if it speaks HTTP/2.

use std::time::Duration;

use hyper_rustls::FixedServerNameResolver;
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Builder;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ClientBuilder, ConfigExt as _, RustlsTlsError};
use kube::{Client, Config};
use rustls_pki_types::ServerName;
use tower::ServiceBuilder;
use tower::util::option_layer;

/// A connection that says nothing for so long is asked whether it is there, and is given up if it
/// does not answer (client-go: the same).
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(15);

/// A client for a cluster. Must be called within a tokio runtime.
///
/// kube's own client speaks HTTP/1.1 alone, where each of some thirty watches has a connection with
/// buffers and keys of its own. That one is taken where a proxy is named, which it knows or refuses.
///
/// # Errors
///
/// What the configuration names cannot be used.
pub(super) fn client(config: Config) -> Result<Client, kube::Error> {
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
    let https = https.enable_http1().enable_http2().wrap_connector(http);
    let mut connector = TimeoutConnector::new(https);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    let client = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http2_keep_alive_interval(PING)
        .http2_keep_alive_timeout(PONG)
        .http2_keep_alive_while_idle(true)
        .build::<_, Body>(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
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
