//! What keeps objects, or their changes, from being seen: what the errors of watches mean, and how
//! users are told.
//!
//! A watch that the server refuses comes as one that broke: only what is answered tells them apart.
//! One that broke goes on by itself; one that is refused would be tried for ever without a word,
//! where lists, which need another right, go well.

use std::time::Duration;

use kube::runtime::watcher::Error;

use crate::codes;
use crate::finding::{Finding, Level};

/// A watch that goes on for so long is not refused.
pub(super) const PROOF: Duration = Duration::from_secs(4);
/// Where watches of a kind are refused, it is listed anew after so long at the latest.
pub(super) const LISTED_AGAIN: Duration = Duration::from_secs(30);

/// Why a kind cannot be seen now, or its changes cannot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trouble {
    lacks: Lacks,
    why: String,
    /// Who asks is not known, or may not.
    is_not_allowed: bool,
}

/// What cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lacks {
    Answers,
    Changes,
}

impl Trouble {
    /// The server cannot be asked, for a reason in words.
    pub fn of_asking(why: impl Into<String>) -> Self {
        Self {
            lacks: Lacks::Answers,
            why: why.into(),
            is_not_allowed: false,
        }
    }

    /// In words.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// The same, as a list or a watch met it.
    pub(super) fn away(error: &Error) -> Self {
        Self {
            is_not_allowed: is_not_allowed(error),
            ..Self::of_asking(reason(error))
        }
    }

    /// Objects can be listed, and are not watched.
    pub(super) fn of_watching(error: &Error) -> Self {
        Self {
            lacks: Lacks::Changes,
            ..Self::away(error)
        }
    }

    /// What users read of it, for all kinds that it is the same with.
    pub(super) fn finding(&self, kinds: &[&str]) -> Finding {
        let (kinds, why) = (kinds.join(", "), &self.why);
        let (level, message) = match self.lacks {
            Lacks::Answers => (
                Level::Error,
                format!(
                    "the API server cannot be asked for {kinds}: {why}. What was read before stays \
                     in force, and changes are not seen; it is tried again."
                ),
            ),
            Lacks::Changes => (
                Level::Warning,
                format!(
                    "the API server does not tell of changes of {kinds} (verb watch): {why}. What \
                     was read before stays in force, and a change is seen when all are listed anew, \
                     up to {} s late; it is tried again.",
                    LISTED_AGAIN.as_secs()
                ),
            ),
        };
        let hint = match self.is_not_allowed {
            true => {
                "Give gatehouse's account the verbs get, list and watch of each kind that \
                 deploy/rbac.yaml lists."
            }
            false => "",
        };
        Finding {
            code: codes::WATCH,
            level,
            object: None,
            field: String::new(),
            position: None,
            message,
            hint: hint.to_owned(),
        }
    }
}

/// The status that the server answered with, or that an event of a watch brought.
pub(super) fn code(error: &Error) -> Option<u16> {
    match error {
        Error::InitialListFailed(kube::Error::Api(status))
        | Error::WatchStartFailed(kube::Error::Api(status))
        | Error::WatchFailed(kube::Error::Api(status)) => Some(status.code),
        Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}

fn is_not_allowed(error: &Error) -> bool {
    matches!(code(error), Some(401 | 403))
}

/// The cluster has no such kind, in this version.
pub(super) fn is_absent(error: &Error) -> bool {
    let at_begin = matches!(
        error,
        Error::InitialListFailed(_) | Error::WatchStartFailed(_)
    );
    at_begin && code(error) == Some(404)
}

/// What happens to every watch once in a while, and mends itself: the connection broke, or the
/// version that it would go on from is too old (410), so that a list comes next.
pub(super) fn is_passing(error: &Error) -> bool {
    match error {
        Error::WatchError(_) => code(error) == Some(410),
        // What an API server does not say: something else answered.
        Error::WatchFailed(kube::Error::SerdeError(_)) => false,
        Error::WatchFailed(_) => matches!(code(error), None | Some(410)),
        _ => false,
    }
}

/// A watch was answered, with something else than one.
pub(super) fn is_refused(error: &Error) -> bool {
    match error {
        Error::InitialListFailed(_) => false,
        Error::WatchFailed(kube::Error::SerdeError(_)) | Error::NoResourceVersion => true,
        _ => code(error).is_some(),
    }
}

/// Why, for people: one line.
pub(super) fn reason(error: &Error) -> String {
    match error {
        Error::InitialListFailed(error)
        | Error::WatchStartFailed(error)
        | Error::WatchFailed(error) => super::error_text(error),
        Error::WatchError(status) if !status.message.is_empty() => status.message.clone(),
        other => other.to_string(),
    }
}
