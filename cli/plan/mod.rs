//! `gatehouse plan`: what each Service has or would get, from which pool, and why not. Nothing is
//! written.
//!
//! Objects that decide about addresses and are refused, or cannot be read, are told on stderr: a
//! daemon that starts now does without them.
//!
//! Exit codes: 0 each Service has or would get an address; 1 one would wait, or such an object is
//! refused; 2 wrong usage, or the configuration cannot be read.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use gatehouse_config::source::Kind;
use gatehouse_config::source::kubernetes::{Cluster, KubernetesSettings};
use gatehouse_config::source::{Gathered, Sources};
use gatehouse_config::status::StateFile;
use gatehouse_config::translate::{self, Translation};
use gatehouse_config::{Finding, Level, ObjectKey};
use gatehouse_lb_speaker::{Allocation, Allocator, Beside, Decision};
use serde::Serialize;

use crate::identity::GatewayArgs;
use crate::table::{self, Cell, Table, Tone};

/// A Service would wait, or what it depends on is refused.
const WAITS: u8 = 1;
/// What was asked for cannot be done.
const USAGE: u8 = 2;

/// How long the API server may take to tell everything.
const PATIENCE: Duration = Duration::from_secs(10);

/// Arguments of `gatehouse plan`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct PlanArgs {
    /// The directory (or file) of YAML objects
    #[arg(long, value_name = "DIR", required_unless_present = "kube")]
    pub config: Option<PathBuf>,
    /// Ask a Kubernetes cluster, found as kubectl does; with --config as well, both together
    #[arg(long)]
    pub kube: bool,
    /// What a daemon keeps of addresses, which is what Services of --config have
    #[arg(long, value_name = "DIR", default_value = "/var/lib/gatehouse")]
    pub state: PathBuf,
    #[command(flatten)]
    pub gateway: GatewayArgs,
    /// How it is printed
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub output: Format,
}

const EXAMPLES: &str = "\
Examples:
  gatehouse plan --config .                   before it is served
  gatehouse plan --kube                       what the cluster's Services have, and why one waits
  gatehouse plan --kube --config pool.yaml    what a pool would change, before it is applied

Exit codes: 0 each Service has or would get an address; 1 one would wait, or a Service, pool or
advertisement is refused (stderr says why); 2 wrong usage.";

/// How it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people
    Table,
    /// A list of objects
    Json,
    /// The same as YAML
    Yaml,
}

/// A Service of type LoadBalancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    namespace: String,
    name: String,
    /// What it has now.
    has: Vec<String>,
    /// What it would have.
    gets: Vec<String>,
    pool: Option<String>,
    /// Why it would wait, or have to give up what it has; what is not as asked for.
    reason: Option<String>,
}

/// Reads, decides and prints.
pub fn run(args: &PlanArgs) -> ExitCode {
    let (rows, troubles) = match gather(args) {
        Ok(gathered) => decide(args, gathered),
        Err(error) => {
            eprintln!("error: {error}\n\nFor more information, try 'gatehouse plan --help'.");
            return ExitCode::from(USAGE);
        }
    };
    let text = match args.output {
        Format::Table => Ok(table(&rows)),
        Format::Json => serde_json::to_string_pretty(&rows)
            .map(|text| text + "\n")
            .map_err(|error| error.to_string()),
        Format::Yaml => serde_saphyr::to_string(&rows).map_err(|error| error.to_string()),
    };
    match text {
        Ok(text) => print!("{text}"),
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(USAGE);
        }
    }
    for finding in &troubles {
        eprintln!("{finding}");
    }
    match rows.iter().any(|row| row.gets.is_empty()) || !troubles.is_empty() {
        true => ExitCode::from(WAITS),
        false => ExitCode::SUCCESS,
    }
}

/// Translates, and lets the allocator decide.
fn decide(
    args: &PlanArgs,
    (sources, gathered, held): (Sources, Gathered, Held),
) -> (Vec<Row>, Vec<Finding>) {
    let translation = translated(args, &gathered, &held);
    let rows = rows(&translation, held);
    let mut troubles = troubles(gathered.findings, translation);
    sources.locate(&gathered.resources, &mut troubles);
    (rows, troubles)
}

/// As the daemon translates that has dealt these addresses: of two pools that overlap, the one that
/// somebody holds an address of is in force.
fn translated(args: &PlanArgs, gathered: &Gathered, held: &Held) -> Translation {
    let settings = translate::Settings {
        holding_pools: held.iter().map(|(_, held)| held.pool.clone()).collect(),
        ..args.gateway.settings()
    };
    args.gateway.translate_with(&gathered.resources, settings)
}

/// What keeps objects that decide about addresses out of force: what they say, or that they, or
/// their file, cannot be read.
fn troubles(read: Vec<Finding>, translation: Translation) -> Vec<Finding> {
    const DECIDE: [Kind; 4] = [
        Kind::Service,
        Kind::IPAddressPool,
        Kind::L2Advertisement,
        Kind::Namespace,
    ];
    let decides = |finding: &Finding| match &finding.object {
        Some(object) => DECIDE.iter().any(|kind| kind.name() == object.kind),
        // A file that cannot be read may have any of them.
        None => finding.position.is_some(),
    };
    let Translation {
        findings, refused, ..
    } = translation;
    let of_refused = |finding: &Finding| {
        let object = finding.object.as_ref();
        object.is_some_and(|object| refused.contains(object))
    };
    let said = findings.into_iter().filter(of_refused);
    read.into_iter()
        .chain(said)
        .filter(|finding| finding.level == Level::Error && decides(finding))
        .collect()
}

type Held = Vec<(ObjectKey, Allocation)>;

/// Everything that is there, and what is held.
fn gather(args: &PlanArgs) -> Result<(Sources, Gathered, Held), String> {
    let cluster = match args.kube {
        true => Some(connect(args)?),
        false => None,
    };
    let mut sources = Sources::open(args.config.as_deref(), cluster)
        .map_err(|error| format!("--config: {error}"))?;
    let gathered = sources.load();
    if args.kube && !gathered.may_allocate {
        let troubles = gathered
            .findings
            .iter()
            .map(|finding| finding.message.as_str());
        let troubles: Vec<_> = troubles.collect();
        return Err(format!(
            "--kube: Services, IPAddressPools and Namespaces cannot be read: {}",
            troubles.join("; ")
        ));
    }
    let statuses = gathered.services.iter().map(|(key, seen)| {
        let allocation = Allocation {
            addresses: seen.addresses(),
            pool: seen.pool.clone().unwrap_or_default(),
        };
        (key.clone(), allocation)
    });
    let mut held: Held = Vec::new();
    if args.config.is_some() {
        let recorded = StateFile::peek(&args.state).map_err(|error| error.to_string())?;
        held.extend(recorded.into_iter().map(|(key, recorded)| {
            let allocation = Allocation {
                addresses: recorded.addresses,
                pool: recorded.pool,
            };
            (key, allocation)
        }));
    }
    held.extend(statuses);
    Ok((sources, gathered, held))
}

fn connect(args: &PlanArgs) -> Result<Cluster, String> {
    let settings = KubernetesSettings {
        namespace: args.gateway.namespace.clone(),
        addresses_only: false,
    };
    let cluster = Cluster::connect(&settings).map_err(|error| format!("--kube: {error}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    runtime.block_on(cluster.wait_until_seen(PATIENCE));
    Ok(cluster)
}

/// What the allocator would decide now.
fn rows(translation: &Translation, held: Held) -> Vec<Row> {
    let model = &translation.model;
    let mut allocator = Allocator::new();
    allocator.readopt(held.iter().cloned());
    let outcome =
        allocator.converge_beside(&model.services, Some(&model.pools), &Beside::of(model));
    let texts = |addresses: &[IpAddr]| addresses.iter().map(IpAddr::to_string).collect();
    let has = |key: &ObjectKey| {
        // The later entry wins, as for the allocator.
        let held = held.iter().rev().find(|(holder, _)| holder == key);
        held.map(|(_, held)| texts(&held.addresses))
            .unwrap_or_default()
    };
    let why = |key: &ObjectKey| {
        let change = outcome
            .changes
            .iter()
            .find(|change| change.service == *key)?;
        (!change.why.is_empty()).then(|| change.why.clone())
    };
    let of = |(key, decision): (&ObjectKey, &Decision)| Row {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        has: has(key),
        gets: decision
            .allocation()
            .map(|got| texts(&got.addresses))
            .unwrap_or_default(),
        pool: decision.allocation().map(|got| got.pool.clone()),
        reason: match decision {
            Decision::Allocated { note, .. } => note.clone().or_else(|| why(key)),
            Decision::Pending { reason } => Some(reason.clone()),
        },
    };
    outcome.services.iter().map(of).collect()
}

fn table(rows: &[Row]) -> String {
    let mut table = Table::new(["NAMESPACE", "NAME", "HAS", "GETS", "POOL", "REASON"]);
    for row in rows {
        let list = |addresses: &[String]| match addresses {
            [] => "<none>".to_owned(),
            addresses => addresses.join(","),
        };
        let tone = match (row.gets.is_empty(), row.gets == row.has) {
            (true, _) => Tone::Bad,
            (false, true) => Tone::Plain,
            (false, false) => Tone::Good,
        };
        let gets = match row.gets.is_empty() {
            true => "<pending>".to_owned(),
            false => list(&row.gets),
        };
        table.row([
            row.namespace.as_str().into(),
            row.name.as_str().into(),
            list(&row.has).into(),
            Cell::new(gets, tone),
            row.pool.as_deref().unwrap_or("<none>").into(),
            row.reason.as_deref().unwrap_or_default().into(),
        ]);
    }
    table.render(table::stdout_wants_color())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: PlanArgs,
    }

    fn planned(yaml: &str, holder: (&str, &str, &str)) -> (Vec<Row>, Vec<String>) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.yaml"), yaml).unwrap();
        let path = directory.path().to_str().unwrap();
        let args = Command::parse_from(["plan", "--config", path, "--state", path]).args;
        let (sources, gathered, mut held) = gather(&args).unwrap();
        let (name, address, pool) = holder;
        let allocation = Allocation {
            addresses: vec![address.parse().unwrap()],
            pool: pool.to_owned(),
        };
        held.push((ObjectKey::new("default", name), allocation));
        let (rows, troubles) = decide(&args, (sources, gathered, held));
        let troubles = troubles.iter().map(|finding| {
            let object = finding.object.as_ref().map(ToString::to_string);
            let line = finding.position.as_ref().map_or(0, |place| place.line);
            format!("{} {} {line}", finding.code, object.unwrap_or_default())
        });
        (rows, troubles.collect())
    }

    const SERVICE: &str = "apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: LoadBalancer, ports: [{port: 80}]}
";

    fn pool(name: &str, addresses: &str) -> String {
        format!(
            "---\napiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata:\n  name: {name}\n  \
             namespace: metallb-system\nspec:\n  addresses: [{addresses}]\n"
        )
    }

    #[test]
    fn of_overlapping_pools_the_one_in_use_is_in_force_as_in_a_daemon() {
        let yaml = format!(
            "{SERVICE}{}{}",
            pool("a", "192.168.8.1-192.168.8.15"),
            pool("b", "192.168.8.10-192.168.8.19")
        );
        let (rows, troubles) = planned(&yaml, ("web", "192.168.8.19", "b"));
        assert_eq!(rows[0].gets, ["192.168.8.19"]);
        assert_eq!(troubles, ["GH0107 IPAddressPool metallb-system/a 12"]);
    }

    #[test]
    fn who_holds_an_address_of_a_refused_pool_would_keep_it() {
        let right = pool("right", "10.0.0.0/24");
        for broken in [pool("lan", "192.168.8.5"), pool("lan", "{a: b}")] {
            let yaml = format!("{SERVICE}{broken}{right}");
            let (rows, troubles) = planned(&yaml, ("web", "192.168.8.5", "lan"));
            assert_eq!(rows[0].gets, ["192.168.8.5"]);
            assert_eq!(troubles.len(), 1, "{troubles:?}");
            assert!(troubles[0].contains("IPAddressPool metallb-system/lan 12"));
        }
        let (rows, troubles) = planned(&format!("{SERVICE}{right}"), ("web", "10.0.0.9", "right"));
        assert_eq!(rows[0].gets, ["10.0.0.9"]);
        assert!(troubles.is_empty());
    }
}
