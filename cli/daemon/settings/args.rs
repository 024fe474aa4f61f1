//! The flags of `run`, `speaker` and `gateway`: the same ones, as far as they concern each.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Command};
use ipnet::IpNet;
use regex::Regex;

use super::{Address, CarryServices, Misdirected, ReasonHeader};
use crate::daemon::PeerArgs;
use crate::identity::{ClassArgs, GatewayArgs};

/// Where the state is kept if nothing else is said.
const STATE: &str = "/var/lib/gatehouse";

/// The flags of `gatehouse run`.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    #[command(flatten)]
    pub announcing: AnnouncingArgs,
    #[command(flatten)]
    pub admin: AdminArgs,
    #[command(flatten)]
    pub serving: ServingArgs,
    /// Whether a cluster's Services that are not the gateway's are carried, where kube-proxy does
    /// not
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = CarryServices::Auto, requires = "kube")]
    pub carry_services: CarryServices,
}

/// The flags of `gatehouse speaker`.
#[derive(Args, Clone, Debug)]
pub struct SpeakerArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    #[command(flatten)]
    pub class: ClassArgs,
    #[command(flatten)]
    pub announcing: AnnouncingArgs,
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// The flags of `gatehouse gateway`.
#[derive(Args, Clone, Debug)]
pub struct GatewayOnlyArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    #[command(flatten)]
    pub admin: AdminArgs,
    #[command(flatten)]
    pub serving: ServingArgs,
}

/// Where objects come from, and what is logged.
#[derive(Args, Clone, Debug)]
pub struct SourceArgs {
    /// The directory (or file) of YAML objects
    #[arg(long, value_name = "DIR", required_unless_present = "kube")]
    pub config: Option<PathBuf>,
    /// Take objects from a Kubernetes cluster, and write addresses to their status there; found as
    /// kubectl does (KUBECONFIG, ~/.kube/config, the Pod's own account). With --config as well,
    /// both together
    #[arg(long)]
    pub kube: bool,
    /// The namespace of the Leases by which one node at a time deals addresses and nodes find one
    /// another [default: the Pod's own, or kube-system]
    #[arg(long, value_name = "NS", requires = "kube")]
    pub kube_namespace: Option<String>,
    /// This node's name [default: the host's name]
    #[arg(long, visible_alias = "node-name", value_name = "NAME")]
    pub node: Option<String>,
    /// The DNS server for names of endpoints [default: those in /etc/resolv.conf]
    #[arg(long, value_name = "IP[:PORT]", value_parser = resolver)]
    pub resolver: Option<SocketAddr>,
    /// A name is looked up no more often than this, whatever its TTL says
    #[arg(
        long, value_name = "SECONDS", default_value_t = 5,
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    pub dns_min_refresh: u64,
    /// What is logged: `info`, `debug`, `info,gatehouse_gateway=debug`
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log: String,
}

/// Addresses and their announcement.
#[derive(Args, Clone, Debug)]
pub struct AnnouncingArgs {
    /// Where allocations are kept over restarts
    #[arg(long, value_name = "DIR", default_value = STATE)]
    pub state: PathBuf,
    /// How often each address is announced again without need, in seconds; 0: never
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub gratuitous_interval: u64,
    /// Interfaces whose names this regular expression matches are never announced on, even if an
    /// L2Advertisement names them; may be repeated, and takes the place of the default ('^$': none is
    /// excluded) [default: those of containers and of CNI plugins, as MetalLB's
    /// metallb-excludel2]
    #[arg(long, value_name = "REGEX", value_parser = pattern)]
    pub exclude_interfaces: Vec<Regex>,
    /// Nodes with the label node.kubernetes.io/exclude-from-external-load-balancers may own
    /// addresses too; the same on all nodes
    #[arg(long)]
    pub ignore_exclude_lb: bool,
    #[command(flatten)]
    pub peers: PeerArgs,
}

/// Where pages, metrics and health are served.
#[derive(Args, Clone, Debug)]
pub struct AdminArgs {
    /// Where the admin API and the dashboard listen, or `off`
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:15000", value_parser = address)]
    pub admin: Address,
    /// Where /stats/prometheus and /healthz/ready listen, or `off`
    /// [default: 127.0.0.1:15020, in a Pod 0.0.0.0:15020]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub status: Option<Address>,
    /// Where /healthz/ready listens for load balancers, or `off`
    /// [default: 127.0.0.1:15021, in a Pod 0.0.0.0:15021]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub health: Option<Address>,
    /// Where /stats/prometheus listens on Envoy's port, or `off`
    #[arg(long, value_name = "ADDR", default_value = "off", value_parser = address)]
    pub metrics: Address,
}

/// The gateway.
#[derive(Args, Clone, Debug)]
pub struct ServingArgs {
    #[command(flatten)]
    pub gateway: GatewayArgs,
    /// Where this node stands, for endpoints that are near or far
    /// [default: what the node's Node object says]
    #[arg(
        long,
        value_name = "REGION/ZONE/SUBZONE",
        default_value = "",
        hide_default_value = true
    )]
    pub locality: String,
    /// The host's address for servers that no LoadBalancer Service leads to; may be repeated
    /// [default: every address, v4 and v6]
    #[arg(long, value_name = "ADDR")]
    pub listen: Vec<IpAddr>,
    /// Worker threads [default: one per CPU that the process may use]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,
    /// Where access log lines go: `off`, `stdout` or a file
    /// [default: as MeshConfig and Telemetries say, or `off`]
    #[arg(long, value_name = "off|stdout|FILE")]
    pub access_log: Option<String>,
    /// How lines of --access-log look
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"], default_value = "text")]
    pub access_log_format: String,
    /// The `server` header of responses; empty leaves the upstream's own
    /// [default: what the MeshConfig says, or `gatehouse`]
    #[arg(long, value_name = "NAME")]
    pub server_header: Option<String>,
    /// Who is told in `x-gatehouse-reason` why a request was answered 404 or 503: clients with a
    /// private address, everybody, or nobody
    #[arg(long, value_enum, value_name = "WHO", default_value_t = ReasonHeader::Lan)]
    pub reason_header: ReasonHeader,
    /// Networks of proxies in front whose PROXY headers are believed, where the MeshConfig has
    /// `gatewayTopology.proxyProtocol`: their connections must begin with one, all others must not
    /// [default: loopback, private and link-local addresses]
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = network)]
    pub proxy_protocol_from: Vec<IpNet>,
    /// What an HTTPS request is answered whose Host is served on TLS connections of another name
    #[arg(long, value_enum, value_name = "STATUS", default_value_t = Misdirected::Refused)]
    pub misdirected: Misdirected,
    /// TLS handshakes that one worker has under way; further connections are closed
    #[arg(
        long, value_name = "N", default_value_t = 1000,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub max_handshakes: u32,
    /// How long a client may take for the TLS handshake
    #[arg(
        long, value_name = "SECONDS", default_value_t = 15,
        value_parser = clap::value_parser!(u64).range(1..=3600)
    )]
    pub handshake_timeout: u64,
    /// Connections of clients that one worker has open; further ones are closed
    #[arg(
        long, value_name = "N", default_value_t = 50_000,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub max_connections: u32,
    /// Requests that a client of HTTP/2 may give up before they are answered, in ten seconds; after
    /// more its connection is closed
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub http2_resets: u32,
    /// Frames without use (PING, SETTINGS, WINDOW_UPDATE, PRIORITY and unknown ones) that a client of
    /// HTTP/2 may send in ten seconds, and three more for each frame that it is sent; after more its
    /// connection is closed
    #[arg(
        long, value_name = "N", default_value_t = 1000,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub http2_idle_frames: u32,
    /// Serve hosts that an AuthorizationPolicy or RequestAuthentication guards, although their
    /// rules are not enforced
    #[arg(long)]
    pub ignore_security_policies: bool,
    /// How much of a request's body is kept for another try or a copy
    #[arg(
        long, value_name = "BYTES", default_value_t = 1 << 20,
        value_parser = clap::value_parser!(u64).range(..=1 << 30)
    )]
    pub retry_buffer: u64,
    /// Copies of requests (`mirrors`) that one worker has under way; more are left out
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub max_mirrors: u32,
    /// What these copies hold together in one worker
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20)]
    pub max_mirror_bytes: u64,
    /// How long a copy and its answer may take
    #[arg(
        long, value_name = "SECONDS", default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    pub mirror_timeout: u64,
    /// On SIGTERM, go on accepting for so many seconds with `connection: close`
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub drain_min: u64,
    /// On SIGTERM, let requests under way finish for so many seconds at most
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub drain_max: u64,
}

/// A group of flags none of which was given.
pub(super) fn none_given<T: Args>() -> T {
    let command = T::augment_args(Command::new("gatehouse").no_binary_name(true));
    let matches = command.try_get_matches_from(std::iter::empty::<&str>());
    // None of these groups asks for anything, as a test shows.
    let group = matches.and_then(|matches| T::from_arg_matches(&matches));
    group.unwrap_or_else(|error| error.exit())
}

fn address(text: &str) -> Result<Address, String> {
    if text == "off" {
        return Ok(Address(None));
    }
    text.parse()
        .map(|address| Address(Some(address)))
        .map_err(|_| {
            format!("`{text}` is not an address and port such as 127.0.0.1:15000, nor `off`")
        })
}

fn pattern(text: &str) -> Result<Regex, String> {
    if text.is_empty() {
        return Err("it would exclude every interface; '^$' excludes none".to_owned());
    }
    Regex::new(text).map_err(|error| error.to_string())
}

fn network(text: &str) -> Result<IpNet, String> {
    let one = |_| text.parse().map(|ip: IpAddr| IpNet::from(ip));
    text.parse()
        .or_else(one)
        .map_err(|_: std::net::AddrParseError| {
            format!("`{text}` is not a network such as 192.168.8.0/24, nor an address")
        })
}

fn resolver(text: &str) -> Result<SocketAddr, String> {
    let with_port = text.parse();
    with_port
        .or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53)))
        .map_err(|_| format!("`{text}` is not an address such as 192.168.8.1 or 127.0.0.1:5353"))
}

#[cfg(test)]
mod tests {
    use gatehouse_gateway::worker::WorkerSettings;

    use super::*;

    #[test]
    fn groups_that_a_verb_has_not_got_have_defaults() {
        let announcing: AnnouncingArgs = none_given();
        assert_eq!(announcing.gratuitous_interval, 60);
        let serving: ServingArgs = none_given();
        assert!(serving.listen.is_empty() && serving.gateway.labels.is_none());
    }

    #[test]
    fn limits_of_clients_are_the_gateways_own_where_nothing_is_said() {
        let serving: ServingArgs = none_given();
        let own = WorkerSettings::default();
        assert_eq!(serving.max_connections as usize, own.max_connections);
        assert_eq!(serving.http2_resets, own.http2_resets);
        assert_eq!(serving.http2_idle_frames, own.http2_idle_frames);
    }
}
