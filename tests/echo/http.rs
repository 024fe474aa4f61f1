//! The HTTP echo: answers with name, method, path, headers, body and trailers as JSON.
//!
//! Request headers steer it: `x-echo-status` (status), `x-echo-delay` (seconds before the answer),
//! `x-echo-header` (`k=v,k=v` added to the answer), `x-echo-size` (a body of so many bytes instead
//! of the JSON), `x-echo-trailer` (`k=v,k=v` after the body, which is then
//! chunked; the request needs `te: trailers`), `x-echo-early` (answer before the body is read).
//! An `upgrade` is accepted and its bytes are given back.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, TRAILER, UPGRADE};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;

type Body = BoxBody<Bytes, Infallible>;
type Answer = Result<Response<Body>, Box<dyn std::error::Error + Send + Sync>>;

/// Bodies up to this size are shown in the JSON; of longer ones only the length and the sum.
const SHOWN: usize = 64 * 1024;

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, name: Arc<str>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let name = Arc::clone(&name);
        let service = service_fn(move |request| answer(request, Arc::clone(&name)));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        tokio::spawn(async move {
            // A client that leaves in the middle is the client's matter.
            let _ = connection.await;
        });
    }
}

/// The same over HTTP/2 in plain text.
pub async fn serve_http2(listener: TcpListener, name: Arc<str>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let name = Arc::clone(&name);
        let service = service_fn(move |request| answer(request, Arc::clone(&name)));
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            // A client that leaves in the middle is the client's matter.
            let _ = connection.await;
        });
    }
}

async fn answer(mut request: Request<Incoming>, name: Arc<str>) -> Answer {
    if request.headers().contains_key(UPGRADE) {
        return upgrade(request, &name);
    }
    let controls = Controls::read(request.headers());
    let mut seen = describe(&request, &name);
    if !controls.early {
        let body = request.body_mut();
        let (mut shown, mut bytes, mut sum, mut trailers) = (Vec::new(), 0_u64, 0_u64, json!([]));
        while let Some(frame) = body.frame().await {
            match frame?.into_data() {
                Ok(data) => {
                    bytes += data.len() as u64;
                    sum = data
                        .iter()
                        .fold(sum, |sum, byte| sum.wrapping_add(u64::from(*byte)));
                    if shown.len() + data.len() <= SHOWN {
                        shown.extend_from_slice(&data);
                    }
                }
                Err(frame) => {
                    trailers = frame.trailers_ref().map_or(json!([]), headers);
                }
            }
        }
        seen["body"] = Value::from(String::from_utf8_lossy(&shown).into_owned());
        seen["body_bytes"] = bytes.into();
        seen["body_sum"] = sum.into();
        seen["trailers"] = trailers;
    }
    tokio::time::sleep(controls.delay).await;
    let mut response = Response::builder()
        .status(controls.status)
        .header(CONTENT_TYPE, "application/json")
        .header("x-echo", &*name);
    for (key, value) in &controls.headers {
        response = response.header(key, value);
    }
    let text = Bytes::from(seen.to_string());
    // hyper sends only the trailers that are announced, and only to a client with `te: trailers`.
    for (key, _) in &controls.trailers {
        response = response.header(TRAILER, key);
    }
    let body = match controls.size {
        Some(size) => {
            if controls.trailers.is_empty() {
                response = response.header(CONTENT_LENGTH, size);
            }
            zeros(size, &controls.trailers)?
        }
        None if controls.trailers.is_empty() => Full::new(text).boxed(),
        None => {
            let frames = [
                Frame::data(text),
                Frame::trailers(header_map(&controls.trailers)?),
            ];
            stream(frames.into_iter())
        }
    };
    Ok(response.body(body)?)
}

fn upgrade(mut request: Request<Incoming>, name: &str) -> Answer {
    let protocol = request
        .headers()
        .get(UPGRADE)
        .cloned()
        .ok_or("no upgrade")?;
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(stream) = upgraded.await else { return };
        let (mut reader, mut writer) = tokio::io::split(TokioIo::new(stream));
        // The end of either side ends the echo.
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut writer).await;
    });
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, protocol)
        .header("x-echo", name);
    Ok(response.body(Full::new(Bytes::new()).boxed())?)
}

/// What the request asks of the answer.
struct Controls {
    status: StatusCode,
    delay: Duration,
    headers: Vec<(String, String)>,
    size: Option<u64>,
    trailers: Vec<(String, String)>,
    early: bool,
}

impl Controls {
    fn read(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let status = text("x-echo-status").and_then(|text| text.parse().ok());
        let delay = text("x-echo-delay").and_then(|text| text.parse().ok());
        Self {
            status: status.unwrap_or(StatusCode::OK),
            delay: Duration::try_from_secs_f64(delay.unwrap_or(0.0)).unwrap_or_default(),
            headers: pairs(text("x-echo-header")),
            size: text("x-echo-size").and_then(|text| text.parse().ok()),
            trailers: pairs(text("x-echo-trailer")),
            early: headers.contains_key("x-echo-early"),
        }
    }
}

fn pairs(text: Option<&str>) -> Vec<(String, String)> {
    let pairs = text
        .unwrap_or_default()
        .split(',')
        .filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn describe(request: &Request<Incoming>, name: &str) -> Value {
    json!({
        "name": name,
        "method": request.method().as_str(),
        "path": request.uri().to_string(),
        "version": format!("{:?}", request.version()),
        "headers": headers(request.headers()),
    })
}

/// Sorted pairs, names in lower case; bytes that are no text are shown as replacement characters.
fn headers(headers: &HeaderMap) -> Value {
    let mut pairs: Vec<[String; 2]> = headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            [name.as_str().to_owned(), value]
        })
        .collect();
    pairs.sort();
    json!(pairs)
}

fn header_map(pairs: &[(String, String)]) -> Result<HeaderMap, hyper::http::Error> {
    pairs
        .iter()
        .map(|(key, value)| Ok((key.parse()?, value.parse()?)))
        .collect::<Result<_, _>>()
}

fn zeros(size: u64, trailers: &[(String, String)]) -> Result<Body, hyper::http::Error> {
    const PIECE: Bytes = Bytes::from_static(&[0; 32 * 1024]);
    let mut left = size;
    let data = std::iter::from_fn(move || {
        let now = left.min(PIECE.len() as u64);
        left -= now;
        let now = usize::try_from(now).unwrap_or(0);
        (now > 0).then(|| Frame::data(PIECE.slice(..now)))
    });
    let trailers = match trailers {
        [] => None,
        some => Some(Frame::trailers(header_map(some)?)),
    };
    Ok(stream(data.chain(trailers)))
}

fn stream(frames: impl Iterator<Item = Frame<Bytes>> + Send + Sync + Unpin + 'static) -> Body {
    Frames(frames).boxed()
}

/// An iterator as a body that is always ready.
struct Frames<I>(I);

impl<I: Iterator<Item = Frame<Bytes>> + Unpin> hyper::body::Body for Frames<I> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(Ok))
    }
}
