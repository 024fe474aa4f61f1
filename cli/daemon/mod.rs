//! The daemon: allocation, speaker, gateway and L4 in one process, wired together.
//!
//! ```text
//! directory ──► translate ──► allocate ──► state file ──► plan ──► speaker
//!                   │                            │
//!                   └────────── place ◄──────────┘──► gateway (compile, publish)
//! ```
//!
//! One control thread; every decision is made in the crates beside this one.

mod allocation;
mod capabilities;
mod cluster;
mod control;
mod limits;
pub mod logging;
mod metallb;
mod notify;
mod outdated;
mod peers;
mod report;
mod rows;
mod scrape;
pub mod settings;
mod show;
mod telling;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use gatehouse_config::source::Dns;
use gatehouse_config::source::kubernetes::{Cluster, ConnectError, KubernetesSettings};
use gatehouse_config::source::watch::Watch;
use gatehouse_config::status::kubernetes::StatusWriter;
use gatehouse_gateway::admin::{Admin, AdminState, View};
use gatehouse_gateway::observe::{AccessLog, Identity, RenderOptions};
use gatehouse_gateway::worker::{Reasons, WorkerSettings};
use gatehouse_gateway::{Gateway, admin};
use gatehouse_lb_speaker::link::selection::Excluded;
use gatehouse_lb_speaker::{Speaker, SpeakerSettings};
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use capabilities::Capabilities;
use control::{Control, Ends, Parts};
use logging::Log;
use notify::Notify;
use peers::Found;
pub use peers::PeerArgs;
use scrape::Metrics;
use settings::{Misdirected, ReasonHeader, Role};
pub use settings::{RunArgs, Settings};

/// How often listeners that could not be opened are tried again, and other nodes are looked at.
const RETRY: Duration = Duration::from_secs(5);

/// How long a start waits for addresses to be announced before it says that it is ready.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a start waits for the API server to tell everything.
const PATIENCE_WITH_CLUSTER: Duration = Duration::from_secs(10);

/// How long withdrawing may take.
const WITHDRAW: Duration = Duration::from_secs(3);

/// Why the daemon could not start.
#[derive(Debug, Error)]
pub enum DaemonError {
    /// The configuration cannot be read at all.
    #[error("--config {path}: {error}. Make the directory, or name another one with --config DIR")]
    Config {
        /// The path.
        path: String,
        /// Why not.
        error: io::Error,
    },
    /// There is no cluster.
    #[error("--kube: {0}")]
    Cluster(#[from] ConnectError),
    /// The access log cannot be opened.
    #[error("--access-log {target}: {error}")]
    AccessLog {
        /// The file.
        target: String,
        /// Why not.
        error: io::Error,
    },
    /// The key of heartbeats cannot be used.
    #[error("--peer-key {path}: {error}")]
    PeerKey {
        /// The file.
        path: String,
        /// Why not.
        error: io::Error,
    },
    /// The operating system refused something that cannot be done without.
    #[error("{what}: {error}")]
    System {
        /// What.
        what: &'static str,
        /// Why not.
        error: io::Error,
    },
}

/// Runs until it is told to stop. `started` is called once the configuration is served.
///
/// # Errors
///
/// Only what makes a start pointless; everything else is a finding.
pub fn run(settings: Settings, log: Log, started: impl FnOnce()) -> Result<(), DaemonError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| DaemonError::System {
            what: "no runtime",
            error,
        })?;
    let ended = runtime.block_on(serve(settings, Arc::new(log), started));
    // Who says a second time that it shall stop does not wait for workers that drain.
    runtime.shutdown_background();
    ended
}

async fn serve(
    settings: Settings,
    log: Arc<Log>,
    started: impl FnOnce(),
) -> Result<(), DaemonError> {
    let path = settings
        .config
        .as_ref()
        .map(|path| path.display().to_string());
    let config_error = |error| DaemonError::Config {
        path: path.unwrap_or_default(),
        error,
    };
    // Watched before it is read, so that no change falls between.
    let mut watch = settings.config.as_deref().map(Watch::new);
    // Begins at once: everything else is made ready meanwhile.
    let cluster = cluster(&settings)?;
    let mut signals = Signals::new()?;
    let access_log = access_log(&settings)?;
    let dns = Dns::start(settings.dns.clone());
    let gateway = Gateway::start(
        settings.workers,
        &WorkerSettings {
            questions: Some(dns.questions()),
            ..worker_settings(&settings)
        },
        Some(&access_log),
    )
    .map_err(|error| DaemonError::System {
        what: "no worker thread",
        error,
    })?;
    let capabilities = Capabilities::effective();
    limits::raise_open_files();
    let speaker = speaker(&settings)?;
    let members = peers::start(&settings)?;
    let found = cluster.as_ref().filter(|_| peers::are_found(&settings));
    let found =
        found.map(|(cluster, _)| Found::start(cluster, &cluster_namespace(&settings), &settings));
    let mut told = found.as_ref().map(Found::changes);
    let metrics = Arc::new(Metrics::new(
        gateway.counters(),
        identity(&settings),
        speaker.clone(),
        members.clone(),
    ));
    let mut speaking = speaker.as_ref().map(|speaker| speaker.states());
    let mut nodes = members.as_ref().map(|members| members.views());

    let view = Arc::new(arc_swap::ArcSwap::from_pointee(View::default()));
    let state = AdminState {
        view: Arc::clone(&view),
        states: Arc::new(gateway.counters()),
        scrape: Arc::clone(&metrics) as Arc<dyn admin::Scrape>,
        logging: log as Arc<dyn admin::Logging>,
    };
    let (admin, admin_findings) = Admin::start(&settings.admin, state).await;

    let mut leading = cluster
        .as_ref()
        .and_then(|(_, writer)| writer.as_ref())
        .map(StatusWriter::leadership_changes);
    let watched = cluster.as_ref().map(|(cluster, _)| cluster.clone());
    if let Some(cluster) = &watched {
        cluster.wait_until_seen(PATIENCE_WITH_CLUSTER).await;
    }
    let parts = Parts {
        cluster,
        gateway,
        speaker: speaker.clone(),
        members,
        found,
        dns,
        access_log: Some(access_log),
        capabilities,
    };
    let mut control = Control::open(settings.clone(), parts).map_err(config_error)?;
    control.publish_to(view, Arc::clone(&metrics), admin_findings);
    control.notice(watch.as_ref().and_then(Watch::finding));
    control.reload(true);
    control.wait_for_addresses(PATIENCE).await;
    control.show();
    let notify = Notify::new();
    notify.ready();
    started();

    let mut retry = tokio::time::interval(RETRY);
    let mut alive = notify.watchdog();
    loop {
        // Where changes come faster than they are put in force, the next one is due at once: signals,
        // timers and whoever asks the admin API have their turn all the same.
        tokio::task::yield_now().await;
        tokio::select! {
            () = control.inputs_changed() => control.reload(true),
            () = files_changed(&mut watch) => {
                control.notice(watch.as_ref().and_then(Watch::finding));
                control.reload(false);
            }
            () = changed(&mut nodes) => control.nodes_changed(),
            () = changed(&mut told) => control.nodes_changed(),
            () = changed(&mut speaking) => {
                if let Some(speaking) = &mut speaking {
                    let state = Arc::clone(&speaking.borrow_and_update());
                    control.link_changed(&state);
                    control.report();
                }
                control.show();
            }
            () = cluster_changed(watched.as_ref()) => control.reload(false),
            () = changed(&mut leading) => control.dealing_changed(),
            _ = retry.tick() => {
                if control.give_memory_back()
                    && let Some(cluster) = &watched
                {
                    // Each thread has memory of its own to give.
                    cluster.runtime().spawn(async { crate::sys::give_memory_back() });
                }
                control.retry_listeners();
                control.look_at_nodes();
                control.show_news();
            }
            () = alive.beat() => {}
            event = signals.next() => match event {
                Event::Reload => {
                    notify.reloading();
                    control.reopen_access_log();
                    control.reload(true);
                    notify.ready();
                }
                Event::Stop => break,
            },
        }
    }
    notify.stopping();
    control.hand_over();
    tracing::info!("stopping: requests under way may finish");
    control.say_draining();
    let Ends {
        gateway,
        access_log,
        writer,
        found,
    } = control.into_parts();
    let give_up = async {
        if let Some(writer) = writer {
            writer.give_up(WITHDRAW).await;
        }
    };
    let leave = async {
        if let Some(found) = found {
            found.leave(WITHDRAW).await;
        }
    };
    tokio::join!(give_up, leave);
    tokio::select! {
        () = gateway.drain(settings.drain_min, settings.drain_max) => {}
        () = signals.next_stop() => tracing::warn!("told to stop again: not waiting any longer"),
    }
    drop((admin, metrics));
    if let Some(speaker) = speaker.and_then(Arc::into_inner)
        && !speaker.shutdown(WITHDRAW)
    {
        tracing::error!("addresses could not be withdrawn in time; the next start cleans up");
    }
    if let Some(log) = access_log
        && !log.finish(WITHDRAW)
    {
        tracing::warn!("the access log's last lines could not be written in time");
    }
    Ok(())
}

/// Begins to watch the cluster, and to seek the Lease of the node that deals addresses.
fn cluster(settings: &Settings) -> Result<Option<(Cluster, Option<StatusWriter>)>, DaemonError> {
    if !settings.kube {
        return Ok(None);
    }
    let cluster = Cluster::connect(&KubernetesSettings {
        namespace: settings.namespace.clone(),
        addresses_only: settings.role == Role::Speaker,
    })?;
    // Who announces is a candidate; a gateway alone is none.
    let writer = (settings.role != Role::Gateway)
        .then(|| StatusWriter::start(&cluster, &cluster_namespace(settings), &settings.node));
    Ok(Some((cluster, writer)))
}

/// Where Leases and the key of heartbeats are. All nodes must look in the same place: that of their
/// Pods, or one that every cluster has.
fn cluster_namespace(settings: &Settings) -> String {
    let own = std::env::var("POD_NAMESPACE").ok();
    let namespace = settings.kube_namespace.clone().or(own);
    namespace.unwrap_or_else(|| "kube-system".to_owned())
}

/// Waits for a change of files; for ever without a directory.
async fn files_changed(watch: &mut Option<Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

/// The same for a cluster's objects.
async fn cluster_changed(cluster: Option<&Cluster>) {
    match cluster {
        Some(cluster) => cluster.changed().await,
        None => std::future::pending().await,
    }
}

/// Waits for what is told next; for ever if there is nobody who tells.
async fn changed<T>(told: &mut Option<watch::Receiver<T>>) {
    match told {
        Some(receiver) => {
            if receiver.changed().await.is_err() {
                *told = None;
            }
        }
        None => std::future::pending().await,
    }
}

fn worker_settings(settings: &Settings) -> WorkerSettings {
    WorkerSettings {
        server_header: match settings.server_header.as_deref() {
            None => WorkerSettings::default().server_header,
            Some("") => None,
            Some(name) => Some(name.to_owned()),
        },
        reasons: match settings.reason_header {
            ReasonHeader::Off => Reasons::Off,
            ReasonHeader::Lan => Reasons::Lan,
            ReasonHeader::All => Reasons::All,
        },
        proxy_protocol_from: match &*settings.proxy_protocol_from {
            [] => WorkerSettings::default().proxy_protocol_from,
            networks => networks.to_vec(),
        },
        handshake_timeout: settings.handshakes.timeout,
        max_handshakes: settings.handshakes.count,
        max_connections: settings.clients.connections,
        http2_resets: settings.clients.http2_resets,
        http2_idle_frames: settings.clients.http2_idle_frames,
        refuse_misdirected: settings.misdirected == Misdirected::Refused,
        retry_buffer: settings.retry_buffer,
        max_mirrors: settings.mirrors.count,
        max_mirror_bytes: settings.mirrors.bytes,
        mirror_timeout: settings.mirrors.timeout,
        ..WorkerSettings::default()
    }
}

fn identity(settings: &Settings) -> RenderOptions {
    let app = settings.labels.get("app").cloned();
    let name = app.unwrap_or_else(|| "istio-ingressgateway".to_owned());
    RenderOptions {
        identity: Identity {
            workload: name.clone(),
            canonical_service: name.clone(),
            app: name,
            namespace: settings.namespace.clone(),
            ..Identity::default()
        },
        ..RenderOptions::default()
    }
}

/// The writer of access logs; what the command line asks for must be possible.
fn access_log(settings: &Settings) -> Result<AccessLog, DaemonError> {
    let refused = |target: &str, error| DaemonError::AccessLog {
        target: target.to_owned(),
        error,
    };
    for log in settings.access_logs().unwrap_or_default() {
        let named = settings.access_log.as_deref().unwrap_or_default();
        AccessLog::check(&log.target).map_err(|error| refused(named, error))?;
    }
    AccessLog::start().map_err(|error| refused("", error))
}

fn speaker(settings: &Settings) -> Result<Option<Arc<Speaker>>, DaemonError> {
    if !settings.announce {
        return Ok(None);
    }
    // Made before the speaker starts, which notes there what it changes on the host; why it cannot
    // be made is the state file's finding.
    let state = std::fs::create_dir_all(&settings.state);
    let excluded = &settings.exclude_interfaces;
    let speaker = Speaker::start(SpeakerSettings {
        excluded_interfaces: match excluded.is_empty() {
            true => Excluded::default(),
            false => Excluded::new(excluded.clone()),
        },
        state_dir: state.is_ok().then(|| settings.state.clone()),
        gratuitous_interval: settings.gratuitous_interval,
        ..SpeakerSettings::new(&settings.node)
    });
    speaker
        .map(|speaker| Some(Arc::new(speaker)))
        .map_err(|error| DaemonError::System {
            what: "no speaker thread",
            error,
        })
}

/// What the process is told from outside.
enum Event {
    Reload,
    Stop,
}

struct Signals {
    hangup: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, DaemonError> {
        let listen = |kind| {
            signal(kind).map_err(|error| DaemonError::System {
                what: "no signal handler",
                error,
            })
        };
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.hangup.recv() => Event::Reload,
            _ = self.interrupt.recv() => Event::Stop,
            _ = self.terminate.recv() => Event::Stop,
        }
    }

    async fn next_stop(&mut self) {
        while matches!(self.next().await, Event::Reload) {}
    }
}
