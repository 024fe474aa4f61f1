//! A strict reader of the text format, to test what is written; stricter than Prometheus: every
//! family has HELP and TYPE, stands in one place, and its histograms add up.

use std::collections::{BTreeMap, BTreeSet};

/// A family.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) samples: Vec<Sample>,
}

/// A sample: its name (with `_bucket` and the like), labels in order, value.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) value: f64,
}

impl Sample {
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        let label = self.labels.iter().find(|(known, _)| known == name);
        label.map(|(_, value)| value.as_str())
    }
}

/// The families of a text, or what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<BTreeMap<String, Family>, String> {
    if !text.ends_with('\n') {
        return Err("the last line is not ended".to_owned());
    }
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current: Option<String> = None;
    let mut helped: Option<String> = None;
    let mut seen = BTreeSet::new();
    for (number, line) in text.lines().enumerate() {
        let fail = |what: &str| Err(format!("line {}: {what}: {line}", number + 1));
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let Some((name, _)) = rest.split_once(' ') else {
                return fail("no help");
            };
            helped = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let Some((name, kind)) = rest.split_once(' ') else {
                return fail("no type");
            };
            if helped.as_deref() != Some(name) {
                return fail("TYPE without its HELP before");
            }
            if !is_name(name, true) || !["counter", "gauge", "histogram"].contains(&kind) {
                return fail("bad name or type");
            }
            // Envoy's own names stay as they are.
            let named = name.ends_with("_total") || name.starts_with("envoy_");
            if kind == "counter" && !named {
                return fail("a counter's name ends in _total");
            }
            let family = Family {
                kind: kind.to_owned(),
                samples: Vec::new(),
            };
            if families.insert(name.to_owned(), family).is_some() {
                return fail("a family stands twice");
            }
            current = Some(name.to_owned());
        } else {
            let sample = match parse_sample(line) {
                Ok(sample) => sample,
                Err(what) => return fail(&what),
            };
            let Some((name, family)) = current
                .as_ref()
                .and_then(|name| Some((name, families.get_mut(name)?)))
            else {
                return fail("a sample before any family");
            };
            let suffixes: &[&str] = match family.kind.as_str() {
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            if !suffixes.iter().any(|s| sample.name == format!("{name}{s}")) {
                return fail("a sample outside its family");
            }
            let mut labels = sample.labels.clone();
            labels.sort();
            if !seen.insert((sample.name.clone(), labels)) {
                return fail("a sample stands twice");
            }
            family.samples.push(sample);
        }
    }
    for (name, family) in &families {
        if family.kind == "histogram" {
            check_histograms(name, family)?;
        }
    }
    Ok(families)
}

fn parse_sample(line: &str) -> Result<Sample, String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    if !is_name(name, true) {
        return Err("bad name".to_owned());
    }
    let mut labels: Vec<(String, String)> = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").ok_or("bad label")?;
            if !is_name(label, false) || labels.iter().any(|(known, _)| known == label) {
                return Err(format!("bad or repeated label {label}"));
            }
            let mut value = String::new();
            let mut chars = after.char_indices();
            let end = loop {
                match chars.next().ok_or("a value is not ended")? {
                    (at, '"') => break at,
                    (_, '\\') => match chars.next() {
                        Some((_, 'n')) => value.push('\n'),
                        Some((_, c @ ('\\' | '"'))) => value.push(c),
                        _ => return Err("bad escape".to_owned()),
                    },
                    (_, c) => value.push(c),
                }
            };
            labels.push((label.to_owned(), value));
            rest = &after[end + 1..];
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            rest = rest.strip_prefix(',').ok_or("no comma between labels")?;
        }
    }
    let value = rest.strip_prefix(' ').ok_or("no space before the value")?;
    Ok(Sample {
        name: name.to_owned(),
        labels,
        value: value.parse().map_err(|_| format!("bad value {value}"))?,
    })
}

fn check_histograms(name: &str, family: &Family) -> Result<(), String> {
    let mut sets: BTreeMap<Vec<(String, String)>, Vec<&Sample>> = BTreeMap::new();
    for sample in &family.samples {
        let labels = sample.labels.iter().filter(|(label, _)| label != "le");
        sets.entry(labels.cloned().collect())
            .or_default()
            .push(sample);
    }
    for (labels, samples) in sets {
        let (mut bound, mut total) = (f64::NEG_INFINITY, 0.0);
        let (mut sum, mut count) = (None, None);
        for sample in samples {
            if sample.name.ends_with("_bucket") {
                let le = sample.label("le").ok_or("a bucket without le")?;
                let le: f64 = le.replace("+Inf", "inf").parse().map_err(|_| "bad le")?;
                if le <= bound || sample.value < total || count.is_some() {
                    return Err(format!("{name}{labels:?}: buckets out of order"));
                }
                (bound, total) = (le, sample.value);
            } else if sample.name.ends_with("_sum") {
                sum = Some(sample.value);
            } else {
                count = Some(sample.value);
            }
        }
        if bound != f64::INFINITY || count != Some(total) || sum.is_none() {
            return Err(format!("{name}{labels:?}: does not add up"));
        }
    }
    Ok(())
}

fn is_name(name: &str, colon: bool) -> bool {
    let mut bytes = name.bytes();
    let first = |b: u8| b.is_ascii_alphabetic() || b == b'_' || (colon && b == b':');
    bytes.next().is_some_and(first) && bytes.all(|b| first(b) || b.is_ascii_digit())
}

#[test]
fn refuses_what_is_wrong() {
    let head = "# HELP a_total x\n# TYPE a_total counter\n";
    for (bad, why) in [
        ("a_total 1\n".to_owned(), "before any family"),
        (format!("{head}a_total 1"), "not ended"),
        (format!("{head}b_total 1\n"), "outside its family"),
        (format!("{head}a_total 1\na_total 2\n"), "twice"),
        (format!("{head}a_total{{x=\"1\"y=\"2\"}} 1\n"), "comma"),
        (format!("{head}a_total{{x=\"\\t\"}} 1\n"), "escape"),
        (format!("{head}a_total one\n"), "bad value"),
        (format!("{head}{head}"), "twice"),
        (head.replace("a_total", "a"), "_total"),
    ] {
        let error = parse(&bad).expect_err(&bad);
        assert!(error.contains(why), "{error}");
    }
    let good = format!("{head}a_total{{x=\"q\\\"\\\\\\n\"}} 1\n");
    let families = parse(&good).unwrap();
    assert_eq!(families["a_total"].samples[0].label("x"), Some("q\"\\\n"));
}
