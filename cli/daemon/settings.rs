//! What `gatehouse run` is told.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use gatehouse_config::model::{AccessLog, LogTarget};
use gatehouse_config::source::DnsSettings;
use gatehouse_config::translate::telemetry::istio_format;
use gatehouse_gateway::admin::AdminSettings;
use ipnet::IpNet;

use crate::daemon::PeerArgs;
use crate::identity::GatewayArgs;

/// Where the state is kept if nothing else is said.
const STATE: &str = "/var/lib/gatehouse";

/// Whom `x-gatehouse-reason` is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ReasonHeader {
    /// Nobody
    Off,
    /// Clients with a private or link-local address
    #[default]
    Lan,
    /// Everybody
    All,
}

/// What an HTTPS request is answered whose Host is served on connections of another name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Misdirected {
    /// 421: browsers ask again on a connection of the host's own
    #[default]
    #[value(name = "421")]
    Refused,
    /// What the routes of the connection's own name say, mostly 404, as with Istio
    #[value(name = "404")]
    Routed,
}

/// The flags of `gatehouse run`.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// The directory (or file) of YAML objects
    #[arg(long, value_name = "DIR", required_unless_present = "kube")]
    pub config: Option<PathBuf>,
    /// Take objects from a Kubernetes cluster, and write addresses to their status there; found as
    /// kubectl does (KUBECONFIG, ~/.kube/config, the Pod's own account). With --config as well,
    /// both together
    #[arg(long)]
    pub kube: bool,
    /// The namespace of the Lease by which one node at a time deals addresses
    /// [default: the Pod's own, or kube-system]
    #[arg(long, value_name = "NS", requires = "kube")]
    pub kube_namespace: Option<String>,
    /// Where allocations are kept over restarts
    #[arg(long, value_name = "DIR", default_value = STATE)]
    pub state: PathBuf,
    /// This node's name [default: the host's name]
    #[arg(long, visible_alias = "node-name", value_name = "NAME")]
    pub node: Option<String>,
    /// Where this node stands, for endpoints that are near or far
    /// [default: what the node's Node object says]
    #[arg(
        long,
        value_name = "REGION/ZONE/SUBZONE",
        default_value = "",
        hide_default_value = true
    )]
    pub locality: String,
    /// Where the admin API and the dashboard listen, or `off`
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:15000", value_parser = address)]
    pub admin: Address,
    /// Where /stats/prometheus and /healthz/ready listen, or `off`
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:15020", value_parser = address)]
    pub status: Address,
    /// Where /healthz/ready listens for load balancers, or `off`
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:15021", value_parser = address)]
    pub health: Address,
    /// Where /stats/prometheus listens on Envoy's port, or `off`
    #[arg(long, value_name = "ADDR", default_value = "off", value_parser = address)]
    pub metrics: Address,
    #[command(flatten)]
    pub gateway: GatewayArgs,
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
    /// Serve hosts that an AuthorizationPolicy or RequestAuthentication guards, although their
    /// rules are not enforced
    #[arg(long)]
    pub ignore_security_policies: bool,
    /// How often each address is announced again without need, in seconds; 0: never
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub gratuitous_interval: u64,
    #[command(flatten)]
    pub peers: PeerArgs,
    /// The DNS server for names of endpoints [default: those in /etc/resolv.conf]
    #[arg(long, value_name = "IP[:PORT]", value_parser = resolver)]
    pub resolver: Option<SocketAddr>,
    /// A name is looked up no more often than this, whatever its TTL says
    #[arg(
        long, value_name = "SECONDS", default_value_t = 5,
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    pub dns_min_refresh: u64,
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
    /// What is logged: `info`, `debug`, `info,gatehouse_gateway=debug`
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log: String,
}

/// A socket address, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub Option<SocketAddr>);

/// Bounds of the copies of requests that one worker has under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mirrors {
    /// How many.
    pub count: usize,
    /// Their bytes together.
    pub bytes: usize,
    /// How long each and its answer may take.
    pub timeout: Duration,
}

/// Bounds of the TLS handshakes that one worker has under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshakes {
    /// How many.
    pub count: usize,
    /// How long each may take.
    pub timeout: Duration,
}

impl Default for Handshakes {
    fn default() -> Self {
        Self {
            count: 1000,
            timeout: Duration::from_secs(15),
        }
    }
}

/// What the daemon is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The directory of objects.
    pub config: Option<PathBuf>,
    /// Whether objects come from a cluster.
    pub kube: bool,
    /// Where its Lease is; none: where all others look.
    pub kube_namespace: Option<String>,
    /// Where allocations are kept.
    pub state: PathBuf,
    /// This node's name.
    pub node: String,
    /// Where it stands, `region/zone/subzone`; empty: not told.
    pub locality: String,
    /// Where pages, API, metrics and health are served.
    pub admin: AdminSettings,
    /// The gateway's labels.
    pub labels: BTreeMap<String, String>,
    /// The gateway's namespace.
    pub namespace: String,
    /// The host's own addresses to listen at.
    pub listen: Vec<IpAddr>,
    /// Worker threads.
    pub workers: usize,
    /// `off`, `stdout` or a file; none: as MeshConfig and Telemetries say.
    pub access_log: Option<String>,
    /// `text` or `json`.
    pub access_log_format: String,
    /// The `server` header, where one was asked for; empty: the upstream's own.
    pub server_header: Option<String>,
    /// Who is told why a request was answered 404 or 503.
    pub reason_header: ReasonHeader,
    /// Whose PROXY headers are believed; empty: a LAN's.
    pub proxy_protocol_from: Vec<IpNet>,
    /// What becomes of HTTPS requests whose Host is served on connections of another name.
    pub misdirected: Misdirected,
    /// Bounds of TLS handshakes.
    pub handshakes: Handshakes,
    /// Guarded hosts are served all the same.
    pub ignore_security_policies: bool,
    /// How often addresses are announced again.
    pub gratuitous_interval: Duration,
    /// Other nodes beside this one.
    pub peers: PeerArgs,
    /// How names are looked up.
    pub dns: DnsSettings,
    /// What is kept of a request's body for another try, in bytes.
    pub retry_buffer: usize,
    /// Bounds of copies of requests.
    pub mirrors: Mirrors,
    /// Accept for so long after SIGTERM.
    pub drain_min: Duration,
    /// End so long after SIGTERM.
    pub drain_max: Duration,
    /// Whether addresses are announced at all (not in the demo).
    pub announce: bool,
}

impl Settings {
    /// The access logs that the command line asks for; none where it says nothing of them.
    pub fn access_logs(&self) -> Option<Vec<AccessLog>> {
        let target = match self.access_log.as_deref()? {
            "off" | "" => return Some(Vec::new()),
            "stdout" => LogTarget::Stdout,
            path => LogTarget::of_path(path),
        };
        Some(vec![AccessLog {
            target,
            format: istio_format(self.access_log_format == "json"),
            omit_empty: false,
            filter: None,
        }])
    }
}

impl From<RunArgs> for Settings {
    fn from(args: RunArgs) -> Self {
        let RunArgs {
            config,
            kube,
            kube_namespace,
            state,
            node,
            locality,
            admin,
            status,
            health,
            metrics,
            gateway: GatewayArgs { labels, namespace },
            listen,
            workers,
            access_log,
            access_log_format,
            server_header,
            reason_header,
            proxy_protocol_from,
            misdirected,
            max_handshakes,
            handshake_timeout,
            ignore_security_policies,
            gratuitous_interval,
            peers,
            resolver,
            dns_min_refresh,
            retry_buffer,
            max_mirrors,
            max_mirror_bytes,
            mirror_timeout,
            drain_min,
            drain_max,
            log: _,
        } = args;
        let node = node.unwrap_or_else(host_name);
        Self {
            config,
            kube,
            kube_namespace,
            state,
            admin: AdminSettings {
                admin: admin.0,
                status: status.0,
                health: health.0,
                metrics: metrics.0,
                host_name: Some(node.clone()),
            },
            node,
            locality,
            labels: labels.0,
            namespace,
            listen: if listen.is_empty() {
                every_address()
            } else {
                listen
            },
            workers: workers.map_or_else(cpus, usize::from),
            access_log,
            access_log_format,
            server_header,
            reason_header,
            proxy_protocol_from,
            misdirected,
            handshakes: Handshakes {
                count: usize::try_from(max_handshakes).unwrap_or(usize::MAX),
                timeout: Duration::from_secs(handshake_timeout),
            },
            ignore_security_policies,
            gratuitous_interval: Duration::from_secs(gratuitous_interval),
            peers,
            dns: DnsSettings {
                server: resolver,
                min_refresh: Duration::from_secs(dns_min_refresh),
                ..DnsSettings::default()
            },
            retry_buffer: usize::try_from(retry_buffer).unwrap_or(usize::MAX),
            mirrors: Mirrors {
                count: usize::try_from(max_mirrors).unwrap_or(usize::MAX),
                bytes: usize::try_from(max_mirror_bytes).unwrap_or(usize::MAX),
                timeout: Duration::from_secs(mirror_timeout),
            },
            drain_min: Duration::from_secs(drain_min),
            drain_max: Duration::from_secs(drain_max.max(drain_min)),
            announce: true,
        }
    }
}

/// The CPUs that this process may use: its affinity and its cgroup's quota.
pub fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The host's name, as Kubernetes would name the node.
pub fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

/// Every address of the families that this host has.
fn every_address() -> Vec<IpAddr> {
    let v4 = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let v6 = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    // A host whose IPv6 is off must not get an error for every server.
    let has_v6 = std::net::UdpSocket::bind((v6, 0)).is_ok();
    if has_v6 { vec![v4, v6] } else { vec![v4] }
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
