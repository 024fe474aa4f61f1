//! `gatehouse check`: what is wrong with a configuration, said offline.
//!
//! It reads, translates and checks with the daemon's own code and serves nothing.
//! Exit codes: 0 nothing at the threshold or above; 1 something; 2 wrong usage.

mod explain;
mod report;
#[cfg(test)]
mod tests;

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use gatehouse_config::source::Directory;
use gatehouse_config::{Finding, Level};

use crate::identity::GatewayArgs;
use crate::table;

/// Something was found at the threshold or above.
const FOUND: u8 = 1;
/// What was asked for cannot be done.
const USAGE: u8 = 2;
/// More than this is no configuration that a person wrote.
const STDIN_BYTES: u64 = 64 << 20;
/// What findings call standard input.
const STDIN_NAME: &str = "-";

/// Arguments of `gatehouse check`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CheckArgs {
    /// Files and directories of YAML or JSON; `-` is standard input
    #[arg(value_name = "PATH", required_unless_present = "explain")]
    pub paths: Vec<PathBuf>,
    /// How findings are printed
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// The least level that ends with exit code 1
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t = Threshold::Error)]
    pub fail_on: Threshold,
    #[command(flatten)]
    pub gateway: GatewayArgs,
    /// Tell what a code means and how to mend it; without a code, list all
    #[arg(long, value_name = "CODE", num_args = 0..=1, default_missing_value = "", conflicts_with = "paths")]
    pub explain: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  gatehouse check .                            everything below this directory
  kubectl get vs,gw,dr,se,svc,po,ipaddresspools,l2advertisements -A -o yaml | gatehouse check -
  gatehouse check . -o json --fail-on warning  for CI
  gatehouse check --explain IST0101            what a code means
  gatehouse check --explain                    all codes

Exit codes: 0 nothing at the threshold of --fail-on or above; 1 something; 2 wrong usage.";

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// By file, for people
    Table,
    /// A list of objects that all have the same keys
    Json,
    /// The same as YAML
    Yaml,
}

/// The least level that counts as failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Threshold {
    /// What is not in force
    Error,
    /// And what is probably not meant so
    Warning,
    /// And what is worth knowing
    Info,
    /// Nothing: the exit code is 0 whatever is found
    None,
}

impl Threshold {
    fn is_reached(self, findings: &[Finding]) -> bool {
        let least = match self {
            Self::Error => Level::Error,
            Self::Warning => Level::Warning,
            Self::Info => Level::Info,
            Self::None => return false,
        };
        findings.iter().any(|finding| finding.level >= least)
    }
}

/// What was looked at, and what was found.
#[derive(Debug, Default)]
pub struct Checked {
    /// Sorted by file and place.
    pub findings: Vec<Finding>,
    /// Files that were read.
    pub files: usize,
    /// Objects that were read.
    pub objects: usize,
}

/// Checks and prints.
pub fn run(args: &CheckArgs) -> ExitCode {
    if let Some(code) = &args.explain {
        return match explain::text(code, table::stdout_wants_color()) {
            Ok(text) => written(&text, ExitCode::SUCCESS),
            Err(wrong) => usage(&wrong),
        };
    }
    let checked = match check(args) {
        Ok(checked) => checked,
        Err(error) => return usage(&error.to_string()),
    };
    let text = match args.output {
        Format::Table => {
            let look = report::Look {
                color: table::stdout_wants_color(),
                width: report::terminal_width(),
            };
            Ok(report::text(&checked, look))
        }
        Format::Json => report::json(&checked.findings),
        Format::Yaml => report::yaml(&checked.findings),
    };
    let code = if args.fail_on.is_reached(&checked.findings) {
        ExitCode::from(FOUND)
    } else {
        ExitCode::SUCCESS
    };
    match text {
        Ok(text) => written(&text, code),
        Err(error) => usage(&error),
    }
}

/// Reads everything that is named and finds what is wrong with it.
///
/// # Errors
///
/// A path leads nowhere or may not be read, or standard input cannot be read.
pub fn check(args: &CheckArgs) -> io::Result<Checked> {
    let (stdin, paths): (Vec<_>, Vec<_>) = args
        .paths
        .iter()
        .cloned()
        .partition(|path| path.as_os_str() == STDIN_NAME);
    let mut directory = Directory::open_all(paths)?;
    if !stdin.is_empty() {
        directory.add_text(STDIN_NAME, read_stdin()?);
    }
    let loaded = directory.load();
    let mut findings = loaded.findings;
    findings.extend(args.gateway.translate(&loaded.resources, true).findings);
    directory.locate(&loaded.resources, &mut findings);
    report::sort(&mut findings);
    Ok(Checked {
        findings,
        files: directory.files(),
        objects: loaded.resources.len(),
    })
}

fn read_stdin() -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let length = io::stdin()
        .lock()
        .take(STDIN_BYTES + 1)
        .read_to_end(&mut text)
        .map_err(|error| io::Error::new(error.kind(), format!("standard input: {error}")))?;
    if u64::try_from(length).is_ok_and(|length| length > STDIN_BYTES) {
        let limit = STDIN_BYTES >> 20;
        return Err(io::Error::other(format!(
            "standard input is longer than {limit} MiB"
        )));
    }
    Ok(text)
}

fn usage(wrong: &str) -> ExitCode {
    eprintln!("error: {wrong}\n\nFor more information, try 'gatehouse check --help'.");
    ExitCode::from(USAGE)
}

fn written(text: &str, code: ExitCode) -> ExitCode {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        // `gatehouse check … | head` has read enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("error: {error}");
            ExitCode::from(USAGE)
        }
        _ => code,
    }
}
