//! What a route's filters do to a request.

use gatehouse_config::model::{AbortStatus, Percent};

use crate::exchange::reply::Reply;
use crate::filter::cors_policy::{self, Verdict};
use crate::http1::RequestHead;
use crate::snapshot::Filters;
use crate::why::{Answer, Explanation, FilterRow};

/// Each filter and its effect, in the order in which they act.
pub(super) fn filters(filters: &Filters, head: &RequestHead) -> Vec<FilterRow> {
    let Filters { fault, cors } = filters;
    let mut rows = Vec::new();
    let mut row = |name: &str, effect: String| {
        rows.push(FilterRow {
            name: name.to_owned(),
            effect,
        });
    };
    if let Some(delay) = fault.as_ref().and_then(|fault| fault.delay) {
        let share = share(delay.percentage);
        row(
            "fault.delay",
            format!("waits {:?}, for {share} of the requests", delay.duration),
        );
    }
    if let Some(abort) = fault.as_ref().and_then(|fault| fault.abort) {
        let status = match abort.status {
            AbortStatus::Http(status) => status.to_string(),
            AbortStatus::Grpc(status) => format!("gRPC status {status}"),
        };
        row(
            "fault.abort",
            format!(
                "answers {status} to {} of the requests",
                share(abort.percentage)
            ),
        );
    }
    if let Some(policy) = cors {
        row(
            "corsPolicy",
            match cors_policy::judge(policy, head) {
                Verdict::Answer(_) => "answers the preflight here".to_owned(),
                Verdict::Serve(fields) if fields.is_empty() => {
                    "adds nothing: no Origin, or none that is allowed".to_owned()
                }
                Verdict::Serve(_) => "lets the origin read the answer".to_owned(),
            },
        );
    }
    rows
}

/// Whether every request is delayed.
pub(super) fn is_delayed(filters: &Filters) -> bool {
    let delay = filters.fault.as_ref().and_then(|fault| fault.delay);
    delay.is_some_and(|delay| delay.percentage == Percent::ALL)
}

/// Puts in the answer that a filter is certain to give; false where the route's action decides.
pub(super) fn certain(
    filters: &Filters,
    head: &RequestHead,
    explanation: &mut Explanation,
) -> bool {
    let Filters { fault, cors } = filters;
    let abort = fault.as_ref().and_then(|fault| fault.abort);
    if let Some(abort) = abort.filter(|abort| abort.percentage == Percent::ALL) {
        explanation.answer = Answer::of(&Reply::fault(abort.status));
        explanation.because(
            "fault.abort answers every request".to_owned(),
            String::new(),
        );
        return true;
    }
    if let Some(policy) = cors
        && let Verdict::Answer(_) = cors_policy::judge(policy, head)
    {
        explanation.answer = Answer::of(&Reply::preflight());
        explanation.because("corsPolicy answers the preflight".to_owned(), String::new());
        return true;
    }
    false
}

/// `50 %`, `0.1 %`.
pub(super) fn share(percent: Percent) -> String {
    format!("{} %", f64::from(percent.millionths()) / 10_000.0)
}
