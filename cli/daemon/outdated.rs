//! Inputs that are of little use as they are: an expired certificate, a list of revoked ones that
//! nobody renewed. The version before is better, unless it has expired as well; then the newest is,
//! as the rest of it may be new: a Secret whose list has expired may bring a new certificate.

use std::collections::BTreeSet;
use std::sync::Arc;

use gatehouse_config::files::FileContents;
use gatehouse_config::resources::Resources;
use gatehouse_config::source::{Kind, LastGood, LastGoodFiles};
use gatehouse_config::translate::Input;

/// What was tried in one reload.
#[derive(Debug)]
pub struct Outdated {
    newest: Resources,
    newest_files: Arc<FileContents>,
    older: BTreeSet<Input>,
    settled: BTreeSet<Input>,
}

impl Outdated {
    /// Nothing yet; these are the newest versions.
    pub fn new(newest: Resources, newest_files: Arc<FileContents>) -> Self {
        Self {
            newest,
            newest_files,
            older: BTreeSet::new(),
            settled: BTreeSet::new(),
        }
    }

    /// The newest version of every file is in place again, and there are more of them.
    pub fn read_again(&mut self, newest_files: Arc<FileContents>) {
        self.newest_files = newest_files;
        for tried in [&mut self.older, &mut self.settled] {
            tried.retain(|input| matches!(input, Input::Object(_)));
        }
    }

    /// Puts another version of an outdated input in place, where that may help. Tells whether
    /// anything changed; for each input that happens twice at most.
    pub fn replace(
        &mut self,
        input: &Input,
        (last_good, resources): (&LastGood, &mut Resources),
        (last_good_files, files): (&LastGoodFiles, &mut FileContents),
    ) -> bool {
        if self.older.insert(input.clone()) {
            return match input {
                Input::Object(object) => last_good.prefer(resources, object),
                Input::File(path) => last_good_files.prefer(files, path),
            };
        }
        if !self.settled.insert(input.clone()) {
            return false;
        }
        match input {
            Input::Object(object) => {
                let newest = Kind::from_name(&object.kind)
                    .and_then(|kind| Some((self.newest.object(kind, &object.key)?, kind)));
                // One that is gone does not come to be gone again.
                let Some((newest, kind)) = newest else {
                    return false;
                };
                let current = resources.object(kind, &object.key);
                let is_there = current.is_some_and(|current| current.same_version(&newest));
                if !is_there {
                    resources.insert(newest);
                }
                !is_there
            }
            Input::File(path) => match self.newest_files.get(path) {
                Some(Ok(newest)) if files.get(path) != Some(Ok(newest)) => {
                    files.insert(path.clone(), Ok(Arc::clone(newest)));
                    true
                }
                _ => false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use gatehouse_config::api::core::ConfigMap;
    use gatehouse_config::resources::{Metadata, Object, ObjectKey, Origin};
    use gatehouse_config::source::AnyObject;

    use super::*;

    fn object(version: &str) -> AnyObject {
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

    fn resources(object: Option<&AnyObject>) -> Resources {
        let mut resources = Resources::default();
        if let Some(object) = object {
            resources.insert(object.clone());
        }
        resources
    }

    fn files(content: Result<&str, &str>) -> FileContents {
        let mut files = FileContents::default();
        let content = content.map(|text| text.as_bytes().into());
        files.insert("a.pem".to_owned(), content.map_err(str::to_owned));
        files
    }

    /// What is in place after each time that the input is outdated, until nothing changes.
    fn objects_in_place(
        accepted: Option<&AnyObject>,
        newest: Option<&AnyObject>,
    ) -> Vec<Option<AnyObject>> {
        let mut last_good = LastGood::default();
        last_good.accept(&resources(accepted));
        let mut now = resources(newest);
        let input = Input::Object(object("1").reference());
        let mut outdated = Outdated::new(now.clone(), Arc::default());
        let mut in_place = Vec::new();
        let none = (&LastGoodFiles::default(), &mut FileContents::default());
        while outdated.replace(&input, (&last_good, &mut now), (none.0, none.1)) {
            in_place.push(now.object(Kind::ConfigMap, &ObjectKey::new("default", "a")));
        }
        in_place
    }

    #[test]
    fn of_two_that_are_outdated_the_newest_is_in_force() {
        let (old, new) = (object("1"), object("2"));
        assert_eq!(
            objects_in_place(Some(&old), Some(&new)),
            [Some(old.clone()), Some(new.clone())],
            "the one before, and then back"
        );
        let gone = objects_in_place(Some(&old), None);
        assert_eq!(gone, [Some(old)]);
        assert_eq!(objects_in_place(None, Some(&new)), []);
        assert_eq!(objects_in_place(Some(&new), Some(&new)), []);
    }

    #[test]
    fn files_likewise() {
        let in_place = |accepted: Result<&str, &str>, newest: Result<&str, &str>| {
            let mut last_good = LastGoodFiles::default();
            last_good.accept(&files(accepted));
            let mut now = files(newest);
            let input = Input::File("a.pem".to_owned());
            let mut outdated = Outdated::new(Resources::default(), Arc::new(now.clone()));
            let mut in_place = Vec::new();
            let none = (&LastGood::default(), &mut Resources::default());
            while outdated.replace(&input, (none.0, none.1), (&last_good, &mut now)) {
                in_place.push(now.clone());
            }
            in_place
        };
        let (old, new) = (files(Ok("1")), files(Ok("2")));
        assert_eq!(in_place(Ok("1"), Ok("2")), [old.clone(), new]);
        assert_eq!(in_place(Ok("1"), Err("there is no such file")), [old]);
        assert_eq!(in_place(Err("there is no such file"), Ok("2")), []);
    }
}
