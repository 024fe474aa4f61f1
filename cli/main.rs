//! The `gatehouse` binary: verbs and output; the work is done by the crates beside it.

mod check;
mod daemon;
mod demo;
mod get;
mod identity;
mod plan;
mod sys;
mod table;
mod why;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use daemon::logging::Log;
use daemon::settings::{GatewayOnlyArgs, Role, SpeakerArgs};
use daemon::{DaemonError, RunArgs, Settings};
use gatehouse_gateway::admin::AdminSettings;

/// The front door of a bare-metal LAN: addresses, routes and TCP/UDP Services in one binary
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  gatehouse demo                              try it: bookinfo on http://127.0.0.1:8080/productpage
  sudo gatehouse run --config DIR             serve a directory of YAML
  gatehouse run --kube                        serve a cluster; `speaker` and `gateway` for one part
  gatehouse check .                           what is wrong with a directory of YAML, offline
  gatehouse why http://bookinfo.lan/x         what would become of a request, and why
  gatehouse plan --config DIR                 who would get which address, before it is served
  gatehouse get services                      who has which address, and who waits for one
  gatehouse get findings                      what is wrong with the configuration

Exit codes: 0 done; 1 failed, or check found something; 2 wrong usage; 3 no daemon answers.";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Try it: a small bookinfo and its gateway, without root and without a cluster
    Demo(demo::DemoArgs),
    /// Everything in one process, from a directory of YAML or a Kubernetes cluster
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<RunArgs>),
    /// Addresses and their announcement, without the gateway: as MetalLB's controller and speaker
    #[command(after_help = SPEAKER_EXAMPLES)]
    Speaker(Box<SpeakerArgs>),
    /// The gateway, without addresses: as Istio's ingress gateway behind a Service
    #[command(after_help = GATEWAY_EXAMPLES)]
    Gateway(Box<GatewayOnlyArgs>),
    /// Say what is wrong with files of YAML, without serving them
    Check(check::CheckArgs),
    /// Say what would become of a request, and why, without sending it
    Why(Box<why::WhyArgs>),
    /// Say what address each Service has or would get, and why not, without giving it
    Plan(plan::PlanArgs),
    /// Ask the running daemon
    Get(get::GetArgs),
    /// Print what makes a shell complete gatehouse's verbs and flags
    #[command(after_help = COMPLETION_EXAMPLES)]
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
}

const COMPLETION_EXAMPLES: &str = "\
Examples:
  gatehouse completion bash > ~/.local/share/bash-completion/completions/gatehouse
  gatehouse completion zsh > ~/.zfunc/_gatehouse
  gatehouse completion fish > ~/.config/fish/completions/gatehouse.fish";

const RUN_EXAMPLES: &str = "\
Examples:
  gatehouse run --config /etc/gatehouse/resources
  gatehouse run --config . --state ./state --access-log stdout
  gatehouse run --config . --listen 127.0.0.1 --labels istio=ingressgateway
  gatehouse run --kube                        the cluster of KUBECONFIG, or the Pod's own";

const SPEAKER_EXAMPLES: &str = "\
Examples:
  gatehouse speaker --kube                    on every node, in the place of MetalLB
  gatehouse speaker --kube --node-name node1 --kube-namespace gatehouse-system
  gatehouse speaker --config /etc/gatehouse/resources
                                              on a host where another program serves

Where a gateway shares the host's network, give one of the two other ports:
  gatehouse speaker --kube --admin 127.0.0.1:15010 --status 127.0.0.1:15030 --health off";

const GATEWAY_EXAMPLES: &str = "\
Examples:
  gatehouse gateway --kube                    in a Pod, whose labels Gateways select
  gatehouse gateway --kube --labels istio=internal --namespace istio-internal
  gatehouse gateway --config . --listen 127.0.0.1

It listens at the host's or Pod's own addresses; in a cluster at the target ports of the Services
that select it, as Istio's gateway does.";

fn main() -> ExitCode {
    match Cli::parse().verb {
        Verb::Demo(args) => done(run_demo(&args)),
        Verb::Run(args) => {
            let level = args.source.log.clone();
            done(run((*args).into(), &level))
        }
        Verb::Speaker(args) => {
            let level = args.source.log.clone();
            done(run((*args).into(), &level))
        }
        Verb::Gateway(args) => {
            let level = args.source.log.clone();
            done(run((*args).into(), &level))
        }
        Verb::Check(args) => check::run(&args),
        Verb::Why(args) => why::run(&args),
        Verb::Plan(args) => plan::run(&args),
        Verb::Get(args) => get::run(args),
        Verb::Completion { shell } => completion(shell),
    }
}

/// Made in memory first: a reader that has seen enough (`| head`) is no failure.
fn completion(shell: clap_complete::Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "gatehouse", &mut script);
    match std::io::stdout().write_all(&script) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("gatehouse: the script cannot be written: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

fn run(settings: Settings, level: &str) -> Result<(), Failure> {
    // Huge pages would make memory of small pieces larger by a third, and the start slower: a page
    // of 2 MiB is cleared as a whole. A kernel without them has nothing to turn off.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let log = Log::start(level).map_err(Failure::Log)?;
    daemon::run(settings, log, || {})?;
    Ok(())
}

fn run_demo(args: &demo::DemoArgs) -> Result<(), Failure> {
    if args.lan {
        return Ok(demo::lan::run()?);
    }
    let log = Log::start("warn").map_err(Failure::Log)?;
    let demo = demo::Demo::prepare(args)?;
    let settings = Settings {
        role: Role::All,
        config: Some(demo.config()),
        kube: false,
        kube_namespace: None,
        state: demo.state(),
        node: daemon::settings::host_name(),
        locality: String::new(),
        admin: AdminSettings {
            admin: Some(demo.admin()),
            // Closed, so that demos run side by side; the admin address serves them too.
            status: None,
            health: None,
            metrics: None,
            host_name: None,
        },
        labels: [("istio", "ingressgateway"), ("app", "istio-ingressgateway")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        labels_are_given: true,
        pod: None,
        namespace: "istio-system".to_owned(),
        load_balancer_class: None,
        carry_services: daemon::settings::CarryServices::default(),
        listen: demo.listen(),
        workers: daemon::settings::cpus(),
        access_log: None,
        access_log_format: "text".to_owned(),
        server_header: None,
        reason_header: daemon::settings::ReasonHeader::All,
        proxy_protocol_from: Vec::new(),
        misdirected: daemon::settings::Misdirected::default(),
        handshakes: daemon::settings::Handshakes::default(),
        clients: daemon::settings::ClientLimits::default(),
        ignore_security_policies: false,
        gratuitous_interval: std::time::Duration::ZERO,
        exclude_interfaces: Vec::new(),
        ignore_exclude_lb: false,
        peers: daemon::PeerArgs::default(),
        dns: gatehouse_config::source::DnsSettings::default(),
        retry_buffer: 1 << 20,
        mirrors: daemon::settings::Mirrors {
            count: 256,
            bytes: 16 << 20,
            timeout: std::time::Duration::from_secs(30),
        },
        drain_min: std::time::Duration::ZERO,
        drain_max: std::time::Duration::from_secs(2),
        announce: false,
    };
    let served = daemon::run(settings, log, || demo.narrate());
    demo.finish();
    Ok(served?)
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("--log: {0}")]
    Log(String),
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    #[error(transparent)]
    Demo(#[from] demo::DemoError),
    #[error(transparent)]
    Lan(#[from] demo::lan::LanError),
}

fn done(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // To people; the log may not have been started.
            eprintln!("gatehouse: {failure}");
            ExitCode::FAILURE
        }
    }
}
