//! DestinationRules: which one applies to a service, and what it says for a port and subset.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::api::istio::DestinationRule as Api;
use crate::api::istio::destination_rule::{Subset as ApiSubset, WorkloadSelector};
use crate::api::istio::traffic_policy::{
    ConnectionPool, HttpSettings, LoadBalancer, PortTrafficPolicy, SimpleBalancer, TcpSettings,
    TrafficPolicy,
};
use crate::api::istio::virtual_service::PortSelector;
use crate::codes;
use crate::finding::Level;
use crate::model::Balancing;
use crate::resources::{Object, ObjectKey, Resources};
use crate::translate::Settings;
use crate::translate::field_path::FieldPath;
use crate::translate::report::{ObjectReport, Report};
use crate::translate::virtual_service::{duration, port};
use crate::translate::visibility::Visibility;
use crate::translate::{hosts, labels};

/// Istio's default for `connectTimeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A valid DestinationRule; of several for one host, what they come to together.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) key: ObjectKey,
    created: Option<i64>,
    /// The full name, perhaps with a wildcard.
    pub(crate) host: String,
    visibility: Visibility,
    has_selector: bool,
    policy: Option<Policy>,
    subsets: Vec<Subset>,
}

/// A named group of endpoints.
#[derive(Clone, Debug)]
pub(crate) struct Subset {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    policy: Option<Policy>,
}

/// A traffic policy with what is written for single ports.
#[derive(Clone, Debug, Default)]
struct Policy {
    blocks: Blocks,
    ports: BTreeMap<u16, Blocks>,
}

/// The blocks that are inherited one by one.
#[derive(Clone, Debug, Default)]
struct Blocks {
    load_balancer: Option<Balancing>,
    connection_pool: Option<PoolSettings>,
}

#[derive(Clone, Debug, Default)]
struct PoolSettings {
    connect_timeout: Option<Duration>,
}

/// What a cluster is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EffectivePolicy {
    pub(crate) balancing: Balancing,
    pub(crate) connect_timeout: Duration,
}

impl Default for EffectivePolicy {
    fn default() -> Self {
        Self {
            balancing: Balancing::default(),
            connect_timeout: CONNECT_TIMEOUT,
        }
    }
}

impl Rule {
    /// The subset of this name.
    pub(crate) fn subset(&self, name: &str) -> Option<&Subset> {
        self.subsets.iter().find(|subset| subset.name == name)
    }

    /// All subsets.
    pub(crate) fn subsets(&self) -> &[Subset] {
        &self.subsets
    }

    /// The policy for a port and subset.
    ///
    /// A subset's blocks replace the rule's, one by one; what is written for a port replaces all
    /// (Istio: `MergeSubsetTrafficPolicy`).
    pub(crate) fn policy(&self, port: u16, subset: Option<&Subset>) -> EffectivePolicy {
        let mut blocks = Blocks::default();
        let levels = [
            self.policy.as_ref(),
            subset.and_then(|subset| subset.policy.as_ref()),
        ];
        for policy in levels.into_iter().flatten() {
            match policy.ports.get(&port) {
                Some(for_port) => blocks = for_port.clone(),
                None => {
                    let own = policy.blocks.clone();
                    blocks.load_balancer = own.load_balancer.or(blocks.load_balancer);
                    blocks.connection_pool = own.connection_pool.or(blocks.connection_pool);
                }
            }
        }
        let timeout = blocks.connection_pool.and_then(|pool| pool.connect_timeout);
        EffectivePolicy {
            balancing: blocks.load_balancer.unwrap_or_default(),
            connect_timeout: timeout.unwrap_or(CONNECT_TIMEOUT),
        }
    }
}

/// All valid DestinationRules, merged per namespace and host.
#[derive(Debug, Default)]
pub(crate) struct DestinationRules {
    /// By namespace, then by host as written; each list oldest first.
    by_host: HashMap<String, HashMap<String, Vec<Rule>>>,
    namespace: String,
    root_namespace: String,
}

impl DestinationRules {
    /// Reads every DestinationRule.
    pub(crate) fn parse(resources: &Resources, settings: &Settings, report: &mut Report) -> Self {
        let mut rules: Vec<_> = resources
            .destination_rules
            .values()
            .filter_map(|object| parse(object, settings, report))
            .collect();
        rules.sort_by(|a, b| {
            (a.created, &a.key.name, &a.key.namespace).cmp(&(
                b.created,
                &b.key.name,
                &b.key.namespace,
            ))
        });
        let mut by_host: HashMap<String, HashMap<String, Vec<Rule>>> = HashMap::new();
        for rule in rules {
            let of_namespace = by_host.entry(rule.key.namespace.clone()).or_default();
            let of_host = of_namespace.entry(rule.host.clone()).or_default();
            merge(of_host, rule);
        }
        Self {
            by_host,
            namespace: settings.namespace.clone(),
            root_namespace: settings.root_namespace.clone(),
        }
    }

    /// The rule for a host whose service lies in `service_namespace`: the gateway's namespace is
    /// asked first, then the service's, then the root namespace.
    pub(crate) fn find(&self, host: &str, service_namespace: &str) -> Option<&Rule> {
        let in_root = self.namespace == self.root_namespace;
        // In the root namespace only rules that are kept private there are meant for the gateway
        // itself; the others are for everyone and come last.
        let own = |rule: &&Rule| !in_root || rule.visibility.is_private_to(&self.namespace);
        let local = self.most_specific(&self.namespace, host, own);
        if let Some(list) = local {
            return self.pick(list, own);
        }
        let exported = |rule: &&Rule| !rule.has_selector && rule.visibility.sees(&self.namespace);
        // The most specific host decides, even if no rule of it is exported.
        for namespace in [service_namespace, &self.root_namespace] {
            let shared = |rule: &&Rule| {
                !rule.visibility.is_private_to(namespace) || namespace == self.namespace
            };
            if let Some(list) = self.most_specific(namespace, host, shared)
                && let Some(rule) = self.pick(list, exported)
            {
                return Some(rule);
            }
        }
        None
    }

    fn pick<'r>(&self, list: &'r [Rule], allowed: impl Fn(&&Rule) -> bool) -> Option<&'r Rule> {
        let with_selector = list.iter().filter(|rule| rule.has_selector).find(&allowed);
        with_selector.or_else(|| list.iter().find(&allowed))
    }

    /// The rules of the most specific host that covers `host`: exact, then the longest wildcard.
    fn most_specific(
        &self,
        namespace: &str,
        host: &str,
        allowed: impl Fn(&&Rule) -> bool,
    ) -> Option<&[Rule]> {
        let of_namespace = self.by_host.get(namespace)?;
        let get = |host: &str| {
            let list = of_namespace.get(host)?;
            list.iter()
                .any(|rule| allowed(&rule))
                .then_some(list.as_slice())
        };
        if let Some(list) = get(host) {
            return Some(list);
        }
        let text = host.strip_prefix('*').unwrap_or(host);
        let starts = text.char_indices().map(|(i, _)| i).chain([text.len()]);
        let mut wildcards = starts.filter_map(|start| text.get(start..));
        wildcards.find_map(|suffix| get(&format!("*{suffix}")))
    }

    /// Every rule, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.by_host.values().flat_map(HashMap::values).flatten()
    }
}

/// Joins a rule to the older ones of its host: subsets are added, the policy is the first one
/// (Istio: `mergeDestinationRule`).
fn merge(list: &mut Vec<Rule>, rule: Rule) {
    let mut separate = true;
    for older in list.iter_mut() {
        let covers = match (&rule.visibility, &older.visibility) {
            (new, old) if new == old => {
                separate = false;
                true
            }
            (Visibility::Namespaces(new), Visibility::Namespaces(old)) => {
                separate = true;
                !old.is_empty() && new.is_superset(old)
            }
            _ => {
                separate = true;
                false
            }
        };
        if !covers || older.has_selector != rule.has_selector {
            separate |= older.has_selector != rule.has_selector;
            continue;
        }
        for subset in &rule.subsets {
            if older.subset(&subset.name).is_none() {
                older.subsets.push(subset.clone());
            }
        }
        if older.policy.is_none() {
            older.policy = rule.policy.clone();
        }
    }
    if separate {
        list.push(rule);
    }
}

fn parse(object: &Object<Api>, settings: &Settings, report: &mut Report) -> Option<Rule> {
    let Object { meta, body, .. } = object;
    let Api {
        host,
        traffic_policy,
        subsets,
        export_to,
        workload_selector,
    } = body;
    let mut report = report.on("DestinationRule", &meta.key);
    let report = &mut report;
    let spec = FieldPath::root("spec");
    if let Some(wrong) = hosts::wildcard_domain_error(host) {
        report.invalid(
            &spec.field("host"),
            format!("the host `{host}` is wrong: {wrong}; the object is not used."),
            "",
        );
    }
    let namespace = &meta.key.namespace;
    let visibility =
        Visibility::parse(export_to, namespace, false, &spec.field("exportTo"), report);
    let policy = traffic_policy
        .as_ref()
        .map(|policy| parse_policy(policy, &spec.field("trafficPolicy"), report));
    let subsets_path = spec.field("subsets");
    let mut parsed: Vec<Subset> = Vec::with_capacity(subsets.len());
    for (i, subset) in subsets.iter().enumerate() {
        let path = subsets_path.index(i);
        let ApiSubset {
            name,
            labels,
            traffic_policy,
        } = subset;
        if !hosts::is_label(name) {
            report.invalid(
                &path.field("name"),
                format!("`{name}` is not a subset's name; the object is not used."),
                "",
            );
        }
        if parsed.iter().any(|other| other.name == *name) {
            report.invalid(
                &path.field("name"),
                format!("the subset `{name}` is defined before; the object is not used."),
                "",
            );
        }
        let path = path.field("trafficPolicy");
        parsed.push(Subset {
            name: name.clone(),
            labels: labels.clone(),
            policy: traffic_policy
                .as_ref()
                .map(|policy| parse_policy(policy, &path, report)),
        });
    }
    let mut selected = true;
    if let Some(WorkloadSelector { match_labels }) = workload_selector {
        let path = spec.field("workloadSelector");
        if !visibility.is_private_to(namespace) && !export_to.is_empty() {
            report.invalid(
                &spec.field("exportTo"),
                "a rule with a workloadSelector can be exported to its own namespace only; the object is not used.",
                "",
            );
        }
        if match_labels.is_empty() {
            report.questionable(&path, "it has no labels, so it selects every workload.", "");
        }
        // It concerns the requests of some workloads; the gateway is one, in its namespace.
        selected =
            *namespace == settings.namespace && labels::is_subset(match_labels, &settings.labels);
    }
    (report.is_valid() && selected).then(|| Rule {
        key: meta.key.clone(),
        created: meta.created,
        host: hosts::qualify(host, namespace, &settings.cluster_domain),
        visibility,
        has_selector: workload_selector.is_some(),
        policy,
        subsets: parsed,
    })
}

fn parse_policy(
    policy: &TrafficPolicy,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Policy {
    let TrafficPolicy {
        load_balancer,
        connection_pool,
        outlier_detection,
        tls,
        port_level_settings,
        tunnel,
        proxy_protocol,
        retry_budget,
    } = policy;
    if *policy == TrafficPolicy::default() {
        report.invalid(
            path,
            "the traffic policy is empty; the object is not used.",
            "Remove it.",
        );
    }
    if tunnel.is_some() && proxy_protocol.is_some() {
        report.invalid(
            path,
            "tunnel and proxyProtocol exclude each other; the object is not used.",
            "",
        );
    }
    let unsupported = [
        (
            tunnel.is_some(),
            "tunnel",
            "connections go straight to the endpoints",
        ),
        (
            proxy_protocol.is_some(),
            "proxyProtocol",
            "no PROXY header is sent to the endpoints",
        ),
        (
            retry_budget.is_some(),
            "retryBudget",
            "retries are not limited by it",
        ),
    ];
    for (is_set, field, effect) in unsupported {
        if is_set {
            report.unsupported(&path.field(field), field, effect);
        }
    }
    let blocks = parse_blocks(
        load_balancer.as_ref(),
        connection_pool.as_ref(),
        outlier_detection.is_some(),
        tls.as_ref(),
        path,
        report,
    );
    let mut ports = BTreeMap::new();
    let list_path = path.field("portLevelSettings");
    for (i, settings) in port_level_settings.iter().enumerate() {
        let path = list_path.index(i);
        let PortTrafficPolicy {
            port: selector,
            load_balancer,
            connection_pool,
            outlier_detection,
            tls,
        } = settings;
        let blocks = parse_blocks(
            load_balancer.as_ref(),
            connection_pool.as_ref(),
            outlier_detection.is_some(),
            tls.as_ref(),
            &path,
            report,
        );
        let Some(PortSelector { number }) = selector else {
            report.invalid(
                &path.field("port"),
                "the port is missing; the object is not used.",
                "",
            );
            continue;
        };
        if let Some(number) = port(*number, &path.field("port").field("number"), report) {
            ports.entry(number).or_insert(blocks);
        }
    }
    Policy { blocks, ports }
}

fn parse_blocks(
    load_balancer: Option<&LoadBalancer>,
    connection_pool: Option<&ConnectionPool>,
    outlier_detection: bool,
    tls: Option<&crate::api::istio::traffic_policy::ClientTls>,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Blocks {
    use crate::api::istio::traffic_policy::ClientTlsMode;
    if outlier_detection {
        report.unsupported(
            &path.field("outlierDetection"),
            "outlierDetection",
            "an endpoint that answers with errors keeps its share; one that refuses connections is left out anyway",
        );
    }
    match tls.map(|tls| tls.mode) {
        None | Some(ClientTlsMode::Disable) => {}
        // Only sidecars have the mesh's certificates to answer with.
        Some(ClientTlsMode::IstioMutual) => report.add(
            codes::NOT_SUPPORTED,
            Level::Warning,
            &path.field("tls"),
            "the mesh's own TLS is not supported: requests are sent in plain text.",
            "Without sidecars at the endpoints, remove it.",
        ),
        Some(_) => report.unsupported(
            &path.field("tls"),
            "TLS to the endpoints",
            "requests are sent in plain text, and an endpoint that expects TLS answers 400 or nothing",
        ),
    }
    Blocks {
        load_balancer: load_balancer
            .map(|settings| parse_balancer(settings, &path.field("loadBalancer"), report)),
        connection_pool: connection_pool
            .map(|settings| parse_pool(settings, &path.field("connectionPool"), report)),
    }
}

fn parse_balancer(
    settings: &LoadBalancer,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Balancing {
    let LoadBalancer {
        simple,
        consistent_hash,
        locality_lb_setting,
        zone_aware_lb_setting,
        warmup_duration_secs,
        warmup,
        backend_utilization,
    } = settings;
    let unsupported = [
        (
            consistent_hash.is_some(),
            "consistentHash",
            "a client does not stay at one endpoint; requests go to the less busy of two",
        ),
        (
            locality_lb_setting.is_some(),
            "localityLbSetting",
            "near and far endpoints get the same share",
        ),
        (
            zone_aware_lb_setting.is_some(),
            "zoneAwareLbSetting",
            "near and far endpoints get the same share",
        ),
        (
            warmup_duration_secs.is_some(),
            "warmupDurationSecs",
            "new endpoints get their full share at once",
        ),
        (
            warmup.is_some(),
            "warmup",
            "new endpoints get their full share at once",
        ),
        (
            backend_utilization.is_some(),
            "backendUtilization",
            "the endpoints' own load does not count",
        ),
    ];
    for (is_set, field, effect) in unsupported {
        if is_set {
            report.unsupported(&path.field(field), field, effect);
        }
    }
    match simple {
        None
        | Some(
            SimpleBalancer::Unspecified | SimpleBalancer::LeastConn | SimpleBalancer::LeastRequest,
        ) => Balancing::LeastRequest,
        Some(SimpleBalancer::RoundRobin) => Balancing::RoundRobin,
        Some(SimpleBalancer::Random) => Balancing::Random,
        Some(SimpleBalancer::Passthrough) => {
            report.add(
                codes::NOT_SUPPORTED,
                Level::Warning,
                &path.field("simple"),
                "PASSTHROUGH has no meaning at a gateway: requests go to the less busy of two endpoints.",
                "Use LEAST_REQUEST, ROUND_ROBIN or RANDOM.",
            );
            Balancing::LeastRequest
        }
    }
}

fn parse_pool(
    settings: &ConnectionPool,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> PoolSettings {
    let ConnectionPool { tcp, http } = settings;
    if tcp.is_none() && http.is_none() {
        report.invalid(
            path,
            "the connection pool is empty; the object is not used.",
            "Remove it.",
        );
    }
    if let Some(http) = http {
        check_http(http, &path.field("http"), report);
    }
    let mut connect = None;
    if let Some(settings) = tcp {
        let path = path.field("tcp");
        let TcpSettings {
            max_connections,
            connect_timeout,
            tcp_keepalive,
            max_connection_duration,
            idle_timeout,
        } = settings;
        non_negative(*max_connections, &path.field("maxConnections"), report);
        connect = connect_timeout
            .and_then(|timeout| duration(timeout, &path.field("connectTimeout"), report));
        let unsupported = [
            (
                *max_connections != 0,
                "maxConnections",
                "connections are not limited",
            ),
            (
                tcp_keepalive.is_some(),
                "tcpKeepalive",
                "the system's own settings hold",
            ),
            (
                max_connection_duration.is_some(),
                "maxConnectionDuration",
                "connections may grow old",
            ),
            (
                idle_timeout.is_some(),
                "idleTimeout",
                "idle connections are closed after the default time",
            ),
        ];
        for (is_set, field, effect) in unsupported {
            if is_set {
                report.unsupported(&path.field(field), field, effect);
            }
        }
    }
    PoolSettings {
        connect_timeout: connect,
    }
}

fn check_http(settings: &HttpSettings, path: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    use crate::api::istio::traffic_policy::H2Upgrade;
    let HttpSettings {
        http1_max_pending_requests,
        http2_max_requests,
        max_requests_per_connection,
        max_retries,
        idle_timeout,
        h2_upgrade_policy,
        use_client_protocol,
        max_concurrent_streams,
        http2_keep_alive,
    } = settings;
    let limits = [
        (*http1_max_pending_requests, "http1MaxPendingRequests"),
        (*http2_max_requests, "http2MaxRequests"),
        (*max_requests_per_connection, "maxRequestsPerConnection"),
        (*max_retries, "maxRetries"),
        (*max_concurrent_streams, "maxConcurrentStreams"),
    ];
    for (limit, field) in limits {
        let path = path.field(field);
        non_negative(limit, &path, report);
        if limit > 0 {
            report.unsupported(&path, field, "the limit is not kept");
        }
    }
    if *use_client_protocol && *h2_upgrade_policy == H2Upgrade::Upgrade {
        report.invalid(
            path,
            "useClientProtocol and h2UpgradePolicy UPGRADE exclude each other; the object is not used.",
            "",
        );
    }
    let unsupported = [
        (
            idle_timeout.is_some(),
            "idleTimeout",
            "idle connections are closed after the default time",
        ),
        (
            *h2_upgrade_policy == H2Upgrade::Upgrade,
            "h2UpgradePolicy",
            "the endpoints are spoken to in HTTP/1.1",
        ),
        (
            *use_client_protocol,
            "useClientProtocol",
            "the endpoints are spoken to in the port's own protocol",
        ),
        (
            http2_keep_alive.is_some(),
            "http2KeepAlive",
            "no HTTP/2 pings are sent",
        ),
    ];
    for (is_set, field, effect) in unsupported {
        if is_set {
            report.unsupported(&path.field(field), field, effect);
        }
    }
}

fn non_negative(number: i32, path: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    if number < 0 {
        report.invalid(
            path,
            format!("{number} is below zero; the object is not used."),
            "",
        );
    }
}
