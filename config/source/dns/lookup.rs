//! One lookup, by the system's settings or at a server that was named.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;

use crate::source::dns::schedule::Answer;

/// The files that say whom to ask, and what need not be asked.
const SYSTEM: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// How long a server may take to answer, and how often it is asked.
const TIMEOUT: Duration = Duration::from_secs(3);
const ATTEMPTS: usize = 2;

/// Makes lookups.
pub(super) struct Lookups {
    server: Option<SocketAddr>,
    resolver: Option<Result<Arc<TokioResolver>, String>>,
    /// When the system's files were last changed.
    changed: [Option<SystemTime>; 2],
}

impl Lookups {
    pub(super) fn new(server: Option<SocketAddr>) -> Self {
        Self {
            server,
            resolver: None,
            changed: [None; 2],
        }
    }

    /// All addresses of a name, or why there are none.
    pub(super) fn lookup(
        &mut self,
        name: &str,
    ) -> impl Future<Output = Result<Answer, String>> + Send + use<> {
        let (resolver, name, server) = (self.resolver(), name.to_owned(), self.server);
        async move {
            let resolver = resolver?;
            let found = resolver
                .lookup_ip(name.as_str())
                .await
                .map_err(|error| explain(&error, server))?;
            let addresses: Vec<IpAddr> = found.iter().collect();
            if addresses.is_empty() {
                return Err("the name has no address".to_owned());
            }
            Ok(Answer {
                addresses: reachable(addresses),
                ttl: found
                    .valid_until()
                    .saturating_duration_since(Instant::now()),
            })
        }
    }

    /// The resolver; made anew when the system's files have changed.
    fn resolver(&mut self) -> Result<Arc<TokioResolver>, String> {
        let changed = SYSTEM.map(|path| std::fs::metadata(path).and_then(|m| m.modified()).ok());
        match &self.resolver {
            Some(resolver) if self.changed == changed => resolver.clone(),
            _ => {
                self.changed = changed;
                self.resolver.insert(build(self.server)).clone()
            }
        }
    }
}

fn build(server: Option<SocketAddr>) -> Result<Arc<TokioResolver>, String> {
    let mut builder = match server {
        Some(server) => {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
            let connections = connections.map(|mut connection| {
                connection.port = server.port();
                connection
            });
            let server = NameServerConfig::new(server.ip(), true, connections.into());
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        }
        None => TokioResolver::builder_tokio()
            .map_err(|error| format!("/etc/resolv.conf cannot be read: {error}"))?,
    };
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.use_hosts_file = ResolveHosts::Auto;
    options.timeout = TIMEOUT;
    options.attempts = ATTEMPTS;
    // When a name is asked for again is decided here, by its TTL.
    options.cache_size = 0;
    builder
        .build()
        .map(Arc::new)
        .map_err(|error| format!("no resolver can be made: {error}"))
}

/// What went wrong, as part of a sentence.
fn explain(error: &NetError, server: Option<SocketAddr>) -> String {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => "the name does not exist (NXDOMAIN)".to_owned(),
            ResponseCode::NoError => "the name has no address".to_owned(),
            code => format!("the server answered {code}"),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => format!("the server answered {code}"),
        NetError::Timeout | NetError::NoConnections => match server {
            Some(server) => format!("no answer from {server}"),
            None => "no answer from the servers in /etc/resolv.conf".to_owned(),
        },
        other => other.to_string(),
    }
}

/// The addresses that this host has a route to, IPv4 first; all of them if it has none to any.
///
/// Many names have IPv6 addresses that hosts without IPv6 cannot use: half the requests would
/// fail to connect at first.
fn reachable(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = addresses
        .iter()
        .copied()
        .filter(|ip| has_route(*ip))
        .collect();
    if found.is_empty() {
        found = addresses;
    }
    // Stable: each family keeps the order of its answer.
    found.sort_by_key(IpAddr::is_ipv6);
    found
}

/// Connecting a UDP socket sends nothing; the kernel only looks for the way.
fn has_route(ip: IpAddr) -> bool {
    let any = match ip {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    UdpSocket::bind((any, 0)).is_ok_and(|socket| socket.connect((ip, 9)).is_ok())
}
