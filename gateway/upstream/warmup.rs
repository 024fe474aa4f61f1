//! Slow start (Envoy: `SlowStartConfig`): a new endpoint's weight grows to its full size.

use std::time::{Duration, Instant};

use gatehouse_config::model::Warmup;

/// The part of its weight that an endpoint has that was first seen at `since`; 1 once it is warm.
pub fn factor(warmup: &Warmup, since: Instant, now: Instant) -> f64 {
    let age = now.saturating_duration_since(since);
    if age >= warmup.duration {
        return 1.0;
    }
    let age = age.max(Duration::from_millis(1)).as_secs_f64();
    let grown = (age / warmup.duration.as_secs_f64()).powf(1.0 / warmup.aggression);
    // Never nothing: an endpoint without any request would never be found to be good.
    grown.max(warmup.minimum_percent / 100.0).max(0.001)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_grows_with_age_by_the_aggression() {
        let seen = Instant::now();
        let at = |seconds: u64, minimum_percent: f64, aggression: f64| {
            let warmup = Warmup {
                duration: Duration::from_secs(100),
                minimum_percent,
                aggression,
            };
            factor(&warmup, seen, seen + Duration::from_secs(seconds))
        };
        for (seconds, minimum, aggression, expected) in [
            (0, 10.0, 1.0, 0.1),
            (5, 10.0, 1.0, 0.1),
            (50, 10.0, 1.0, 0.5),
            (25, 10.0, 2.0, 0.5),
            (99, 0.0, 1.0, 0.99),
            (100, 0.0, 1.0, 1.0),
            (0, 0.0, 1.0, 0.001),
            (1, 50.0, 1.0, 0.5),
        ] {
            let found = at(seconds, minimum, aggression);
            assert!((found - expected).abs() < 1e-9, "{seconds} s: {found}");
        }
    }
}
