//! Last good versions, duplicates, limits and places, on real files.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::resources::{ObjectKey, ObjectRef};

struct Scene {
    holder: tempfile::TempDir,
    directory: Directory,
    loaded: Loaded,
}

impl Scene {
    fn new(files: &[(&str, &str)]) -> Self {
        let holder = tempfile::tempdir().expect("a directory");
        let directory = Directory::open(holder.path()).expect("open");
        let mut scene = Self {
            holder,
            directory,
            loaded: Loaded::default(),
        };
        for (name, text) in files {
            scene.write(name, text);
        }
        scene.load();
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.holder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn load(&mut self) {
        self.loaded = self.directory.load();
    }

    fn ports(&self) -> Vec<(String, i32)> {
        let services = self.loaded.resources.services.values();
        services
            .map(|service| {
                let spec = service.body.spec.as_ref();
                let port = spec.and_then(|s| Some(s.ports.as_ref()?.first()?.port));
                (service.meta.key.name.clone(), port.expect("a port"))
            })
            .collect()
    }

    fn codes(&self) -> Vec<&'static str> {
        self.loaded
            .findings
            .iter()
            .map(|finding| finding.code)
            .collect()
    }

    fn finding(&self, code: &str) -> &Finding {
        let mut findings = self.loaded.findings.iter();
        findings
            .find(|finding| finding.code == code)
            .unwrap_or_else(|| panic!("no {code} in {:?}", self.loaded.findings))
    }
}

fn service(name: &str, port: impl std::fmt::Display) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  ports:\n  - port: \
         {port}\n"
    )
}

fn ports(expected: &[(&str, i32)]) -> Vec<(String, i32)> {
    expected
        .iter()
        .map(|(name, port)| ((*name).to_owned(), *port))
        .collect()
}

#[test]
fn an_object_that_cannot_be_read_keeps_its_last_good_version() {
    let both = |a: &str, b: &str| format!("{}---\n{}", service("a", a), service("b", b));
    let mut scene = Scene::new(&[("x/one.yaml", &both("1", "2"))]);
    assert_eq!(scene.codes(), [""; 0]);
    assert!(scene.loaded.changed);

    scene.write("x/one.yaml", &both("web", "3"));
    scene.load();
    assert_eq!(scene.ports(), ports(&[("a", 1), ("b", 3)]));
    assert_eq!(scene.codes(), [codes::SCHEMA, codes::LAST_GOOD]);
    let place = scene.path("x/one.yaml").to_string_lossy().into_owned();
    let position = scene
        .finding(codes::SCHEMA)
        .position
        .as_ref()
        .expect("a place");
    assert_eq!(position.to_string(), format!("{place}:7:11"));

    // It stays so, without anything being read again, and other files come and go.
    scene.write("two.yaml", &service("c", 4));
    scene.load();
    assert_eq!(scene.ports(), ports(&[("a", 1), ("b", 3), ("c", 4)]));
    scene.load();
    assert!(!scene.loaded.changed);
    assert_eq!(scene.ports().len(), 3);
    assert_eq!(scene.codes(), [codes::SCHEMA, codes::LAST_GOOD]);

    // Corrected.
    scene.write("x/one.yaml", &both("5", "6"));
    scene.load();
    assert_eq!(scene.ports(), ports(&[("a", 5), ("b", 6), ("c", 4)]));
    assert_eq!(scene.codes(), [""; 0]);

    // Broken again, and then deleted.
    scene.write("x/one.yaml", &both("web", "6"));
    scene.load();
    assert_eq!(scene.ports().len(), 3);
    scene.write("x/one.yaml", &service("b", 6));
    scene.load();
    assert_eq!(scene.ports(), ports(&[("b", 6), ("c", 4)]));
}

#[test]
fn a_broken_document_keeps_what_the_file_had() {
    let three = [service("a", 1), service("b", 2), service("c", 3)].join("---\n");
    let mut scene = Scene::new(&[("one.yaml", &three)]);
    // b's document has a tab; a is gone on purpose, but which one the broken document is cannot be
    // told; c has changed.
    let broken = service("b", 2).replace("  ports", "\tports");
    scene.write("one.yaml", &format!("{broken}---\n{}", service("c", 9)));
    scene.load();
    assert_eq!(scene.ports(), ports(&[("a", 1), ("b", 2), ("c", 9)]));
    let finding = scene.finding(codes::SCHEMA);
    assert!(finding.message.contains("tab"), "{finding}");
    assert_eq!(
        finding.position.as_ref().map(|p| (p.line, p.column)),
        Some((6, 1))
    );

    scene.write(
        "one.yaml",
        &format!("{}---\n{}", service("b", 2), service("c", 9)),
    );
    scene.load();
    assert_eq!(scene.ports(), ports(&[("b", 2), ("c", 9)]));
    fs::remove_file(scene.path("one.yaml")).expect("removed");
    scene.load();
    assert_eq!(scene.ports(), []);
}

#[test]
fn a_slip_in_the_header_takes_nothing_out_of_force() {
    let mut scene = Scene::new(&[("one.yaml", &service("a", 1))]);
    for slip in [
        service("a", 1).replace("kind: Service", "kind: Servce"),
        service("a", 1).replace("name: a", "nme: a"),
        service("a", 1).replace("apiVersion: v1\n", ""),
        service("a", 1).replace("metadata:\n", ""),
        "[".to_owned(),
        "\u{1}\u{2}".to_owned(),
    ] {
        scene.write("one.yaml", &slip);
        scene.load();
        assert_eq!(scene.ports(), ports(&[("a", 1)]), "{slip}");
        assert!(scene.codes().contains(&codes::LAST_GOOD), "{slip}");
    }
}

#[test]
fn at_start_up_there_is_no_last_good_version() {
    let scene = Scene::new(&[
        ("one.yaml", &service("a", "web")),
        ("two.yaml", &service("b", 1)),
    ]);
    assert_eq!(scene.ports(), ports(&[("b", 1)]));
    assert_eq!(scene.codes(), [codes::SCHEMA]);
}

#[test]
fn an_object_defined_twice_is_the_one_of_the_first_file() {
    let mut scene = Scene::new(&[("b.yaml", &service("a", 2)), ("a.yaml", &service("a", 1))]);
    assert_eq!(scene.ports(), ports(&[("a", 1)]));
    let finding = scene.finding(codes::DUPLICATE_OBJECT);
    let (first, second) = (scene.path("a.yaml"), scene.path("b.yaml"));
    assert!(
        finding.message.contains(&format!("{}:1", first.display())),
        "{finding}"
    );
    let position = finding.position.as_ref().map(ToString::to_string);
    assert_eq!(position, Some(format!("{}:1", second.display())));

    // The first one gone, the second is in force.
    fs::remove_file(first).expect("removed");
    scene.load();
    assert_eq!(scene.ports(), ports(&[("a", 2)]));
    assert_eq!(scene.codes(), [""; 0]);
}

#[test]
fn an_object_that_moves_to_a_file_where_it_is_wrong_stays() {
    let mut scene = Scene::new(&[("a.yaml", &service("a", 1))]);
    fs::remove_file(scene.path("a.yaml")).expect("removed");
    scene.write("b.yaml", &service("a", "web"));
    scene.load();
    assert_eq!(scene.ports(), ports(&[("a", 1)]));
}

#[test]
fn an_emptied_file_keeps_its_objects() {
    let mut scene = Scene::new(&[("a.yaml", &service("a", 1))]);
    scene.write("a.yaml", "");
    scene.load();
    assert_eq!(scene.ports(), ports(&[("a", 1)]));
    assert_eq!(scene.codes(), [codes::EMPTY_FILE, codes::LAST_GOOD]);
    scene.load();
    assert_eq!(scene.ports(), ports(&[("a", 1)]));
    // Comments only: meant so.
    scene.write("a.yaml", "# nothing here now\n");
    scene.load();
    assert_eq!(scene.ports(), []);
    assert_eq!(scene.codes(), [""; 0]);
}

#[test]
fn a_file_that_is_no_text_or_too_large_keeps_its_objects() {
    let mut scene = Scene::new(&[("a.yaml", &service("a", 1))]);
    fs::write(scene.path("a.yaml"), b"kind: Service\nname: \xff\xfe\n").expect("written");
    scene.load();
    let finding = scene.finding(codes::UNREADABLE);
    assert_eq!(
        finding.position.as_ref().map(|p| (p.line, p.column)),
        Some((2, 7))
    );
    assert_eq!(scene.ports(), ports(&[("a", 1)]));

    let file = fs::File::create(scene.path("a.yaml")).expect("created");
    file.set_len(17 << 20).expect("a large file");
    scene.load();
    assert!(scene.finding(codes::LIMIT).message.contains("16 MiB"));
    assert_eq!(scene.ports(), ports(&[("a", 1)]));

    scene.write("a.yaml", &service("a", 7));
    scene.load();
    assert_eq!((scene.ports(), scene.codes()), (ports(&[("a", 7)]), vec![]));
}

#[test]
fn links_are_followed_and_circles_end() {
    let mut scene = Scene::new(&[("real/a.yaml", &service("a", 1))]);
    symlink(".", scene.path("real/circle")).expect("linked");
    symlink("..", scene.path("real/up")).expect("linked");
    symlink("nowhere.yaml", scene.path("broken.yaml")).expect("linked");
    let outside = tempfile::tempdir().expect("a directory");
    fs::write(outside.path().join("b.yml"), service("b", 2)).expect("written");
    symlink(outside.path(), scene.path("outside")).expect("linked");
    scene.load();
    assert_eq!(scene.ports(), ports(&[("a", 1), ("b", 2)]));
    assert_eq!(scene.codes(), [codes::UNREADABLE]);
}

#[test]
fn a_pipe_or_directory_in_the_place_of_a_file_does_not_hold_us_up() {
    let mut scene = Scene::new(&[("b.yaml", &service("b", 2))]);
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, scene.path("a.yaml"), mode).expect("a pipe");
    fs::create_dir(scene.path("c.yaml")).expect("a directory");
    scene.load();
    assert_eq!(scene.ports(), ports(&[("b", 2)]));
}

#[test]
fn a_directory_that_vanishes_keeps_everything() {
    let mut scene = Scene::new(&[("a.yaml", &service("a", 1))]);
    let away = scene.holder.path().with_extension("away");
    fs::rename(scene.holder.path(), &away).expect("moved");
    scene.load();
    assert_eq!(scene.ports(), ports(&[("a", 1)]));
    assert_eq!(scene.codes(), [codes::UNREADABLE]);
    fs::rename(&away, scene.holder.path()).expect("back");
    scene.load();
    assert_eq!(scene.codes(), [""; 0]);
    assert!(Directory::open(away).is_err());
}

#[test]
fn what_a_program_and_a_person_write_as_json_is_read() {
    let text = "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Service\",\n\t\"metadata\": {\"name\": \
                \"a\"},\n\t\"spec\": {\"ports\": [{\"port\": 1}]}\n}\n";
    let scene = Scene::new(&[("a.json", text)]);
    assert_eq!((scene.ports(), scene.codes()), (ports(&[("a", 1)]), vec![]));
}

#[test]
fn kinds_that_are_not_used_are_listed_once() {
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n";
    let scene = Scene::new(&[("a.yaml", deployment), ("b.yaml", deployment)]);
    assert_eq!(scene.codes(), [codes::KIND_NOT_USED]);
    let finding = scene.finding(codes::KIND_NOT_USED);
    assert!(finding.message.contains("2 objects"), "{finding}");
    let position = finding.position.as_ref().map(|p| p.file.clone());
    assert_eq!(
        position,
        Some(scene.path("a.yaml").to_string_lossy().into_owned())
    );
}

#[test]
fn later_findings_get_their_place() {
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n- {}",
        service("c", 3).trim_end().replace('\n', "\n  ")
    );
    let two = format!("{}---\n{}", service("a", 1), service("b", 2));
    let mut scene = Scene::new(&[("a.yaml", &two), ("c.yaml", &list)]);
    let finding = |name: &str, field: &str| Finding {
        code: "GH9999",
        level: Level::Warning,
        object: Some(ObjectRef {
            kind: "Service".to_owned(),
            key: ObjectKey::new("default", name),
        }),
        field: field.to_owned(),
        position: None,
        message: String::new(),
        hint: String::new(),
    };
    let mut findings = [
        finding("c", "spec.ports[0].port"),
        finding("b", "spec.ports[0].port"),
        finding("a", "spec.type"),
        finding("nobody", "spec"),
    ];
    scene
        .directory
        .locate(&scene.loaded.resources, &mut findings);
    let places = |findings: &[Finding]| -> Vec<_> {
        let positions = findings.iter().map(|finding| finding.position.as_ref());
        positions.map(|p| p.map(|p| (p.line, p.column))).collect()
    };
    assert_eq!(
        places(&findings),
        [Some((10, 13)), Some((15, 11)), Some((5, 1)), None]
    );

    // A version that the file no longer has: the file only.
    let before = scene.loaded.resources.clone();
    scene.write("a.yaml", &service("a", "web"));
    scene.load();
    assert_eq!(
        scene.loaded.resources.services.len(),
        2,
        "b was deleted, a stays"
    );
    let mut findings = [finding("a", "spec.ports"), finding("b", "spec.ports")];
    scene.directory.locate(&before, &mut findings);
    assert_eq!(places(&findings), [Some((0, 0)), Some((0, 0))]);
}

#[test]
fn ten_thousand_objects_are_read_once() {
    let holder = tempfile::tempdir().expect("a directory");
    let files = 2_000;
    for file in 0..files {
        let objects: Vec<_> = (0..5)
            .map(|n| service(&format!("s-{file}-{n}"), 80))
            .collect();
        let path = holder.path().join(format!("{file}.yaml"));
        fs::write(path, objects.join("---\n")).expect("written");
    }
    let mut directory = Directory::open(holder.path()).expect("open");
    let start = std::time::Instant::now();
    let loaded = directory.load();
    eprintln!("10,000 objects in 2,000 files: {:?}", start.elapsed());
    assert_eq!(loaded.resources.len(), 10_000);
    assert!(loaded.findings.is_empty());

    let kind = Kind::Service;
    let key = ObjectKey::new("default", "s-7-0");
    let other = ObjectKey::new("default", "s-8-0");
    fs::write(holder.path().join("7.yaml"), service("s-7-0", 81)).expect("written");
    let start = std::time::Instant::now();
    let again = directory.load();
    eprintln!("again, with one file changed: {:?}", start.elapsed());
    assert_eq!(again.resources.len(), 9_996);
    let version = |loaded: &Loaded, key| loaded.resources.object(kind, key).expect("it");
    assert!(
        version(&again, &other).same_version(&version(&loaded, &other)),
        "read again"
    );
    assert!(!version(&again, &key).same_version(&version(&loaded, &key)));
}

#[test]
fn pools_that_could_never_be_read_are_known_to_be_there() {
    let pool = |name: &str, addresses: &str| {
        format!(
            "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata:\n  name: {name}\n  \
             labels: {{net: lan}}\nspec:\n  addresses: {addresses}\n"
        )
    };
    let right = "[10.0.0.0/24]";
    let mut scene = Scene::new(&[
        ("broken.yaml", &pool("broken", "5")),
        ("right.yaml", &pool("right", right)),
    ]);
    let refused = scene.loaded.resources.refused_pools.clone();
    assert!(!refused.others);
    let named: Vec<_> = refused.named.iter().collect();
    let [(name, labels)] = named.as_slice() else {
        panic!("{named:?}")
    };
    assert_eq!(*name, "broken");
    assert_eq!(labels.get("net").map(String::as_str), Some("lan"));

    // With a last good version it is in force, and so are all objects of a file that was read once.
    scene.write("broken.yaml", &pool("broken", right));
    scene.load();
    assert_eq!(scene.loaded.resources.refused_pools, Default::default());
    scene.write("broken.yaml", &pool("broken", "5"));
    scene.write("right.yaml", "a: [");
    scene.load();
    assert_eq!(scene.loaded.resources.refused_pools, Default::default());
    assert_eq!(scene.loaded.resources.ip_address_pools.len(), 2);

    // Of a file that was never read nobody knows what is in it, until it is read, or gone.
    scene.write("new.yaml", "a: [");
    scene.load();
    assert!(scene.loaded.resources.refused_pools.others);
    scene.write("new.yaml", "a: [[");
    scene.load();
    assert!(scene.loaded.resources.refused_pools.others);
    fs::remove_file(scene.path("new.yaml")).expect("removed");
    scene.load();
    assert!(!scene.loaded.resources.refused_pools.others);
}

/// So that what they hold is not dealt to others.
#[test]
fn services_that_could_never_be_read_are_known_to_be_there() {
    let service = |ports: &str| {
        format!("apiVersion: v1\nkind: Service\nmetadata: {{name: a}}\nspec: {{ports: {ports}}}\n")
    };
    let mut scene = Scene::new(&[("a.yaml", &service("5"))]);
    let (a, b) = (
        ObjectKey::new("default", "a"),
        ObjectKey::new("default", "b"),
    );
    let unread = &scene.loaded.resources.unread_services;
    assert!(unread.may_exist(&a) && !unread.may_exist(&b));
    scene.write("a.yaml", &service("[{port: 80}]"));
    scene.load();
    assert_eq!(scene.loaded.resources.unread_services, Default::default());
    // The last good version is in force.
    scene.write("a.yaml", &service("5"));
    scene.load();
    assert_eq!(scene.loaded.resources.unread_services, Default::default());
    assert!(scene.loaded.resources.services.contains_key(&a));
    // Of a file that was never read nobody knows what is in it.
    scene.write("new.yaml", "a: [");
    scene.load();
    assert!(scene.loaded.resources.unread_services.may_exist(&b));
}
