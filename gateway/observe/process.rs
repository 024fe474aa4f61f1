//! Metrics of the process itself, as Prometheus' client libraries name them.

use crate::observe::exposition::{Exposition, Kind, SampleLabels};

/// Writes what the kernel tells; what it does not tell is left out.
pub fn render(out: &mut Exposition) {
    let status = std::fs::read_to_string("/proc/self/stat").ok();
    let stat = status.as_deref().and_then(Stat::parse);
    let none = SampleLabels::default();
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let cpu = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
    out.family(
        "process_cpu_seconds_total",
        "User and system CPU time spent, in seconds.",
        Kind::Counter,
    );
    out.number("process_cpu_seconds_total", &none, cpu);

    let mut gauge = |name: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            out.family(name, help, Kind::Gauge);
            out.number(name, &none, value);
        }
    };
    let page = rustix::param::page_size() as f64;
    gauge(
        "process_resident_memory_bytes",
        "Resident memory, in bytes.",
        stat.as_ref().map(|stat| stat.resident_pages as f64 * page),
    );
    gauge(
        "process_virtual_memory_bytes",
        "Virtual memory, in bytes.",
        stat.as_ref().map(|stat| stat.virtual_bytes as f64),
    );
    gauge(
        "process_open_fds",
        "Open file descriptors.",
        // The listing has a descriptor of its own open.
        std::fs::read_dir("/proc/self/fd")
            .ok()
            .map(|entries| entries.count().saturating_sub(1) as f64),
    );
    gauge(
        "process_max_fds",
        "The most file descriptors that may be open.",
        rustix::process::getrlimit(rustix::process::Resource::Nofile)
            .current
            .map(|limit| limit as f64),
    );
    gauge(
        "process_threads",
        "Threads.",
        stat.as_ref().map(|stat| stat.threads as f64),
    );
    gauge(
        "process_start_time_seconds",
        "When the process started, in seconds since 1970.",
        stat.as_ref().and_then(|stat| {
            let ticks = rustix::param::clock_ticks_per_second() as f64;
            Some(boot_time()? + stat.start_ticks as f64 / ticks)
        }),
    );
}

/// The fields of `/proc/<pid>/stat` that are shown (proc_pid_stat(5)).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    threads: u64,
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name, field 2, is in parentheses and may itself contain spaces and parentheses.
        let (_, rest) = text.rsplit_once(')')?;
        let field = |number: usize| rest.split_ascii_whitespace().nth(number - 3)?.parse().ok();
        Some(Self {
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// When the machine was started, in seconds since 1970.
fn boot_time() -> Option<f64> {
    std::fs::read_to_string("/proc/stat")
        .ok()?
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::exposition::strict;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let text = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 5 3 0 0 20 0 4 0 8000 9000000 321 \
                    18446744073709551615 1 1 0";
        let stat = Stat::parse(text).unwrap();
        assert_eq!(
            stat,
            Stat {
                threads: 4,
                start_ticks: 8000,
                virtual_bytes: 9_000_000,
                resident_pages: 321
            }
        );
        assert_eq!(Stat::parse("garbage"), None);
        assert_eq!(Stat::parse("1 (x) S 1"), None);
    }

    #[test]
    fn this_process_is_plausible() {
        let mut out = Exposition::new();
        render(&mut out);
        let families = strict::parse(&out.finish()).unwrap();
        let value = |name: &str| families[name].samples[0].value;
        assert!(value("process_resident_memory_bytes") > 1e5);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_max_fds") >= value("process_open_fds"));
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs_f64();
        let started = value("process_start_time_seconds");
        assert!(
            started <= now + 2.0 && started > now - 86_400.0,
            "{started}"
        );
    }
}
