//! Bookinfo, small but real: six HTTP servers that call each other, for the demo and its tests.
//!
//! The same services, paths, headers and JSON shapes as Istio's sample of that name; text, design
//! and code are our own. All six run on one thread with a runtime of its own, so that a busy page
//! never takes time from the gateway's workers.

mod client;
mod details;
mod headers;
mod html;
mod productpage;
mod ratings;
mod reviews;
pub(in crate::demo) mod server;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::thread::JoinHandle;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use client::Client;
use details::Details;
use productpage::Productpage;
use ratings::Ratings;
use reviews::{Reviews, Stars};

/// Where each server listens; port 0 lets the kernel choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The page that people open.
    pub productpage: SocketAddr,
    /// Facts about the book.
    pub details: SocketAddr,
    /// Reviews v1 (no stars), v2 (black stars) and v3 (red stars).
    pub reviews: [SocketAddr; 3],
    /// The stars.
    pub ratings: SocketAddr,
}

impl Layout {
    /// An address of its own for each server, 127.0.0.11 to 127.0.0.16, and ports of the kernel's
    /// choice: on Linux all of 127/8 is local, and two demos never collide.
    pub fn loopback() -> Self {
        let at = |host| SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0));
        Self {
            productpage: at(11),
            details: at(12),
            reviews: [at(13), at(14), at(15)],
            ratings: at(16),
        }
    }

    /// The six workloads.
    pub fn workloads(&self) -> [Workload; 6] {
        let [v1, v2, v3] = self.reviews;
        let workload = |app, version, address| Workload {
            app,
            version,
            address,
        };
        [
            workload("productpage", "v1", self.productpage),
            workload("details", "v1", self.details),
            workload("reviews", "v1", v1),
            workload("reviews", "v2", v2),
            workload("reviews", "v3", v3),
            workload("ratings", "v1", self.ratings),
        ]
    }
}

/// One server, as Istio's labels name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// The label `app`.
    pub app: &'static str,
    /// The label `version`.
    pub version: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
}

/// The running servers; they stop when this is dropped.
#[derive(Debug)]
pub struct Bookinfo {
    layout: Layout,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Bookinfo {
    /// Starts all six on loopback addresses of their own.
    ///
    /// # Errors
    ///
    /// An address cannot be bound, or the thread cannot be started.
    pub fn start() -> io::Result<Self> {
        Self::start_at(Layout::loopback())
    }

    /// Starts all six at the given places, in the calling thread's network namespace.
    ///
    /// The sockets are bound before this returns, so requests may be sent at once.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start); the error names the server and the address.
    pub fn start_at(layout: Layout) -> io::Result<Self> {
        Self::start_calling(layout, |bound| bound)
    }

    /// As [`start_at`](Self::start_at); `called` says where the servers look for each other, given
    /// where they listen. Tests put their own servers in between.
    fn start_calling(layout: Layout, called: impl FnOnce(Layout) -> Layout) -> io::Result<Self> {
        let [productpage, details, v1, v2, v3, ratings] = layout.workloads().map(bind);
        let listeners = [productpage?, details?, v1?, v2?, v3?, ratings?];
        let [productpage, details, v1, v2, v3, ratings] = &listeners;
        let layout = Layout {
            productpage: productpage.local_addr()?,
            details: details.local_addr()?,
            reviews: [v1.local_addr()?, v2.local_addr()?, v3.local_addr()?],
            ratings: ratings.local_addr()?,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let called = called(layout);
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("bookinfo".into())
            .spawn(move || {
                runtime.block_on(async {
                    match serve(listeners, called) {
                        // Told to stop, or the owner is gone: either way it is time.
                        Ok(()) => drop(stopped.await),
                        Err(error) => tracing::error!(%error, "bookinfo cannot serve"),
                    }
                });
            })?;
        Ok(Self {
            layout,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where each server listens, with the ports that the kernel chose.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Stops every server and waits until the ports are free.
    pub fn shutdown(mut self) {
        self.stop_and_join();
    }

    fn stop_and_join(&mut self) {
        if let Some(stop) = self.stop.take() {
            // An error means that the thread has ended already.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("bookinfo's thread panicked");
        }
    }
}

impl Drop for Bookinfo {
    fn drop(&mut self) {
        self.stop_and_join();
    }
}

/// Binds one server's socket.
fn bind(workload: Workload) -> io::Result<StdListener> {
    let Workload {
        app,
        version,
        address,
    } = workload;
    StdListener::bind(address)
        .and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(listener)
        })
        .map_err(|error| {
            let text = format!("bookinfo's {app}-{version} cannot listen on {address}: {error}");
            io::Error::new(error.kind(), text)
        })
}

/// Starts the accept loops, one task per server; they find each other at `called`.
fn serve(listeners: [StdListener; 6], called: Layout) -> io::Result<()> {
    let [productpage, details, v1, v2, v3, ratings] = listeners;
    let client = Client::new();
    let reviews = |version, stars| Reviews::new(version, stars, called.ratings, client.clone());
    server::spawn(
        TcpListener::from_std(productpage)?,
        Productpage::new(called, client.clone()),
    );
    server::spawn(TcpListener::from_std(details)?, Details);
    server::spawn(TcpListener::from_std(v1)?, reviews("v1", None));
    server::spawn(
        TcpListener::from_std(v2)?,
        reviews("v2", Some(Stars::Black)),
    );
    server::spawn(TcpListener::from_std(v3)?, reviews("v3", Some(Stars::Red)));
    server::spawn(TcpListener::from_std(ratings)?, Ratings::default());
    Ok(())
}
