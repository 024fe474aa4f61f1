//! The log: to stderr, its level changeable at run time.

use gatehouse_gateway::admin::Logging;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// The running log.
#[derive(Debug)]
pub struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl Log {
    /// Starts logging to stderr. The journal adds its own time, so that ours is left out there.
    ///
    /// # Errors
    ///
    /// The directives are wrong.
    pub fn start(directives: &str) -> Result<Self, String> {
        let (filter, handle) = reload::Layer::new(parse(directives)?);
        let colour = std::io::IsTerminal::is_terminal(&std::io::stderr())
            && std::env::var_os("NO_COLOR").is_none();
        let lines = fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(colour)
            .with_target(false);
        let registry = tracing_subscriber::registry().with(filter);
        let started = if std::env::var_os("JOURNAL_STREAM").is_some() {
            registry.with(lines.without_time()).try_init()
        } else {
            registry.with(lines).try_init()
        };
        started.map_err(|error| error.to_string())?;
        Ok(Self { filter: handle })
    }
}

impl Logging for Log {
    fn level(&self) -> String {
        self.filter
            .with_current(ToString::to_string)
            .unwrap_or_default()
    }

    fn set_level(&self, directives: &str) -> Result<(), String> {
        self.filter
            .reload(parse(directives)?)
            .map_err(|error| error.to_string())
    }
}

/// What the client of Kubernetes says of answers that are no news: every kind that a cluster has not
/// got is one. What matters of them is a line of ours.
const CLIENT: &str = "kube_client::client";
/// And its watches, which complain of each refused try.
const WATCHES: &str = "kube_runtime::watcher";

fn parse(directives: &str) -> Result<EnvFilter, String> {
    let quiet = match directives.contains("kube") || directives.contains("trace") {
        // Who asks for it gets it.
        true => directives.to_owned(),
        false => format!("{directives},{CLIENT}=error,{WATCHES}=error"),
    };
    EnvFilter::try_new(quiet).map_err(|error| {
        format!("`{directives}` is not a log level ({error}); write `info` or `info,gatehouse_gateway=debug`")
    })
}
