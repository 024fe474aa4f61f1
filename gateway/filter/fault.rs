//! `fault`: whether a request is delayed or aborted on purpose.

use std::time::Duration;

use gatehouse_config::model::{AbortStatus, Fault, Percent};

use crate::worker::random::Random;

/// What befalls a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Injection {
    /// A pause before anything else.
    pub delay: Option<Duration>,
    /// The answer after it.
    pub abort: Option<AbortStatus>,
}

/// Throws the dice, once for the delay and once for the abort.
pub fn inject(fault: &Fault, random: &Random) -> Injection {
    let hit = |share: Percent| random.below(Percent::WHOLE) < share.millionths();
    Injection {
        delay: fault
            .delay
            .filter(|delay| hit(delay.percentage))
            .map(|delay| delay.duration),
        abort: fault
            .abort
            .filter(|abort| hit(abort.percentage))
            .map(|abort| abort.status),
    }
}

#[cfg(test)]
mod tests {
    use gatehouse_config::model::{Abort, Delay};

    use super::*;

    fn fault(delay: f64, abort: f64) -> Fault {
        Fault {
            delay: Some(Delay {
                duration: Duration::from_millis(1),
                percentage: Percent::new(delay),
            }),
            abort: Some(Abort {
                status: AbortStatus::Http(503),
                percentage: Percent::new(abort),
            }),
        }
    }

    #[test]
    fn all_and_none_are_certain() {
        let random = Random::from_seed(1);
        for _ in 0..1000 {
            let both = inject(&fault(100.0, 100.0), &random);
            assert!(both.delay.is_some() && both.abort.is_some());
            assert_eq!(inject(&fault(0.0, 0.0), &random), Injection::default());
        }
    }

    #[test]
    fn delay_and_abort_are_decided_apart() {
        let random = Random::from_seed(2);
        let (mut delayed, mut aborted, mut both) = (0, 0, 0);
        for _ in 0..100_000 {
            let injection = inject(&fault(50.0, 10.0), &random);
            delayed += u32::from(injection.delay.is_some());
            aborted += u32::from(injection.abort.is_some());
            both += u32::from(injection.delay.is_some() && injection.abort.is_some());
        }
        assert!((49_000..51_000).contains(&delayed), "{delayed}");
        assert!((9_500..10_500).contains(&aborted), "{aborted}");
        assert!((4_500..5_500).contains(&both), "{both}");
    }
}
