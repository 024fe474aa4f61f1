//! `gatehouse demo`: bookinfo, its routes and the gateway, in one process and without privileges.
//!
//! Nothing outside 127/8 and one temporary directory is touched; the directory goes when the demo
//! ends.

pub mod bookinfo;
mod files;
pub mod lan;
mod narration;
mod port;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Instant;

use bookinfo::Bookinfo;
use port::Taken;

/// Where the admin API of a demo listens if nothing else was asked for and it is free.
const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 15000);

/// The demo's flags.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// The port that the page is served on, at 127.0.0.1
    #[arg(long, default_value_t = 8080, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// Where the admin API listens [default: 127.0.0.1:15000, or any free port if that is taken]
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<SocketAddr>,
    /// The whole story on a virtual LAN: addresses, ARP, a client (needs root)
    #[arg(long)]
    pub lan: bool,
}

/// Why the demo cannot start.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Somebody else listens where the demo wants to.
    #[error("{0}")]
    Taken(Box<Taken>),
    /// The port is one of those that need a privilege.
    #[error(
        "port {0} is below 1024 and needs root or CAP_NET_BIND_SERVICE. \
         Choose another one: gatehouse demo --port 8080"
    )]
    Privileged(u16),
    /// The address cannot be used for another reason.
    #[error("{what} cannot be served on {address}: {error}")]
    Address {
        /// What would have been served.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// Bookinfo did not start.
    #[error("{0}")]
    Bookinfo(io::Error),
    /// The demo's directory could not be written.
    #[error("the demo's configuration cannot be written to {}: {error}", path.display())]
    Files {
        /// Which file or directory.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

/// Everything that the gateway needs, ready to be served; gone when dropped.
#[derive(Debug)]
pub struct Demo {
    bookinfo: Bookinfo,
    directory: tempfile::TempDir,
    page: SocketAddr,
    admin: SocketAddr,
    started: Instant,
}

impl Demo {
    /// Checks the ports, starts bookinfo and writes its configuration.
    ///
    /// # Errors
    ///
    /// A port is taken, or a file cannot be written: the text says what to do about it.
    pub fn prepare(args: &DemoArgs) -> Result<Self, DemoError> {
        let started = Instant::now();
        let page = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
        port::check("the page", page, "--port")?;
        let admin = match args.admin {
            Some(admin) => {
                port::check("the admin API", admin, "--admin")?;
                admin
            }
            None => port::check("the admin API", ADMIN, "--admin")
                .map(|()| ADMIN)
                .or_else(|_| port::free())?,
        };
        let bookinfo = Bookinfo::start().map_err(DemoError::Bookinfo)?;
        let directory = files::write(args.port, bookinfo.layout())?;
        Ok(Self {
            bookinfo,
            directory,
            page,
            admin,
            started,
        })
    }

    /// The directory that the gateway reads, and that the user may edit.
    pub fn config(&self) -> PathBuf {
        files::config(self.directory.path())
    }

    /// Where allocations are kept while the demo runs.
    pub fn state(&self) -> PathBuf {
        files::state(self.directory.path())
    }

    /// The addresses that the Gateway's server listens at.
    pub fn listen(&self) -> Vec<IpAddr> {
        vec![self.page.ip()]
    }

    /// Where the admin API listens. It serves the metrics as well: the other ports of a daemon
    /// (15020, 15021) may stay closed, so that demos run side by side.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Tells the user where to look, once the page has really been answered.
    pub fn narrate(&self) {
        narration::Narration {
            page: self.page,
            admin: self.admin,
            config: self.config(),
            program: program(),
            workloads: self.bookinfo.layout().workloads(),
            started: self.started,
        }
        .print_when_served();
    }

    /// Stops bookinfo and removes the directory.
    pub fn finish(self) {
        let Self {
            bookinfo,
            directory,
            ..
        } = self;
        bookinfo.shutdown();
        let path = directory.path().to_owned();
        if let Err(error) = directory.close() {
            tracing::warn!(path = %path.display(), %error, "the demo's directory stays behind");
        }
    }
}

/// How the user called this program.
fn program() -> String {
    std::env::args_os().next().map_or_else(
        || "gatehouse".to_owned(),
        |program| program.to_string_lossy().into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(port: u16) -> DemoArgs {
        DemoArgs {
            port,
            admin: None,
            lan: false,
        }
    }

    /// A port that nobody holds at this moment.
    fn free_port() -> u16 {
        port::free().expect("a free port").port()
    }

    #[test]
    fn two_demos_run_side_by_side_and_leave_nothing() {
        let one = Demo::prepare(&args(free_port())).expect("the first demo");
        // What the first demo's admin API would hold.
        let _admin = std::net::TcpListener::bind(one.admin);
        let two = Demo::prepare(&args(free_port())).expect("the second demo");
        assert_ne!(one.admin, two.admin);
        assert_ne!(one.config(), two.config());
        let directory = one.directory.path().to_owned();
        assert!(one.config().join("gateway.yaml").is_file() && one.state().is_dir());
        one.finish();
        assert!(!directory.exists() && two.config().exists());
    }

    #[test]
    fn a_taken_port_says_who_holds_it_and_how_to_go_on() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = taken.local_addr().expect("bound").port();
        let error = Demo::prepare(&args(port)).expect_err("it is taken");
        let text = error.to_string();
        for part in [
            format!("127.0.0.1:{port}"),
            format!("(process {})", std::process::id()),
            "gatehouse demo --port ".to_owned(),
        ] {
            assert!(text.contains(&part), "{part} in {text}");
        }
    }

    #[test]
    fn a_taken_admin_address_that_was_asked_for_is_an_error() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let admin = taken.local_addr().expect("bound");
        let asked = DemoArgs {
            admin: Some(admin),
            ..args(free_port())
        };
        let text = Demo::prepare(&asked).expect_err("it is taken").to_string();
        assert!(
            text.contains("--admin") && text.contains(&admin.to_string()),
            "{text}"
        );
    }
}
