//! `gatehouse get`: asks the running daemon and prints what it says.
//!
//! Exit codes: 0 printed; 1 the daemon answered something else than asked; 2 wrong usage;
//! 3 no daemon answers.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

/// Arguments of `gatehouse get`.
#[derive(Args, Clone, Debug)]
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
pub fn run(_args: GetArgs) -> ExitCode {
    ExitCode::from(1)
}
