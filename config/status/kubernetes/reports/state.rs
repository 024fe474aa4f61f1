//! MetalLB's ConfigurationState: whether a component can use the configuration. No I/O.

use serde_json::{Value as Json, json};

/// Which component tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Component {
    /// Who deals addresses.
    Controller,
    /// Who announces them.
    Speaker,
}

impl Component {
    /// The object's name.
    pub(super) fn object(self, node: &str) -> String {
        match self {
            Self::Controller => "controller".to_owned(),
            Self::Speaker => format!("speaker-{node}"),
        }
    }

    /// As its label says it.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Controller => "controller",
            Self::Speaker => "speaker",
        }
    }

    fn condition(self) -> &'static str {
        match self {
            Self::Controller => "poolReconcilerValid",
            Self::Speaker => "configReconcilerValid",
        }
    }
}

/// The most that MetalLB's CRD takes of a message is 32768.
const TEXT: usize = 8192;

/// `status`, where these are the errors; what was there before keeps its time. `now` is the time in
/// the API's form.
pub(super) fn status(
    component: Component,
    errors: &[String],
    before: Option<&Json>,
    now: &str,
) -> Json {
    let kind = component.condition();
    let (result, value, reason, message) = match errors {
        [] => ("Valid", "True", "Reconciled", String::new()),
        errors => {
            let lines: Vec<String> = errors
                .iter()
                .map(|error| format!("configuration error: {error}"))
                .collect();
            let text = super::super::events::shortened(&lines.join("\n"), TEXT);
            ("Invalid", "False", "ConfigurationError", text)
        }
    };
    let conditions = before.and_then(|status| status.get("conditions"));
    let conditions = conditions.and_then(Json::as_array).into_iter().flatten();
    let same = conditions
        .filter(|condition| condition.get("type") == Some(&json!(kind)))
        .find(|condition| condition.get("status") == Some(&json!(value)));
    let since = same.and_then(|condition| condition.get("lastTransitionTime"));
    let since = since.cloned().unwrap_or_else(|| json!(now));
    let mut status = json!({
        "result": result,
        "conditions": [{
            "type": kind,
            "status": value,
            "reason": reason,
            "message": message,
            "lastTransitionTime": since,
        }],
    });
    if !message.is_empty() {
        status["errorSummary"] = json!(message);
    }
    status
}
