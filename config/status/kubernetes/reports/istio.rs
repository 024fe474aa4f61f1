//! Findings in the status of Istio's objects, as Istio's own analysis writes them. No I/O.

use serde_json::{Value as Json, json};

use super::super::VERDICT;
use crate::codes;
use crate::finding::{Finding, Level};
use crate::source::kubernetes::{SeenReport, is_verdict};

/// No more than so many of one object: the first are the worst.
const MESSAGES: usize = 32;
/// No more text than this in a condition.
const TEXT: usize = 4096;

/// A finding, as far as a status tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The finding's code.
    pub code: &'static str,
    /// How bad it is.
    pub level: Level,
    /// Field, message and hint.
    pub text: String,
}

impl From<&Finding> for Message {
    fn from(finding: &Finding) -> Self {
        let mut text = String::new();
        if !finding.field.is_empty() {
            text.push_str(&finding.field);
            text.push_str(": ");
        }
        text.push_str(&finding.message);
        if !finding.hint.is_empty() {
            text.push(' ');
            text.push_str(&finding.hint);
        }
        Self {
            code: finding.code,
            level: finding.level,
            text,
        }
    }
}

/// The merge patch that makes an object's status say this, against the version that was seen; none
/// where it does. `now` is when a condition changes, in the API's form.
///
/// Istio's form has no place for the text of a message: it stands in a condition of ours. Messages
/// are taken for ours where that condition is; those of others stay as they are.
pub(super) fn patch(seen: &SeenReport, messages: &[Message], now: &str) -> Option<Json> {
    let verdict = seen.verdict();
    if messages.is_empty() && verdict.is_none() {
        return None;
    }
    // Istio's own analysis may have come after us: it replaces all of them, and so do we.
    let is_ours =
        seen.messages.is_empty() || (verdict.is_some() && seen.messages.iter().all(is_validation));
    let wanted_messages: Vec<Json> = match is_ours {
        true => messages.iter().take(MESSAGES).map(validation).collect(),
        false => seen.messages.clone(),
    };
    let wanted_verdict = condition(messages, verdict, seen.generation, now);
    if wanted_messages == seen.messages && wanted_verdict.as_ref() == verdict {
        return None;
    }
    let others = seen.conditions.iter().filter(|other| !is_verdict(other));
    let conditions: Vec<Json> = others.cloned().chain(wanted_verdict).collect();
    let list = |list: Vec<Json>| (!list.is_empty()).then_some(list);
    Some(json!({
        "metadata": {"resourceVersion": seen.resource_version},
        "status": {
            "observedGeneration": seen.generation,
            "validationMessages": list(wanted_messages),
            "conditions": list(conditions),
        },
    }))
}

/// As Istio's `AnalysisMessageBase`.
fn validation(message: &Message) -> Json {
    validation_of(message.code, message.level)
}

/// Whether we would write just this of any finding. Istio's analysis gives its documentation another
/// address.
fn is_validation(written: &Json) -> bool {
    let code = written.pointer("/type/code").and_then(Json::as_str);
    let Some(code) = code.and_then(codes::find) else {
        return false;
    };
    let mut levels = [Level::Error, Level::Warning, Level::Info].into_iter();
    levels.any(|level| validation_of(code.id, level) == *written)
}

fn validation_of(code: &str, level: Level) -> Json {
    let level = match level {
        Level::Error => "ERROR",
        Level::Warning => "WARNING",
        Level::Info => "INFO",
    };
    let known = codes::find(code);
    let name = known.map_or_else(String::new, |code| type_name(code.id, code.title));
    let mut validation = json!({"type": {"code": code, "name": name}, "level": level});
    if let Some(url) = known.and_then(codes::Code::documentation) {
        validation["documentationUrl"] = json!(url);
    }
    validation
}

/// Istio's name of its own codes; of ours the title as one word.
fn type_name(id: &str, title: &str) -> String {
    let istio = match id {
        "IST0101" => "ReferencedResourceNotFound",
        "IST0106" => "SchemaValidationError",
        "IST0112" => "VirtualServiceDestinationPortSelectorRequired",
        "IST0127" => "NoMatchingWorkloadsFound",
        "IST0128" => "NoServerCertificateVerificationDestinationLevel",
        "IST0129" => "NoServerCertificateVerificationPortLevel",
        "IST0130" => "VirtualServiceUnreachableRule",
        "IST0131" => "VirtualServiceIneffectiveMatch",
        "IST0132" => "VirtualServiceHostNotFoundInGateway",
        "IST0133" => "SchemaWarning",
        "IST0134" => "ServiceEntryAddressesRequired",
        "IST0138" => "GatewayDuplicateCertificate",
        "IST0140" => "IngressRouteRulesNotAffected",
        "IST0145" => "ConflictingGateways",
        "IST0149" => "JwtClaimBasedRoutingWithoutRequestAuthN",
        "IST0157" => "InvalidTelemetryProvider",
        "IST0159" => "ConflictingTelemetryWorkloadSelectors",
        "IST0160" => "MultipleTelemetriesWithoutWorkloadSelectors",
        "IST0161" => "InvalidGatewayCredential",
        "IST0162" => "GatewayPortNotDefinedOnService",
        "IST0167" => "IneffectivePolicy",
        "IST0171" => "NegativeConditionStatus",
        "IST0173" => "DestinationRuleSubsetNotSelectPods",
        "IST0174" => "UnknownDestinationRuleHost",
        "IST0177" => "ConflictingServiceEntryProtocol",
        _ => "",
    };
    if !istio.is_empty() {
        return istio.to_owned();
    }
    let words = title.split(|letter: char| !letter.is_ascii_alphanumeric());
    words
        .map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(|letter| letter.to_ascii_uppercase());
            first.into_iter().chain(letters).collect::<String>()
        })
        .collect()
}

fn condition(
    messages: &[Message],
    before: Option<&Json>,
    generation: i64,
    now: &str,
) -> Option<Json> {
    let worst = messages.iter().map(|message| message.level).max()?;
    let (status, reason) = match worst {
        Level::Error => ("False", "ValidationFailed"),
        Level::Warning | Level::Info => ("True", "ValidationMessages"),
    };
    let texts: Vec<&str> = messages
        .iter()
        .take(MESSAGES)
        .map(|message| message.text.as_str())
        .collect();
    let text = super::super::events::shortened(&texts.join("\n"), TEXT);
    let before = before.filter(|before| before.get("status") == Some(&json!(status)));
    let since = before.and_then(|before| before.get("lastTransitionTime"));
    let since = since.cloned().unwrap_or_else(|| json!(now));
    Some(json!({
        "type": VERDICT,
        "status": status,
        "reason": reason,
        "message": text,
        "lastTransitionTime": since,
        "observedGeneration": generation,
    }))
}
