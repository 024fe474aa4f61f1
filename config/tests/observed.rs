//! What `istioctl analyze` finds in the recorded configurations is found here: the same code,
//! level and object.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use gatehouse_config::Level;
use gatehouse_config::source::Directory;
use gatehouse_config::translate::{Settings, translate};

type Found = BTreeSet<(String, String, String)>;

fn observed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/observed")
}

fn truth() -> BTreeMap<String, Vec<(String, String, String)>> {
    let text = fs::read_to_string(observed().join("analyze.json")).expect("the recorded findings");
    serde_json::from_str(&text).expect("a map of lists")
}

/// The findings of one file alone under Istio's codes.
fn found(file: &Path) -> Found {
    let mut directory = Directory::open(file).expect("a file");
    let loaded = directory.load();
    let settings = Settings {
        offline: true,
        ..Settings::default()
    };
    let translation = translate(&loaded.resources, &settings);
    let all = loaded.findings.iter().chain(&translation.findings);
    all.filter(|finding| finding.code.starts_with("IST"))
        .map(|finding| {
            let level = match finding.level {
                Level::Error => "Error",
                Level::Warning => "Warning",
                Level::Info => "Info",
            };
            let object = finding.object.as_ref();
            let object = object.map_or(String::new(), ToString::to_string);
            (finding.code.to_owned(), level.to_owned(), object)
        })
        .collect()
}

#[test]
fn what_istioctl_finds_is_found() {
    let truth = truth();
    assert_eq!(truth.len(), 60);
    for (file, expected) in truth {
        let found = found(&observed().join(&file));
        let expected: Found = expected.into_iter().collect();
        let missing: Vec<_> = expected.difference(&found).collect();
        assert!(missing.is_empty(), "{file}: {missing:?} not in {found:?}");
    }
}

/// More is found in three ways only. istioctl tells of objects in one namespace (`default`), and
/// without a cluster it leaves out analyzers that need Pods, Services or Secrets:
///
/// * IST0101 and IST0112 of a destination: no host, no port;
/// * IST0145: two Gateways that serve the same hosts on the same port;
/// * IST0173 and IST0174: a DestinationRule's subsets and hosts.
#[test]
fn what_is_found_beyond_that_is_what_istioctl_finds_in_a_cluster() {
    let only_in_a_cluster = ["IST0101", "IST0112", "IST0145", "IST0173", "IST0174"];
    for (file, expected) in truth() {
        let expected: Found = expected.into_iter().collect();
        for (code, level, object) in found(&observed().join(&file)).difference(&expected) {
            let is_elsewhere = !object.contains(" default/");
            assert!(
                is_elsewhere || only_in_a_cluster.contains(&code.as_str()),
                "{file}: {code} {level} {object}"
            );
        }
    }
}
