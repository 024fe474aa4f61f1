//! What the daemon is told.

mod args;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use gatehouse_config::Labels;
use gatehouse_config::model::{AccessLog, LogTarget};
use gatehouse_config::resources::ObjectKey;
use gatehouse_config::source::DnsSettings;
use gatehouse_config::translate::telemetry::istio_format;
use gatehouse_gateway::admin::AdminSettings;
use gatehouse_gateway::worker::WorkerSettings;
use ipnet::IpNet;
use regex::Regex;

use crate::daemon::PeerArgs;
use args::{AdminArgs, AnnouncingArgs, ServingArgs, SourceArgs, none_given};
pub use args::{GatewayOnlyArgs, RunArgs, SpeakerArgs};

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

/// What becomes of a cluster's Services that are not the gateway's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum CarryServices {
    /// Their ports are opened where they are free; where kube-proxy runs it is faster than that
    #[default]
    Auto,
    /// Their ports stay closed: kube-proxy, or what the cluster has in its place, carries them
    Never,
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

/// Bounds of what one client, or all of them, may ask of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientLimits {
    /// Connections.
    pub connections: usize,
    /// Requests of a connection of HTTP/2 that are given up, in ten seconds.
    pub http2_resets: u32,
    /// Its frames that carry nothing, in ten seconds.
    pub http2_idle_frames: u32,
}

impl Default for ClientLimits {
    fn default() -> Self {
        let WorkerSettings {
            max_connections,
            http2_resets,
            http2_idle_frames,
            ..
        } = WorkerSettings::default();
        Self {
            connections: max_connections,
            http2_resets,
            http2_idle_frames,
        }
    }
}

/// Which parts run in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// All.
    All,
    /// Addresses and their announcement.
    Speaker,
    /// The gateway; addresses are dealt and announced by others.
    Gateway,
}

/// What the daemon is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which parts run.
    pub role: Role,
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
    /// The gateway's labels, where no Pod adds to them.
    pub labels: Labels,
    /// They were named, so that they count more than the Pod's.
    pub labels_are_given: bool,
    /// The Pod that the gateway runs in; its labels count as well.
    pub pod: Option<ObjectKey>,
    /// The gateway's namespace.
    pub namespace: String,
    /// The `loadBalancerClass` of the Services that are served; none: those without one.
    pub load_balancer_class: Option<String>,
    /// What becomes of a cluster's Services that are not the gateway's.
    pub carry_services: CarryServices,
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
    /// Bounds of what clients do.
    pub clients: ClientLimits,
    /// Guarded hosts are served all the same.
    pub ignore_security_policies: bool,
    /// How often addresses are announced again.
    pub gratuitous_interval: Duration,
    /// Interfaces that are never announced on, by name; none: the usual ones.
    pub exclude_interfaces: Vec<Regex>,
    /// Nodes that are labelled as excluded from load balancers may own addresses.
    pub ignore_exclude_lb: bool,
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

    /// The namespaces of a cluster whose Services may select this gateway: its Pod's, where
    /// Kubernetes' own selectors find it, and the gateway's, whose place `run` takes. To a `gateway`
    /// in a Pod others lead, and they know its Pod alone.
    pub fn service_namespaces(&self) -> Vec<String> {
        let pod = self.pod.as_ref().map(|pod| pod.namespace.clone());
        let gateway =
            Some(self.namespace.clone()).filter(|_| self.role != Role::Gateway || pod.is_none());
        let mut namespaces: Vec<String> = gateway.into_iter().chain(pod).collect();
        namespaces.dedup();
        namespaces
    }
}

impl From<RunArgs> for Settings {
    fn from(args: RunArgs) -> Self {
        let RunArgs {
            source,
            announcing,
            admin,
            serving,
            carry_services,
        } = args;
        Self {
            carry_services,
            ..Self::new(Role::All, source, announcing, admin, serving)
        }
    }
}

impl From<SpeakerArgs> for Settings {
    fn from(args: SpeakerArgs) -> Self {
        let SpeakerArgs {
            source,
            class,
            announcing,
            admin,
        } = args;
        let serving: ServingArgs = none_given();
        let settings = Self::new(Role::Speaker, source, announcing, admin, serving);
        Self {
            load_balancer_class: class.class(),
            ..settings
        }
    }
}

impl From<GatewayOnlyArgs> for Settings {
    fn from(args: GatewayOnlyArgs) -> Self {
        let GatewayOnlyArgs {
            source,
            admin,
            serving,
        } = args;
        Self::new(Role::Gateway, source, none_given(), admin, serving)
    }
}

impl Settings {
    fn new(
        role: Role,
        source: SourceArgs,
        announcing: AnnouncingArgs,
        admin: AdminArgs,
        serving: ServingArgs,
    ) -> Self {
        let SourceArgs {
            config,
            kube,
            kube_namespace,
            node,
            resolver,
            dns_min_refresh,
            log: _,
        } = source;
        let AnnouncingArgs {
            state,
            gratuitous_interval,
            exclude_interfaces,
            ignore_exclude_lb,
            peers,
        } = announcing;
        let AdminArgs {
            admin,
            status,
            health,
            metrics,
        } = admin;
        let ServingArgs {
            gateway,
            locality,
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
            max_connections,
            http2_resets,
            http2_idle_frames,
            ignore_security_policies,
            retry_buffer,
            max_mirrors,
            max_mirror_bytes,
            mirror_timeout,
            drain_min,
            drain_max,
        } = serving;
        let node = node.unwrap_or_else(host_name);
        let is_pod = is_pod(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
        let or_own = |given: Option<Address>, port| match given {
            Some(given) => given.0,
            None => Some(probed_at(is_pod, port)),
        };
        Self {
            role,
            config,
            kube,
            kube_namespace,
            state,
            admin: AdminSettings {
                admin: admin.0,
                status: or_own(status, 15020),
                health: or_own(health, 15021),
                metrics: metrics.0,
                host_name: Some(node.clone()),
            },
            node,
            locality,
            // No Service is the gateway's where there is none: kube-proxy, or a gateway elsewhere,
            // carries it.
            labels: match role {
                Role::All | Role::Gateway => gateway.labels(),
                Role::Speaker => Labels::default(),
            },
            labels_are_given: gateway.labels.is_some(),
            pod: own_pod().filter(|_| role != Role::Speaker),
            carry_services: CarryServices::default(),
            load_balancer_class: gateway.class.class(),
            namespace: gateway.namespace,
            listen: if listen.is_empty() {
                every_address()
            } else {
                listen
            },
            workers: match role {
                Role::All | Role::Gateway => workers.map_or_else(cpus, usize::from),
                Role::Speaker => 1,
            },
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
            clients: ClientLimits {
                connections: usize::try_from(max_connections).unwrap_or(usize::MAX),
                http2_resets,
                http2_idle_frames,
            },
            ignore_security_policies,
            gratuitous_interval: Duration::from_secs(gratuitous_interval),
            exclude_interfaces,
            ignore_exclude_lb,
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
            announce: role != Role::Gateway,
        }
    }
}

/// Whether this process runs in a Pod: the kubelet tells every container where the API server is, and
/// manifests tell the Pod's name.
fn is_pod(is_set: impl Fn(&str) -> bool) -> bool {
    is_set("KUBERNETES_SERVICE_HOST") || is_set("POD_NAME")
}

/// Where probes and scrapes find the process: in a Pod those of others too (the kubelet and Prometheus
/// ask its address), on a host nobody from outside unless told otherwise.
fn probed_at(is_pod: bool, port: u16) -> SocketAddr {
    let ip = match is_pod {
        true => Ipv4Addr::UNSPECIFIED,
        false => Ipv4Addr::LOCALHOST,
    };
    (ip, port).into()
}

/// The Pod that this process runs in, as the downward API tells.
fn own_pod() -> Option<ObjectKey> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (namespace, name) = variable("POD_NAMESPACE").zip(variable("POD_NAME"))?;
    Some(ObjectKey::new(namespace, name))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_probed_from_outside_and_a_host_is_not() {
        for (variable, at) in [
            ("KUBERNETES_SERVICE_HOST", "0.0.0.0:15021"),
            ("POD_NAME", "0.0.0.0:15021"),
            ("HOME", "127.0.0.1:15021"),
        ] {
            let is_pod = is_pod(|name| name == variable);
            assert_eq!(probed_at(is_pod, 15021).to_string(), at, "{variable}");
        }
    }
}
