//! `gatehouse plan`: what each Service has or would get, from which pool, and why not. Nothing is
//! written.
//!
//! Exit codes: 0 each Service has or would get an address; 1 one would wait; 2 wrong usage, or the
//! configuration cannot be read.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use gatehouse_config::ObjectKey;
use gatehouse_config::source::kubernetes::{Cluster, KubernetesSettings};
use gatehouse_config::source::{Gathered, Sources};
use gatehouse_config::status::StateFile;
use gatehouse_lb_speaker::{Allocation, Allocator, Decision};
use serde::Serialize;

use crate::identity::GatewayArgs;
use crate::table::{self, Cell, Table, Tone};

/// A Service would wait.
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

Exit codes: 0 each Service has or would get an address; 1 one would wait; 2 wrong usage.";

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
    let rows = match gather(args) {
        Ok((gathered, held)) => rows(args, &gathered, held),
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
    match rows.iter().any(|row| row.gets.is_empty()) {
        true => ExitCode::from(WAITS),
        false => ExitCode::SUCCESS,
    }
}

type Held = Vec<(ObjectKey, Allocation)>;

/// Everything that is there, and what is held.
fn gather(args: &PlanArgs) -> Result<(Gathered, Held), String> {
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
    Ok((gathered, held))
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
fn rows(args: &PlanArgs, gathered: &Gathered, held: Held) -> Vec<Row> {
    let model = args.gateway.translate(&gathered.resources, false).model;
    let mut allocator = Allocator::new();
    allocator.readopt(held.iter().cloned());
    let outcome = allocator.converge(&model.services, Some(&model.pools));
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
