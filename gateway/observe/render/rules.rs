//! Changes that Telemetries ask for: labels removed or set, series that become one added up.
//!
//! Counting is not changed by them, so that they cost a request nothing.

use std::collections::HashMap;

use gatehouse_config::model::{Attribute, MetricRule, TagRule};

use crate::observe::exposition::SampleLabels;
use crate::observe::metrics::{HttpSeries, L4Series, SeriesKey};

/// A label by name and value.
pub(super) type Label = (String, String);

/// A series that can take in another.
pub(super) trait Merge: Clone {
    fn merge(&mut self, other: &Self);
}

impl Merge for HttpSeries {
    fn merge(&mut self, other: &Self) {
        HttpSeries::merge(self, other);
    }
}

impl Merge for L4Series {
    fn merge(&mut self, other: &Self) {
        L4Series::merge(self, other);
    }
}

/// The rows of a metric with its labels changed; the order of the first of each stays.
pub(super) fn changed<'r, V: Merge + 'r>(
    rows: impl Iterator<Item = (&'r SeriesKey, Vec<Label>, &'r V)>,
    rule: &MetricRule,
) -> Vec<(SampleLabels, V)> {
    let mut changed: Vec<(SampleLabels, V)> = Vec::new();
    let mut places: HashMap<SampleLabels, usize> = HashMap::new();
    for (key, labels, series) in rows {
        let labels = change(key, labels, rule);
        let labels = SampleLabels::new(labels.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        match places
            .get(&labels)
            .and_then(|place| changed.get_mut(*place))
        {
            Some((_, known)) => known.merge(series),
            None => {
                places.insert(labels.clone(), changed.len());
                changed.push((labels, series.clone()));
            }
        }
    }
    changed
}

fn change(key: &SeriesKey, mut labels: Vec<Label>, rule: &MetricRule) -> Vec<Label> {
    let code = vec![("code".to_owned(), Attribute::Integer(key.status.into()))];
    let attributes = [("response", Attribute::Map(code))];
    for (tag, change) in &rule.tags {
        let tag = label_name(tag);
        let place = labels.iter().position(|(name, _)| *name == tag);
        match (change, place) {
            (TagRule::Remove, Some(place)) => drop(labels.remove(place)),
            (TagRule::Remove, None) => {}
            (TagRule::Value(expression), place) => {
                let Some(value) = expression.text(&attributes) else {
                    continue;
                };
                match place.and_then(|place| labels.get_mut(place)) {
                    Some((_, old)) => *old = value,
                    None => labels.push((tag, value)),
                }
            }
        }
    }
    labels
}

/// A name that Prometheus takes, as Envoy makes it of any other.
fn label_name(tag: &str) -> String {
    let valid = |(i, c): (usize, char)| match c {
        'a'..='z' | 'A'..='Z' | '_' => c,
        '0'..='9' if i > 0 => c,
        _ => '_',
    };
    tag.chars().enumerate().map(valid).collect()
}
