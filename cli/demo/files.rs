//! The demo's directory: bookinfo's example as it stands in the repository, with this run's port
//! and the places where its workloads listen.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::DemoError;
use super::bookinfo::{Layout, Workload};

/// The example's files that are the same in every run. The binary is installed alone, so it
/// carries them.
const FILES: &[(&str, &str)] = &[
    (
        "virtual-service.yaml",
        include_str!("../../config/examples/bookinfo/virtual-service.yaml"),
    ),
    (
        "services.yaml",
        include_str!("../../config/examples/bookinfo/services.yaml"),
    ),
    (
        "destination-rule.yaml",
        include_str!("../../config/examples/bookinfo/destination-rule.yaml"),
    ),
    (
        "reviews.yaml.off",
        include_str!("../../config/examples/bookinfo/reviews.yaml.off"),
    ),
];

/// The Gateway, and the line of it that says the port.
const GATEWAY: &str = include_str!("../../config/examples/bookinfo/gateway.yaml");
const GATEWAY_PORT: &str = "number: 8080\n";

/// Writes everything to a new directory of this user's own.
pub(super) fn write(port: u16, layout: &Layout) -> Result<TempDir, DemoError> {
    let directory = tempfile::Builder::new()
        .prefix("gatehouse-demo-")
        .tempdir()
        .map_err(|error| DemoError::Files {
            path: std::env::temp_dir(),
            error,
        })?;
    let config = config(directory.path());
    for path in [&config, &state(directory.path())] {
        fs::create_dir(path).map_err(failed(path))?;
    }
    let put = |name: &str, content: &str| {
        let path = config.join(name);
        fs::write(&path, content).map_err(failed(&path))
    };
    for (name, content) in FILES {
        put(name, content)?;
    }
    put("gateway.yaml", &gateway(port))?;
    put("workloads.yaml", &workloads(layout))?;
    Ok(directory)
}

/// What the gateway reads.
pub(super) fn config(directory: &Path) -> PathBuf {
    directory.join("config")
}

/// What the allocator writes.
pub(super) fn state(directory: &Path) -> PathBuf {
    directory.join("state")
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> DemoError {
    let path = path.to_owned();
    move |error| DemoError::Files { path, error }
}

/// The Gateway with its server on `port`.
fn gateway(port: u16) -> String {
    GATEWAY.replacen(GATEWAY_PORT, &format!("number: {port}\n"), 1)
}

/// One WorkloadEntry for each server: Services find them by the label `app`, the metrics name
/// them by the entry's name.
fn workloads(layout: &Layout) -> String {
    let mut yaml = String::from(
        "# Where bookinfo's servers listen in this run of the demo. Take one away, or change its\n\
         # port, and see what the page and the metrics say.\n",
    );
    for (nth, workload) in layout.workloads().iter().enumerate() {
        let Workload {
            app,
            version,
            address,
        } = workload;
        if nth > 0 {
            yaml.push_str("---\n");
        }
        write!(
            yaml,
            "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata:\n  \
             name: {app}-{version}\n  namespace: default\nspec:\n  address: {}\n  ports:\n    \
             http: {}\n  labels:\n    app: {app}\n    version: {version}\n",
            address.ip(),
            address.port()
        )
        .expect("writing to a String does not fail");
    }
    yaml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_listens_where_it_is_told() {
        assert_eq!(GATEWAY.matches(GATEWAY_PORT).count(), 1);
        let gateway = gateway(18080);
        assert!(gateway.contains("      number: 18080\n"), "{gateway}");
        assert!(
            !gateway.contains("8080\n      name: http\n      number"),
            "{gateway}"
        );
    }

    #[test]
    fn the_workloads_are_the_examples_with_other_addresses() {
        let example = include_str!("../../config/examples/bookinfo/workloads.yaml");
        let at = |port| std::net::SocketAddr::from(([192, 168, 8, 20], port));
        let layout = Layout {
            productpage: at(9080),
            details: at(9081),
            reviews: [at(9082), at(9083), at(9084)],
            ratings: at(9085),
        };
        let uncommented = |yaml: &str| -> Vec<String> {
            let lines = yaml.lines().filter(|line| !line.starts_with('#'));
            lines.map(str::to_owned).collect()
        };
        assert_eq!(uncommented(&workloads(&layout)), uncommented(example));
    }
}
