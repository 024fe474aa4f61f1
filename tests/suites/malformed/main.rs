//! Malformed requests: each is refused, its connection closed, and the upstream never sees it.
//!
//! What RFC 9112 and RFC 9110 forbid, and what request smuggling has been made of. After each
//! malformed request the bytes of a good one follow on the same connection: were they served, the
//! gateway would have lost the framing.

mod cases;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use cases::{Case, FOLLOWER};
use gatehouse_e2e::http::Client;
use gatehouse_e2e::{Front, Upstream};

const CATCH_ALL: &str = "- route: [{destination: {host: api.test}}]\n";

/// How many cases are under way at a time.
const CLIENTS: usize = 8;

#[test]
fn a_malformed_head_is_refused_and_never_forwarded() {
    let upstream = Upstream::well_behaved();
    let front = Front::start(CATCH_ALL, &[("api.test", &[upstream.address()])]);

    let wrong = check_all(&cases::heads(), |case| {
        refused(front.address, &case.bytes).and_then(|status| {
            let fits = case.statuses.contains(&status);
            fits.then_some(())
                .ok_or_else(|| format!("{status}, not {:?}", case.statuses))
        })
    });
    assert_all_right(&wrong);
    // A good request is the last thing that reaches the upstream: nothing came before it.
    assert_eq!(front.get("/good", &[]).text(), "/good");
    let seen = upstream.seen();
    assert!(
        seen.starts_with("GET /good HTTP/1.1\r\n"),
        "the upstream saw: {seen}"
    );
    assert_eq!(
        seen.matches("HTTP/1.1\r\n").count(),
        1,
        "the upstream saw: {seen}"
    );
}

/// RFC 9112 §7.1: by the time a chunk is wrong, the head may be on its way; then the upstream's
/// connection must end before the message does.
#[test]
fn a_malformed_chunk_ends_both_connections() {
    let upstream = Upstream::well_behaved();
    let front = front_for(&upstream);
    let cases = cases::chunks();
    // One after the other: what the upstream saw of one then stands together.
    for case in &cases {
        let status = refused(front.address, &case.bytes);
        let status = status.unwrap_or_else(|error| panic!("{}: {error}", case.name));
        assert!(
            case.statuses.contains(&status),
            "{}: answered {status}",
            case.name
        );
    }
    assert_eq!(front.get("/good", &[]).text(), "/good");
    let seen = upstream.seen();
    assert!(!seen.contains("/smuggled"), "the upstream saw: {seen}");
    for message in seen.split("POST /").skip(1) {
        let number: Option<usize> = message.split(' ').next().and_then(|text| text.parse().ok());
        let name = number
            .and_then(|number| cases.get(number))
            .map_or("?", |case| case.name);
        assert!(
            !message.contains("\r\n0\r\n\r\n"),
            "{name}: forwarded whole: {message}"
        );
    }
}

/// RFC 9112 §9.3.2: the answers before the malformed request are still owed.
#[test]
fn a_malformed_request_behind_a_good_one_does_not_take_its_answer() {
    let upstream = Upstream::well_behaved();
    let front = front_for(&upstream);
    let mut client = front.connect();
    let bytes =
        b"GET /good HTTP/1.1\r\nHost: a.test\r\n\r\nGET /bad HTTP/1.1\r\nHost : a.test\r\n\r\n";
    client.send(bytes).unwrap();
    assert_eq!(client.response("GET").unwrap().text(), "/good");
    assert_eq!(client.response("GET").unwrap().status, 400);
    assert_eq!(client.until_closed().unwrap(), b"");
    assert!(!upstream.seen().contains("/bad"));
}

/// RFC 9112 §2.2 and §2.3, RFC 9110 §5.5 and §7.2: what looks odd and is right.
#[test]
fn unusual_but_correct_requests_are_served() {
    let upstream = Upstream::well_behaved();
    let front = front_for(&upstream);
    for case in cases::correct() {
        let mut client = front.connect();
        client.send(&case.bytes).unwrap();
        let status = client.response("GET").map(|response| response.status);
        assert!(matches!(status, Ok(200)), "{}: {status:?}", case.name);
    }
}

fn front_for(upstream: &Upstream) -> Front {
    Front::start(CATCH_ALL, &[("api.test", &[upstream.address()])])
}

/// Sends the bytes and a good request behind them; gives the status of the only answer.
fn refused(address: SocketAddr, bytes: &[u8]) -> Result<u16, String> {
    let mut client = Client::connect(address).map_err(|error| format!("no connection: {error}"))?;
    // The gateway may close before all is sent; its answer is what counts.
    let _ = client.send(bytes).and_then(|()| client.send(FOLLOWER));
    let answer = client
        .response("GET")
        .map_err(|error| format!("no answer: {error}"))?;
    let rest = client
        .until_closed()
        .map_err(|error| format!("left open: {error}"))?;
    if !rest.is_empty() {
        return Err(format!(
            "then also answered: {}",
            String::from_utf8_lossy(&rest)
        ));
    }
    Ok(answer.status)
}

/// Checks the cases on a few threads; gives what was wrong.
fn check_all(cases: &[Case], check: impl Fn(&Case) -> Result<(), String> + Sync) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut wrong = Vec::new();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = check(case) {
                wrong.push(format!("{}: {error}", case.name));
            }
        }
        wrong
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(work)).collect();
        let results = threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic within"));
        results.flatten().collect()
    })
}

fn assert_all_right(wrong: &[String]) {
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
