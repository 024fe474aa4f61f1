//! The virtual hosts that a Host may mean, and why one of them has it.

use gatehouse_config::nearest::nearest;

use crate::route::{HostTable, without_port};
use crate::why::HostRow;

/// More names are not compared: a hint is not worth the time.
const MOST_COMPARED: usize = 2_000;

/// The one that has the request first, then those that fit less well, then one that is spelt
/// nearly the same.
pub(super) fn near(table: &HostTable, authority: &[u8]) -> Vec<HostRow> {
    let name = String::from_utf8_lossy(without_port(authority)).to_ascii_lowercase();
    let mut rows: Vec<HostRow> = table
        .fitting(authority)
        .into_iter()
        .enumerate()
        .map(|(i, domain)| HostRow {
            chosen: i == 0,
            why: match (i, domain.as_str()) {
                (0, domain) if domain == name => "is the name".to_owned(),
                (0, "*") => "takes every host that no other has".to_owned(),
                (0, _) => "is the longest wildcard that fits".to_owned(),
                _ => "fits less exactly, and a request never falls through to another".to_owned(),
            },
            domain,
        })
        .collect();
    if let Some(slip) = nearly(table, &name) {
        rows.push(HostRow {
            why: "is spelt nearly the same".to_owned(),
            domain: slip,
            chosen: false,
        });
    }
    rows
}

/// A host that is spelt nearly as this one.
pub(super) fn nearly(table: &HostTable, name: &str) -> Option<String> {
    let names: Vec<&str> = table.exact_names().take(MOST_COMPARED).collect();
    nearest(name, names).map(str::to_owned)
}
