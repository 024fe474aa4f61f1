//! `gatehouse check --explain`: what a code means.

use gatehouse_config::codes::{self, CODES, Code};
use gatehouse_config::nearest::nearest;

use crate::check::report::wrap;
use crate::table::{Cell, Table, Tone};

/// Columns of running text.
const WIDTH: usize = 88;

/// What to print for a code, or for none: the list.
///
/// # Errors
///
/// No finding has this code.
pub fn text(id: &str, color: bool) -> Result<String, String> {
    if id.is_empty() {
        return Ok(list(color));
    }
    if let Some(code) = codes::find(id) {
        return Ok(one(code));
    }
    let upper = id.to_ascii_uppercase();
    let near = nearest(&upper, CODES.iter().map(|code| code.id));
    Err(match near {
        Some(near) => format!("no finding has the code `{id}`. Did you mean {near}?"),
        None => format!("no finding has the code `{id}`; --explain alone lists all"),
    })
}

fn one(code: &Code) -> String {
    let mut text = format!("{}  {}\n\n", code.id, code.title);
    let fix = format!("How to fix it: {}", code.fix);
    for (paragraph, after) in [(code.explanation, "\n"), (&*fix, "")] {
        for line in wrap(paragraph, WIDTH) {
            text.push_str(line);
            text.push('\n');
        }
        text.push_str(after);
    }
    if let Some(address) = code.documentation() {
        text.push_str(&format!("\nIstio's words on it: {address}\n"));
    }
    text
}

fn list(color: bool) -> String {
    let mut table = Table::new(["CODE", "MEANS"]);
    let mut codes: Vec<_> = CODES.iter().collect();
    codes.sort_by_key(|code| code.id);
    for code in codes {
        table.row([Cell::new(code.id, Tone::Plain), code.title.into()]);
    }
    table.render(color)
}
