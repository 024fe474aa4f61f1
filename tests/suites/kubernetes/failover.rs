//! What clients notice when the node that owns an address fails: three nodes of a cluster, found
//! through Leases, with the API server there and away.
//!
//! No test fails for a time that it measured. `GATEHOUSE_LONG_TESTS=1` repeats 30 times, else 3;
//! the table is printed. *claimed*: from the event to the first frame by which another node claims
//! the address; *gap*: the longest time in which no request of a client was answered that sends one
//! every 10 ms.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use gatehouse_e2e::{Clockwork, DEADLINE, eventually};
use rustix::process::Signal;

use crate::setup::PATIENCE;
use crate::trio::{Trio, VIP};

/// Nothing of the API server reaches a machine with this, and nothing of it the API server.
const CUT: &str = "nft 'table inet cut { \
                   chain in { type filter hook input priority 0; ip saddr 192.168.8.10 drop; }; \
                   chain out { type filter hook output priority 0; ip daddr 192.168.8.10 drop; }; }'";

/// What happens to the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Killed,
    LinkDown,
    Stopped,
}

#[derive(Default)]
struct Times {
    claimed: Vec<Duration>,
    gap: Vec<Duration>,
    back: Vec<Duration>,
}

fn repetitions() -> usize {
    let long = std::env::var_os("GATEHOUSE_LONG_TESTS").is_some_and(|value| value == "1");
    if long { 30 } else { 3 }
}

/// Median, 99th percentile and longest, in milliseconds.
fn summary(times: &[Duration]) -> String {
    let mut times = times.to_vec();
    times.sort_unstable();
    let Some(last) = times.len().checked_sub(1) else {
        return "-".to_owned();
    };
    let at = |percent: usize| times[(times.len() * percent).div_ceil(100).clamp(1, last + 1) - 1];
    let [median, p99, longest] = [at(50), at(99), times[last]].map(|time| time.as_millis());
    format!("{median} / {p99} / {longest}")
}

impl Times {
    fn print(&self, what: &str) {
        println!(
            "| {what} | {} | {} | {} | {} |",
            self.gap.len(),
            summary(&self.claimed),
            summary(&self.gap),
            summary(&self.back)
        );
    }
}

fn strike(trio: &mut Trio, owner: usize, event: Event) {
    match event {
        Event::Killed => trio.daemons[owner].take().expect("it runs").kill(),
        Event::LinkDown => trio.setup.lan.cable(&trio.setup.nodes[owner], false),
        Event::Stopped => trio.daemon(owner).signal(Signal::TERM),
    }
}

fn mend(trio: &mut Trio, owner: usize, event: Event) {
    match event {
        Event::Killed => trio.start(owner),
        Event::LinkDown => trio.setup.lan.cable(&trio.setup.nodes[owner], true),
        Event::Stopped => {
            let mut daemon = trio.daemons[owner].take().expect("it runs");
            eventually("it ends", DEADLINE, || (!daemon.is_running()).then_some(()));
            trio.start(owner);
        }
    }
}

/// Lets it happen to the owner again and again. `away`: while the API server is.
fn fail_over(what: &str, event: Event, away: bool) {
    let Some(mut trio) = Trio::new() else { return };
    trio.start_all();
    for number in 0..3 {
        trio.hears(number, 2);
    }
    let owner = trio.one_answers("one of three answers", None);
    let mac = trio.macs[owner].clone();
    let clock = Clockwork::start(&trio.setup.client, SocketAddr::from((VIP, 80)));
    let steady = Duration::from_millis(300);
    let mut times = Times::default();
    for _ in 0..repetitions() {
        let now = Instant::now();
        eventually("the client is answered", PATIENCE, || {
            clock.goes_on(now, steady).then_some(())
        });
        if away {
            trio.setup.server.stop();
        }
        let struck = Instant::now();
        strike(&mut trio, owner, event);
        let claim = eventually("another node claims the address", DEADLINE, || {
            trio.claims.next(struck, &mac)
        });
        eventually("the client is answered again", DEADLINE, || {
            clock.goes_on(claim.at, steady).then_some(())
        });
        times.claimed.push(claim.at - struck);
        times.gap.extend(clock.gap(struck));
        let second = trio.one_answers("the other one alone answers", None);
        assert_ne!(second, owner);

        // A node that starts needs the API server.
        if away {
            trio.setup.server.go_on();
        }
        let mended = Instant::now();
        mend(&mut trio, owner, event);
        trio.one_answers("it goes back", Some(owner));
        let back = trio.claims.next(mended, &trio.macs[second]);
        let back = back.expect("who answers has claimed it").at;
        eventually("the client is answered by it", DEADLINE, || {
            clock.goes_on(back, steady).then_some(())
        });
        times.back.extend(clock.gap(mended));
    }
    times.print(what);
}

#[test]
fn a_process_that_is_killed() {
    fail_over("kill -9 of the owner", Event::Killed, false);
}

#[test]
fn a_cable_that_is_pulled() {
    fail_over("the owner's link down", Event::LinkDown, false);
}

#[test]
fn a_process_that_is_told_to_stop() {
    fail_over("SIGTERM", Event::Stopped, false);
}

#[test]
fn a_process_that_is_killed_while_the_api_server_is_away() {
    fail_over("kill -9, no API server", Event::Killed, true);
}

#[test]
fn a_cable_that_is_pulled_while_the_api_server_is_away() {
    fail_over("link down, no API server", Event::LinkDown, true);
}

#[test]
fn a_process_that_is_told_to_stop_while_the_api_server_is_away() {
    fail_over("SIGTERM, no API server", Event::Stopped, true);
}

#[test]
fn an_owner_that_is_cut_from_the_api_server_keeps_its_address() {
    let Some(mut trio) = Trio::new() else { return };
    trio.start_all();
    for number in 0..3 {
        trio.hears(number, 2);
    }
    let owner = trio.one_answers("one of three answers", None);
    let mac = trio.macs[owner].clone();
    let clock = Clockwork::start(&trio.setup.client, SocketAddr::from((VIP, 80)));
    let mut times = Times::default();
    let node = trio.setup.nodes[owner].clone();
    for _ in 0..repetitions() {
        let now = Instant::now();
        eventually("the client is answered", PATIENCE, || {
            clock.goes_on(now, Duration::from_millis(300)).then_some(())
        });
        let cut = Instant::now();
        node.sh(CUT).ok();
        // Longer than the Lease of the node that deals is held without being renewed.
        eventually("it was cut off for long", PATIENCE, || {
            clock
                .goes_on(cut, Duration::from_millis(300))
                .then_some(())?;
            (cut.elapsed() > Duration::from_secs(12)).then_some(())
        });
        times.gap.extend(clock.gap(cut));
        node.sh("nft delete table inet cut").ok();
        trio.one_answers("the owner answers", Some(owner));
        let other = trio.claims.next(cut, &mac);
        assert!(other.is_none(), "{other:?}");
    }
    times.print("the owner's API connection cut for 12 s");
}
