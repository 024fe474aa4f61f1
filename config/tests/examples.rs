//! Every example, and every YAML block of the guides, is read without a word of complaint.

use std::fs;
use std::path::{Path, PathBuf};

use gatehouse_config::model::{Endpoint, Model, Server};
use gatehouse_config::source::Directory;
use gatehouse_config::translate::{Settings, translate};
use gatehouse_config::{Finding, Level, Resources};

/// Routes to be added to the example `bookinfo`, one file at a time.
const ROUTES: &str = "bookinfo-routes";

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// Reads and translates a directory; no file or object of it may give a warning or an error.
fn load(directory: &Path) -> (Resources, Model) {
    load_all(&[directory])
}

/// The same of several directories and files.
fn load_all(paths: &[&Path]) -> (Resources, Model) {
    let roots = paths.iter().map(|path| path.to_path_buf());
    let loaded = Directory::open_all(roots).expect("they are there").load();
    let directory = paths.last().expect("one at least");
    no_complaint(directory, &loaded.findings);
    let translation = translate(&loaded.resources, &Settings::default());
    no_complaint(directory, &translation.findings);
    assert!(translation.refused.is_empty(), "{:?}", translation.refused);
    (loaded.resources, translation.model)
}

/// The ports on which a model's Gateways are served, with the number of routes of each.
fn served(model: &Model) -> Vec<(u16, usize)> {
    let routes = |server: &Server| server.virtual_hosts().map(|host| host.routes.len()).sum();
    model
        .servers
        .iter()
        .map(|server| (server.port, routes(server)))
        .collect()
}

/// The endpoints of a cluster, as the metrics name them and where they are.
fn endpoints(model: &Model, cluster: &str) -> Vec<String> {
    let cluster = model.clusters.iter().find(|other| other.name == cluster);
    let names = model
        .clusters
        .iter()
        .map(|cluster| &cluster.name)
        .collect::<Vec<_>>();
    let cluster = cluster.unwrap_or_else(|| panic!("one of {names:?}"));
    cluster.endpoints.iter().map(described).collect()
}

fn described(endpoint: &Endpoint) -> String {
    let (workload, address) = (&endpoint.workload, &endpoint.address);
    format!(
        "{} {} {} {address}",
        workload.workload, workload.app, workload.version
    )
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
        if entry.path().is_dir() && entry.file_name() != ROUTES {
            let (resources, _) = load(&entry.path());
            assert!(!resources.is_empty(), "{entry:?}");
            seen += 1;
        }
    }
    assert!(seen >= 8, "{seen} examples");
}

#[test]
fn each_of_bookinfos_routes_stands_beside_bookinfo() {
    let bookinfo = examples().join("bookinfo");
    let mut seen = 0;
    for entry in fs::read_dir(examples().join(ROUTES))
        .expect("they are there")
        .flatten()
    {
        let (resources, model) = load_all(&[&bookinfo, &entry.path()]);
        assert!(resources.virtual_services.len() > 1, "{entry:?}");
        let [(8080, routes)] = served(&model)[..] else {
            panic!("{entry:?}: {:?}", served(&model))
        };
        assert!(routes > 5, "{entry:?} adds routes: {routes}");
        seen += 1;
    }
    assert_eq!(seen, 10);
}

#[test]
fn bookinfo_is_what_istios_sample_is() {
    let (resources, model) = load(&examples().join("bookinfo"));
    assert_eq!(resources.virtual_services.len(), 1, "one is switched off");
    assert_eq!(resources.services.len(), 4);
    let [(8080, routes)] = served(&model)[..] else {
        panic!("{:?}", served(&model))
    };
    assert!(routes >= 1);
    assert_eq!(
        endpoints(
            &model,
            "outbound|9080||productpage.default.svc.cluster.local"
        ),
        ["productpage-v1 productpage v1 192.168.8.20:9080"]
    );
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
    let (_, model) = load(directory.path());
    let (_, before) = load(&examples().join("bookinfo"));
    let [(8080, routes), (8080, fewer)] = [served(&model)[0], served(&before)[0]] else {
        panic!("{:?}", served(&model))
    };
    assert_eq!(routes, fewer + 2);
    for (version, port) in [("v1", 9082), ("v2", 9083), ("v3", 9084)] {
        let cluster = format!("outbound|9080|{version}|reviews.default.svc.cluster.local");
        assert_eq!(
            endpoints(&model, &cluster),
            [format!(
                "reviews-{version} reviews {version} 192.168.8.20:{port}"
            )]
        );
    }
}

#[test]
fn the_lan_has_the_whole_story() {
    let (_, model) = load(&examples().join("lan"));
    the_story(&model, "192.168.8.20:9080", "192.168.8.20:20001");
}

#[test]
fn the_guides_configuration_is_complete() {
    let directory = blocks("replace-iptables.md");
    let (_, model) = load(directory.path());
    the_story(&model, "10.0.3.20:9080", "10.0.3.21:20001");
    let asked: Vec<String> = model
        .services
        .iter()
        .flat_map(|service| &service.request.addresses)
        .map(ToString::to_string)
        .collect();
    assert_eq!(asked, ["192.168.8.151", "192.168.8.152"]);
}

/// Port 80 leads to productpage, and Kiali has a port of its own.
fn the_story(model: &Model, productpage: &str, kiali_endpoint: &str) {
    assert_eq!(model.pools.len(), 1);
    assert_eq!(model.advertisements.len(), 1);
    assert_eq!(served(model).len(), 1);
    let found = endpoints(
        model,
        "outbound|9080||productpage.default.svc.cluster.local",
    );
    assert_eq!(
        found,
        [format!("productpage-v1 productpage v1 {productpage}")]
    );

    let [gateway, kiali] = &model.services[..] else {
        panic!("{:?}", model.services)
    };
    assert_eq!(gateway.key.to_string(), "istio-system/istio-ingressgateway");
    assert!(gateway.is_gateway && !kiali.is_gateway);
    assert_eq!(
        (gateway.ports[0].port, gateway.ports[0].target_port),
        (80, Some(8080))
    );
    assert_eq!(kiali.key.to_string(), "istio-system/kiali");
    assert_eq!(kiali.ports[0].port, 20001);
    let [endpoint] = &kiali.ports[0].endpoints[..] else {
        panic!("{:?}", kiali.ports)
    };
    assert_eq!(endpoint.address.to_string(), kiali_endpoint);
}

#[test]
fn the_least_that_serves_serves() {
    let (_, model) = load(&examples().join("minimal"));
    assert_eq!(served(&model), [(8080, 1)]);
    let [cluster] = &model.clusters[..] else {
        panic!("{:?}", model.clusters)
    };
    assert_eq!(cluster.endpoints[0].address.to_string(), "127.0.0.1:3000");
}
