use serde_json::{Value as Json, json};

use super::store::{Changed, Store};
use super::trouble::Trouble;
use crate::codes;
use crate::resources::ObjectKey;
use crate::source::decode::Kind;

fn pool(version: u32, addresses: Json) -> Json {
    json!({
        "metadata": {"name": "lan", "namespace": "metallb-system", "resourceVersion": version.to_string()},
        "spec": {"addresses": addresses},
    })
}

fn service(version: u32, ip: Option<&str>) -> Json {
    let ingress = ip.map(|ip| json!([{"ip": ip, "ipMode": "VIP"}]));
    json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "u", "resourceVersion": version.to_string(),
            "annotations": {"metallb.io/ip-allocated-from-pool": "lan", "mine": "stays"}},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
        "status": {"loadBalancer": {"ingress": ingress}},
    })
}

#[test]
fn what_is_reported_on_an_object_is_no_change_of_it() {
    let mut store = Store::default();
    let route = |version: u32, status: Json| {
        json!({
            "metadata": {"name": "a", "namespace": "b", "generation": 4, "resourceVersion": version.to_string()},
            "spec": {"hosts": ["a.lan"]},
            "status": status,
        })
    };
    let theirs = json!({"type": "Reconciled", "status": "False"});
    assert!(
        store
            .apply(
                Kind::VirtualService,
                route(1, json!({"conditions": [theirs]}))
            )
            .objects
    );
    let ours = json!({"type": "GatehouseAccepted", "status": "False"});
    let told = json!({
        "conditions": [theirs, ours],
        "validationMessages": [{"level": "ERROR"}],
        "observedGeneration": 4,
    });
    let changed = store.apply(Kind::VirtualService, route(2, told));
    assert!(
        !changed.objects && !changed.status && changed.reports,
        "{changed:?}"
    );
    let place = (Kind::VirtualService, ObjectKey::new("b", "a"));
    let seen = &store.reports()[&place];
    assert_eq!(seen.generation, 4);
    assert_eq!((seen.messages.len(), seen.conditions.len()), (1, 2));
    assert_eq!(seen.verdict(), Some(&ours));
    // What was seen before the answer to a write is older than that.
    store.apply(Kind::VirtualService, route(1, json!({})));
    assert_eq!(store.reports()[&place].messages.len(), 1);
}

fn list(store: &mut Store, kind: Kind, objects: impl IntoIterator<Item = Json>) {
    store.list_begins(kind);
    for object in objects {
        store.apply(kind, object);
    }
    store.list_ends(kind);
}

#[test]
fn a_list_replaces_what_was_known_at_its_end() {
    let mut store = Store::default();
    assert!(!store.knows(&[Kind::IPAddressPool]));
    list(
        &mut store,
        Kind::IPAddressPool,
        [pool(1, json!(["192.0.2.0/28"]))],
    );
    assert!(store.knows(&[Kind::IPAddressPool]));
    assert_eq!(store.resources().ip_address_pools.len(), 1);
    // A list that is under way takes nothing away.
    store.list_begins(Kind::IPAddressPool);
    assert_eq!(store.resources().ip_address_pools.len(), 1);
    let changed = store.list_ends(Kind::IPAddressPool);
    assert!(changed.objects);
    assert!(store.resources().is_empty());
    assert!(store.pools().is_empty());
}

#[test]
fn the_answer_to_a_write_brings_nothing_back() {
    let mut store = Store::default();
    let key = ObjectKey::new("default", "web");
    let written = service(3, Some("192.0.2.1"));
    assert_eq!(
        store.answer(Kind::Service, written.clone()),
        Changed::default()
    );
    store.apply(Kind::Service, service(2, None));
    let changed = store.answer(Kind::Service, written.clone());
    assert!(changed.status && !changed.objects);
    assert!(store.answer(Kind::Service, service(2, None)) == Changed::default());
    assert_eq!(store.services()[&key].resource_version, "3");
    // The watch was faster.
    store.delete(Kind::Service, &written);
    assert_eq!(
        store.answer(Kind::Service, service(4, None)),
        Changed::default()
    );
    assert!(store.object(Kind::Service, &key).is_none());
    assert!(store.services().is_empty());
    // A list that does not bring it does.
    store.apply(Kind::Service, service(5, None));
    store.list_begins(Kind::Service);
    store.answer(Kind::Service, service(6, None));
    store.list_ends(Kind::Service);
    assert!(store.object(Kind::Service, &key).is_none());
}

#[test]
fn a_list_that_is_older_than_an_answer_puts_nothing_back() {
    let kind = Kind::Service;
    let key = ObjectKey::new("default", "web");
    let address = |store: &Store| store.services()[&key].addresses().len();
    let mut store = Store::default();
    list(&mut store, kind, [service(2, None)]);
    // Written and answered after the list was begun, and before it came.
    store.list_begins(kind);
    store.answer(kind, service(3, Some("192.0.2.1")));
    assert_eq!(store.apply(kind, service(2, None)), Changed::default());
    assert_eq!(address(&store), 1);
    store.list_ends(kind);
    assert_eq!(address(&store), 1, "it was in the list");
    // The watch has brought it: from now on a list says what is, also after the server was put back to
    // an older state.
    store.apply(kind, service(3, Some("192.0.2.1")));
    list(&mut store, kind, [service(2, None)]);
    assert_eq!(address(&store), 0);
    // The same where the answer never came by the watch: the second list is believed.
    store.answer(kind, service(4, Some("192.0.2.1")));
    list(&mut store, kind, [service(1, None)]);
    assert_eq!(address(&store), 1);
    list(&mut store, kind, [service(1, None)]);
    assert_eq!(address(&store), 0);
    // It was deleted and made again: that is another one, whatever its version.
    store.answer(kind, service(9, Some("192.0.2.1")));
    let mut again = service(8, None);
    again["metadata"]["uid"] = json!("v");
    list(&mut store, kind, [again]);
    assert_eq!(address(&store), 0);
    assert_eq!(store.services()[&key].uid, "v");
    // It is gone.
    store.answer(kind, service(10, Some("192.0.2.1")));
    list(&mut store, kind, []);
    assert!(store.services().is_empty());
}

#[test]
fn a_list_beside_the_watch_brings_what_is_new_and_nothing_that_went() {
    let mut store = Store::default();
    let kind = Kind::Service;
    let key = ObjectKey::new("default", "web");
    // The watch is behind.
    store.also_list_begins(kind);
    assert!(
        store
            .also_listed(kind, service(3, Some("192.0.2.1")))
            .status
    );
    store.also_list_ends(kind);
    assert_eq!(store.services()[&key].resource_version, "3");
    // It is ahead: by a deletion, or by a list without the object.
    store.also_list_begins(kind);
    store.delete(kind, &service(3, None));
    assert_eq!(
        store.also_listed(kind, service(3, None)),
        Changed::default()
    );
    store.also_list_ends(kind);
    assert!(store.services().is_empty());
    store.apply(kind, service(5, None));
    store.also_list_begins(kind);
    store.list_begins(kind);
    store.list_ends(kind);
    assert_eq!(
        store.also_listed(kind, service(5, None)),
        Changed::default()
    );
    assert!(store.services().is_empty());
    // It was made again since.
    store.apply(kind, service(7, None));
    assert_eq!(
        store.also_listed(kind, service(5, None)),
        Changed::default()
    );
    store.also_list_ends(kind);
    assert_eq!(store.services()[&key].resource_version, "7");
    // What went before the next list may be made again.
    store.delete(kind, &service(7, None));
    store.also_list_begins(kind);
    assert!(store.also_listed(kind, service(9, None)).objects);
}

#[test]
fn a_version_that_says_the_same_is_the_version_before() {
    let mut store = Store::default();
    let key = ObjectKey::new("default", "web");
    assert!(store.apply(Kind::Service, service(1, None)).objects);
    let first = store.object(Kind::Service, &key).unwrap();
    let changed = store.apply(Kind::Service, service(2, Some("192.0.2.1")));
    assert!(!changed.objects, "a status is no change of the object");
    assert!(changed.status);
    assert!(
        store
            .object(Kind::Service, &key)
            .unwrap()
            .same_version(&first)
    );
    let seen = &store.services()[&key];
    assert_eq!(
        seen.addresses(),
        ["192.0.2.1".parse::<std::net::IpAddr>().unwrap()]
    );
    assert_eq!(seen.resource_version, "2");
    assert_eq!(seen.pool.as_deref(), Some("lan"));
    assert_eq!(seen.uid, "u");
    // The same once more, as a list after a reconnect brings it, is nothing at all.
    let before = store.changes();
    store.apply(Kind::Service, service(2, Some("192.0.2.1")));
    assert_eq!(store.changes(), before);
    let object = &store.resources().services[&key];
    assert_eq!(
        object.meta.annotations.len(),
        1,
        "{:?}",
        object.meta.annotations
    );
}

#[test]
fn an_object_that_cannot_be_read_keeps_its_last_good_version() {
    let mut store = Store::default();
    let key = ObjectKey::new("metallb-system", "lan");
    store.apply(Kind::IPAddressPool, pool(1, json!(["192.0.2.0/28"])));
    let good = store.object(Kind::IPAddressPool, &key).unwrap();
    let changed = store.apply(Kind::IPAddressPool, pool(2, json!("192.0.2.0/28, 5")));
    assert!(changed.objects, "its findings changed");
    assert!(
        store
            .object(Kind::IPAddressPool, &key)
            .unwrap()
            .same_version(&good)
    );
    let findings = store.findings();
    let codes: Vec<_> = findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [codes::SCHEMA, codes::LAST_GOOD]);
    assert!(findings.iter().all(|finding| finding.position.is_none()));
    assert_eq!(findings[0].object.as_ref().unwrap().key, key);

    store.apply(Kind::IPAddressPool, pool(3, json!(["192.0.2.0/28"])));
    assert_eq!(store.findings(), []);
    // One that was never good goes without a trace when it is deleted.
    let bad = pool(4, json!({}));
    store.delete(Kind::IPAddressPool, &bad);
    store.apply(Kind::IPAddressPool, bad.clone());
    assert_eq!(store.findings().len(), 1);
    assert!(store.delete(Kind::IPAddressPool, &bad).objects);
    assert_eq!(store.findings(), []);
}

#[test]
fn trouble_is_told_once_and_ends_where_all_is_well() {
    let mut store = Store::default();
    list(&mut store, Kind::Node, [json!({"metadata": {"name": "a"}})]);
    let refused = || Trouble::of_asking("refused");
    assert!(store.is_troubled(Kind::Node, refused()).objects);
    assert!(!store.is_troubled(Kind::Node, refused()).objects);
    store.is_troubled(Kind::Pod, refused());
    assert!(store.has_tried(&[Kind::Node, Kind::Pod]));
    assert!(store.knows(&[Kind::Node]));
    assert!(!store.knows(&[Kind::Pod]));
    let findings = store.findings();
    assert_eq!(findings.len(), 1, "one for all kinds: {findings:?}");
    assert!(findings[0].message.contains("Node, Pod"), "{findings:?}");
    assert_eq!(store.resources().nodes.len(), 1, "what is known stays");
    for kind in [Kind::Node, Kind::Pod] {
        list(&mut store, kind, []);
        assert_eq!(
            store.findings().len(),
            1,
            "what is listed may not be watched"
        );
        assert!(store.is_well(kind).objects);
        assert!(!store.is_well(kind).objects);
    }
    assert_eq!(store.findings(), []);
}

#[test]
fn heartbeats_and_images_of_nodes_are_left_out() {
    let node = |beat: &str| {
        json!({
            "metadata": {"name": "a", "resourceVersion": beat},
            "status": {
                "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": beat}],
                "images": [{"names": ["x"], "sizeBytes": 5}],
                "addresses": [{"type": "InternalIP", "address": "192.0.2.7"}],
            },
        })
    };
    let mut store = Store::default();
    assert!(
        store
            .apply(Kind::Node, node("2026-01-01T00:00:00Z"))
            .objects
    );
    assert!(
        !store
            .apply(Kind::Node, node("2026-01-01T00:05:00Z"))
            .objects
    );
    let body = &store.resources().nodes.values().next().unwrap().body;
    let status = body.status.as_ref().unwrap();
    assert!(status.images.is_none());
    assert_eq!(status.conditions.as_ref().unwrap()[0].status, "True");
    assert_eq!(status.addresses.as_ref().unwrap()[0].address, "192.0.2.7");
}

#[test]
fn a_pool_that_could_never_be_read_is_known_to_be_there() {
    let mut store = Store::default();
    let names = |store: &Store| -> Vec<String> {
        let refused = store.refused_pools();
        assert!(!refused.others);
        refused.named.into_keys().collect()
    };
    store.apply(Kind::IPAddressPool, pool(1, json!(5)));
    assert_eq!(names(&store), ["lan"]);
    store.apply(Kind::IPAddressPool, pool(2, json!(["192.0.2.0/28"])));
    assert_eq!(names(&store), [""; 0]);
    // The last good version is in force.
    store.apply(Kind::IPAddressPool, pool(3, json!(5)));
    assert_eq!(names(&store), [""; 0]);
    store.delete(Kind::IPAddressPool, &pool(3, json!(5)));
    store.apply(Kind::IPAddressPool, pool(4, json!(5)));
    assert_eq!(names(&store), ["lan"]);
    store.delete(Kind::IPAddressPool, &pool(4, json!(5)));
    assert_eq!(names(&store), [""; 0]);
}

/// Istiod writes who leads every few seconds, and other programs keep their state in ConfigMaps.
#[test]
fn other_programs_config_maps_rebuild_nothing() {
    let mut store = Store::default();
    let map = |name: &str, version: u32, data: Json| {
        let leader = format!("{{\"renewTime\":\"{version}\"}}");
        json!({
            "metadata": {"name": name, "namespace": "istio-system", "resourceVersion": version.to_string(),
                "annotations": {"control-plane.alpha.kubernetes.io/leader": leader}},
            "data": data,
        })
    };
    let mut changes = |name: &str, version: u32, data: Json| {
        store
            .apply(Kind::ConfigMap, map(name, version, data))
            .objects
    };
    assert!(changes("istio-leader", 1, json!(null)));
    assert!(!changes("istio-leader", 2, json!(null)), "renewed");
    assert!(changes("state", 1, json!({"count": "1"})));
    assert!(
        !changes("state", 2, json!({"count": "2"})),
        "nobody reads it"
    );
    // What is read.
    for (name, key) in [
        ("istio", "mesh"),
        ("istio-sidecar-injector", "values"),
        ("trust", "cacert"),
        ("trust-2", "ca.crt"),
        ("trust-3", "ca.crl"),
    ] {
        assert!(changes(name, 1, json!({key: "a"})), "{name}");
        assert!(changes(name, 2, json!({key: "b"})), "{name}");
        assert!(!changes(name, 3, json!({key: "b"})), "{name}");
    }
    let kept = &store.resources().config_maps[&ObjectKey::new("istio-system", "trust")];
    let kept = kept.body.data.as_ref().map(|data| data.len());
    assert_eq!(kept, Some(1));
}

#[test]
fn objects_are_written_in_the_version_that_they_are_read_in() {
    let shared = super::Shared::new();
    let kind = Kind::VirtualService;
    let version = || shared.resource_of(kind).api_version;
    assert_eq!(version(), "networking.istio.io/v1");
    shared.store().is_read_in(kind, "v1beta1");
    assert_eq!(version(), "networking.istio.io/v1beta1");
    assert_eq!(shared.resource_of(kind).plural, "virtualservices");
}

#[test]
fn a_kind_that_says_nothing_of_others_holds_nothing_up_once_it_was_asked_for() {
    let mut store = Store::default();
    let kinds = [Kind::Gateway, Kind::WasmPlugin];
    let knows = |store: &Store| store.knows_but(&kinds, &[Kind::WasmPlugin]);
    list(&mut store, Kind::Gateway, []);
    assert!(!knows(&store), "nobody asked yet");
    store.is_troubled(Kind::WasmPlugin, Trouble::of_asking("no right"));
    assert!(knows(&store) && !store.knows(&kinds));
    // One that others refer to does.
    let kinds = [Kind::Service, Kind::Gateway];
    store.is_troubled(Kind::Service, Trouble::of_asking("no right"));
    assert!(!store.knows_but(&kinds, &[Kind::WasmPlugin]));
}
