//! Translating again: the same result as from nothing, for no more work than the change is worth.

use std::fmt::Write as _;

use super::*;
use crate::resources::{Object, ObjectKey};

/// The model as text in which clusters go by their names: their numbers may differ.
fn rendered(translation: &Translation) -> String {
    let model = &translation.model;
    let mut text = String::new();
    for server in &model.servers {
        writeln!(
            text,
            "server {} {:?} {:?}",
            server.port,
            server.bind,
            server.tcp()
        )
        .unwrap();
        for host in server.virtual_hosts() {
            writeln!(text, "  {} {}", host.domain, host.require_tls).unwrap();
            for route in host.routes.iter() {
                writeln!(text, "    {route:?}").unwrap();
            }
        }
    }
    // The longest numbers first, so that none is found inside another.
    for (i, cluster) in model.clusters.iter().enumerate().rev() {
        let number = format!("ClusterIndex({i})");
        let used = text.contains(&number);
        // Line breaks of `{:?}` do not matter; what the cluster is made of does.
        text = text.replace(&number, &cluster.name);
        if used {
            writeln!(text, "{cluster:?}").unwrap();
        }
    }
    let mut lines: Vec<_> = text.lines().collect();
    let from = lines
        .iter()
        .position(|line| line.starts_with("Cluster"))
        .unwrap_or(lines.len());
    if let Some(clusters) = lines.get_mut(from..) {
        clusters.sort_unstable();
    }
    let mut findings: Vec<_> = translation.findings.iter().map(|f| f.to_string()).collect();
    findings.sort();
    format!(
        "{}\n{findings:#?}\n{:?}",
        lines.join("\n"),
        translation.refused
    )
}

fn put(resources: &mut Resources, yaml: &str) {
    let file = decode_text(&Arc::from("test.yaml"), yaml, &Limits::default());
    for object in file.objects {
        resources.insert(object);
    }
}

fn app(i: u32, port: u32, gateway: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: app-{i}, \
         namespace: default}}\nspec:\n  hosts: [\"app-{}.lan\"]\n  gateways: [{gateway}]\n  http: \
         [{{match: [{{uri: {{prefix: /{port}}}}}], {TO_REVIEWS}}}, {{route: [{{destination: {{host: \
         reviews, subset: v{}, port: {{number: {port}}}}}}}]}}]\n",
        i % 7,
        port % 4,
    )
}

#[test]
fn one_changed_virtual_service_is_the_only_work() {
    let mut resources = resources(BASE);
    for i in 0..50 {
        put(&mut resources, &app(i, 9080, "istio-system/gw"));
    }
    let mut translator = Translator::default();
    let settings = Settings::default();
    let first = translator.translate(&resources, &settings);
    assert_eq!(
        translator.work(),
        Work {
            virtual_services: 50,
            route_lists: 50
        }
    );

    put(&mut resources, &app(8, 9081, "istio-system/gw"));
    let second = translator.translate(&resources, &settings);
    assert_eq!(
        translator.work(),
        Work {
            virtual_services: 1,
            route_lists: 1
        }
    );
    assert_eq!(
        rendered(&second),
        rendered(&translate(&resources, &settings))
    );

    // Hosts of others are the very lists of before, so that nothing compiles them again.
    let lists = |translation: &Translation| -> Vec<_> {
        let hosts = translation.model.servers[0].virtual_hosts();
        hosts.map(|host| host.routes.as_ptr()).collect()
    };
    let changed = lists(&first)
        .iter()
        .zip(lists(&second))
        .filter(|(a, b)| **a != *b)
        .count();
    assert_eq!(changed, 1, "8 % 7 = 1: app-1.lan alone");
}

#[test]
fn endpoints_change_without_routes() {
    let workload = |address: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: w, \
             namespace: default}}\nspec: {{address: {address}, labels: {{app: w}}}}\n"
        )
    };
    let yaml = format!(
        "{BASE}---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: w, \
         namespace: default}}\nspec: {{hosts: [w.lan], resolution: STATIC, ports: [{{number: 80, \
         name: http, protocol: HTTP}}], workloadSelector: {{labels: {{app: w}}}}}}\n---\n{}{}",
        workload("127.0.0.1"),
        with_http("[{route: [{destination: {host: w.lan}}]}]"),
    );
    let mut resources = resources(&yaml);
    let mut translator = Translator::default();
    let settings = Settings::default();
    translator.translate(&resources, &settings);
    put(&mut resources, &workload("127.0.0.2"));
    let translation = translator.translate(&resources, &settings);
    assert_eq!(translator.work(), Work::default());
    assert!(rendered(&translation).contains("127.0.0.2:80"));
    assert_eq!(
        rendered(&translation),
        rendered(&translate(&resources, &settings))
    );
}

/// Objects come, change and go in any order; what is remembered never shows.
#[test]
fn the_result_is_that_of_a_translation_from_nothing() {
    let mut seed = 42_u32;
    let mut below = move |n: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) % n
    };
    let mut resources = resources(BASE);
    let mut translator = Translator::default();
    let settings = Settings::default();
    for round in 0..300 {
        for _ in 0..1 + below(3) {
            let i = below(20);
            match below(12) {
                0 => {
                    let key = ObjectKey::new("default", format!("app-{i}"));
                    resources.virtual_services.remove(&key);
                }
                1 => put(&mut resources, &app(i, 0, "istio-system/gw")),
                2 => put(&mut resources, &app(i, 9080, "other")),
                3 => put(
                    &mut resources,
                    &format!(
                        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: \
                         {{name: reviews, namespace: default}}\nspec: {{host: reviews, subsets: \
                         [{{name: v{}, labels: {{version: v1}}}}]}}\n",
                        below(4)
                    ),
                ),
                4 => {
                    // The same text again, as a new version.
                    for object in resources.virtual_services.values_mut().take(1) {
                        *object = Arc::new(Object::clone(object));
                    }
                }
                5 => {
                    let key = ObjectKey::new("default", "reviews");
                    resources.destination_rules.remove(&key);
                }
                6 => put(
                    &mut resources,
                    &BASE.replace("weight: 3", &format!("weight: {}", 1 + below(5))),
                ),
                _ => put(&mut resources, &app(i, 9079 + below(3), "istio-system/gw")),
            }
        }
        let again = translator.translate(&resources, &settings);
        let anew = translate(&resources, &settings);
        assert_eq!(rendered(&again), rendered(&anew), "round {round}");
    }
}

/// What the routes of the first server do, in order.
fn forwards(translation: &Translation) -> Vec<Arc<Forward>> {
    let hosts = translation.model.servers[0].virtual_hosts();
    let routes = hosts.flat_map(|host| host.routes.iter());
    routes
        .map(|route| match &route.action {
            Action::Forward(forward) => Arc::clone(forward),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn routes_that_do_the_same_share_what_they_do() {
    let at = |path: &str, more: &str| {
        format!("{{match: [{{uri: {{exact: {path}}}}}], {TO_REVIEWS}{more}}}")
    };
    let rules = [
        at("/a", ""),
        at("/b", ""),
        at("/c", ", timeout: 3s"),
        at("/d", ", timeout: 3s"),
        at("/e", ", retries: {attempts: 7}"),
        at("/f", ", rewrite: {uri: /x}"),
        at("/g", ", rewrite: {uri: /x}"),
        at("/h", ", mirror: {host: reviews}"),
        at("/i", ", headers: {request: {set: {x: v}}}"),
        "{route: [{destination: {host: reviews}, headers: {request: {set: {host: a.lan}}}}]}"
            .to_owned(),
    ];
    let translation = translated(&base_and(&with_http(&format!("[{}]", rules.join(", ")))));
    let forwards = forwards(&translation);
    let same = |one: usize, other: usize| Arc::ptr_eq(&forwards[one], &forwards[other]);
    assert!(same(0, 1) && same(2, 3));
    // The edits of a rule are the route's. (After `/e` the newest with this timeout is another one.)
    assert!(forwards[8].plainly_to().is_some());
    for (one, other) in [(0, 2), (0, 4), (2, 4), (0, 5), (5, 6), (0, 7), (0, 9)] {
        assert!(!same(one, other), "{one} {other}");
    }
    assert_eq!(forwards[4].retry.as_ref().unwrap().attempts, 7);
    assert_eq!(forwards[2].timeout, Some(std::time::Duration::from_secs(3)));
    assert!(forwards[5].rewrite.uri.is_some() && !forwards[7].mirrors.is_empty());
    assert_eq!(forwards[9].rewrite.authority.as_deref(), Some("a.lan"));
}
