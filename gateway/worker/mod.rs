//! One worker: a pinned thread with a runtime, sockets, pools, timers and counters of its own.
//!
//! Nothing here is shared with another thread but the snapshot, which does not change.

#[cfg(test)]
mod alone;
pub mod buffers;
mod client;
pub mod clock;
mod command;
pub mod listener;
pub mod random;
mod refusal;
mod tcp;
pub mod timer;
mod tls;
mod udp;
pub mod view;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use gatehouse_config::resolved::Question;
use ipnet::IpNet;
use tokio::sync::{Notify, mpsc};

use crate::exchange::Exchange;
use crate::exchange::mirror::Copies;
use crate::http1::Limits;
use crate::net::Pipes;
use crate::observe::{AccessLogger, Resolved, WorkerMetrics};
use crate::snapshot::{LabelsId, Snapshot};
use crate::upstream::dynamic_dns::DynamicEndpoints;
use crate::upstream::pool;

pub use command::{Command, EndpointHealth, Key, KnownEndpoints, Opened, Socket, Transport};

use buffers::Buffers;
use clock::Clock;
use listener::Slots;
use random::Random;
use tcp::LiveTcp;
use timer::Wheel;
use view::{EndpointStates, View};

/// How often idle upstream connections are looked at.
const SWEEP: Duration = Duration::from_secs(5);

/// The same where connections live for a short time only.
const SHORTEST_SWEEP: Duration = Duration::from_millis(250);

/// What a worker is told once.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// Of heads.
    pub limits: Limits,
    /// How long a connection may wait for its next request (Istio: 1 h).
    pub idle_timeout: Duration,
    /// How long a head may take from its first byte.
    pub head_timeout: Duration,
    /// How long a client of TLS may take from its first byte to the end of the handshake (Istio:
    /// 15 s).
    pub handshake_timeout: Duration,
    /// Handshakes that one worker has under way; further connections are closed at once.
    pub max_handshakes: usize,
    /// Requests by TLS whose Host belongs on connections of another name are answered 421.
    pub refuse_misdirected: bool,
    /// How long a client may take to read an answer that is given here.
    pub write_timeout: Duration,
    /// How long either side may refuse to take bytes that wait for it.
    pub stall_timeout: Duration,
    /// How long an upgraded connection may be silent.
    pub tunnel_idle_timeout: Duration,
    /// How long a carried TCP connection may be silent (Istio: 1 h).
    pub tcp_idle_timeout: Duration,
    /// How long a UDP flow may be silent.
    pub udp_idle_timeout: Duration,
    /// How much of a request's body is kept for another try (Envoy: 1 MiB).
    pub retry_buffer: usize,
    /// Copies of requests that one worker has under way; more are left out.
    pub max_mirrors: usize,
    /// What these hold together, in bytes.
    pub max_mirror_bytes: usize,
    /// How long a copy and its answer may take.
    pub mirror_timeout: Duration,
    /// Client connections of one worker; more are closed at once.
    pub max_connections: usize,
    /// Streams of HTTP/2 that a client may reset before they are answered, in ten seconds: browsers
    /// cancel what they scroll past, attackers (CVE-2023-44487) do it by the thousand.
    pub http2_resets: u32,
    /// Frames without use (PING, SETTINGS and so on) that a client of HTTP/2 may send in ten
    /// seconds, and three more for each that it is sent.
    pub http2_idle_frames: u32,
    /// `server` in responses; none: the upstream's own.
    pub server_header: Option<String>,
    /// Who is told in `x-gatehouse-reason` why a request was answered 404 or 503.
    pub reasons: Reasons,
    /// Who is believed in a PROXY header, where the MeshConfig says that connections begin with
    /// one; from anywhere else they do not.
    pub proxy_protocol_from: Vec<IpNet>,
    /// Where names of requests are looked up (`resolution: DYNAMIC_DNS`); none: nowhere.
    pub questions: Option<mpsc::Sender<Question>>,
}

/// Whom `x-gatehouse-reason` is for: it names hosts, files and objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reasons {
    /// Nobody.
    Off,
    /// Clients with a private or link-local address (RFC 1918, RFC 3927, RFC 4193, RFC 4291).
    #[default]
    Lan,
    /// Everybody.
    All,
}

impl Reasons {
    /// Whether a client is told.
    pub fn are_for(self, client: std::net::IpAddr) -> bool {
        match (self, client.to_canonical()) {
            (Self::Off, _) => false,
            (Self::All, _) => true,
            (Self::Lan, std::net::IpAddr::V4(ip)) => ip.is_private() || ip.is_link_local(),
            (Self::Lan, std::net::IpAddr::V6(ip)) => {
                ip.is_unique_local() || ip.is_unicast_link_local()
            }
        }
    }
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            idle_timeout: Duration::from_secs(3600),
            head_timeout: Duration::from_secs(60),
            handshake_timeout: Duration::from_secs(15),
            max_handshakes: 1000,
            refuse_misdirected: true,
            write_timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(300),
            tunnel_idle_timeout: Duration::from_secs(24 * 3600),
            tcp_idle_timeout: Duration::from_secs(3600),
            udp_idle_timeout: Duration::from_secs(60),
            retry_buffer: 1 << 20,
            max_mirrors: 256,
            max_mirror_bytes: 16 << 20,
            mirror_timeout: Duration::from_secs(30),
            max_connections: 50_000,
            http2_resets: 200,
            http2_idle_frames: 1000,
            server_header: Some("gatehouse".to_owned()),
            reasons: Reasons::default(),
            proxy_protocol_from: client::lan(),
            questions: None,
        }
    }
}

/// What the tasks of a worker share.
#[derive(Debug)]
pub struct Worker {
    /// Told once.
    pub settings: WorkerSettings,
    /// Deadlines.
    pub wheel: Rc<Wheel>,
    /// The wall clock.
    pub clock: Clock,
    /// Chance.
    pub random: Random,
    /// Spare read buffers.
    pub buffers: Buffers,
    /// Copies of requests under way.
    pub copies: Copies,
    /// Endpoints that are looked up for single requests.
    pub dynamic: DynamicEndpoints,
    /// Tasks of HTTP/2 that wait for a stream.
    pub idle_seats: Cell<usize>,
    /// Pipes for splicing.
    pub pipes: Rc<Pipes>,
    view: RefCell<Rc<View>>,
    states: RefCell<EndpointStates>,
    slots: RefCell<Slots>,
    /// Where listeners are reported that can no longer be used.
    lost: mpsc::UnboundedSender<Key>,
    metrics: RefCell<WorkerMetrics>,
    access_log: Option<RefCell<AccessLogger>>,
    live_tcp: RefCell<HashMap<u64, Rc<LiveTcp>>>,
    /// Whether the configuration in force keeps the case of names.
    keep_case: Cell<bool>,
    connections: Cell<usize>,
    /// Of TLS, under way.
    handshakes: Cell<usize>,
    drain: Cell<Drain>,
    idle: Notify,
}

impl Worker {
    fn new(
        settings: WorkerSettings,
        access_log: Option<AccessLogger>,
        lost: mpsc::UnboundedSender<Key>,
    ) -> Rc<Self> {
        Rc::new(Self {
            dynamic: DynamicEndpoints::new(settings.questions.clone()),
            settings,
            wheel: Wheel::new(),
            clock: Clock::new(),
            random: Random::new(),
            buffers: Buffers::default(),
            copies: Copies::default(),
            idle_seats: Cell::new(0),
            pipes: Rc::default(),
            view: RefCell::new(Rc::new(View::empty())),
            states: RefCell::default(),
            slots: RefCell::default(),
            lost,
            metrics: RefCell::default(),
            access_log: access_log.map(RefCell::new),
            live_tcp: RefCell::default(),
            keep_case: Cell::new(false),
            connections: Cell::new(0),
            handshakes: Cell::new(0),
            drain: Cell::new(Drain::No),
            idle: Notify::new(),
        })
    }

    /// The configuration in force.
    pub fn view(&self) -> Rc<View> {
        Rc::clone(&self.view.borrow())
    }

    /// How heads are read.
    pub fn limits(&self) -> Limits {
        Limits {
            keep_case: self.keep_case.get(),
            ..self.settings.limits
        }
    }

    /// Whether the worker is coming to its end.
    pub fn is_draining(&self) -> bool {
        self.drain.get() != Drain::No
    }

    /// Ready once a connection that waits for a request has to end: as soon as the worker stops
    /// accepting, for one that was served before; a little later for its `first` request, which
    /// may be on its way. Tasks that wait with a [`timer::Timer`] are woken for it.
    pub fn poll_drain(&self, _: &mut Context<'_>, first: bool) -> Poll<()> {
        let over = match self.drain.get() {
            Drain::No | Drain::Serving => false,
            Drain::Closing => !first,
            Drain::Over => true,
        };
        if over { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Counts and logs a finished exchange.
    pub fn record(&self, labels: LabelsId, exchange: &Exchange, snapshot: &Snapshot) {
        self.metrics.borrow_mut().record(labels, exchange);
        if let Some(id) = exchange.route
            && let Some(name) = snapshot.stat_name(id)
        {
            self.metrics.borrow_mut().record_route(name, exchange);
        }
        if let (Some(plan), Some(log)) = (&snapshot.access_log, &self.access_log) {
            let resolved = Resolved {
                route_name: exchange
                    .route
                    .map_or("", |id| &snapshot.route(id).source.name),
                cluster: exchange.cluster.map_or("", |id| &snapshot.cluster(id).name),
                endpoint: match exchange.endpoint {
                    Some(id) => Some(&snapshot.endpoint(id).address),
                    // One that was looked up for this request.
                    None => exchange.upstream_remote.as_ref(),
                },
            };
            log.borrow_mut().log(exchange, resolved, plan);
        }
    }

    /// Counts something; not to be held over an await.
    pub fn with_metrics(&self, count: impl FnOnce(&mut WorkerMetrics)) {
        count(&mut self.metrics.borrow_mut());
    }

    /// A client's connection for as long as the value lives; none when there are too many.
    pub fn admit(self: &Rc<Self>) -> Option<Admitted> {
        if self.connections.get() >= self.settings.max_connections {
            self.with_metrics(|metrics| metrics.limit_reached("max_connections"));
            return None;
        }
        self.connections.set(self.connections.get() + 1);
        self.with_metrics(WorkerMetrics::connection_opened);
        Some(Admitted(Rc::clone(self)))
    }

    async fn sweep(&self) {
        let mut pause = SWEEP;
        loop {
            tokio::time::sleep(pause).await;
            let now = Instant::now();
            pause = SWEEP;
            for state in self.states.borrow().iter() {
                pool::sweep(state, now);
                // A short time is kept to within a quarter.
                pause = pause.min(state.lifetimes.get().shortest() / 4);
            }
            self.dynamic.sweep(now, |state| {
                pool::sweep(state, now);
                pause = pause.min(state.lifetimes.get().shortest() / 4);
            });
            pause = pause.max(SHORTEST_SWEEP);
        }
    }
}

/// How far a worker has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drain {
    /// It has not begun.
    No,
    /// It accepts and serves, and says `connection: close`.
    Serving,
    /// It no longer accepts; connections that wait for a further request are closed.
    Closing,
    /// Those that never sent a request are closed too.
    Over,
}

/// A counted client connection.
#[derive(Debug)]
pub struct Admitted(Rc<Worker>);

impl Drop for Admitted {
    fn drop(&mut self) {
        let worker = &self.0;
        worker
            .connections
            .set(worker.connections.get().saturating_sub(1));
        worker.with_metrics(WorkerMetrics::connection_closed);
        if worker.is_draining() && worker.connections.get() == 0 {
            worker.idle.notify_one();
        }
    }
}

/// The body of a worker's thread: serves until it is told to stop. Listeners that can no longer be
/// used are sent to `lost`, to be opened anew.
pub fn run(
    settings: WorkerSettings,
    access_log: Option<AccessLogger>,
    commands: mpsc::UnboundedReceiver<Command>,
    lost: mpsc::UnboundedSender<Key>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        let worker = Worker::new(settings, access_log, lost);
        let wheel = Rc::clone(&worker.wheel);
        tokio::task::spawn_local(async move { wheel.run().await });
        let sweeper = Rc::clone(&worker);
        tokio::task::spawn_local(async move { sweeper.sweep().await });
        worker.obey(commands).await;
    });
    Ok(())
}
