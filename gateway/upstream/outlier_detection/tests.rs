//! Exact counts, times and percentages of ejections.

use std::net::SocketAddr;

use super::*;

fn settings() -> OutlierDetection {
    OutlierDetection {
        consecutive_5xx: 3,
        consecutive_gateway_errors: 0,
        split_local_origin: false,
        consecutive_local_origin_failures: 2,
        interval: Duration::from_secs(10),
        base_ejection_time: Duration::from_secs(30),
        max_ejection_percent: 100,
        min_health_percent: 0,
        error_codes: Vec::new(),
    }
}

fn addresses(count: u8) -> impl Iterator<Item = EndpointAddress> {
    (0..count).map(|last| SocketAddr::from(([10, 0, 0, last], 80)).into())
}

/// A detector whose clock is set by the test.
struct Tested {
    outliers: Outliers,
    now: Duration,
}

impl Tested {
    fn new(settings: OutlierDetection, count: u8) -> Self {
        Self {
            outliers: Outliers::new(settings, addresses(count), None),
            now: Duration::ZERO,
        }
    }

    fn report(&self, position: u32, outcome: Outcome) {
        let now = self.outliers.cluster.epoch + self.now;
        self.outliers.report_at(position, outcome, || now);
    }

    fn statuses(&self, position: u32, statuses: &[u16]) {
        for status in statuses {
            self.report(position, Outcome::Status(*status));
        }
    }

    /// Who is out at a moment, in seconds.
    fn out_at(&mut self, seconds: u64) -> Vec<u32> {
        self.now = Duration::from_secs(seconds);
        self.outliers.let_in(as_nanos(self.now));
        let positions = 0..u32::try_from(self.outliers.hosts.len()).unwrap();
        positions
            .filter(|position| self.outliers.is_ejected(*position))
            .collect()
    }
}

#[test]
fn errors_in_a_row_eject_and_a_good_answer_between_them_does_not() {
    let mut tested = Tested::new(settings(), 3);
    tested.statuses(1, &[500, 503, 200, 500, 500]);
    assert_eq!(tested.out_at(0), [0_u32; 0]);
    tested.statuses(1, &[599]);
    assert_eq!(tested.out_at(0), [1]);
    assert_eq!(tested.outliers.ejections().consecutive_5xx, 1);
    // What is still under way there changes nothing.
    tested.statuses(1, &[500, 500, 500, 500]);
    assert_eq!(tested.outliers.ejections().consecutive_5xx, 1);
}

#[test]
fn a_count_of_zero_switches_the_detector_off() {
    let mut tested = Tested::new(
        OutlierDetection {
            consecutive_5xx: 0,
            ..settings()
        },
        1,
    );
    tested.statuses(0, &[500; 100]);
    assert_eq!(tested.out_at(0), [0_u32; 0]);
}

#[test]
fn gateway_errors_are_counted_by_themselves() {
    let mut tested = Tested::new(
        OutlierDetection {
            consecutive_5xx: 9,
            consecutive_gateway_errors: 2,
            ..settings()
        },
        1,
    );
    tested.statuses(0, &[502, 500, 504]);
    assert_eq!(tested.out_at(0), [0_u32; 0]);
    tested.statuses(0, &[503]);
    assert_eq!(tested.out_at(0), [0]);
    assert_eq!(tested.outliers.ejections().consecutive_gateway_errors, 1);
}

#[test]
fn lost_connections_count_as_errors_unless_they_are_split_off() {
    let mut together = Tested::new(settings(), 1);
    together.report(0, Outcome::Failed);
    together.report(0, Outcome::Connected);
    together.report(0, Outcome::TimedOut);
    together.statuses(0, &[500]);
    assert_eq!(together.out_at(0), [0]);

    let split = OutlierDetection {
        split_local_origin: true,
        ..settings()
    };
    let mut apart = Tested::new(split, 1);
    apart.statuses(0, &[500, 500]);
    apart.report(0, Outcome::Failed);
    apart.report(0, Outcome::Connected);
    apart.report(0, Outcome::Failed);
    assert_eq!(apart.out_at(0), [0_u32; 0]);
    apart.report(0, Outcome::TimedOut);
    assert_eq!(apart.out_at(0), [0]);
    assert_eq!(
        apart.outliers.ejections().consecutive_local_origin_failures,
        1
    );
}

#[test]
fn other_codes_may_be_the_errors() {
    let mut tested = Tested::new(
        OutlierDetection {
            error_codes: vec![429, 500],
            ..settings()
        },
        1,
    );
    tested.statuses(0, &[503, 503, 503, 503]);
    assert_eq!(tested.out_at(0), [0_u32; 0]);
    tested.statuses(0, &[429, 500, 429]);
    assert_eq!(tested.out_at(0), [0]);
}

#[test]
fn each_ejection_is_longer_and_health_makes_them_shorter_again() {
    let mut tested = Tested::new(settings(), 1);
    let eject = |tested: &mut Tested, seconds: u64| {
        tested.now = Duration::from_secs(seconds);
        tested.statuses(0, &[500, 500, 500]);
        assert_eq!(tested.out_at(seconds), [0]);
    };
    // 30 s from second 1, and then up to the next interval.
    eject(&mut tested, 1);
    assert_eq!(tested.out_at(39), [0]);
    assert_eq!(tested.out_at(40), [0_u32; 0]);
    // At once again: twice as long.
    eject(&mut tested, 41);
    assert_eq!(tested.out_at(109), [0]);
    assert_eq!(tested.out_at(110), [0_u32; 0]);
    // One interval in health: twice as long as at first, not three times.
    eject(&mut tested, 121);
    assert_eq!(tested.out_at(189), [0]);
    assert_eq!(tested.out_at(190), [0_u32; 0]);
    // Never longer than 300 s.
    let mut now = 191;
    for _ in 0..20 {
        eject(&mut tested, now);
        let end = (now..).find(|at| tested.out_at(*at).is_empty()).unwrap();
        assert!(end - now <= 310, "{} s", end - now);
        now = end + 1;
    }
}

#[test]
fn one_may_always_be_ejected_and_more_only_up_to_the_percentage() {
    for (count, percent, expected) in [
        (3, 10, 1),
        (10, 20, 2),
        (10, 29, 2),
        (4, 50, 2),
        (3, 100, 3),
    ] {
        let mut tested = Tested::new(
            OutlierDetection {
                max_ejection_percent: percent,
                ..settings()
            },
            count,
        );
        for position in 0..u32::from(count) {
            tested.statuses(position, &[500, 500, 500]);
        }
        assert_eq!(tested.out_at(0).len(), expected, "{percent} % of {count}");
        let overflow = tested.outliers.ejections().overflow;
        assert_eq!(overflow as usize, usize::from(count) - expected);
    }
}

#[test]
fn a_new_configuration_keeps_who_is_out() {
    let mut tested = Tested::new(settings(), 3);
    tested.statuses(0, &[500, 500, 500]);
    tested.statuses(2, &[500, 500, 500]);
    assert_eq!(tested.out_at(0), [0, 2]);
    // The first endpoint is gone; the others move up.
    let next = Outliers::new(settings(), addresses(3).skip(1), Some(&tested.outliers));
    assert_eq!(next.ejections().active, 1);
    assert!(!next.is_ejected(0));
    assert!(next.is_ejected(1));
}

#[test]
fn workers_together_eject_one_after_so_many_errors() {
    let outliers = Arc::new(Outliers::new(
        OutlierDetection {
            consecutive_5xx: 1000,
            ..settings()
        },
        addresses(2),
        None,
    ));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let outliers = Arc::clone(&outliers);
            std::thread::spawn(move || {
                for _ in 0..250 {
                    outliers.report(0, Outcome::Status(500));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(outliers.is_ejected(0) && outliers.has_ejected());
    assert_eq!(outliers.ejections().active, 1);
}
