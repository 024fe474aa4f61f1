//! Prometheus' text exposition format 0.0.4, written strictly.

use std::fmt::Write as _;

use crate::observe::histogram::{Histogram, LE, Scale};

/// The media type of what [`Exposition`] writes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Cumulative buckets, sum and count.
    Histogram,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Text in the making. A family's samples follow its head without another family between.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

/// Labels of one sample, ready to print: `a="b",c="d"`; empty for none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SampleLabels(String);

impl SampleLabels {
    /// Labels in the order given; values are escaped, names must be valid already.
    pub fn new<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut text = String::new();
        for (name, value) in labels {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(name);
            text.push_str("=\"");
            for c in value.chars() {
                match c {
                    '\\' => text.push_str("\\\\"),
                    '"' => text.push_str("\\\""),
                    '\n' => text.push_str("\\n"),
                    c => text.push(c),
                }
            }
            text.push('"');
        }
        Self(text)
    }
}

impl Exposition {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The `HELP` and `TYPE` lines of a family.
    pub fn family(&mut self, name: &str, help: &str, kind: Kind) {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(self.text, "# HELP {name} {help}");
        let _ = writeln!(self.text, "# TYPE {name} {}", kind.as_str());
    }

    /// A whole number.
    pub fn integer(&mut self, name: &str, labels: &SampleLabels, value: u64) {
        self.name(name, labels);
        self.text.push_str(itoa::Buffer::new().format(value));
        self.text.push('\n');
    }

    /// Any number.
    pub fn number(&mut self, name: &str, labels: &SampleLabels, value: f64) {
        self.name(name, labels);
        let _ = writeln!(self.text, "{value}");
    }

    /// A histogram: cumulative buckets, sum and count.
    pub fn histogram(
        &mut self,
        name: &str,
        labels: &SampleLabels,
        histogram: &Histogram,
        scale: &Scale,
    ) {
        let comma = if labels.0.is_empty() { "" } else { "," };
        let mut total = 0;
        for (count, le) in histogram.counts().iter().zip(LE.iter().chain(&["+Inf"])) {
            total += count;
            let _ = writeln!(
                self.text,
                "{name}_bucket{{{}{comma}le=\"{le}\"}} {total}",
                labels.0
            );
        }
        self.number(&format!("{name}_sum"), labels, histogram.sum(scale));
        self.integer(&format!("{name}_count"), labels, total);
    }

    /// Text that somebody else rendered, whole families of its own.
    pub fn append(&mut self, text: &str) {
        self.text.push_str(text);
        if !text.is_empty() && !text.ends_with('\n') {
            self.text.push('\n');
        }
    }

    /// The text.
    pub fn finish(self) -> String {
        self.text
    }

    fn name(&mut self, name: &str, labels: &SampleLabels) {
        self.text.push_str(name);
        if !labels.0.is_empty() {
            self.text.push('{');
            self.text.push_str(&labels.0);
            self.text.push('}');
        }
        self.text.push(' ');
    }
}

#[cfg(test)]
pub(crate) mod strict;
