//! Names that cannot be resolved, told where they are written.

use jiff::Timestamp;

use crate::codes;
use crate::finding::Level;
use crate::resolved::{ResolveFailure, ResolvedNames};
use crate::translate::field_path::FieldPath;
use crate::translate::report::ObjectReport;

/// Reports a name whose lookups fail. One that nobody has looked up yet is no news.
pub(super) fn report(
    name: &str,
    path: &FieldPath<'_>,
    resolved: &ResolvedNames,
    report: &mut ObjectReport<'_>,
) {
    let Some(known) = resolved.get(name) else {
        return;
    };
    let Some(ResolveFailure { since, error }) = &known.failure else {
        return;
    };
    let since = Timestamp::try_from(*since)
        .map(|time| format!("{time:.0}"))
        .unwrap_or_default();
    let (level, effect) = if known.addresses.is_empty() {
        (Level::Error, "it has no address, and requests get 503")
    } else {
        (Level::Warning, "the addresses known before stay in use")
    };
    report.add(
        codes::DNS,
        level,
        path,
        format!("`{name}` cannot be resolved since {since}: {error}; {effect}."),
        format!("Look at `getent ahosts {name}`, mend the name or the DNS server, or name another server with --resolver."),
    );
}
