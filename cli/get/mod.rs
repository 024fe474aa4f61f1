//! `gatehouse get`: asks the running daemon and prints what it says.
//!
//! Exit codes: 0 printed; 1 the daemon answered something else than asked; 2 wrong usage;
//! 3 no daemon answers.

mod age;
pub(crate) mod client;
mod columns;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::get::client::Failure;
use crate::table;

/// The exit code when no daemon answers.
pub(crate) const NOT_RUNNING: u8 = 3;

/// Arguments of `gatehouse get`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Exit codes: 0 printed, 1 the daemon answered something else, \
                        2 wrong usage, 3 no daemon answers."
)]
pub struct GetArgs {
    /// What to show
    #[arg(value_enum)]
    pub what: What,

    /// How to print it
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub output: Format,

    /// The admin address of the running daemon
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:15000")]
    pub admin: String,

    /// Only what belongs to this namespace
    #[arg(short, long, value_name = "NS", conflicts_with = "all_namespaces")]
    pub namespace: Option<String>,

    /// All namespaces (the default)
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
}

/// What can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Services and their addresses
    #[value(alias = "service", alias = "svc")]
    Services,
    /// Addresses and who answers for them
    #[value(alias = "address")]
    Addresses,
    /// Routes, in the order in which they are tried
    #[value(alias = "route")]
    Routes,
    /// Endpoints of every cluster
    #[value(alias = "endpoint", alias = "ep")]
    Endpoints,
    /// What is wrong with the configuration
    #[value(alias = "finding")]
    Findings,
}

impl What {
    /// The word, as it is typed and as the API's path has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::Addresses => "addresses",
            Self::Routes => "routes",
            Self::Endpoints => "endpoints",
            Self::Findings => "findings",
        }
    }
}

/// How it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people
    Table,
    /// What the daemon said
    Json,
    /// The same as YAML
    Yaml,
}

/// Asks and prints.
pub fn run(args: GetArgs) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the network cannot be used: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime
        .block_on(fetch(&args))
        .and_then(|rows| print(&args, &rows))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure @ Failure::NotRunning { .. }) => {
            eprintln!(
                "error: {failure}\n\n\
                 Start it:      systemctl start gatehouse, or gatehouse run --config DIR\n\
                 To try it out: gatehouse demo\n\
                 If it runs with another admin address: gatehouse get {} --admin ADDR",
                args.what.as_str()
            );
            ExitCode::from(NOT_RUNNING)
        }
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// The rows that were asked for, as the daemon sent them.
async fn fetch(args: &GetArgs) -> Result<Vec<Value>, Failure> {
    let path = format!("/api/v1/{}", args.what.as_str());
    let body = client::get(&args.admin, &path).await?;
    let rows: Vec<Value> = serde_json::from_slice(&body).map_err(|error| Failure::Unexpected {
        address: args.admin.clone(),
        why: format!("{path} is not a list in JSON ({error})"),
    })?;
    Ok(match &args.namespace {
        None => rows,
        Some(namespace) => rows
            .into_iter()
            .filter(|row| columns::is_in_namespace(args.what, row, namespace))
            .collect(),
    })
}

fn print(args: &GetArgs, rows: &[Value]) -> Result<(), Failure> {
    let unexpected = |why: String| Failure::Unexpected {
        address: args.admin.clone(),
        why,
    };
    let text = match args.output {
        Format::Json => serde_json::to_string_pretty(rows)
            .map(|text| text + "\n")
            .map_err(|error| unexpected(error.to_string()))?,
        Format::Yaml => {
            serde_saphyr::to_string(&rows).map_err(|error| unexpected(error.to_string()))?
        }
        Format::Table => {
            let table = columns::table(args.what, rows, args.namespace.is_none(), now())
                .map_err(|error| unexpected(error.to_string()))?;
            if table.is_empty() {
                let place = match &args.namespace {
                    Some(namespace) => format!(" in namespace {namespace}"),
                    None => String::new(),
                };
                eprintln!("No {}{place}.", args.what.as_str());
                return Ok(());
            }
            table.render(table::stdout_wants_color())
        }
    };
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        // `gatehouse get … | head` has read enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        _ => Ok(()),
    }
}

fn now() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
