//! `gatehouse demo --lan`: the whole story on a virtual LAN, told step by step.
//!
//! Everything happens in network namespaces whose names begin with `gatehouse-`: nothing is seen
//! of it in the machine's own network, and it is removed at the end, on Ctrl-C, on an error, and
//! after a crash by the next run.

mod daemon;
mod fetch;
mod kiali;
mod network;
mod story;

use std::fs::{self, File, TryLockError};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use tokio::signal::unix::{SignalKind, signal};

use super::bookinfo::{Bookinfo, Layout};
use daemon::Daemon;
use network::{BACKEND, Lan};

/// Held while a demo runs: its names exist once on a machine.
const LOCK: &str = "/run/gatehouse-demo-lan.lock";
/// Its files, under a name that the next run finds; only root can make it.
const FOLDER: &str = "/run/gatehouse-demo-lan";

/// The machine behind the gateway, as config/examples/lan has it.
const BACKEND_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 8, 20);
const KIALI_PORT: u16 = 20001;

/// Why the LAN demo cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum LanError {
    /// Namespaces need root.
    #[error(
        "the demo's LAN is made of network namespaces, and only root may make those: \
         sudo gatehouse demo --lan (without --lan no privilege is needed)"
    )]
    NeedsRoot,
    /// The program `ip` is missing.
    #[error(
        "the demo's LAN is built with the program `ip`, which is not on the PATH; it comes with \
         the package iproute2: apt install iproute2"
    )]
    NeedsIp,
    /// Another demo has the names.
    #[error("another `gatehouse demo --lan` is running; end it first (Ctrl-C in its terminal)")]
    Running,
    /// `ip` refused.
    #[error("the kernel did not give the demo its LAN: `ip {command}` said: {said}")]
    Ip {
        /// Its arguments.
        command: String,
        /// Its stderr.
        said: String,
    },
    /// A step of the story did not happen.
    #[error("{0}")]
    Story(String),
    /// The daemon ended.
    #[error("gatehouse run ended by itself ({status}); its last lines:\n{log}")]
    Daemon {
        /// How.
        status: String,
        /// The end of its log.
        log: String,
    },
    /// The operating system refused something else.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why not.
        error: io::Error,
    },
}

impl LanError {
    fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io { what, error }
    }
}

/// Builds the LAN, tells the story, waits for Ctrl-C, and removes everything.
///
/// # Errors
///
/// No root, no `ip`, another demo, or a step that failed; the text says what to do.
pub fn run() -> Result<(), LanError> {
    if !rustix::process::geteuid().is_root() {
        return Err(LanError::NeedsRoot);
    }
    network::check_for_ip()?;
    let _lock = lock(Path::new(LOCK))?;
    network::remove_all();

    println!("A LAN 192.168.8.0/24 of network namespaces: a client, a node, a machine behind it.");
    let lan = Lan::build()?;
    let layout = layout();
    let bookinfo = network::enter(BACKEND, move || Bookinfo::start_at(layout))
        .and_then(|started| started)
        .map_err(LanError::io("bookinfo did not start"))?;
    let kiali = SocketAddr::from((BACKEND_ADDRESS, KIALI_PORT));
    let kiali = network::enter(BACKEND, move || kiali::start(kiali))
        .and_then(|started| started)
        .map_err(LanError::io("the stand-in for Kiali did not start"))?;
    let folder = Folder::make(FOLDER).map_err(LanError::io("the demo's folder cannot be made"))?;
    let config = folder.0.join("config");
    story::write_config(&config).map_err(LanError::io("the demo's files cannot be written"))?;
    let mut daemon = Daemon::start(&folder.0, &config)?;

    let told = tell(&mut daemon, &lan, config);
    println!("\nStopping: gatehouse withdraws its addresses, then the LAN is removed.");
    let stopped = daemon.stop();
    kiali.shutdown();
    bookinfo.shutdown();
    drop(lan);
    told.and(stopped)
}

/// Tells the story on a thread of its own, so that Ctrl-C is heard at any moment.
fn tell(daemon: &mut Daemon, lan: &Lan, config: PathBuf) -> Result<(), LanError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(LanError::io("the demo's runtime cannot be started"))?;
    let mac = lan.node_mac()?;
    let program = daemon.program().to_owned();
    let told = runtime.block_on(async {
        let signals = (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        );
        let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
            return Err(LanError::Story("signals cannot be waited for".to_owned()));
        };
        let story = async {
            let told = tokio::task::spawn_blocking(move || story::tell(&program, &config, &mac));
            let told = told.await;
            told.unwrap_or_else(|error| Err(LanError::Story(error.to_string())))?;
            std::future::pending().await
        };
        tokio::select! {
            told = story => told,
            ended = daemon.ended() => Err(ended),
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
        }
    });
    // A step that still waits for something is not waited for.
    runtime.shutdown_background();
    told
}

/// Where bookinfo's servers listen: the places that config/examples name.
fn layout() -> Layout {
    let at = |port| SocketAddr::from((BACKEND_ADDRESS, port));
    Layout {
        productpage: at(9080),
        details: at(9081),
        reviews: [at(9082), at(9083), at(9084)],
        ratings: at(9085),
    }
}

/// The demo's files; removed when dropped.
struct Folder(PathBuf);

impl Folder {
    /// Makes it anew: what a demo left that could not remove it goes first.
    fn make(path: &str) -> io::Result<Self> {
        let folder = Self(PathBuf::from(path));
        match fs::remove_dir_all(&folder.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        fs::create_dir(&folder.0)?;
        Ok(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "the demo's folder stays behind");
        }
    }
}

/// The lock that only one demo holds; the kernel takes it back however the demo ends.
fn lock(path: &Path) -> Result<File, LanError> {
    let file = File::create(path).map_err(LanError::io("the demo's lock cannot be made"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LanError::Running),
        Err(TryLockError::Error(error)) => {
            Err(LanError::io("the demo's lock cannot be had")(error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_demo_at_a_time() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("lock");
        let first = lock(&path).expect("nobody holds it");
        assert!(matches!(lock(&path), Err(LanError::Running)));
        drop(first);
        lock(&path).expect("it is free again");
    }

    #[test]
    fn errors_name_the_way_on() {
        assert!(LanError::NeedsRoot.to_string().contains("sudo"));
        assert!(
            LanError::NeedsIp
                .to_string()
                .contains("apt install iproute2")
        );
    }
}
