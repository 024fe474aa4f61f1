//! Counters of the routes that ask for some of their own (`statPrefix`), under the names that
//! Envoy's `vhost.<host>.route.<prefix>.` statistics have at Istio's `/stats/prometheus`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::exchange::{Exchange, ResponseFlags};
use crate::observe::exposition::{Exposition, Kind, SampleLabels};
use crate::observe::histogram::{Histogram, NANOS_AS_MILLIS};

/// How many routes are counted; the configuration decides, and some have thousands.
const MOST: usize = 10_000;

/// What one route counted.
#[derive(Clone, Debug, Default)]
pub struct RouteCounters {
    /// Answers by status.
    statuses: BTreeMap<u16, u64>,
    /// Requests sent on, each try counted.
    total: u64,
    retry: u64,
    retry_limit_exceeded: u64,
    retry_overflow: u64,
    retry_success: u64,
    timeout: u64,
    /// From the first byte of a request to the last of its answer, in nanoseconds.
    time: Histogram,
}

/// Counters by the middle of their names: `vhost_bookinfo_lan_80_route_reviews`.
#[derive(Clone, Debug, Default)]
pub struct RouteStats(HashMap<Arc<str>, RouteCounters>);

/// The middle of a route's names; what no metric name may hold becomes `_`.
pub fn stem(domain: &str, port: u16, prefix: &str) -> Arc<str> {
    let name = format!("vhost_{domain}:{port}_route_{prefix}");
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    name.chars().map(plain).collect::<String>().into()
}

impl RouteStats {
    /// Counts a request that was sent on. False where there are too many routes.
    pub fn record(&mut self, stem: &Arc<str>, exchange: &Exchange) -> bool {
        if exchange.cluster.is_none() {
            return true; // answered here: Envoy counts upstreams' requests
        }
        if self.0.len() >= MOST && !self.0.contains_key(stem) {
            return false;
        }
        let counters = self.0.entry(Arc::clone(stem)).or_default();
        let retries = u64::from(exchange.attempts.saturating_sub(1));
        let flag = |flag| u64::from(exchange.flags.contains(flag));
        let exceeded = flag(ResponseFlags::URX);
        if exchange.status != 0 {
            *counters.statuses.entry(exchange.status).or_default() += 1;
        }
        counters.total += u64::from(exchange.attempts);
        counters.retry += retries;
        counters.retry_limit_exceeded += exceeded;
        if retries > 0 {
            counters.retry_overflow += flag(ResponseFlags::UO);
            counters.retry_success += u64::from(exceeded == 0 && exchange.status < 500);
        }
        counters.timeout += flag(ResponseFlags::UT);
        counters
            .time
            .record(&NANOS_AS_MILLIS, nanos(exchange.duration));
        true
    }

    /// Adds another worker's.
    pub fn merge(&mut self, other: Self) {
        for (stem, theirs) in other.0 {
            self.0.entry(stem).or_default().merge(&theirs);
        }
    }

    /// Writes all of them.
    pub fn render(&self, out: &mut Exposition) {
        let sorted: BTreeMap<_, _> = self.0.iter().collect();
        for (stem, counters) in sorted {
            let stem = format!("envoy_{stem}_upstream_rq");
            out.family(
                &stem,
                "Answers of a route with a statPrefix.",
                Kind::Counter,
            );
            let mut classes: BTreeMap<u16, u64> = BTreeMap::new();
            let mut completed = 0;
            for (status, count) in &counters.statuses {
                *classes.entry(status / 100).or_default() += count;
                completed += count;
                let labels = SampleLabels::new([("response_code", &*status.to_string())]);
                out.integer(&stem, &labels, *count);
            }
            for (class, count) in classes {
                let labels = SampleLabels::new([("response_code_class", &*format!("{class}xx"))]);
                out.integer(&stem, &labels, count);
            }
            for (name, help, count) in [
                ("completed", "Requests that were answered.", completed),
                ("total", "Tries.", counters.total),
                ("retry", "Further tries.", counters.retry),
                (
                    "retry_limit_exceeded",
                    "Requests that ran out of tries.",
                    counters.retry_limit_exceeded,
                ),
                (
                    "retry_overflow",
                    "Retries that a limit left out.",
                    counters.retry_overflow,
                ),
                (
                    "retry_success",
                    "Requests that a further try served.",
                    counters.retry_success,
                ),
                ("timeout", "Requests that timed out.", counters.timeout),
            ] {
                let name = format!("{stem}_{name}");
                out.family(&name, help, Kind::Counter);
                out.integer(&name, &SampleLabels::default(), count);
            }
            let name = format!("{stem}_time");
            out.family(&name, "Milliseconds of a request.", Kind::Histogram);
            out.histogram(
                &name,
                &SampleLabels::default(),
                &counters.time,
                &NANOS_AS_MILLIS,
            );
        }
    }
}

impl RouteCounters {
    fn merge(&mut self, other: &Self) {
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        self.total += other.total;
        self.retry += other.retry;
        self.retry_limit_exceeded += other.retry_limit_exceeded;
        self.retry_overflow += other.retry_overflow;
        self.retry_success += other.retry_success;
        self.timeout += other.timeout;
        self.time.merge(&other.time);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::exposition::strict;
    use crate::observe::sample;
    use crate::snapshot::ClusterId;

    #[test]
    fn names_hold_the_host_the_port_and_the_prefix() {
        assert_eq!(
            &*stem("*.book-info.lan", 80, "my.reviews"),
            "vhost___book_info_lan_80_route_my_reviews"
        );
    }

    #[test]
    fn a_route_counts_what_was_sent_on_and_is_written_strictly() {
        let mut exchange = sample::exchange();
        let (mut stats, mut other) = (RouteStats::default(), RouteStats::default());
        let stem = stem("a.lan", 80, "one");
        exchange.cluster = None;
        assert!(stats.record(&stem, &exchange));
        assert!(stats.0.is_empty(), "answered here");
        exchange.cluster = Some(ClusterId(0));
        exchange.status = 200;
        exchange.attempts = 3;
        exchange.flags = ResponseFlags::default();
        stats.record(&stem, &exchange);
        exchange.status = 504;
        exchange.attempts = 1;
        exchange.flags = ResponseFlags::UT;
        other.record(&stem, &exchange);
        stats.merge(other);
        let mut out = Exposition::new();
        stats.render(&mut out);
        let text = out.finish();
        strict::parse(&text).expect("strict");
        let stem = "envoy_vhost_a_lan_80_route_one_upstream_rq";
        for line in [
            "{response_code=\"200\"} 1",
            "{response_code_class=\"5xx\"} 1",
            "_completed 2",
            "_total 4",
            "_retry 2",
            "_retry_success 1",
            "_timeout 1",
            "_time_count 2",
        ] {
            assert!(
                text.contains(&format!("{stem}{line}\n")),
                "{line} in {text}"
            );
        }
    }
}
