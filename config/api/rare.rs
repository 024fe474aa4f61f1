//! Parts that few objects have.

use std::collections::{BTreeMap, btree_map};
use std::ops::{Deref, DerefMut};
use std::{fmt, slice};

use serde::{Deserializer, Serialize, Serializer};

use crate::api::jsonpb::Field;
use crate::api::shape::Shape;

/// A text, list or map that is empty nearly always, and takes no more than a pointer then: there
/// may be ten thousand VirtualServices, each with a dozen of them.
pub struct Rare<T>(Option<Box<T>>);

/// What may be empty.
pub trait Empty: Sized + 'static {
    /// The empty one.
    const EMPTY: &'static Self;

    /// Whether this is empty.
    fn is_empty(&self) -> bool;
}

impl Empty for String {
    const EMPTY: &'static Self = &String::new();

    fn is_empty(&self) -> bool {
        String::is_empty(self)
    }
}

impl<T: 'static> Empty for Vec<T> {
    const EMPTY: &'static Self = &Vec::new();

    fn is_empty(&self) -> bool {
        Vec::is_empty(self)
    }
}

impl<K: 'static, V: 'static> Empty for BTreeMap<K, V> {
    const EMPTY: &'static Self = &BTreeMap::new();

    fn is_empty(&self) -> bool {
        BTreeMap::is_empty(self)
    }
}

impl<T: Empty> From<T> for Rare<T> {
    fn from(value: T) -> Self {
        Self((!value.is_empty()).then(|| Box::new(value)))
    }
}

impl<T> Default for Rare<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Clone> Clone for Rare<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Empty> Deref for Rare<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or(T::EMPTY)
    }
}

impl<T: Empty + Default> DerefMut for Rare<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

impl<T: Empty + PartialEq> PartialEq for Rare<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Empty + fmt::Debug> fmt::Debug for Rare<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: Empty + fmt::Display> fmt::Display for Rare<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<'a, T: 'static> IntoIterator for &'a Rare<Vec<T>> {
    type Item = &'a T;
    type IntoIter = slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, K: 'static, V: 'static> IntoIterator for &'a Rare<BTreeMap<K, V>> {
    type Item = (&'a K, &'a V);
    type IntoIter = btree_map::Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: Empty + Serialize> Serialize for Rare<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<T: Empty + Field> Field for Rare<T> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(deserializer).map(Self::from)
    }

    fn shape() -> Shape {
        T::shape()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_takes_a_pointer_and_is_equal_to_nothing_written() {
        assert_eq!(size_of::<Rare<String>>(), size_of::<usize>());
        let mut list = Rare::from(Vec::<u8>::new());
        assert!(list.0.is_none() && list.is_empty());
        assert_eq!(list, Rare::default());
        list.push(1);
        assert_eq!(*list, [1]);
        list.clear();
        assert_eq!(list, Rare::default());
        assert_eq!(format!("{list:?}"), "[]");
    }
}
