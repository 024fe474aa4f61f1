//! Real files, changed as people and programs change them. Each wait has a deadline; none is a
//! fixed pause.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::*;
use crate::source::Directory;

const A: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n";
const B: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n";

/// Far more than a loaded machine needs; a change that is not seen at all fails by it.
const DEADLINE: Duration = Duration::from_secs(20);

struct Scene {
    holder: tempfile::TempDir,
    directory: Directory,
    watch: Watch,
}

impl Scene {
    /// A directory `config`, prepared, opened and watched.
    fn new(prepare: impl FnOnce(&Path)) -> Self {
        let holder = tempfile::tempdir().expect("a directory");
        let root = holder.path().join("config");
        prepare(&root);
        if !root.exists() {
            fs::create_dir(&root).expect("made");
        }
        let watch = Watch::new(&root);
        assert_eq!(watch.finding(), None);
        let mut directory = Directory::open(&root).expect("a directory");
        directory.load();
        Self {
            holder,
            directory,
            watch,
        }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.holder.path().join("config").join(below)
    }

    /// Waits until these namespaces are there.
    async fn expect(&mut self, names: &[&str]) {
        let until = Instant::now() + DEADLINE;
        loop {
            let loaded = self.directory.load();
            let found: Vec<_> = loaded
                .resources
                .namespaces
                .keys()
                .map(|k| k.name.clone())
                .collect();
            if found == names {
                return;
            }
            tokio::select! {
                () = self.watch.changed() => {}
                () = sleep_until(until) => panic!("not seen: {names:?}; there are {found:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_new_file_a_change_and_a_deletion_are_seen() {
    let mut scene = Scene::new(|_| {});
    fs::write(scene.path("a.yaml"), A).expect("written");
    scene.expect(&["a"]).await;
    fs::write(scene.path("a.yaml"), B).expect("written");
    scene.expect(&["b"]).await;
    fs::remove_file(scene.path("a.yaml")).expect("removed");
    scene.expect(&[]).await;
}

#[tokio::test]
async fn an_editors_rename_over_the_file_is_seen() {
    let mut scene = Scene::new(|_| {});
    fs::write(scene.path("a.yaml"), A).expect("written");
    scene.expect(&["a"]).await;
    for (number, (text, names)) in [(B, ["b"]), (A, ["a"]), (B, ["b"])].into_iter().enumerate() {
        let temporary = scene.path(&format!(".a.yaml.{number}.swp"));
        fs::write(&temporary, text).expect("written");
        fs::rename(&temporary, scene.path("a.yaml")).expect("renamed");
        scene.expect(&names).await;
    }
}

#[tokio::test]
async fn a_config_maps_swap_is_seen() {
    let swap = |root: &Path, version: &str, text: &str| {
        let data = root.join(format!("..{version}"));
        fs::create_dir_all(&data).expect("made");
        fs::write(data.join("a.yaml"), text).expect("written");
        symlink(format!("..{version}"), root.join("..data_tmp")).expect("linked");
        fs::rename(root.join("..data_tmp"), root.join("..data")).expect("swapped");
    };
    let mut scene = Scene::new(|root| {
        swap(root, "1", A);
        symlink("..data/a.yaml", root.join("a.yaml")).expect("linked");
    });
    scene.expect(&["a"]).await;
    let root = scene.path("");
    swap(&root, "2", B);
    fs::remove_dir_all(root.join("..1")).expect("removed");
    scene.expect(&["b"]).await;
}

#[tokio::test]
async fn files_of_a_folder_made_later_are_seen() {
    let mut scene = Scene::new(|_| {});
    fs::create_dir_all(scene.path("x/y/z")).expect("made");
    fs::write(scene.path("x/y/z/a.yaml"), A).expect("written");
    scene.expect(&["a"]).await;
    fs::write(scene.path("x/y/z/a.yaml"), B).expect("written");
    scene.expect(&["b"]).await;
    fs::rename(scene.path("x"), scene.path(".x")).expect("hidden");
    scene.expect(&[]).await;
}

#[tokio::test]
async fn a_directory_that_is_replaced_is_followed() {
    let mut scene = Scene::new(|root| {
        fs::create_dir(root).expect("made");
        fs::write(root.join("a.yaml"), A).expect("written");
    });
    let (old, new) = (
        scene.holder.path().join("old"),
        scene.holder.path().join("new"),
    );
    fs::create_dir(&new).expect("made");
    fs::write(new.join("b.yaml"), B).expect("written");
    fs::rename(scene.path(""), &old).expect("moved away");
    fs::rename(&new, scene.path("")).expect("moved in");
    scene.expect(&["b"]).await;
    // And the new one is watched.
    fs::write(scene.path("a.yaml"), A).expect("written");
    scene.expect(&["a", "b"]).await;
}

#[tokio::test]
async fn what_links_lead_to_is_seen() {
    let mut scene = Scene::new(|root| {
        let outside = root.with_file_name("outside");
        fs::create_dir(&outside).expect("made");
        fs::create_dir(root).expect("made");
        fs::write(outside.join("a.yaml"), A).expect("written");
        fs::write(outside.join("b.yaml"), B).expect("written");
        symlink("outside", root.with_file_name("current")).expect("linked");
        symlink("../current/a.yaml", root.join("a.yaml")).expect("linked");
    });
    let outside = scene.holder.path().join("outside");
    fs::rename(outside.join("b.yaml"), outside.join("a.yaml")).expect("renamed");
    scene.expect(&["b"]).await;

    let other = scene.holder.path().join("other");
    fs::create_dir(&other).expect("made");
    fs::write(other.join("a.yaml"), A).expect("written");
    let swapped = scene.holder.path().join("swapped");
    symlink("other", &swapped).expect("linked");
    fs::rename(swapped, scene.holder.path().join("current")).expect("swapped");
    scene.expect(&["a"]).await;
}

#[tokio::test]
async fn a_single_file_is_watched_too() {
    let mut scene = Scene::new(|root| fs::write(root, A).expect("written"));
    scene.expect(&["a"]).await;
    let root = scene.holder.path().join("config");
    let temporary = scene.holder.path().join("temporary");
    fs::write(&temporary, B).expect("written");
    fs::rename(&temporary, root).expect("renamed");
    scene.expect(&["b"]).await;
}

#[tokio::test]
async fn a_file_that_is_being_written_is_waited_for() {
    use std::io::Write;
    let mut scene = Scene::new(|_| {});
    fs::write(scene.path("a.yaml"), A).expect("written");
    scene.expect(&["a"]).await;
    scene.expect(&["a"]).await;

    // `helm template > a.yaml`: emptied, then the first half, then the rest.
    let path = scene.path("a.yaml");
    let (half, close) = (std::sync::mpsc::channel(), std::sync::mpsc::channel::<()>());
    let writer = std::thread::spawn(move || {
        let mut file = fs::File::create(path).expect("emptied");
        writeln!(file, "{A}---").expect("half");
        file.flush().expect("flushed");
        half.0.send(()).expect("told");
        close.1.recv().expect("told");
        write!(file, "{B}").expect("the rest");
    });
    half.1.recv().expect("half written");
    // Far longer than it waits for a change that is complete.
    let early = tokio::select! {
        biased;
        () = scene.watch.changed() => true,
        () = sleep_until(Instant::now() + AT_MOST * 2) => false,
    };
    assert!(!early, "told of half a file");
    close.0.send(()).expect("told");
    writer.join().expect("written");
    scene.expect(&["a", "b"]).await;
}

#[tokio::test]
async fn other_files_are_no_news() {
    let mut scene = Scene::new(|_| {});
    fs::write(scene.path("notes.txt"), "x").expect("written");
    fs::write(scene.path(".hidden.yaml"), A).expect("written");
    fs::write(scene.path("a.yaml~"), A).expect("written");
    // The name came, which may be a link to a directory; that is one change, and the load after it
    // finds nothing new.
    scene.watch.changed().await;
    assert!(!scene.directory.load().changed);
    fs::write(scene.path("notes.txt"), "y").expect("written");
    fs::write(scene.path("z.yaml"), B).expect("written");
    scene.expect(&["b"]).await;
}

#[tokio::test]
async fn a_lost_queue_is_made_up_for() {
    let mut scene = Scene::new(|_| {});
    scene.watch.note(vec![Event {
        watch: -1,
        flags: ReadFlags::QUEUE_OVERFLOW,
        name: None,
    }]);
    let until = Instant::now() + DEADLINE;
    tokio::select! {
        () = scene.watch.changed() => {}
        () = sleep_until(until) => panic!("an overflow was not told"),
    }
}

#[tokio::test]
async fn without_the_kernels_help_the_tree_is_looked_at() {
    let holder = tempfile::tempdir().expect("a directory");
    let mut watch = Watch::new(holder.path());
    watch.queue = None;
    watch.trouble = Some("no queue".to_owned());
    watch.look();
    assert_eq!(
        watch.finding().map(|finding| finding.code),
        Some(codes::WATCH)
    );
    fs::write(holder.path().join("a.yaml"), A).expect("written");
    let until = Instant::now() + DEADLINE;
    tokio::select! {
        () = watch.changed() => {}
        () = sleep_until(until) => panic!("not seen"),
    }
}
