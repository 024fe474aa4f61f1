//! A stand-in for Kiali: one page under /kiali on a port of its own.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::thread::JoinHandle;

use http::{Request, StatusCode};
use hyper::body::Bytes;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::demo::bookinfo::server::{self, Answer, App};

const PAGE: &str = "<!DOCTYPE html>
<html lang=\"en\">
<head><meta charset=\"utf-8\"><title>Kiali (stand-in)</title></head>
<body>
<h1>Kiali would be here</h1>
<p>This page stands in for it: a TCP Service at an address and a port of its own.</p>
</body>
</html>
";

/// The running server.
#[derive(Debug)]
pub(super) struct Kiali {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Kiali {
    /// Stops it and waits until its port is free.
    pub(super) fn shutdown(self) {
        // An error means that the thread has ended already.
        let _ = self.stop.send(());
        if self.thread.join().is_err() {
            tracing::error!("the thread of the stand-in for Kiali panicked");
        }
    }
}

/// Starts it at an address, in the calling thread's network namespace.
pub(super) fn start(address: SocketAddr) -> io::Result<Kiali> {
    let listener = StdListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (stop, stopped) = oneshot::channel();
    let serve = move || {
        runtime.block_on(async {
            match TcpListener::from_std(listener) {
                Ok(listener) => {
                    server::spawn(listener, Page);
                    // Told to stop, or the owner is gone: either way it is time.
                    drop(stopped.await);
                }
                Err(error) => tracing::error!(%error, "the stand-in for Kiali cannot serve"),
            }
        });
    };
    let thread = std::thread::Builder::new()
        .name("kiali".into())
        .spawn(serve)?;
    Ok(Kiali { stop, thread })
}

/// The page.
struct Page;

impl App for Page {
    async fn answer(&self, request: Request<Bytes>) -> Answer {
        match request.uri().path() {
            "/kiali" | "/kiali/" => server::text(StatusCode::OK, "text/html; charset=utf-8", PAGE),
            _ => server::not_found(),
        }
    }
}
