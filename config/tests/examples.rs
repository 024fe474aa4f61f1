//! Every example, and every YAML block of the guides, is read without a word of complaint.

use std::fs;
use std::path::{Path, PathBuf};

use gatehouse_config::source::{Directory, Loaded};
use gatehouse_config::{Finding, Level};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// Reads a directory; no file of it may give a warning or an error.
fn load(directory: &Path) -> Loaded {
    let mut source = Directory::open(directory).expect("a directory");
    let loaded = source.load();
    no_complaint(directory, &loaded.findings);
    loaded
}

fn no_complaint(about: &Path, findings: &[Finding]) {
    let complaints: Vec<String> = findings
        .iter()
        .filter(|finding| finding.level >= Level::Warning)
        .map(ToString::to_string)
        .collect();
    assert!(
        complaints.is_empty(),
        "{}:\n{}",
        about.display(),
        complaints.join("\n")
    );
}

/// The YAML blocks of a guide, one file each, in a directory that goes when it is dropped.
fn blocks(guide: &str) -> tempfile::TempDir {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let text = fs::read_to_string(path.join(guide)).expect("the guide");
    let directory = tempfile::tempdir().expect("a directory");
    let blocks = text.split("\n```yaml\n").skip(1);
    for (nth, block) in blocks.enumerate() {
        let (yaml, _) = block.split_once("\n```\n").expect("the block ends");
        let file = directory.path().join(format!("{nth}.yaml"));
        fs::write(file, yaml).expect("written");
    }
    directory
}

#[test]
fn every_example_is_read() {
    let mut seen = 0;
    for entry in fs::read_dir(examples()).expect("the examples").flatten() {
        if entry.path().is_dir() {
            assert!(!load(&entry.path()).resources.is_empty(), "{entry:?}");
            seen += 1;
        }
    }
    assert!(seen >= 4, "{seen} examples");
}

#[test]
fn bookinfo_is_what_istios_sample_is() {
    let resources = load(&examples().join("bookinfo")).resources;
    assert_eq!(resources.gateways.len(), 1);
    assert_eq!(resources.virtual_services.len(), 1, "one is switched off");
    assert_eq!(resources.services.len(), 4);
    assert_eq!(resources.workload_entries.len(), 6);
}

#[test]
fn the_example_that_is_switched_off_can_be_switched_on() {
    let directory = tempfile::tempdir().expect("a directory");
    for entry in fs::read_dir(examples().join("bookinfo"))
        .expect("it")
        .flatten()
    {
        let name = entry.file_name().into_string().expect("plain");
        let name = name.trim_end_matches(".off");
        fs::copy(entry.path(), directory.path().join(name)).expect("copied");
    }
    let resources = load(directory.path()).resources;
    assert_eq!(resources.virtual_services.len(), 2);
}

#[test]
fn the_lan_has_the_whole_story() {
    let resources = load(&examples().join("lan")).resources;
    assert_eq!(resources.ip_address_pools.len(), 1);
    assert_eq!(resources.l2_advertisements.len(), 1);
    assert_eq!(resources.services.len(), 3);
    assert_eq!(resources.endpoint_slices.len(), 1);
}

#[test]
fn the_guides_configuration_is_complete() {
    let directory = blocks("replace-iptables.md");
    let resources = load(directory.path()).resources;
    assert_eq!(resources.ip_address_pools.len(), 1);
    assert_eq!(resources.services.len(), 3);
    assert_eq!(resources.virtual_services.len(), 1);
    assert_eq!(resources.endpoint_slices.len(), 1);
}
