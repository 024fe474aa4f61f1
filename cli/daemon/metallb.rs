//! `metallb_k8s_client_…`: how the cluster's objects are taken in, under MetalLB's names, so that its
//! alerts (MetalLBStaleConfig, MetalLBConfigNotLoaded) go on.

use std::fmt::Write as _;

/// What is counted of the cluster's objects.
#[derive(Debug, Default)]
pub struct ClientMetrics {
    updates: u64,
    errors: u64,
    is_loaded: bool,
    is_stale: bool,
    /// Of the cluster's own count, what was taken note of.
    seen: u64,
}

impl ClientMetrics {
    /// So many changes of objects were seen since the start.
    pub fn saw(&mut self, changes: u64) {
        self.updates += changes.saturating_sub(self.seen);
        self.seen = self.seen.max(changes);
    }

    /// MetalLB's objects were read, with so many errors; not all were seen yet unless `is_complete`.
    pub fn configured(&mut self, is_complete: bool, errors: usize) {
        self.errors += u64::from(errors > 0);
        if is_complete {
            self.is_stale = errors > 0;
            self.is_loaded |= errors == 0;
        }
    }

    /// A Service that should have an address got none.
    pub fn failed(&mut self, services: u64) {
        self.errors += services;
    }

    /// As a scrape sees it.
    pub fn write_prometheus(&self, out: &mut String) {
        let (loaded, stale) = (u64::from(self.is_loaded), u64::from(self.is_stale));
        for (name, help, kind, value) in [
            (
                "updates_total",
                "Number of k8s object updates that have been processed",
                "counter",
                self.updates,
            ),
            (
                "update_errors_total",
                "Number of k8s object updates that failed for some reason",
                "counter",
                self.errors,
            ),
            (
                "config_loaded_bool",
                "1 if the MetalLB configuration was successfully loaded at least once",
                "gauge",
                loaded,
            ),
            (
                "config_stale_bool",
                "1 if running on a stale configuration, because the latest config failed to load",
                "gauge",
                stale,
            ),
        ] {
            let name = format!("metallb_k8s_client_{name}");
            let _ = writeln!(
                out,
                "# HELP {name} {help}.\n# TYPE {name} {kind}\n{name} {value}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(metrics: &ClientMetrics) -> Vec<String> {
        let mut text = String::new();
        metrics.write_prometheus(&mut text);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.trim_start_matches("metallb_k8s_client_").to_owned())
            .collect()
    }

    #[test]
    fn a_configuration_is_stale_from_a_mistake_until_it_is_mended() {
        let mut metrics = ClientMetrics::default();
        // Not everything is seen yet.
        metrics.saw(3);
        metrics.configured(false, 0);
        assert_eq!(
            values(&metrics),
            [
                "updates_total 3",
                "update_errors_total 0",
                "config_loaded_bool 0",
                "config_stale_bool 0"
            ]
        );
        metrics.saw(5);
        metrics.configured(true, 0);
        metrics.configured(true, 2);
        assert_eq!(
            values(&metrics),
            [
                "updates_total 5",
                "update_errors_total 1",
                "config_loaded_bool 1",
                "config_stale_bool 1"
            ]
        );
        metrics.failed(1);
        metrics.configured(true, 0);
        assert_eq!(
            values(&metrics),
            [
                "updates_total 5",
                "update_errors_total 2",
                "config_loaded_bool 1",
                "config_stale_bool 0"
            ]
        );
    }
}
