//! A directory and a cluster as one source.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::codes;
use crate::finding::{Finding, Level};
use crate::resources::{ObjectKey, Origin, Resources};
use crate::source::decode::AnyObject;
use crate::source::directory::Directory;
use crate::source::kubernetes::{Cluster, Seen, SeenService};

/// Where objects come from: a directory, a cluster, or both.
#[derive(Debug)]
pub struct Sources {
    directory: Option<Directory>,
    cluster: Option<Cluster>,
    /// Of the cluster, when it was looked at last: all changes, and those of objects.
    changes: (u64, u64),
}

/// What they hold now.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    /// Every object.
    pub resources: Resources,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Whether anything changed since the time before.
    pub changed: bool,
    /// Whether more changed than what allocators write to statuses.
    pub objects_changed: bool,
    /// What the statuses of the cluster's Services say.
    pub services: Arc<BTreeMap<ObjectKey, SeenService>>,
    /// Whether everything is known that addresses are dealt by.
    pub may_allocate: bool,
    /// Whether everything was seen once that addresses are announced by.
    pub knows_addresses: bool,
    /// Whether everything was seen once that other objects are judged by, and all else was asked for.
    pub is_complete: bool,
    /// How often anything of the cluster was seen to change.
    pub changes: u64,
    /// Whether all of the cluster's Pods were seen once.
    pub knows_pods: bool,
    /// Why its Pods cannot be seen now.
    pub pods_trouble: Option<String>,
}

impl Sources {
    /// Nothing is read yet.
    ///
    /// # Errors
    ///
    /// There is no such directory.
    pub fn open(directory: Option<&Path>, cluster: Option<Cluster>) -> io::Result<Self> {
        Ok(Self {
            directory: directory.map(Directory::open).transpose()?,
            cluster,
            changes: (0, 0),
        })
    }

    /// Whether there is a directory.
    pub fn has_directory(&self) -> bool {
        self.directory.is_some()
    }

    /// Reads what changed and tells everything. An object that both have is the directory's: who
    /// names a directory says what shall hold here.
    pub fn load(&mut self) -> Gathered {
        let mut gathered = Gathered {
            may_allocate: true,
            knows_addresses: true,
            is_complete: true,
            ..Gathered::default()
        };
        if let Some(directory) = &mut self.directory {
            let loaded = directory.load();
            gathered.resources = loaded.resources;
            gathered.findings = loaded.findings;
            gathered.changed = loaded.changed;
            gathered.objects_changed = loaded.changed;
        }
        if let Some(cluster) = &self.cluster {
            let Seen {
                resources,
                findings,
                services,
                may_allocate,
                knows_addresses,
                is_complete,
                changes,
                object_changes,
                knows_pods,
                pods_trouble,
            } = cluster.load();
            let twice = gathered.resources.add_all(&resources);
            let acting = twice.iter().filter(|object| object.kind().acts());
            let twice: Vec<_> = acting
                .map(|object| defined_twice(object, &gathered.resources))
                .collect();
            gathered.findings.extend(findings);
            gathered.findings.extend(twice);
            gathered.services = services;
            gathered.may_allocate = may_allocate;
            gathered.knows_addresses = knows_addresses;
            gathered.is_complete = is_complete;
            gathered.changes = changes;
            gathered.knows_pods = knows_pods;
            gathered.pods_trouble = pods_trouble;
            gathered.changed |= changes != self.changes.0;
            gathered.objects_changed |= object_changes != self.changes.1;
            self.changes = (changes, object_changes);
        }
        gathered
    }

    /// Gives findings about the directory's objects the place of their field.
    pub fn locate(&self, resources: &Resources, findings: &mut [Finding]) {
        if let Some(directory) = &self.directory {
            directory.locate(resources, findings);
        }
    }
}

fn defined_twice(object: &AnyObject, resources: &Resources) -> Finding {
    let first = resources.object(object.kind(), object.key());
    let place = match first.as_ref().map(AnyObject::origin) {
        Some(Origin::File { path, line, .. }) => format!("{path}:{line}"),
        Some(Origin::Api { .. }) | None => "the directory".to_owned(),
    };
    Finding {
        code: codes::DUPLICATE_OBJECT,
        level: Level::Warning,
        object: Some(object.reference()),
        field: "metadata.name".to_owned(),
        position: None,
        message: format!(
            "it is in the cluster and in {place}: the file's version is in force, the cluster's \
             is not used"
        ),
        hint: "Delete one of the two.".to_owned(),
    }
}
