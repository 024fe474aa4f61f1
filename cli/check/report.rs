//! Findings as text: by file for people, as rows with fixed keys for programs.

use std::io::IsTerminal;

use gatehouse_config::{Finding, Level};
use serde::Serialize;

use crate::check::Checked;
use crate::table::{Cell, Tone};

/// Running text is no wider than this, however wide the terminal is.
const WIDEST: usize = 120;
/// And no narrower, so that a word or two stand on each line.
const NARROWEST: usize = 40;

/// How text is laid out.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Whether levels are coloured.
    pub color: bool,
    /// Columns; none: lines are as long as they are.
    pub width: Option<usize>,
}

/// A finding as programs get it: every key is always there; unknown text is empty, an unknown
/// place 0.
#[derive(Serialize)]
struct Row<'f> {
    code: &'f str,
    level: Level,
    object: String,
    field: &'f str,
    file: &'f str,
    line: u32,
    column: u32,
    message: &'f str,
    hint: &'f str,
}

impl<'f> From<&'f Finding> for Row<'f> {
    fn from(finding: &'f Finding) -> Self {
        let position = finding.position.as_ref();
        Self {
            code: finding.code,
            level: finding.level,
            object: finding
                .object
                .as_ref()
                .map_or(String::new(), ToString::to_string),
            field: &finding.field,
            file: position.map_or("", |position| &position.file),
            line: position.map_or(0, |position| position.line),
            column: position.map_or(0, |position| position.column),
            message: &finding.message,
            hint: &finding.hint,
        }
    }
}

/// By file and place; what belongs to no file comes last. Said twice is said once.
pub fn sort(findings: &mut Vec<Finding>) {
    findings.sort_by(|a, b| {
        let key = |finding: &Finding| {
            let position = finding.position.clone();
            (
                position.is_none(),
                position,
                std::cmp::Reverse(finding.level),
            )
        };
        key(a)
            .cmp(&key(b))
            .then_with(|| (a.code, &a.field, &a.message).cmp(&(b.code, &b.field, &b.message)))
    });
    findings.dedup();
}

/// JSON, a list.
///
/// # Errors
///
/// The text cannot be made.
pub fn json(findings: &[Finding]) -> Result<String, String> {
    let rows: Vec<_> = findings.iter().map(Row::from).collect();
    serde_json::to_string_pretty(&rows)
        .map(|text| text + "\n")
        .map_err(|error| error.to_string())
}

/// The same as YAML.
///
/// # Errors
///
/// The text cannot be made.
pub fn yaml(findings: &[Finding]) -> Result<String, String> {
    let rows: Vec<_> = findings.iter().map(Row::from).collect();
    serde_saphyr::to_string(&rows).map_err(|error| error.to_string())
}

/// For people: the findings of each file under its name, and a last line that sums up.
pub fn text(checked: &Checked, look: Look) -> String {
    let mut out = String::new();
    let mut rest = checked.findings.as_slice();
    while let Some(first) = rest.first() {
        let file = file_of(first);
        let end = rest
            .iter()
            .position(|finding| file_of(finding) != file)
            .unwrap_or(rest.len());
        let (group, after) = rest.split_at(end);
        rest = after;
        let head = match file {
            Some("-") => "standard input",
            Some(file) => file,
            None => "the whole configuration",
        };
        out.push_str(&painted(head, "\x1b[1m", look));
        out.push('\n');
        group_text(group, look, &mut out);
        out.push('\n');
    }
    out.push_str(&summary(checked, look));
    out
}

fn file_of(finding: &Finding) -> Option<&str> {
    finding.position.as_ref().map(|position| &*position.file)
}

fn group_text(findings: &[Finding], look: Look, out: &mut String) {
    let places: Vec<_> = findings.iter().map(place).collect();
    let width = places.iter().map(|place| place.len()).max().unwrap_or(0);
    let code_width = findings.iter().map(|f| f.code.len()).max().unwrap_or(0);
    // Messages begin where the object does.
    let indent = if width == 0 { 2 } else { 2 + width + 2 } + "warning".len() + 2 + code_width + 2;
    for (finding, place) in findings.iter().zip(&places) {
        let level = match finding.level {
            Level::Error => ("error  ", Tone::Bad),
            Level::Warning => ("warning", Tone::Warn),
            Level::Info => ("info   ", Tone::Plain),
        };
        out.push_str("  ");
        if width > 0 {
            out.push_str(&format!("{place:>width$}  "));
        }
        out.push_str(&painted(level.0, level.1.code(), look));
        out.push_str(&format!("  {:code_width$}  ", finding.code));
        let mut about = Vec::new();
        about.extend(finding.object.as_ref().map(ToString::to_string));
        about.extend(Some(finding.field.clone()).filter(|field| !field.is_empty()));
        let about = Cell::from(about.join("  "));
        let mut lines = Vec::new();
        for text in [finding.message.as_str(), finding.hint.as_str()] {
            lines.push(Cell::from(text));
        }
        let room = look
            .width
            .map(|width| width.min(WIDEST).saturating_sub(indent).max(NARROWEST));
        let mut lines = lines
            .iter()
            .flat_map(|cell| match room {
                Some(room) => wrap(cell.text(), room),
                None => vec![cell.text()],
            })
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>();
        if !about.text().is_empty() {
            out.push_str(about.text());
        } else if !lines.is_empty() {
            out.push_str(lines.remove(0));
        }
        out.push('\n');
        for line in lines {
            out.extend(std::iter::repeat_n(' ', indent));
            out.push_str(line);
            out.push('\n');
        }
    }
}

/// `12:5`, or nothing where the place is not known.
fn place(finding: &Finding) -> String {
    match &finding.position {
        Some(position) if position.line > 0 && position.column > 0 => {
            format!("{}:{}", position.line, position.column)
        }
        Some(position) if position.line > 0 => position.line.to_string(),
        _ => String::new(),
    }
}

fn summary(checked: &Checked, look: Look) -> String {
    let count = |level| {
        let findings = checked.findings.iter();
        findings.filter(|finding| finding.level == level).count()
    };
    let errors = count(Level::Error);
    let warnings = count(Level::Warning);
    let notes = count(Level::Info);
    let read = format!(
        "{} in {}",
        number(checked.objects, "object"),
        number(checked.files, "file")
    );
    let mut found = Vec::new();
    for (n, word) in [(errors, "error"), (warnings, "warning"), (notes, "note")] {
        if n > 0 {
            found.push(number(n, word));
        }
    }
    let found = found.join(", ");
    let (mark, tone, said) = match (errors, warnings, notes) {
        (0, 0, 0) => ("✔", Tone::Good, "nothing to complain about".to_owned()),
        (0, 0, _) => ("✔", Tone::Good, format!("no errors, no warnings, {found}")),
        (0, _, _) => ("!", Tone::Warn, found),
        _ => ("✘", Tone::Bad, found),
    };
    let mut text = format!("{} {said}: {read}\n", painted(mark, tone.code(), look));
    if errors + warnings > 0 {
        text.push_str("  gatehouse check --explain CODE tells what a code means\n");
    }
    text
}

fn number(n: usize, word: &str) -> String {
    match n {
        1 => format!("1 {word}"),
        n => format!("{n} {word}s"),
    }
}

fn painted(text: &str, code: &str, look: Look) -> String {
    let text = Cell::from(text);
    match look.color && !code.is_empty() {
        true => format!("{code}{}\x1b[0m", text.text()),
        false => text.text().to_owned(),
    }
}

/// Lines of at most `width` characters, broken at spaces; a longer word stays whole.
pub fn wrap(text: &str, width: usize) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text.trim();
    while rest.chars().count() > width {
        let limit = rest
            .char_indices()
            .nth(width + 1)
            .map_or(rest.len(), |(at, _)| at);
        let before = rest.get(..limit).unwrap_or(rest);
        let Some(end) = before.rfind(' ').or_else(|| rest.find(' ')) else {
            break;
        };
        let (line, after) = rest.split_at(end);
        lines.push(line.trim_end());
        rest = after.trim_start();
    }
    lines.push(rest);
    lines
}

/// The columns of the terminal that standard output is; none if it is none.
pub fn terminal_width() -> Option<usize> {
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&stdout).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}
