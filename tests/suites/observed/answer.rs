//! Answers in the form in which they were recorded, so that two of them are equal or not.

use std::net::Ipv4Addr;

use gatehouse_e2e::http::Response;
use serde_json::{Value, json};

/// Where the real gateway and its upstreams were.
pub const RECORDED_AT: &str = "127.0.0.1";

/// Fields to the client that were not recorded: they differ each time, or by how a body is framed.
const LEFT_OUT: [&str; 5] = [
    "date",
    "connection",
    "content-length",
    "transfer-encoding",
    "x-envoy-upstream-service-time",
];

/// The same to the upstream. The decorator is useful to Istio's sidecars alone.
const LEFT_OUT_UPSTREAM: [&str; 4] = [
    "connection",
    "x-request-id",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-decorator-operation",
];

/// A recorded answer.
pub fn wanted(recorded: &Value) -> Value {
    let mut answer = recorded.clone();
    for list in ["/headers", "/echo/headers"] {
        if let Some(list) = answer.pointer_mut(list) {
            *list = json!(sorted(list, &[]));
        }
    }
    answer
}

/// The answer of the gateway at `own`, as it would have been recorded.
pub fn given(response: &Response, own: Ipv4Addr) -> Value {
    let headers: Vec<_> = response.headers.iter().map(|(k, v)| [k, v]).collect();
    let headers = sorted(&json!(headers), &LEFT_OUT);
    let mut answer = json!({"status": response.status, "headers": headers});
    let echo = serde_json::from_slice::<Value>(&response.body);
    match echo.ok().filter(|echo| echo["name"].is_string()) {
        Some(mut echo) => {
            echo["headers"] = json!(sorted(&echo["headers"], &LEFT_OUT_UPSTREAM));
            answer["echo"] = echo;
        }
        None => answer["body"] = response.text().into(),
    }
    let text = answer.to_string().replace(&own.to_string(), RECORDED_AT);
    serde_json::from_str(&text).expect("an address stands for another one")
}

/// The pairs of a list of headers in order, without those that are left out.
fn sorted(list: &Value, left_out: &[&str]) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = list
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|pair| Some((pair[0].as_str()?.to_owned(), pair[1].as_str()?.to_owned())))
        .filter(|(name, _)| !left_out.contains(&name.as_str()))
        .collect();
    pairs.sort();
    pairs
}
