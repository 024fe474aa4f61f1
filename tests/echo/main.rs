//! An upstream that answers with what it saw: HTTP/1.1, HTTP/2, TCP and UDP, for use inside namespaces.
//!
//! `gatehouse-e2e-echo NAME [http|http2|tcp|udp ADDRESS]…` binds, prints `http 127.0.0.1:40123` for each
//! in order and then `ready`; it ends when its stdin is closed.

mod http;

use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let name: Arc<str> = arguments
        .next()
        .ok_or("usage: NAME [http|http2|tcp|udp ADDRESS]…")?
        .into();
    let arguments: Vec<String> = arguments.collect();
    // The main thread waits for the end of stdin; blocking reads do not belong in the runtime.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let served = runtime
            .map_err(Failure::from)
            .and_then(|runtime| runtime.block_on(serve(name, &arguments)));
        if let Err(error) = served {
            eprintln!("{error}");
            std::process::exit(1);
        }
    });
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

async fn serve(name: Arc<str>, arguments: &[String]) -> Result<(), Failure> {
    for pair in arguments.chunks(2) {
        let [protocol, address] = pair else {
            return Err("a protocol needs an address".into());
        };
        let address: SocketAddr = address.parse()?;
        match protocol.as_str() {
            "http" => {
                let listener = TcpListener::bind(address).await?;
                println!("http {}", listener.local_addr()?);
                tokio::spawn(http::serve(listener, Arc::clone(&name)));
            }
            "http2" => {
                let listener = TcpListener::bind(address).await?;
                println!("http2 {}", listener.local_addr()?);
                tokio::spawn(http::serve_http2(listener, Arc::clone(&name)));
            }
            "tcp" => {
                let listener = TcpListener::bind(address).await?;
                println!("tcp {}", listener.local_addr()?);
                tokio::spawn(serve_tcp(listener));
            }
            "udp" => {
                let socket = UdpSocket::bind(address).await?;
                println!("udp {}", socket.local_addr()?);
                tokio::spawn(serve_udp(socket));
            }
            other => return Err(format!("unknown protocol {other}").into()),
        }
    }
    println!("ready");
    std::io::stdout().flush()?;
    std::future::pending().await
}

async fn serve_tcp(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(echo(stream));
    }
}

/// Gives back what comes until the peer has finished, then finishes too (half-close).
async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return stream.shutdown().await;
        }
        stream
            .write_all(buffer.get(..read).unwrap_or_default())
            .await?;
    }
}

async fn serve_udp(socket: UdpSocket) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        // An ICMP error of an earlier answer surfaces here and concerns nobody else.
        let Ok((read, peer)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        if let Err(error) = socket
            .send_to(buffer.get(..read).unwrap_or_default(), peer)
            .await
        {
            eprintln!("udp {peer}: {error}");
        }
    }
}
