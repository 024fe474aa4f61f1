//! Labels and annotations.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use litemap::LiteMap;
use serde::{Deserialize, Deserializer};

/// The labels of an object, or its annotations: a sorted list that copies share until one of them
/// changes.
#[derive(Clone, Default)]
pub struct Labels(Option<Arc<LiteMap<String, String>>>);

/// What is shared by all that have none.
static NONE: LiteMap<String, String> = LiteMap::new_vec();

impl Deref for Labels {
    type Target = LiteMap<String, String>;

    fn deref(&self) -> &Self::Target {
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl DerefMut for Labels {
    fn deref_mut(&mut self) -> &mut Self::Target {
        Arc::make_mut(self.0.get_or_insert_default())
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Labels {}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl FromIterator<(String, String)> for Labels {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        // Sorted, and a later one takes the place of an earlier one of the same name.
        Self::from(BTreeMap::from_iter(pairs))
    }
}

impl From<BTreeMap<String, String>> for Labels {
    fn from(labels: BTreeMap<String, String>) -> Self {
        let mut list = LiteMap::with_capacity(labels.len());
        list.extend(labels);
        Self((!list.is_empty()).then(|| Arc::new(list)))
    }
}

impl<const N: usize> From<[(String, String); N]> for Labels {
    fn from(labels: [(String, String); N]) -> Self {
        labels.into_iter().collect()
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(Self::from)
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a String, &'a String);
    type IntoIter = <&'a LiteMap<String, String> as IntoIterator>::IntoIter;

    fn into_iter(self) -> Self::IntoIter {
        (&**self).into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_shared_until_one_changes() {
        let of = |pairs: &[(&str, &str)]| -> Labels {
            let pairs = pairs.iter();
            pairs
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        let labels = of(&[("b", "1"), ("a", "2"), ("b", "3")]);
        assert_eq!(format!("{labels:?}"), r#"{"a": "2", "b": "3"}"#);
        let mut other = labels.clone();
        assert!(std::ptr::eq(&*labels, &*other));
        other.remove("b");
        assert_eq!(labels.get("b").map(String::as_str), Some("3"));
        assert_eq!(other, of(&[("a", "2")]));
        other.remove("a");
        assert_eq!(other, Labels::default());
        assert_eq!(of(&[]), Labels::default());
        assert_eq!(size_of::<Labels>(), size_of::<usize>());
    }
}
