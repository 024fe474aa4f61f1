//! Where the programs under test are; `gatehouse` is built when it is missing or stale.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The `gatehouse` binary: `GATEHOUSE_BIN`, or the one beside the running test.
///
/// # Panics
///
/// When it cannot be built.
pub fn gatehouse_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = env::var_os("GATEHOUSE_BIN") {
            return PathBuf::from(path);
        }
        let folder = target_folder();
        let binary = folder.join("gatehouse");
        if !is_fresh(&binary) {
            build(&folder);
        }
        binary
    })
}

/// The echo upstream; cargo builds it together with the tests.
pub(crate) fn echo_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let folder = target_folder();
        let binary = folder.join("gatehouse-e2e-echo");
        if !is_fresh(&binary) {
            build(&folder);
        }
        binary
    })
}

/// `target/debug` or `target/release`: the parent of the test executable's folder.
fn target_folder() -> PathBuf {
    let test = env::current_exe().expect("a test knows its own path");
    let folder = test
        .parent()
        .and_then(Path::parent)
        .expect("tests run from target/*/deps");
    folder.to_path_buf()
}

/// `target`, where more is than what cargo builds.
pub(crate) fn target_root() -> PathBuf {
    let folder = target_folder();
    folder.parent().map_or(folder.clone(), Path::to_path_buf)
}

/// Newer than every source that cargo noted beside it, and than the workspace's manifests.
fn is_fresh(binary: &Path) -> bool {
    let Some(built) = modified(binary) else {
        return false;
    };
    let Ok(notes) = fs::read_to_string(binary.with_extension("d")) else {
        return false;
    };
    // `target: source source …`; spaces within a path are written `\ `.
    let sources = notes.split_once(": ").map_or("", |(_, sources)| sources);
    let sources = sources.trim_end().replace("\\ ", "\u{0}");
    let manifests = ["Cargo.toml", "Cargo.lock"].map(|name| workspace().join(name));
    sources
        .split(' ')
        .map(|source| PathBuf::from(source.replace('\u{0}', " ")))
        .chain(manifests)
        .all(|source| modified(&source).is_some_and(|time| time <= built))
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|meta| meta.modified()).ok()
}

fn workspace() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest
        .parent()
        .expect("the crate is a folder of the workspace")
        .to_path_buf()
}

/// Builds all programs. With a test among them, libraries are those that `cargo test --workspace` has
/// built: what tests depend on turns on features of theirs, and with others all is built again.
fn build(folder: &Path) {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(workspace())
        .args(["build", "--quiet", "--workspace", "--bins"])
        .args(["--test", "harness"]);
    // Same folder, same profile as the test itself.
    cargo
        .arg("--target-dir")
        .arg(folder.parent().expect("a profile folder has a parent"));
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo
        .status()
        .unwrap_or_else(|error| panic!("cannot run cargo: {error}"));
    assert!(status.success(), "cargo build --workspace --bins: {status}");
}
