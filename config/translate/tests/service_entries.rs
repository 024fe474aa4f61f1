//! ServiceEntries and WorkloadEntries: which endpoints they give, and what is refused.

use super::*;

/// A ServiceEntry `s.lan` with this spec (the inside of a flow mapping), and a route to it.
fn entry(spec: &str) -> String {
    base_and(&format!(
        "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: s, \
         namespace: default}}\nspec: {{hosts: [s.lan], ports: [{{number: 80, name: http, protocol: \
         HTTP}}], {spec}}}\n{}",
        with_http("[{route: [{destination: {host: s.lan}}]}]")
    ))
}

/// The endpoints of the route's cluster, as `address*weight`.
fn endpoints(translation: &Translation) -> Vec<String> {
    let cluster = translation.model.clusters.first().expect("a cluster");
    let endpoints = cluster.endpoints.iter();
    endpoints
        .map(|endpoint| format!("{}*{}", endpoint.address, endpoint.weight))
        .collect()
}

#[test]
fn a_socket_of_this_host_is_an_endpoint() {
    let translation = translated(&entry(
        "resolution: STATIC, endpoints: [{address: 'unix:///run/app.sock'}, {address: 'unix://@app', weight: 2}]",
    ));
    assert_eq!(endpoints(&translation), ["/run/app.sock*1", "@app*2"]);
    assert_eq!(findings(&translation), [""; 0]);
}
