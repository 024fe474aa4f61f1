//! Which logs get a line, and what a worker has to copy for them.

use std::collections::BTreeSet;
use std::sync::Arc;

use gatehouse_config::model::{
    AccessLog, HeaderName, LogFormat, LogJson, LogOperator, LogPiece, LogTemplate, TlsFact,
};

/// Attributes of `connection` that filters can ask for (Envoy: `ConnectionWrapper`).
pub(super) const TLS_ATTRIBUTES: [(&str, TlsFact); 6] = [
    ("requested_server_name", TlsFact::ServerName),
    ("tls_version", TlsFact::Version),
    ("subject_peer_certificate", TlsFact::PeerSubject),
    ("sha256_peer_certificate_digest", TlsFact::PeerFingerprint),
    ("uri_san_peer_certificate", TlsFact::PeerUris),
    ("dns_san_peer_certificate", TlsFact::PeerDnsNames),
];

/// The logs of one configuration; with every record on its way to the writer.
#[derive(Debug, PartialEq)]
pub struct LogPlan {
    /// Each gets a line, unless its filter says otherwise.
    pub(super) logs: Box<[AccessLog]>,
    /// Request headers that a line shows, in order.
    pub(super) request: Box<[HeaderName]>,
    /// Response headers that a line shows, in order.
    pub(super) response: Box<[HeaderName]>,
    /// What a line shows of the client's TLS, in order.
    pub(super) tls: Box<[TlsFact]>,
    /// Whether a filter may ask for any header.
    pub(super) all_headers: bool,
}

impl LogPlan {
    /// None where nothing is logged, which costs a request nothing.
    pub fn new(logs: &[AccessLog]) -> Option<Arc<Self>> {
        if logs.is_empty() {
            return None;
        }
        let mut names = Names::default();
        for log in logs {
            match &log.format {
                LogFormat::Text(template) => names.template(template),
                LogFormat::Json(json) => names.json(json),
            }
        }
        let filters = logs.iter().filter_map(|log| log.filter.as_ref());
        for (attribute, fact) in TLS_ATTRIBUTES {
            let mut filters = logs.iter().filter_map(|log| log.filter.as_ref());
            if filters.any(|filter| filter.source().contains(attribute)) {
                names.tls.insert(fact);
            }
        }
        let asks = |filter: &gatehouse_config::model::Expression| {
            // These attributes are read from headers.
            let names = ["headers", "scheme", "useragent", "referer", "request.id"];
            names.iter().any(|name| filter.source().contains(name))
        };
        Some(Arc::new(Self {
            logs: logs.into(),
            request: names.request.into_iter().collect(),
            response: names.response.into_iter().collect(),
            tls: names.tls.into_iter().collect(),
            all_headers: filters.into_iter().any(asks),
        }))
    }
}

#[derive(Default)]
struct Names {
    request: BTreeSet<HeaderName>,
    response: BTreeSet<HeaderName>,
    tls: BTreeSet<TlsFact>,
}

impl Names {
    fn template(&mut self, template: &LogTemplate) {
        for piece in &template.pieces {
            let LogPiece::Operator { operator, .. } = piece else {
                continue;
            };
            let (list, name, otherwise) = match operator {
                LogOperator::Request { name, otherwise } => (&mut self.request, name, otherwise),
                LogOperator::Response { name, otherwise } => (&mut self.response, name, otherwise),
                LogOperator::Tls(fact) => {
                    self.tls.insert(*fact);
                    continue;
                }
                _ => continue,
            };
            list.insert(name.clone());
            list.extend(otherwise.clone());
        }
    }

    fn json(&mut self, json: &LogJson) {
        match json {
            LogJson::Object(entries) => entries.iter().for_each(|(_, value)| self.json(value)),
            LogJson::List(items) => items.iter().for_each(|item| self.json(item)),
            LogJson::Text(template) => self.template(template),
            LogJson::Fixed(_) => {}
        }
    }
}
