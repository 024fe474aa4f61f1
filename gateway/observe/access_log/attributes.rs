//! What a filter's expression can look at (Envoy: the attributes of CEL).

use gatehouse_config::model::Attribute;

use crate::observe::access_log::plan::TLS_ATTRIBUTES;
use crate::observe::access_log::record::{Record, Text};

/// The attributes of a record; what is missing is not there, so that an expression can ask with
/// `has()`.
pub(super) fn of(record: &Record) -> Vec<(&'static str, Attribute)> {
    let mut request = Entries::default();
    let target = record.text(Text::Target).unwrap_or_default();
    let path = target
        .split(|byte| *byte == b'?')
        .next()
        .unwrap_or_default();
    let query = target.get(path.len() + 1..);
    request.text("method", record.text(Text::Method));
    request.text("path", Some(target).filter(|target| !target.is_empty()));
    request.text("url_path", Some(path).filter(|path| !path.is_empty()));
    request.text("query", query);
    request.text("host", record.text(Text::Authority));
    request.text(
        "protocol",
        Some(record.protocol.as_bytes()).filter(|p| !p.is_empty()),
    );
    request.number("size", record.received);
    let headers: Vec<_> = record.headers(true).map(pair).collect();
    let header = |name: &str| headers.iter().find(|(known, _)| known == name).cloned();
    for (attribute, name) in [
        ("scheme", "x-forwarded-proto"),
        ("useragent", "user-agent"),
        ("referer", "referer"),
        ("id", "x-request-id"),
    ] {
        if let Some((_, value)) = header(name) {
            request.0.push((attribute.to_owned(), value));
        }
    }
    request
        .0
        .push(("headers".to_owned(), Attribute::Map(headers)));

    let mut response = Entries::default();
    response.number("code", u64::from(record.status));
    response.text("code_details", record.text(Text::Details));
    response.number("flags", record.flags.bits().into());
    response.number("size", record.sent);
    let headers = record.headers(false).map(pair).collect();
    response
        .0
        .push(("headers".to_owned(), Attribute::Map(headers)));

    let mut connection = Entries::default();
    connection
        .0
        .push(("mtls".to_owned(), Attribute::Bool(record.mtls)));
    for (name, fact) in TLS_ATTRIBUTES {
        connection.text(name, record.tls(fact));
    }
    connection.text("termination_details", record.text(Text::TerminationDetails));
    connection.text(
        "transport_failure_reason",
        record.text(Text::DownstreamFailure),
    );

    let mut source = Entries::default();
    source.text("address", Some(record.peer.to_string().as_bytes()));
    source.number("port", record.peer.port().into());
    let mut destination = Entries::default();
    destination.text("address", Some(record.local.to_string().as_bytes()));
    destination.number("port", record.local.port().into());
    let mut upstream = Entries::default();
    let endpoint = record.endpoint.as_ref().map(ToString::to_string);
    upstream.text("address", endpoint.as_deref().map(str::as_bytes));
    upstream.text(
        "transport_failure_reason",
        record.text(Text::TransportFailure),
    );
    let mut xds = Entries::default();
    xds.text("cluster_name", record.text(Text::Cluster));
    xds.text("route_name", record.text(Text::RouteName));
    vec![
        ("request", request.map()),
        ("response", response.map()),
        ("connection", connection.map()),
        ("source", source.map()),
        ("destination", destination.map()),
        ("upstream", upstream.map()),
        ("xds", xds.map()),
    ]
}

fn pair((name, value): (&[u8], &[u8])) -> (String, Attribute) {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (text(name), Attribute::Text(text(value)))
}

#[derive(Default)]
struct Entries(Vec<(String, Attribute)>);

impl Entries {
    fn text(&mut self, name: &str, value: Option<&[u8]>) {
        if let Some(value) = value {
            let value = String::from_utf8_lossy(value).into_owned();
            self.0.push((name.to_owned(), Attribute::Text(value)));
        }
    }

    fn number(&mut self, name: &str, value: u64) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        self.0.push((name.to_owned(), Attribute::Integer(value)));
    }

    fn map(self) -> Attribute {
        Attribute::Map(self.0)
    }
}
