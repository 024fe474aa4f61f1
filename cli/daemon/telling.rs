//! What Services are told of decisions about their addresses, each once. No I/O.

use std::collections::HashMap;

use gatehouse_config::ObjectKey;
use gatehouse_config::model::{AddressFamilies, Service};
use gatehouse_config::status::kubernetes::{Note, Role};
use gatehouse_lb_speaker::Decision;

/// What was last told of each Service whose decision is not all that it asks for.
#[derive(Debug, Default)]
pub(super) struct Telling {
    last: HashMap<ObjectKey, String>,
}

impl Telling {
    /// What there is to tell of a Service now. `pools_known`: decisions were made by the pools.
    pub(super) fn tell(
        &mut self,
        service: &Service,
        decision: Option<&Decision>,
        pools_known: bool,
    ) -> Option<Note> {
        let key = &service.key;
        let request = &service.request;
        // As MetalLB words them.
        let (reason, is_warning, text) = match decision {
            Some(Decision::Pending { reason }) => {
                let text = format!("Failed to allocate IP for \"{key}\": {reason}");
                ("AllocationFailed", true, text)
            }
            Some(Decision::Allocated { allocation, note }) => match (&request.invalid, note) {
                (Some(invalid), _) => {
                    let text = format!("invalid requested loadbalancer IPs: {invalid}");
                    ("LoadBalancerFailed", true, text)
                }
                (None, Some(note))
                    if pools_known
                        && allocation.addresses.len() == 1
                        && matches!(request.families, AddressFamilies::PreferDual { .. }) =>
                {
                    let text = format!("cannot assign additional IP in PreferDualStack: {note}");
                    ("AdditionalAssignFailed", false, text)
                }
                _ => return self.is_well(key),
            },
            None => return self.is_well(key),
        };
        let told = without_counts(reason, &text);
        if self.last.get(key) == Some(&told) {
            return None;
        }
        self.last.insert(key.clone(), told);
        Some(Note {
            service: key.clone(),
            is_warning,
            by: Role::Allocator,
            reason,
            message: text,
        })
    }

    fn is_well(&mut self, key: &ObjectKey) -> Option<Note> {
        self.last.remove(key);
        None
    }

    /// Forgets all but these.
    pub(super) fn retain(&mut self, is_there: impl Fn(&ObjectKey) -> bool) {
        self.last.retain(|key, _| is_there(key));
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.last.clear();
    }
}

/// The same for as long as the kind of reason and the pools in it are: how full those are changes
/// with every address that is dealt to others, and would be told to all who wait each time.
fn without_counts(reason: &str, text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let is_count = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        if is_count { "#" } else { word }
    });
    let words: Vec<&str> = [reason].into_iter().chain(words).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use gatehouse_config::model::{AddressRequest, TrafficPolicy};
    use gatehouse_lb_speaker::Allocation;

    use super::*;

    fn service(request: AddressRequest) -> Service {
        Service {
            key: ObjectKey::new("default", "web"),
            labels: Default::default(),
            namespace_labels: Default::default(),
            request,
            traffic_policy: TrafficPolicy::Cluster,
            selector: String::new(),
            is_gateway: false,
            keeps_ports: false,
            ports: Vec::new(),
            endpoint_nodes: BTreeSet::new(),
            sources: None,
            cluster_ip: None,
            created: None,
        }
    }

    fn waits(reason: &str) -> Decision {
        Decision::Pending {
            reason: reason.to_owned(),
        }
    }

    fn holds(note: Option<&str>) -> Decision {
        Decision::Allocated {
            allocation: Allocation {
                addresses: vec!["192.0.2.1".parse().unwrap()],
                pool: "lan".to_owned(),
            },
            note: note.map(str::to_owned),
        }
    }

    #[test]
    fn who_waits_is_told_again_only_where_the_reason_is_another() {
        let mut telling = Telling::default();
        let service = service(AddressRequest::default());
        let mut tell = |decision: &Decision| {
            let note = telling.tell(&service, Some(decision), true);
            note.map(|note| note.message)
        };
        let full = |used, pool| {
            waits(&format!(
                "no free IPv4 address: pool {pool} has {used} of 48 IPv4 addresses in use"
            ))
        };
        let told = tell(&full(48, "lan")).unwrap();
        assert!(told.contains("has 48 of 48"), "{told}");
        for used in 0..48 {
            assert_eq!(tell(&full(used, "lan")), None);
        }
        assert!(tell(&full(48, "other")).is_some());
        // An address is no count.
        assert!(tell(&waits("192.0.2.1 is held by Service a/b")).is_some());
        assert!(tell(&waits("192.0.2.2 is held by Service a/b")).is_some());
        // It got one, and lost it.
        assert_eq!(tell(&holds(None)), None);
        assert!(tell(&waits("192.0.2.2 is held by Service a/b")).is_some());
    }

    #[test]
    fn who_holds_an_address_is_told_what_is_wrong_with_its_request() {
        let mut telling = Telling::default();
        let wrong = service(AddressRequest {
            invalid: Some("\"x\" is no address".to_owned()),
            ..AddressRequest::default()
        });
        let kept = holds(Some("the Service keeps 192.0.2.1"));
        let note = telling.tell(&wrong, Some(&kept), true).unwrap();
        assert_eq!(
            (note.reason, note.is_warning, note.message.as_str()),
            (
                "LoadBalancerFailed",
                true,
                "invalid requested loadbalancer IPs: \"x\" is no address"
            )
        );
        assert_eq!(telling.tell(&wrong, Some(&kept), true), None);
        // Mended, and wrong again.
        let right = service(AddressRequest::default());
        assert_eq!(telling.tell(&right, Some(&holds(None)), true), None);
        assert!(telling.tell(&wrong, Some(&kept), true).is_some());
    }

    #[test]
    fn a_second_family_that_is_not_to_be_had_is_told() {
        let mut telling = Telling::default();
        let prefers = service(AddressRequest {
            families: AddressFamilies::PreferDual { primary_v6: false },
            ..AddressRequest::default()
        });
        let lacks = holds(Some("pool lan has no free IPv6 address"));
        // While pools are not read nothing is known of that.
        assert_eq!(telling.tell(&prefers, Some(&lacks), false), None);
        let note = telling.tell(&prefers, Some(&lacks), true).unwrap();
        assert_eq!(
            (note.reason, note.is_warning, note.message.as_str()),
            (
                "AdditionalAssignFailed",
                false,
                "cannot assign additional IP in PreferDualStack: pool lan has no free IPv6 address"
            )
        );
        assert_eq!(telling.tell(&prefers, Some(&lacks), true), None);
    }
}
