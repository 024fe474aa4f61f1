//! One HTTP/1.1 server on hyper: accepts, reads a bounded body, asks the app, answers.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// An answer, whole.
pub(in crate::demo) type Answer = Response<Full<Bytes>>;

/// Connections that one server holds at once; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 1024;
/// The longest request body that is read: a login form or a handful of ratings.
const MAX_BODY_BYTES: usize = 16 * 1024;
/// How long a client may take to send a head, or stay idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// The pause after accept failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What stands behind a server.
pub(in crate::demo) trait App: Send + Sync + 'static {
    /// Answers one request; the body is complete.
    fn answer(&self, request: Request<Bytes>) -> impl Future<Output = Answer> + Send;
}

/// Serves `app` on `listener` until the runtime ends.
pub(in crate::demo) fn spawn(listener: TcpListener, app: impl App) {
    let app = Arc::new(app);
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    tokio::spawn(async move {
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                return; // the semaphore is never closed
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let app = Arc::clone(&app);
                    tokio::spawn(async move {
                        connection(stream, app).await;
                        drop(slot);
                    });
                }
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "bookinfo cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    });
}

/// Serves one connection to its end.
async fn connection(stream: TcpStream, app: Arc<impl App>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "bookinfo cannot set TCP_NODELAY");
    }
    let service = service_fn(|request| {
        let app = Arc::clone(&app);
        async move { Ok::<_, Infallible>(exchange(request, &*app).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        // Clients come and go; nothing to be done about it here.
        tracing::debug!(%error, "a connection to bookinfo ended early");
    }
}

/// Reads the body, then asks the app.
async fn exchange(request: Request<Incoming>, app: &impl App) -> Answer {
    let (parts, body) = request.into_parts();
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => {
            app.answer(Request::from_parts(parts, body.to_bytes()))
                .await
        }
        Err(_) => text(
            StatusCode::PAYLOAD_TOO_LARGE,
            "text/plain; charset=utf-8",
            format!("A body of at most {MAX_BODY_BYTES} bytes is read here.\n"),
        ),
    }
}

/// An answer with a body of the given type.
pub(in crate::demo) fn text(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// A JSON answer.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(body) => text(status, "application/json", body),
        Err(error) => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "text/plain; charset=utf-8",
            format!("{error}\n"),
        ),
    }
}

/// `{"error": …}`.
pub(super) fn json_error(status: StatusCode, message: &str) -> Answer {
    json(status, &serde_json::json!({ "error": message }))
}

/// `{"status": …}`, as the services answer /health.
pub(super) fn healthy(name: &str) -> Answer {
    json(
        StatusCode::OK,
        &serde_json::json!({ "status": format!("{name} is healthy") }),
    )
}

/// 404.
pub(in crate::demo) fn not_found() -> Answer {
    json_error(StatusCode::NOT_FOUND, "not found")
}

/// 405 with the methods that are allowed.
pub(super) fn not_allowed(methods: &'static str) -> Answer {
    let mut answer = json_error(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
    answer
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(methods));
    answer
}

/// The number at the end of a path such as `/details/0`; the sample answers 400 to anything else.
pub(super) fn product_id(id: &str) -> Option<u32> {
    // parse() would let a leading plus sign through.
    id.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| id.parse().ok())?
}
