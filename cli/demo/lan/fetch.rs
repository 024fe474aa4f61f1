//! A page fetched by a machine of the demo's LAN.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::network;

/// How long one page may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest page that is read.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

/// The status and the body of `http://ADDRESS/PATH`, asked for `times` times on one connection.
///
/// # Errors
///
/// There is no connection, no answer, or an answer that is not the same status each time.
pub(super) fn fetch(
    machine: &str,
    address: SocketAddr,
    path: &'static str,
    times: u32,
) -> io::Result<(u16, String)> {
    network::enter(machine, move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        #[allow(clippy::disallowed_methods)] // not the data plane
        let fetched = runtime.block_on(async {
            tokio::time::timeout(PATIENCE * times, exchange(address, path, times)).await
        });
        fetched.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    })?
}

async fn exchange(address: SocketAddr, path: &str, times: u32) -> io::Result<(u16, String)> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    // Its error is the sender's too.
    let connection = tokio::spawn(connection);
    let mut last = (0, String::new());
    for time in 0..times.max(1) {
        let request = Request::get(path)
            .header("host", address.to_string())
            .header("user-agent", "gatehouse-demo")
            .body(Empty::<Bytes>::new())
            .map_err(io::Error::other)?;
        let answer = sender
            .send_request(request)
            .await
            .map_err(io::Error::other)?;
        let status = answer.status().as_u16();
        if time > 0 && status != last.0 {
            return Err(io::Error::other(format!(
                "{status} after {} answers of {}",
                time, last.0
            )));
        }
        let body = Limited::new(answer.into_body(), MAX_BODY_BYTES)
            .collect()
            .await;
        let body = body.map_err(io::Error::other)?.to_bytes();
        last = (status, String::from_utf8_lossy(&body).into_owned());
        sender.ready().await.map_err(io::Error::other)?;
    }
    connection.abort();
    Ok(last)
}
