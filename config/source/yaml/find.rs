//! Field paths such as `spec.http[0].match[1].uri` and `metadata.annotations["metallb.io/x"]`:
//! writing them, and finding the place that one names.

use super::{Mark, Node, Value};

/// The place of a field: of the value where it is a scalar, otherwise of the key that names it.
/// Where the path leads to nothing (a missing field), the place of the nearest parent.
pub fn find(root: &Node, path: &str) -> Mark {
    // Mesh files hold their settings without a `spec` around them.
    let bare = match root.entry("spec") {
        Some(_) => None,
        None => path.strip_prefix("spec."),
    };
    let path = bare.unwrap_or(path);
    let mut node = root;
    let mut mark = root.mark;
    let mut rest = path;
    while let Some((step, after)) = next_step(rest) {
        rest = after;
        let (value, place) = match (step, &node.value) {
            (Step::Index(index), Value::Sequence(items)) => match items.get(index) {
                Some(item) => (item, item.mark),
                None => break,
            },
            (Step::Key(key), Value::Mapping(entries)) => {
                let entry = entries.iter().find(|entry| {
                    *entry.key == *key || super::decode::lower_camel(&entry.key) == key
                });
                match entry {
                    Some(entry) => (&entry.value, entry.mark),
                    None => break,
                }
            }
            _ => break,
        };
        node = value;
        mark = match &node.value {
            // An empty value stands nowhere useful.
            Value::Scalar { text, .. } if !text.is_empty() => node.mark,
            _ => place,
        };
    }
    mark
}

#[derive(Debug, PartialEq, Eq)]
enum Step<'p> {
    Key(&'p str),
    Index(usize),
}

fn next_step(path: &str) -> Option<(Step<'_>, &str)> {
    let path = path.strip_prefix('.').unwrap_or(path);
    if let Some(quoted) = path.strip_prefix("[\"") {
        let (key, rest) = quoted.split_once("\"]")?;
        return Some((Step::Key(key), rest));
    }
    if let Some(indexed) = path.strip_prefix('[') {
        let (index, rest) = indexed.split_once(']')?;
        return Some((Step::Index(index.parse().ok()?), rest));
    }
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let (key, rest) = path.split_at_checked(end)?;
    (!key.is_empty()).then_some((Step::Key(key), rest))
}

#[cfg(test)]
mod tests {
    use super::super::path::{push_index, push_key};
    use super::*;

    #[test]
    fn paths_are_read_as_they_are_written() {
        let mut path = String::new();
        push_key(&mut path, "metadata");
        push_key(&mut path, "annotations");
        push_key(&mut path, "metallb.io/x");
        push_index(&mut path, 3);
        push_key(&mut path, "end");
        assert_eq!(path, "metadata.annotations[\"metallb.io/x\"][3].end");

        let mut steps = Vec::new();
        let mut rest = path.as_str();
        while let Some((step, after)) = next_step(rest) {
            steps.push(step);
            rest = after;
        }
        let expected = [
            Step::Key("metadata"),
            Step::Key("annotations"),
            Step::Key("metallb.io/x"),
            Step::Index(3),
            Step::Key("end"),
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn nonsense_ends_the_path() {
        for path in ["", "[", "[x]", "[\"a", "..", "[99999999999999999999]"] {
            assert_eq!(next_step(path), None, "{path:?}");
        }
    }
}
