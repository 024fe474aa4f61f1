//! The servers: bind, accept, and bound what a client may cost.
//!
//! A client that sends nothing, or reads nothing, holds one of few places for a limited time and
//! cannot slow the control thread down otherwise.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gatehouse_config::{Finding, Level};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::admin::answer::Site;
use crate::admin::{AdminSettings, AdminState};

/// Connections that one server holds at a time; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 64;

/// How long a request's head may take, and how long a connection may idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may live; after it, what is being answered has [`HEAD_TIMEOUT`] to end.
const LIFETIME: Duration = Duration::from_secs(120);

/// The largest request head, in bytes.
const MAX_HEAD: usize = 16 << 10;

/// Rest after a failed accept (no descriptors left): the error would return at once.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// One of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// Pages and API.
    Admin,
    /// istio-agent's port: metrics and health.
    Status,
    /// `/healthz/ready`.
    Health,
    /// Envoy's own metrics port.
    Metrics,
}

impl Server {
    fn what(self) -> &'static str {
        match self {
            Self::Admin => "the admin API and `gatehouse get` have",
            Self::Status | Self::Metrics => "Prometheus has",
            Self::Health => "health probes have",
        }
    }

    fn setting(self) -> &'static str {
        match self {
            Self::Admin => "--admin",
            Self::Status => "--status",
            Self::Health => "--health",
            Self::Metrics => "--metrics",
        }
    }
}

/// The running servers; dropping it stops them.
#[derive(Debug)]
pub struct Admin {
    /// Dropping a set aborts its tasks.
    _servers: JoinSet<()>,
    addresses: Vec<(Server, SocketAddr)>,
}

impl Admin {
    /// Where the servers that could be started listen, with the port that was really bound.
    pub fn addresses(&self) -> &[(Server, SocketAddr)] {
        &self.addresses
    }

    /// Where one of them listens.
    pub fn address(&self, server: Server) -> Option<SocketAddr> {
        let found = self.addresses.iter().find(|(known, _)| *known == server);
        found.map(|(_, address)| *address)
    }
}

pub(super) async fn start(settings: &AdminSettings, state: AdminState) -> (Admin, Vec<Finding>) {
    let site = Arc::new(Site::new(state, settings.host_name.clone()));
    let mut servers = JoinSet::new();
    let mut addresses = Vec::new();
    let mut findings = Vec::new();
    for (server, address) in [
        (Server::Admin, settings.admin),
        (Server::Status, settings.status),
        (Server::Health, settings.health),
        (Server::Metrics, settings.metrics),
    ] {
        let Some(address) = address else { continue };
        let bound = TcpListener::bind(address).await;
        match bound.and_then(|socket| Ok((socket.local_addr()?, socket))) {
            Ok((address, socket)) => {
                addresses.push((server, address));
                servers.spawn(accept(server, socket, site.clone()));
            }
            Err(error) => findings.push(not_bound(server, address, &error)),
        }
    }
    let admin = Admin {
        _servers: servers,
        addresses,
    };
    (admin, findings)
}

fn not_bound(server: Server, address: SocketAddr, error: &std::io::Error) -> Finding {
    Finding {
        code: gatehouse_config::codes::ADMIN_NOT_LISTENING,
        level: Level::Error,
        object: None,
        field: server.setting().to_owned(),
        position: None,
        message: format!(
            "{address} cannot be listened on ({error}): {} no answer there; traffic is not \
             affected.",
            server.what()
        ),
        hint: match error.kind() {
            std::io::ErrorKind::AddrInUse => format!(
                "Another program has the port (`ss -ltnp 'sport = :{}'` names it); stop it, or \
                 choose another address with {}.",
                address.port(),
                server.setting()
            ),
            _ => format!("Choose another address with {}.", server.setting()),
        },
    }
}

async fn accept(server: Server, socket: TcpListener, site: Arc<Site>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        // Forgets what has ended.
        while connections.try_join_next().is_some() {}
        match socket.accept().await {
            Ok((stream, _)) => {
                let site = site.clone();
                connections.spawn(async move {
                    serve(server, stream, site).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(?server, %error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

async fn serve(server: Server, stream: TcpStream, site: Arc<Site>) {
    let service = service_fn(move |request| {
        let site = site.clone();
        async move { Ok::<_, Infallible>(site.answer(server, &request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // Errors are the client's: it went away, was too slow, or spoke no HTTP.
    tokio::select! {
        result = connection.as_mut() => {
            if let Err(error) = result {
                tracing::debug!(?server, %error, "a connection ended early");
            }
        }
        () = tokio::time::sleep(LIFETIME) => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                _ = connection => {}
                () = tokio::time::sleep(HEAD_TIMEOUT) => {}
            }
        }
    }
}
