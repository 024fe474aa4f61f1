//! The state survives: restarts, crashes in the middle, damage, and a second process.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;

fn recorded(address: &str) -> Recorded {
    Recorded {
        addresses: vec![address.parse().expect("an address")],
        pool: "default".to_owned(),
        given: 0,
    }
}

fn two() -> Allocations {
    Allocations::from([
        (
            ObjectKey::new("istio-system", "kiali"),
            recorded("192.168.8.152"),
        ),
        (
            ObjectKey::new("istio-system", "istio-ingressgateway"),
            recorded("192.168.8.151"),
        ),
    ])
}

fn loaded(directory: &Path) -> (StateFile, Allocations, Vec<Finding>) {
    let mut file = StateFile::open(directory).expect("a state directory");
    let (allocations, findings) = file.load().expect("a state");
    (file, allocations, findings)
}

#[test]
fn a_state_comes_back_after_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("not/yet/there");
    let (mut file, empty, _) = loaded(&path);
    assert!(empty.is_empty());
    assert!(file.save(&two()).expect("saved"));
    drop(file);

    let (mut file, mut again, findings) = loaded(&path);
    assert_eq!(findings, []);
    let given = again.values().map(|r| r.given).min().expect("two");
    assert!(given > 1_700_000_000, "the time was filled in");
    assert!(
        !file.save(&two()).expect("saved"),
        "given: 0 keeps the time, so nothing changed"
    );
    again.values_mut().for_each(|recorded| recorded.given = 0);
    assert_eq!(again, two());
}

#[test]
fn what_did_not_change_is_not_written() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut file, ..) = loaded(directory.path());
    assert!(file.save(&two()).expect("saved"));
    let inode = || {
        fs::metadata(directory.path().join(NAME))
            .expect("the file")
            .ino()
    };
    let before = inode();
    assert!(!file.save(&two()).expect("saved"));
    assert_eq!(inode(), before);
    let mut one = two();
    one.pop_first();
    assert!(file.save(&one).expect("saved"));
}

#[test]
fn a_crash_in_the_middle_of_writing_loses_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut file, ..) = loaded(directory.path());
    file.save(&two()).expect("saved");
    drop(file);
    // Killed after half of the temporary file.
    fs::write(directory.path().join(TEMPORARY), "{\"version\": 1, \"serv").expect("written");

    let (mut file, again, findings) = loaded(directory.path());
    assert_eq!((again.len(), findings.len()), (2, 0));
    file.save(&Allocations::new())
        .expect("saved over the leftover");
    assert!(!directory.path().join(TEMPORARY).exists());
}

#[test]
fn a_damaged_state_is_set_aside_and_never_overwritten() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(NAME);
    for (number, damage) in [
        "{\"version\": 1,\n \"serv",
        "",
        "{\"version\": 1, \"services\": {\"a/b\": {\"addresses\": [\"300.1.1.1\"]}}}",
        "{\"version\": 1, \"services\": {\"nonsense\": {\"addresses\": []}}}",
        "\u{0}\u{0}\u{0}",
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(&path, damage).expect("written");
        let (mut file, allocations, findings) = loaded(directory.path());
        assert!(allocations.is_empty());
        assert_eq!(findings.len(), 1);
        assert_eq!(
            (findings[0].code, findings[0].level),
            (codes::STATE, Level::Error)
        );
        let aside = directory
            .path()
            .join(format!("{NAME}.corrupt-{}", number + 1));
        assert_eq!(fs::read_to_string(&aside).expect("set aside"), damage);
        assert!(
            findings[0].message.contains(&*aside.to_string_lossy()),
            "{}",
            findings[0]
        );
        assert!(!path.exists());
        file.save(&two()).expect("saved");
    }
}

#[test]
fn what_may_not_be_read_is_not_overwritten() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(NAME);
    let newer = "{\"version\": 2, \"holders\": []}";
    fs::write(&path, newer).expect("written");
    let mut file = StateFile::open(directory.path()).expect("open");
    let error = file.load().expect_err("a newer format");
    assert!(error.to_string().contains("newer gatehouse"), "{error}");
    assert!(matches!(file.save(&two()), Err(StateError::NotLoaded(_))));
    assert_eq!(fs::read_to_string(&path).expect("still there"), newer);

    fs::remove_file(&path).expect("removed");
    fs::create_dir(&path).expect("a directory in its place");
    assert!(matches!(file.load(), Err(StateError::Io { .. })));
    assert!(matches!(file.save(&two()), Err(StateError::NotLoaded(_))));
}

#[test]
fn a_directory_is_for_one_process() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = StateFile::open(directory.path()).expect("open");
    let error = StateFile::open(directory.path()).expect_err("in use");
    assert!(error.to_string().contains("another gatehouse"), "{error}");
    drop(first);
    StateFile::open(directory.path()).expect("free again");
}

#[test]
fn a_write_that_fails_says_why_and_is_tried_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut file, ..) = loaded(directory.path());
    // A directory in the place of the temporary file: works for root as well.
    let obstacle = directory.path().join(TEMPORARY);
    fs::create_dir(&obstacle).expect("an obstacle");
    let error = file.save(&two()).expect_err("an obstacle");
    assert!(
        error.to_string().contains("cannot save the state"),
        "{error}"
    );
    fs::remove_dir(&obstacle).expect("removed");
    assert!(file.save(&two()).expect("saved"));
}

#[test]
fn a_directory_without_permission_says_what_to_do() {
    if rustix::process::geteuid().is_root() {
        // Root may write anywhere; the text alone can be seen.
        let error = StateError::Io {
            what: "make the state directory",
            path: "/var/lib/gatehouse".into(),
            error: io::Error::from(io::ErrorKind::PermissionDenied),
        };
        assert!(error.to_string().contains("--state"), "{error}");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let closed = directory.path().join("closed");
    fs::create_dir(&closed).expect("made");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).expect("closed");
    let error = StateFile::open(closed.join("state")).expect_err("no permission");
    assert!(error.to_string().contains("--state"), "{error}");
}
