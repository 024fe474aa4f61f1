//! "Did you mean" as the hint of a finding.

use crate::nearest::nearest;

/// "Did you mean `x`?", or nothing.
pub(crate) fn did_you_mean<'a>(
    wanted: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> String {
    match nearest(wanted, candidates) {
        Some(candidate) => format!("Did you mean `{candidate}`?"),
        None => String::new(),
    }
}
