//! An explanation for people: from the listener to the answer, a section for each step.

use std::fmt::Write as _;

use gatehouse_gateway::why::{Answer, DestinationRow, Explanation, Outcome};

use crate::table::{Cell, Tone};

/// Where the second column begins.
const INDENT: usize = 11;

/// The explanation as lines; what was chosen is marked `→`.
pub(super) fn text(explanation: &Explanation, color: bool) -> String {
    let mut report = Report {
        out: String::new(),
        color,
    };
    let Explanation {
        request,
        listener,
        hosts,
        routes,
        filters,
        destinations,
        answer,
        reason,
        hint,
    } = explanation;
    report.section("REQUEST", [plain(request)]);
    let listener = match listener {
        Some(row) => format!("{} ({})", row.address, row.protocol),
        None => "none".to_owned(),
    };
    report.section("LISTENER", [plain(&listener)]);
    report.section(
        "HOST",
        hosts.iter().map(|row| Line {
            text: format!("{}  {}", marked(row.chosen, &row.domain), row.why),
            tone: tone(row.chosen),
        }),
    );
    report.section(
        "ROUTES",
        routes.iter().map(|row| {
            let place = match (&*row.name, &*row.position) {
                ("", position) => position.to_owned(),
                (name, position) => format!("`{name}` {position}"),
            };
            let what = format!("{} {} {place}", row.object, row.field);
            let failed = row.failed.as_deref().unwrap_or(match row.chosen {
                true => "it fits",
                false => "it fits, and an earlier one was taken",
            });
            Line {
                text: format!("{}  {failed}", marked(row.chosen, what.trim_end())),
                tone: tone(row.chosen),
            }
        }),
    );
    report.section(
        "FILTERS",
        filters
            .iter()
            .map(|row| plain(&format!("{}: {}", row.name, row.effect))),
    );
    for destination in destinations {
        report.destination(destination, destinations.len() == 1);
    }
    let served = matches!(answer.outcome, Outcome::Upstream | Outcome::Carried)
        || (answer.outcome == Outcome::Gateway && answer.status < 400);
    report.section(
        "ANSWER",
        [Line {
            text: describe(answer),
            tone: if served { Tone::Good } else { Tone::Bad },
        }],
    );
    report.section("WHY", [plain(reason)]);
    if !hint.is_empty() {
        report.section("FIX", [plain(hint)]);
    }
    report.out
}

struct Line {
    text: String,
    tone: Tone,
}

fn plain(text: &str) -> Line {
    Line {
        text: text.to_owned(),
        tone: Tone::Plain,
    }
}

fn marked(chosen: bool, text: &str) -> String {
    format!("{} {text}", if chosen { '→' } else { ' ' })
}

fn tone(chosen: bool) -> Tone {
    if chosen { Tone::Good } else { Tone::Plain }
}

fn describe(answer: &Answer) -> String {
    let flags = match &*answer.flags {
        "" | "-" => String::new(),
        flags => format!(" {flags}"),
    };
    match answer.outcome {
        Outcome::None => "nobody: the connection is refused or closed".to_owned(),
        Outcome::Upstream => "the upstream's".to_owned(),
        Outcome::Carried => "whatever is at the other end".to_owned(),
        Outcome::Gateway if !answer.location.is_empty() => {
            format!("{} to {}", answer.status, answer.location)
        }
        Outcome::Gateway => format!("{}{flags} {}", answer.status, answer.details),
    }
}

struct Report {
    out: String,
    color: bool,
}

impl Report {
    fn section(&mut self, title: &str, lines: impl IntoIterator<Item = Line>) {
        let mut title = title;
        for line in lines {
            // What comes from YAML or a URL must not steer the terminal.
            let cell = Cell::new(line.text, line.tone);
            let (on, off) = match self.color && line.tone != Tone::Plain {
                true => (line.tone.code(), "\x1b[0m"),
                false => ("", ""),
            };
            let _ = writeln!(self.out, "{title:<INDENT$}{on}{}{off}", cell.text());
            title = "";
        }
    }

    fn destination(&mut self, row: &DestinationRow, only: bool) {
        let share = match only {
            true => String::new(),
            false => format!("{:.0} % ", row.percent),
        };
        let mut lines = vec![plain(&format!("{share}{} {}", row.cluster, row.balancing))];
        lines.extend(row.endpoints.iter().map(|endpoint| {
            let state = if endpoint.available {
                ""
            } else {
                "  left out for a while: it failed"
            };
            let chosen = endpoint.address == row.hashed_to;
            Line {
                text: format!(
                    "{}  {}{state}",
                    marked(chosen, &endpoint.address),
                    endpoint.workload
                ),
                tone: tone(chosen),
            }
        }));
        lines.extend(
            row.hashed_by
                .iter()
                .map(|by| plain(&format!("  hashed by {by}"))),
        );
        lines.extend(
            row.policies
                .iter()
                .map(|row| plain(&format!("  {}: {}", row.name, row.effect))),
        );
        if !matches!(row.answer.outcome, Outcome::Upstream | Outcome::Carried) {
            lines.push(Line {
                text: format!("  {}", describe(&row.answer)),
                tone: Tone::Bad,
            });
        }
        self.section("TO", lines);
        if let Some(sent) = &row.upstream {
            let mut lines = vec![plain(&format!("{} {}", sent.method, sent.target))];
            lines.extend(
                sent.headers
                    .iter()
                    .map(|(name, value)| plain(&format!("{name}: {value}"))),
            );
            self.section("SENT", lines);
        }
    }
}
