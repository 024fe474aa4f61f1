//! `gatehouse why`: what would become of a request, and why, without sending it.
//!
//! The running daemon answers, or, with `--config`, the same code from files alone.
//! Exit codes: 0 an upstream, a redirect or a direct response answers; 1 nobody does, or the
//! gateway answers with an error; 2 wrong usage; 3 no daemon answers.

mod report;

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use gatehouse_config::source::Directory;
use gatehouse_gateway::compile::{Host, RouteLists, compile, place};
use gatehouse_gateway::observe::LabelTable;
use gatehouse_gateway::snapshot::Snapshot;
use gatehouse_gateway::why::{Explanation, Health, Outcome, Question, explain};
use serde_json::Value;

use crate::get::client::{self, Failure};
use crate::get::{Format, NOT_RUNNING};
use crate::identity::GatewayArgs;
use crate::table;

/// What was asked for cannot be done.
const USAGE: u8 = 2;

/// Arguments of `gatehouse why`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct WhyArgs {
    /// The request's URL, as a client would write it
    #[arg(value_name = "URL")]
    pub url: String,
    /// The method
    #[arg(short = 'X', long, value_name = "METHOD", default_value = "GET")]
    pub request: String,
    /// A header of the request; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub headers: Vec<(String, String)>,
    /// The client's address
    #[arg(long, value_name = "IP")]
    pub from: Option<IpAddr>,
    /// Answer from these files in place of a running daemon, for the gateway of --labels and
    /// --namespace
    #[arg(long, value_name = "PATH", conflicts_with = "admin")]
    pub config: Option<PathBuf>,
    /// The admin address of the running daemon
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:15000")]
    pub admin: String,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    #[command(flatten)]
    pub gateway: GatewayArgs,
}

const EXAMPLES: &str = "\
Examples:
  gatehouse why http://bookinfo.lan/productpage
  gatehouse why http://192.168.8.151/reviews/0 -H 'end-user: jason'
  gatehouse why http://bookinfo.lan/ -X POST --config . -o json

Exit codes: 0 it is served; 1 it is not, and why is told; 2 wrong usage; 3 no daemon answers.";

/// Asks and prints.
pub fn run(args: &WhyArgs) -> ExitCode {
    let question = match question(args) {
        Ok(question) => question,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(USAGE);
        }
    };
    let explanation = match &args.config {
        Some(_) => from_files(args, &question),
        None => from_daemon(args, &question),
    };
    match explanation {
        Ok(explanation) => print(args, &explanation),
        Err(code) => code,
    }
}

fn question(args: &WhyArgs) -> Result<Question, String> {
    let mut question = Question::get(&args.url).map_err(|error| error.to_string())?;
    question.method.clone_from(&args.request);
    question.fields.clone_from(&args.headers);
    // Somebody of the same LAN, where nobody is named.
    question.from = args.from.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    Ok(question)
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write NAME: VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// What the files would serve at every address of a host.
fn from_files(args: &WhyArgs, question: &Question) -> Result<Explanation, ExitCode> {
    let failed = |error: &dyn std::fmt::Display| {
        eprintln!("error: {error}");
        ExitCode::from(USAGE)
    };
    let mut directory = Directory::open_all(args.config.clone()).map_err(|error| failed(&error))?;
    let loaded = directory.load();
    let model = args.gateway.translate(&loaded.resources, false).model;
    let everywhere = [IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
    let host = Host {
        listen: &everywhere,
        ..Host::default()
    };
    let placement = place(&model, &std::collections::BTreeMap::new(), host);
    let snapshot = compile(
        &model,
        &placement,
        &mut LabelTable::new(),
        &mut RouteLists::default(),
        &Snapshot::default(),
    );
    explain(&snapshot, Health::default(), question).map_err(|error| failed(&error))
}

fn from_daemon(args: &WhyArgs, question: &Question) -> Result<Explanation, ExitCode> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query
        .append_pair("url", &args.url)
        .append_pair("method", &question.method)
        .append_pair("from", &question.from.to_string());
    for (name, value) in &question.fields {
        query.append_pair("header", &format!("{name}:{value}"));
    }
    let path = format!("/api/v1/why?{}", query.finish());
    let asked = client::ask_once(&args.admin, &path);
    let explained = asked.and_then(|body| {
        serde_json::from_slice(&body).map_err(|error| Failure::Unexpected {
            address: args.admin.clone(),
            why: error.to_string(),
        })
    });
    explained.map_err(|failure| {
        eprintln!("error: {failure}");
        match failure {
            Failure::NotRunning { .. } => {
                eprintln!(
                    "\nTo ask files in place of a daemon: gatehouse why {} --config DIR",
                    args.url
                );
                ExitCode::from(NOT_RUNNING)
            }
            Failure::Unexpected { .. } | Failure::Output(_) => ExitCode::FAILURE,
        }
    })
}

fn print(args: &WhyArgs, explanation: &Explanation) -> ExitCode {
    let text = match args.output {
        Format::Table => Ok(report::text(explanation, table::stdout_wants_color())),
        Format::Json => serde_json::to_string_pretty(explanation)
            .map(|text| text + "\n")
            .map_err(|error| error.to_string()),
        Format::Yaml => serde_json::to_value(explanation)
            .map_err(|error| error.to_string())
            .and_then(|value: Value| {
                serde_saphyr::to_string(&value).map_err(|error| error.to_string())
            }),
    };
    let written = text.map_err(io::Error::other).and_then(|text| {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    });
    if let Err(error) = written {
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    let served = match explanation.answer.outcome {
        Outcome::Upstream | Outcome::Carried => true,
        Outcome::Gateway => explanation.answer.status < 400,
        Outcome::None => false,
    };
    if served {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
