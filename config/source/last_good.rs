//! The last version of every object that was accepted, for those whose newest one is refused.
//!
//! Works with objects of any source. The caller's loop, after each load:
//!
//! ```text
//! let mut resources = loaded.resources;            // the newest version of everything
//! loop {
//!     let outcome = translate(&resources);
//!     if outcome.refused.is_empty() { break }      // objects that are wrong as a whole
//!     for object in &outcome.refused { last_good.fall_back(&mut resources, object); }
//! }                                                // ends: each object falls back at most twice
//! last_good.accept(&resources);                    // this is in force from now on
//! ```

use std::sync::Arc;

use crate::files::FileContents;
use crate::resources::{ObjectRef, Resources};
use crate::source::decode::{AnyObject, Kind};

/// What is in force for an object that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InForce {
    /// The version that was accepted before.
    Previous,
    /// Nothing: there was none, or it was refused as well.
    Nothing,
}

/// The objects that are in force. Cheap: it shares every object with the sources.
#[derive(Clone, Debug, Default)]
pub struct LastGood {
    accepted: Resources,
}

impl LastGood {
    /// Puts the last accepted version of `refused` into `resources`; where there is none, or where
    /// it is the very version that was refused, takes the object out. That a pool or a Service is
    /// there stays known: who holds an address keeps it.
    pub fn fall_back(&self, resources: &mut Resources, refused: &ObjectRef) -> InForce {
        let Some(kind) = Kind::from_name(&refused.kind) else {
            return InForce::Nothing;
        };
        let newest = resources.object(kind, &refused.key);
        match (newest, self.accepted.object(kind, &refused.key)) {
            (Some(newest), Some(accepted)) if !newest.same_version(&accepted) => {
                resources.insert(accepted);
                InForce::Previous
            }
            (newest, _) => {
                match newest {
                    Some(AnyObject::IPAddressPool(pool)) => {
                        let (name, labels) = (pool.meta.key.name.clone(), pool.meta.labels.clone());
                        resources.refused_pools.named.insert(name, labels);
                    }
                    Some(AnyObject::Service(service)) => {
                        let key = service.meta.key.clone();
                        resources.unread_services.named.insert(key);
                    }
                    _ => {}
                }
                resources.remove(kind, &refused.key);
                InForce::Nothing
            }
        }
    }

    /// Puts the last accepted version of an object that is outdated, or gone, into `resources`; where
    /// there is no other, the object stays as it is. Tells whether anything changed.
    pub fn prefer(&self, resources: &mut Resources, outdated: &ObjectRef) -> bool {
        let Some(kind) = Kind::from_name(&outdated.kind) else {
            return false;
        };
        let newest = resources.object(kind, &outdated.key);
        match (newest, self.accepted.object(kind, &outdated.key)) {
            (newest, Some(accepted))
                if newest
                    .as_ref()
                    .is_none_or(|newest| !newest.same_version(&accepted)) =>
            {
                resources.insert(accepted);
                true
            }
            _ => false,
        }
    }

    /// Remembers what is in force now.
    pub fn accept(&mut self, resources: &Resources) {
        self.accepted = resources.clone();
    }

    /// What is in force.
    pub fn accepted(&self) -> &Resources {
        &self.accepted
    }
}

/// The last content that was accepted of every file that objects name.
#[derive(Clone, Debug, Default)]
pub struct LastGoodFiles {
    accepted: FileContents,
}

impl LastGoodFiles {
    /// Puts the last accepted content of a file that is refused or outdated into `files`; where
    /// there is no other, the file stays as it is. Tells whether anything changed.
    ///
    /// A certificate and its key are refused together, even if only one of the two is new: the
    /// other one is what it was, and others may use it.
    pub fn prefer(&self, files: &mut FileContents, refused: &str) -> bool {
        match self.accepted.get(refused) {
            Some(Ok(accepted)) if files.get(refused) != Some(Ok(accepted)) => {
                files.insert(refused.to_owned(), Ok(Arc::clone(accepted)));
                true
            }
            _ => false,
        }
    }

    /// Remembers what is in force now.
    pub fn accept(&mut self, files: &FileContents) {
        self.accepted = files.clone();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::api::core::ConfigMap;
    use crate::resources::{Metadata, Object, ObjectKey, Origin};
    use crate::source::decode::AnyObject;

    fn config_map(version: &str) -> AnyObject {
        AnyObject::ConfigMap(Arc::new(Object {
            meta: Metadata {
                key: ObjectKey::new("default", "a"),
                ..Metadata::default()
            },
            body: ConfigMap::default(),
            origin: Origin::Api {
                resource_version: version.to_owned(),
            },
        }))
    }

    fn resources(object: &AnyObject) -> Resources {
        let mut resources = Resources::default();
        resources.insert(object.clone());
        resources
    }

    #[test]
    fn a_refused_object_keeps_its_accepted_version() {
        let (first, second) = (config_map("1"), config_map("2"));
        let mut last_good = LastGood::default();
        last_good.accept(&resources(&first));

        let mut now = resources(&second);
        assert_eq!(
            last_good.fall_back(&mut now, &second.reference()),
            InForce::Previous
        );
        assert_eq!(now.object(first.kind(), first.key()), Some(first.clone()));

        // The previous one is refused too: nothing is left, and the loop ends.
        assert_eq!(
            last_good.fall_back(&mut now, &first.reference()),
            InForce::Nothing
        );
        assert!(now.is_empty());
    }

    #[test]
    fn at_start_up_there_is_none() {
        let object = config_map("1");
        let mut now = resources(&object);
        let refused = object.reference();
        assert_eq!(
            LastGood::default().fall_back(&mut now, &refused),
            InForce::Nothing
        );
        assert!(now.is_empty());
    }

    #[test]
    fn an_outdated_object_gives_way_to_another_version_only() {
        let (first, second) = (config_map("1"), config_map("2"));
        let mut now = resources(&second);
        let mut last_good = LastGood::default();
        assert!(!last_good.prefer(&mut now, &second.reference()));
        last_good.accept(&resources(&first));
        assert!(last_good.prefer(&mut now, &second.reference()));
        assert_eq!(now.object(first.kind(), first.key()), Some(first.clone()));
        assert!(!last_good.prefer(&mut now, &first.reference()));
        assert_eq!(now.object(first.kind(), first.key()), Some(first));
    }

    #[test]
    fn a_refused_file_keeps_its_accepted_content() {
        let files = |content: Result<&str, &str>| {
            let mut files = FileContents::default();
            let content = content.map(|text| text.as_bytes().into());
            files.insert("a.pem".to_owned(), content.map_err(str::to_owned));
            files
        };
        let mut last_good = LastGoodFiles::default();
        last_good.accept(&files(Ok("good")));
        for wrong in [Ok("wrong"), Err("there is no such file")] {
            let mut now = files(wrong);
            assert!(last_good.prefer(&mut now, "a.pem"));
            assert_eq!(now, files(Ok("good")));
            // That one is refused too: there is no other.
            assert!(!last_good.prefer(&mut now, "a.pem"));
            assert_eq!(now, files(Ok("good")));
        }
        let mut now = files(Ok("newer"));
        assert!(last_good.prefer(&mut now, "a.pem"));
        assert!(!last_good.prefer(&mut now, "a.pem"));
        assert_eq!(now, files(Ok("good")));
    }
}
