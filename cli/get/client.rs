//! A small client for the admin API.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 256 << 20;

/// Why there is nothing to print.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Nobody listens, or nobody answers.
    #[error("no gatehouse answers at {address} ({why})")]
    NotRunning { address: String, why: String },
    /// Somebody answers, but not what was asked for.
    #[error("{address} does not answer as gatehouse does: {why}")]
    Unexpected { address: String, why: String },
    /// Standard output is full or broken.
    #[error("the output cannot be written: {0}")]
    Output(io::Error),
}

/// [`get`] for a program that has nothing else to do.
pub(crate) fn ask_once(admin: &str, path: &str) -> Result<Bytes, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(get(admin, path)),
        Err(error) => Err(Failure::NotRunning {
            address: admin.to_owned(),
            why: format!("the network cannot be used: {error}"),
        }),
    }
}

/// The body of `GET path` at an admin address (`127.0.0.1:15000`, also with `http://` before).
#[allow(clippy::disallowed_methods)] // one timeout for one request; no worker here
pub(super) async fn get(admin: &str, path: &str) -> Result<Bytes, Failure> {
    let address = admin.strip_prefix("http://").unwrap_or(admin);
    let address = address.trim_end_matches('/');
    tokio::time::timeout(PATIENCE, ask(address, path))
        .await
        .unwrap_or_else(|_| {
            Err(Failure::NotRunning {
                address: address.to_owned(),
                why: format!("no answer within {} s", PATIENCE.as_secs()),
            })
        })
}

async fn ask(address: &str, path: &str) -> Result<Bytes, Failure> {
    let unexpected = |error: &dyn std::error::Error| Failure::Unexpected {
        address: address.to_owned(),
        why: chain(error),
    };
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| Failure::NotRunning {
            address: address.to_owned(),
            why: match error.kind() {
                io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
                _ => error.to_string(),
            },
        })?;
    let request = Request::get(path)
        .header(HOST, address)
        .body(Empty::<Bytes>::new())
        .map_err(|error| unexpected(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| unexpected(&error))?;
    // Ends with the runtime at the latest; its error is also the request's.
    tokio::spawn(connection);
    let answer = sender
        .send_request(request)
        .await
        .map_err(|error| unexpected(&error))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_ANSWER)
        .collect()
        .await
        .map_err(|error| unexpected(&*error))?
        .to_bytes();
    if status == StatusCode::OK {
        return Ok(body);
    }
    let text = String::from_utf8_lossy(&body);
    let line = text.lines().next().unwrap_or_default();
    let line: String = line.chars().filter(|c| !c.is_control()).take(500).collect();
    Err(Failure::Unexpected {
        address: address.to_owned(),
        why: format!("{status}: {line}"),
    })
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}
