//! The upstreams of the recording: HTTP/1.1 servers that answer with what they saw, byte by byte
//! (a real HTTP library would refuse, or tidy up, some of it).

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// Running servers; they end when this is dropped.
pub struct Echoes {
    /// Dropped to end them.
    _running: oneshot::Sender<()>,
}

impl Echoes {
    /// Starts one for each name and address, in the network of the calling thread.
    pub fn start(servers: &[(String, SocketAddr)]) -> Self {
        let listen = |(name, address): &(String, SocketAddr)| {
            let listener = StdListener::bind(address)
                .unwrap_or_else(|error| panic!("{name} cannot listen on {address}: {error}"));
            let waiting = listener.set_nonblocking(true);
            waiting.expect("a socket can be made non-blocking");
            (listener, Arc::from(name.as_str()))
        };
        let listeners: Vec<(StdListener, Arc<str>)> = servers.iter().map(listen).collect();
        let (running, ended) = oneshot::channel();
        std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                for (listener, name) in listeners {
                    tokio::spawn(serve(listener, name));
                }
                // An error means that the sender is gone: that is how it is told.
                let _ = ended.await;
            });
        });
        Self { _running: running }
    }
}

async fn serve(listener: StdListener, name: Arc<str>) {
    let listener = TcpListener::from_std(listener).expect("within a runtime");
    while let Ok((stream, _)) = listener.accept().await {
        let name = Arc::clone(&name);
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            // The gateway leaving in the middle is the gateway's matter.
            while matches!(answer(&mut stream, &name).await, Ok(true)) {}
        });
    }
}

/// Answers one request; false when the gateway has closed.
async fn answer(stream: &mut BufReader<TcpStream>, name: &str) -> io::Result<bool> {
    let Some(start) = line(stream).await? else {
        return Ok(false);
    };
    let mut words = start.split(' ');
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let mut headers: Vec<(String, String)> = Vec::new();
    while let Some(field) = line(stream).await?.filter(|line| !line.is_empty()) {
        let (key, value) = field.split_once(':').unwrap_or((&field, ""));
        headers.push((key.to_ascii_lowercase(), value.trim().to_owned()));
    }
    // Of several the last one counts.
    let field = |name: &str| {
        let mut fields = headers.iter().rev();
        Some(fields.find(|(key, _)| key == name)?.1.as_str())
    };
    let body = match field("content-length") {
        Some(length) => exactly(stream, length.parse().map_err(io::Error::other)?).await?,
        None if field("transfer-encoding") == Some("chunked") => chunks(stream).await?,
        None => Vec::new(),
    };
    if let Some(delay) = field("x-echo-delay").and_then(|delay| delay.parse().ok()) {
        tokio::time::sleep(Duration::from_secs_f64(delay)).await;
    }
    let status = field("x-echo-status").unwrap_or("200");
    let mut head =
        format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nx-echo: {name}\r\n");
    let more = field("x-echo-header").unwrap_or_default().split(',');
    for (key, value) in more.filter_map(|pair| pair.split_once('=')) {
        head.push_str(&format!("{key}: {value}\r\n"));
    }
    let seen = json!({
        "name": name,
        "method": method,
        "path": path,
        "headers": &headers,
        "body": String::from_utf8_lossy(&body),
    });
    let mut seen = seen.to_string();
    if matches!(status, "204" | "304") {
        seen.clear();
    } else {
        head.push_str(&format!("content-length: {}\r\n", seen.len()));
    }
    if method == "HEAD" {
        seen.clear();
    }
    stream
        .write_all(format!("{head}\r\n{seen}").as_bytes())
        .await?;
    stream.flush().await?;
    Ok(true)
}

/// A line without its end; none at the end of the connection.
async fn line(stream: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).await?;
    let Some(line) = line.strip_suffix(b"\r\n") else {
        return Ok(None);
    };
    Ok(Some(String::from_utf8_lossy(line).into_owned()))
}

async fn exactly(stream: &mut BufReader<TcpStream>, bytes: usize) -> io::Result<Vec<u8>> {
    let mut body = vec![0; bytes];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

async fn chunks(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = line(stream).await?.unwrap_or_default();
        let size = usize::from_str_radix(&size, 16).map_err(io::Error::other)?;
        body.extend(exactly(stream, size).await?);
        // The line's end after a chunk; after the last one there are no trailers.
        line(stream).await?;
        if size == 0 {
            return Ok(body);
        }
    }
}
