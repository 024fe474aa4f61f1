//! Calls from one service to the next, over pooled connections, with a deadline and a size limit.

use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client as PooledClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// The longest answer that is read.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// Shorter than the server's own idle limit, so that no request meets a closing connection.
const IDLE: Duration = Duration::from_secs(20);

/// Shared by all services.
#[derive(Clone, Debug)]
pub(super) struct Client(PooledClient<HttpConnector, Full<Bytes>>);

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("no request can be made of it: {0}")]
    Request(#[from] http::Error),
    #[error("{0}")]
    Connection(#[from] hyper_util::client::legacy::Error),
    #[error("the answer broke off or is too long: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("no answer within {0:?}")]
    Late(Duration),
}

impl Client {
    pub(super) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self(
            PooledClient::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE)
                .pool_max_idle_per_host(32)
                .build(connector),
        )
    }

    /// GETs a path; an answer of any status is an answer.
    pub(super) async fn get(
        &self,
        address: SocketAddr,
        path: &str,
        headers: &HeaderMap,
        limit: Duration,
    ) -> Result<(StatusCode, Bytes), CallError> {
        // The demo's own upstream calls; the data plane's timers are not involved.
        #[allow(clippy::disallowed_methods)]
        let called = tokio::time::timeout(limit, self.call(address, path, headers)).await;
        called.unwrap_or(Err(CallError::Late(limit)))
    }

    async fn call(
        &self,
        address: SocketAddr,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<(StatusCode, Bytes), CallError> {
        let uri = Uri::builder()
            .scheme("http")
            .authority(address.to_string())
            .path_and_query(path)
            .build()?;
        let mut request = Request::get(uri).body(Full::default())?;
        *request.headers_mut() = headers.clone();
        let answer = self.0.request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES)
            .collect()
            .await
            .map_err(CallError::Body)?;
        Ok((status, body.to_bytes()))
    }
}
