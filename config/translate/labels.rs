//! Label maps and selectors.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    LabelSelector as ApiSelector, LabelSelectorRequirement,
};

use crate::labels::Labels;
use crate::model::{LabelRequirement, LabelSelector};

/// Whether `labels` has every pair of `wanted`.
pub(crate) fn is_subset<'w>(
    wanted: impl IntoIterator<Item = (&'w String, &'w String)>,
    labels: &Labels,
) -> bool {
    wanted
        .into_iter()
        .all(|(key, value)| labels.get(key) == Some(value))
}

/// Why these can be no labels (Istio: `Instance.Validate`); none if they can.
pub(crate) fn wrong(labels: &BTreeMap<String, String>) -> Option<String> {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let is_name = |name: &str| {
        let bytes = name.as_bytes();
        let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        bytes.len() <= 63
            && edge(bytes.first())
            && edge(bytes.last())
            && bytes.iter().all(|b| inner(*b))
    };
    labels.iter().find_map(|(key, value)| {
        let (prefix, name) = key.split_once('/').unwrap_or(("a", key));
        let is_key = is_name(name) && !prefix.is_empty() && prefix.len() <= 253;
        if !is_key || !prefix.bytes().all(inner) {
            return Some(format!("`{key}` is no name of a label"));
        }
        (!value.is_empty() && !is_name(value))
            .then(|| format!("`{value}` is no value of the label `{key}`"))
    })
}

/// Why this can be no selector of Istio's (`validateWorkloadSelector`); none if it can.
pub(crate) fn wrong_selector(selector: &BTreeMap<String, String>) -> Option<String> {
    selector.iter().find_map(|(key, value)| {
        if key.is_empty() {
            return Some("a label without a name selects nothing".to_owned());
        }
        let has_wildcard = key.contains('*') || value.contains('*');
        has_wildcard
            .then(|| format!("`{key}: {value}` has a wildcard, which selectors do not know"))
    })
}

/// `k=v, k2=v2`, for messages.
pub(crate) fn display<'l>(labels: impl IntoIterator<Item = (&'l String, &'l String)>) -> String {
    let pairs: Vec<_> = labels
        .into_iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    pairs.join(",")
}

/// What is wrong with the first bad label; none: all are labels as Kubernetes has them.
pub(crate) fn error(labels: &BTreeMap<String, String>) -> Option<String> {
    let is_word = |text: &str| {
        let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = text.as_bytes();
        bytes.len() <= 63
            && edge(bytes.first())
            && edge(bytes.last())
            && bytes
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
    };
    labels.iter().find_map(|(key, value)| {
        let valid_key = match key.split_once('/') {
            Some((prefix, name)) => {
                crate::translate::hosts::domain_error(prefix).is_none() && is_word(name)
            }
            None => is_word(key),
        };
        if !valid_key {
            Some(format!("`{key}` is not a label's name"))
        } else if !value.is_empty() && !is_word(value) {
            Some(format!("`{value}` is not a label's value"))
        } else {
            None
        }
    })
}

/// Reads a Kubernetes label selector.
pub(crate) fn selector(selector: &ApiSelector) -> Result<LabelSelector, String> {
    let ApiSelector {
        match_expressions,
        match_labels,
    } = selector;
    let mut requirements = Vec::new();
    for (key, value) in match_labels.iter().flatten() {
        requirements.push(LabelRequirement::In(
            key.clone(),
            BTreeSet::from([value.clone()]),
        ));
    }
    for requirement in match_expressions.iter().flatten() {
        requirements.push(self::requirement(requirement)?);
    }
    Ok(LabelSelector { requirements })
}

fn requirement(requirement: &LabelSelectorRequirement) -> Result<LabelRequirement, String> {
    let LabelSelectorRequirement {
        key,
        operator,
        values,
    } = requirement;
    let set: BTreeSet<String> = values.iter().flatten().cloned().collect();
    let given = values.as_ref().map_or(0, Vec::len);
    if key.is_empty() {
        return Err("a requirement has no key".to_owned());
    }
    if set.len() != given {
        return Err(format!("a value of `{key}` is written twice"));
    }
    match (operator.as_str(), given) {
        ("In" | "NotIn", 0) => Err(format!("{operator} of `{key}` needs values")),
        ("In", _) => Ok(LabelRequirement::In(key.clone(), set)),
        ("NotIn", _) => Ok(LabelRequirement::NotIn(key.clone(), set)),
        ("Exists", 0) => Ok(LabelRequirement::Exists(key.clone())),
        ("DoesNotExist", 0) => Ok(LabelRequirement::DoesNotExist(key.clone())),
        ("Exists" | "DoesNotExist", _) => Err(format!("{operator} of `{key}` takes no values")),
        (other, _) => Err(format!(
            "`{other}` is no operator; there are In, NotIn, Exists and DoesNotExist"
        )),
    }
}
