//! The systemd unit and its installer: what they ask for, where files go, that nothing stays.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use gatehouse_e2e::{Need, satisfied};

/// systemd-analyze's figure for the unit, times ten: issue 3 asks for less than 2.5.
const MAX_EXPOSURE: &str = "24";

fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ has a parent").to_owned()
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("the program starts");
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

fn installer(destdir: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .arg(repository().join("systemd/install.sh"))
        .env("DESTDIR", destdir)
        .args(["--prefix", "/usr"]);
    command
}

/// Every file below a directory, without its name.
fn files(below: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![below.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(below).expect("it is below");
                found.insert(name.display().to_string());
            }
        }
    }
    found
}

#[test]
fn the_unit_is_well_sandboxed() {
    if !satisfied(&[Need::Program("systemd-analyze")]) {
        return;
    }
    let unit = repository().join("systemd/gatehouse.service");
    run(Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", "--threshold"])
        .arg(MAX_EXPOSURE)
        .arg(unit));
}

#[test]
fn the_unit_asks_for_three_capabilities() {
    let unit = fs::read_to_string(repository().join("systemd/gatehouse.service")).expect("there");
    for set in ["AmbientCapabilities", "CapabilityBoundingSet"] {
        let line = format!("\n{set}=CAP_NET_RAW CAP_NET_ADMIN CAP_NET_BIND_SERVICE\n");
        assert!(unit.contains(&line), "{set}");
        assert_eq!(unit.matches(&format!("\n{set}=")).count(), 1, "{set}");
    }
    assert!(unit.contains("\nType=notify\n") && unit.contains("\nUser=gatehouse\n"));
}

#[test]
fn the_installer_is_clean_shell() {
    if !satisfied(&[Need::Program("shellcheck")]) {
        return;
    }
    run(Command::new("shellcheck").arg(repository().join("systemd/install.sh")));
}

#[test]
fn installing_twice_is_installing_once_and_uninstalling_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let destdir = directory.path().join("root");
    let binary = directory.path().join("gatehouse");
    fs::write(&binary, "#!/bin/sh\necho one\n").expect("written");
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).expect("made a program");

    run(installer(&destdir).arg("--binary").arg(&binary));
    let once = files(&destdir);
    for name in [
        "usr/bin/gatehouse",
        "usr/lib/systemd/system/gatehouse.service",
        "usr/lib/sysusers.d/gatehouse.conf",
        "usr/lib/tmpfiles.d/gatehouse.conf",
        "usr/share/doc/gatehouse/LICENSE",
        "usr/share/doc/gatehouse/examples/lan/addresses.yaml",
        "etc/gatehouse/README",
        "etc/gatehouse/options",
    ] {
        assert!(once.contains(name), "{name} in {once:?}");
    }
    let unit = destdir.join("usr/lib/systemd/system/gatehouse.service");
    let unit = fs::read_to_string(unit).expect("installed");
    assert!(
        unit.contains("\nExecStart=/usr/bin/gatehouse run "),
        "{unit}"
    );
    let readme = fs::read_to_string(destdir.join("etc/gatehouse/README")).expect("installed");
    assert!(
        readme.contains("/usr/share/doc/gatehouse/examples/lan/"),
        "{readme}"
    );
    let resources = fs::metadata(destdir.join("etc/gatehouse/resources")).expect("made");
    assert_eq!(resources.permissions().mode() & 0o777, 0o750);

    // What the administrator wrote stays; what is ours is replaced.
    fs::write(
        destdir.join("etc/gatehouse/options"),
        "GATEHOUSE_OPTIONS=x\n",
    )
    .expect("edited");
    fs::write(&binary, "#!/bin/sh\necho two\n").expect("a new version");
    run(installer(&destdir).arg("--binary").arg(&binary));
    assert_eq!(files(&destdir), once);
    let options = fs::read_to_string(destdir.join("etc/gatehouse/options")).expect("kept");
    assert_eq!(options, "GATEHOUSE_OPTIONS=x\n");
    let version = run(&mut Command::new(destdir.join("usr/bin/gatehouse")));
    assert_eq!(version, "two\n");

    run(installer(&destdir).arg("--uninstall"));
    let left = files(&destdir);
    assert!(
        left.iter().all(|name| name.starts_with("etc/gatehouse/")),
        "{left:?}"
    );
    assert!(left.contains("etc/gatehouse/options"), "{left:?}");
    run(installer(&destdir).args(["--uninstall", "--purge"]));
    assert_eq!(files(&destdir), BTreeSet::new());
}

#[test]
fn the_installer_refuses_what_it_does_not_understand() {
    let directory = tempfile::tempdir().expect("a directory");
    let missing = directory.path().join("missing");
    for arguments in [
        vec!["--prefix", "relative"],
        vec!["--purge"],
        vec!["--frobnicate"],
        vec!["--binary"],
        vec!["--binary", missing.to_str().expect("plain")],
    ] {
        let output = installer(directory.path()).args(&arguments).output();
        let output = output.expect("sh starts");
        assert!(!output.status.success(), "{arguments:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains("install.sh: "), "{arguments:?}: {text}");
        assert_eq!(files(directory.path()), BTreeSet::new(), "{arguments:?}");
    }
}
