//! Endpoints that are looked up for single requests (`resolution: DYNAMIC_DNS`): what one worker
//! knows of names, and its connections to them. Both are bounded; the worker never waits itself.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gatehouse_config::model::DynamicDns;
use gatehouse_config::resolved::{Found, Question};
use tokio::sync::{mpsc, oneshot};

use crate::route::without_port;
use crate::upstream::EndpointState;
use crate::upstream::endpoint::Lifetimes;

/// Names, and endpoints, that a worker knows at once (Envoy's `max_hosts`).
const MOST: usize = 1024;

/// A name that nobody asks for is forgotten after so long (Envoy's `host_ttl`).
const UNUSED: Duration = Duration::from_secs(300);

/// How long a failed lookup is not repeated, and old addresses are used on.
const FAILURE_HOLDS: Duration = Duration::from_secs(1);

/// What a worker knows.
#[derive(Debug, Default)]
pub struct DynamicEndpoints {
    questions: Option<mpsc::Sender<Question>>,
    names: RefCell<HashMap<Box<str>, Known>>,
    endpoints: RefCell<HashMap<(Arc<str>, SocketAddr), Held>>,
}

/// A name. Without addresses it could not be looked up.
#[derive(Debug)]
struct Known {
    addresses: Result<Rc<[IpAddr]>, Rc<str>>,
    until: Instant,
    used: Cell<Instant>,
}

#[derive(Debug)]
struct Held {
    state: Rc<EndpointState>,
    used: Cell<Instant>,
}

/// What is known of a name now.
#[derive(Debug)]
pub enum Lookup {
    /// Its addresses, or why there are none.
    Known(Result<Rc<[IpAddr]>, Rc<str>>),
    /// It is being looked up.
    Asked(oneshot::Receiver<Result<Found, String>>),
    /// Too many names are being looked up.
    Overflow,
}

/// The name that a Host asks for, if the cluster covers it. A client decides what it is, so only
/// what may be a host name of the suffix is looked up.
pub fn name_of(settings: &DynamicDns, authority: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(without_port(authority)).ok()?;
    let is_label = |label: &str| {
        let bytes = label.bytes();
        matches!(label.len(), 1..=63) && { bytes }
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let name = name.to_ascii_lowercase();
    let covered = name.len() > settings.suffix.len() && name.ends_with(&settings.suffix);
    (covered && name.len() <= 253 && name.split('.').all(is_label)).then_some(name)
}

impl DynamicEndpoints {
    /// One that asks there.
    pub fn new(questions: Option<mpsc::Sender<Question>>) -> Self {
        Self {
            questions,
            ..Self::default()
        }
    }

    /// What is known of a name; asks where nothing is.
    pub fn look_up(&self, name: &str, now: Instant) -> Lookup {
        if let Some(known) = self.names.borrow().get(name) {
            known.used.set(now);
            if known.until > now {
                return Lookup::Known(known.addresses.clone());
            }
        }
        let (answer, receiver) = oneshot::channel();
        let question = Question {
            name: name.to_owned(),
            answer,
        };
        match &self.questions {
            None => Lookup::Known(Err("names are not looked up here".into())),
            Some(questions) => match questions.try_send(question) {
                Ok(()) => Lookup::Asked(receiver),
                Err(_) => Lookup::Overflow,
            },
        }
    }

    /// Takes note of an answer. Where there is none, the addresses of before are used on.
    pub fn answered(
        &self,
        name: &str,
        found: Result<Found, String>,
        now: Instant,
    ) -> Result<Rc<[IpAddr]>, Rc<str>> {
        let mut names = self.names.borrow_mut();
        let (addresses, ttl) = match found {
            Ok(Found { addresses, ttl }) => (Ok(addresses.into()), ttl),
            Err(error) => {
                let before = names
                    .get(name)
                    .and_then(|known| known.addresses.clone().ok());
                (before.ok_or_else(|| error.into()), FAILURE_HOLDS)
            }
        };
        let known = Known {
            addresses: addresses.clone(),
            until: now + ttl,
            used: Cell::new(now),
        };
        make_room(&mut names, |known| known.used.get());
        names.insert(name.into(), known);
        addresses
    }

    /// An endpoint of a cluster.
    pub fn endpoint(
        &self,
        cluster: &Arc<str>,
        address: SocketAddr,
        lifetimes: Lifetimes,
        now: Instant,
    ) -> Rc<EndpointState> {
        let mut endpoints = self.endpoints.borrow_mut();
        let key = (Arc::clone(cluster), address);
        if !endpoints.contains_key(&key) {
            make_room(&mut endpoints, |held| held.used.get());
        }
        let held = endpoints.entry(key).or_insert_with(|| Held {
            state: Rc::new(EndpointState::new(address.into())),
            used: Cell::new(now),
        });
        held.used.set(now);
        held.state.lifetimes.set(lifetimes);
        Rc::clone(&held.state)
    }

    /// Forgets what was not used for long; gives each endpoint that is left to `sweep`.
    pub fn sweep(&self, now: Instant, mut sweep: impl FnMut(&EndpointState)) {
        let is_used = |used: &Cell<Instant>| now.saturating_duration_since(used.get()) < UNUSED;
        self.names
            .borrow_mut()
            .retain(|_, known| is_used(&known.used));
        let mut endpoints = self.endpoints.borrow_mut();
        endpoints.retain(|_, held| {
            sweep(&held.state);
            is_used(&held.used)
        });
    }
}

/// Drops the entry that was used longest ago where there are too many.
fn make_room<K: Clone + Eq + std::hash::Hash, V>(
    map: &mut HashMap<K, V>,
    used: impl Fn(&V) -> Instant,
) {
    if map.len() < MOST {
        return;
    }
    let oldest = map.iter().min_by_key(|(_, value)| used(value));
    if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
        map.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> DynamicDns {
        DynamicDns {
            suffix: ".example.com".to_owned(),
            port: 80,
        }
    }

    #[test]
    fn only_host_names_of_the_wildcard_are_looked_up() {
        for (host, name) in [
            ("a.example.com", Some("a.example.com")),
            ("A.b.Example.com:8080", Some("a.b.example.com")),
            ("example.com", None),
            (".example.com", None),
            ("aexample.com", None),
            ("a.example.com.evil.test", None),
            ("10.0.0.1", None),
            ("a/b.example.com", None),
            ("a..example.com", None),
            ("a%00.example.com", None),
        ] {
            let found = name_of(&settings(), host.as_bytes());
            assert_eq!(found.as_deref(), name, "{host}");
        }
        let long = format!("{}.example.com", "a.".repeat(150));
        assert_eq!(name_of(&settings(), long.as_bytes()), None);
    }

    #[test]
    fn an_answer_holds_for_its_time_and_outlives_a_failure() {
        let (sender, mut asked) = mpsc::channel(1);
        let names = DynamicEndpoints::new(Some(sender));
        let now = Instant::now();
        assert!(matches!(names.look_up("a", now), Lookup::Asked(_)));
        assert!(
            matches!(names.look_up("b", now), Lookup::Overflow),
            "one question waits, and no more may"
        );
        assert_eq!(asked.try_recv().map(|q| q.name), Ok("a".to_owned()));
        let found = Found {
            addresses: vec!["192.0.2.1".parse().unwrap()],
            ttl: Duration::from_secs(5),
        };
        assert!(names.answered("a", Ok(found), now).is_ok());
        let known = |at| matches!(names.look_up("a", at), Lookup::Known(Ok(_)));
        assert!(known(now + Duration::from_secs(4)));
        let later = now + Duration::from_secs(6);
        assert!(matches!(names.look_up("a", later), Lookup::Asked(_)));
        let after = names.answered("a", Err("no answer".to_owned()), later);
        assert!(after.is_ok_and(|addresses| addresses.len() == 1));
        assert!(known(later), "asked again a second later only");
        assert!(
            names
                .answered("b", Err("no answer".to_owned()), now)
                .is_err()
        );
    }

    #[test]
    fn names_and_endpoints_are_bounded_and_forgotten() {
        let names = DynamicEndpoints::default();
        let now = Instant::now();
        let cluster: Arc<str> = "c".into();
        for i in 0..3_000_u16 {
            let at = now + Duration::from_millis(i.into());
            names
                .answered(&i.to_string(), Err(String::new()), at)
                .unwrap_err();
            let address = SocketAddr::from(([127, 0, 0, 1], i + 1));
            names.endpoint(&cluster, address, Lifetimes::default(), at);
        }
        assert_eq!(names.names.borrow().len(), MOST);
        assert_eq!(names.endpoints.borrow().len(), MOST);
        assert!(names.names.borrow().contains_key("2999"), "the newest stay");
        let mut swept = 0;
        names.sweep(now + Duration::from_secs(600), |_| swept += 1);
        assert_eq!(swept, MOST);
        assert!(names.names.borrow().is_empty() && names.endpoints.borrow().is_empty());
    }
}
