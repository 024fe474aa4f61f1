//! Changes to metrics that Telemetries ask for.

use std::collections::BTreeMap;

use crate::model::Expression;

/// Changes by metric; empty: all are shown as they are counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricRules {
    /// By Prometheus name, `istio_requests_total`.
    pub by_metric: BTreeMap<&'static str, MetricRule>,
}

/// Changes to one metric.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricRule {
    /// It is not shown.
    pub disabled: bool,
    /// Changes to its labels, by name.
    pub tags: BTreeMap<String, TagRule>,
}

/// A change to a label.
#[derive(Clone, Debug, PartialEq)]
pub enum TagRule {
    /// It is left out, and series that then have the same labels are one.
    Remove,
    /// It is set; the expression may look at `response.code`.
    Value(Expression),
}
