//! Certificates of Gateways: Secrets that are missing (IST0101) or hold none (IST0161), and one
//! certificate in two Gateways (IST0138).

use std::collections::HashMap;

use x509_parser::pem::Pem;
use x509_parser::time::ASN1Time;

use super::Analysis;
use crate::api::core::Secret;
use crate::api::istio::Gateway;
use crate::api::istio::gateway::ServerTls;
use crate::codes;
use crate::finding::Level;
use crate::resources::{Object, ObjectKey};
use crate::translate::field_path::FieldPath;
use crate::translate::report::{ObjectReport, Report};
use crate::translate::suggest::did_you_mean;

/// The Secrets that a Gateway names; they lie in the namespace of the workload that it selects.
pub(super) fn secrets(
    analysis: &Analysis<'_>,
    gateway: &Gateway,
    namespace: &str,
    report: &mut ObjectReport<'_>,
) {
    let spec = FieldPath::root("spec");
    let servers = spec.field("servers");
    for (i, server) in gateway.servers.iter().enumerate() {
        let Some(tls) = server
            .tls
            .as_ref()
            .filter(|tls| !tls.credential_name.is_empty())
        else {
            continue;
        };
        let name = tls.credential_name.as_str();
        let key = match name.split_once('/') {
            Some((namespace, name)) => ObjectKey::new(namespace, name),
            None => ObjectKey::new(namespace, name),
        };
        let server_path = servers.index(i);
        let tls_path = server_path.field("tls");
        let path = tls_path.field("credentialName");
        let Some(secret) = analysis.resources.secrets.get(&key) else {
            let others = analysis.resources.secrets.keys();
            let near = others.filter(|other| other.namespace == key.namespace);
            report.add(
                codes::REFERENCE,
                Level::Error,
                &path,
                format!("there is no Secret {key}, which is where the gateway looks for it: the server has no certificate."),
                did_you_mean(&key.name, near.map(|other| other.name.as_str())),
            );
            continue;
        };
        if let Err(wrong) = certificate(secret) {
            report.add(
                codes::INVALID_CREDENTIAL,
                Level::Error,
                &path,
                format!("the Secret {key} is of no use: {wrong}; the server has no certificate."),
                "It needs a certificate and its key, as `tls.crt` and `tls.key`.",
            );
        }
    }
}

/// Why a Secret holds no certificate that can be used now.
fn certificate(secret: &Object<Secret>) -> Result<(), String> {
    let data = secret.body.data.as_ref();
    let get = |key: &str| data.and_then(|data| data.get(key)).map(|value| &*value.0);
    // Istio looks for the keys of a generic Secret first.
    let pairs = [("cert", "key"), ("tls.crt", "tls.key")];
    let present = pairs
        .iter()
        .find_map(|(cert, key)| Some((*cert, get(cert)?, *key, get(key)?)));
    let Some((cert_name, cert, key_name, key)) = present else {
        return Err("it has neither `tls.crt` and `tls.key` nor `cert` and `key`".to_owned());
    };
    for (name, value) in [(cert_name, cert), (key_name, key)] {
        if value.is_empty() {
            return Err(format!("`{name}` is empty"));
        }
    }
    let pem = Pem::iter_from_buffer(cert).next().and_then(Result::ok);
    let pem = pem.ok_or_else(|| format!("`{cert_name}` is no certificate in PEM"))?;
    let parsed = pem.parse_x509();
    let parsed = parsed.map_err(|_| format!("`{cert_name}` is no certificate that can be read"))?;
    let validity = parsed.validity();
    let now = ASN1Time::now();
    if now > validity.not_after {
        return Err(format!(
            "the certificate in `{cert_name}` expired ({})",
            validity.not_after
        ));
    }
    if now < validity.not_before {
        return Err(format!(
            "the certificate in `{cert_name}` is not valid before {}",
            validity.not_before
        ));
    }
    Ok(())
}

/// Gateways of the same workloads that offer one certificate: a client with HTTP/2 may send a
/// request for one over the connection to the other (Istio: `GatewayDuplicateCertificate`).
pub(super) fn check(analysis: &Analysis<'_>, report: &mut Report) {
    let mut by_certificate: HashMap<Certificate<'_>, Vec<(&ObjectKey, &Gateway)>> = HashMap::new();
    for (key, object) in &analysis.resources.gateways {
        for tls in object
            .body
            .servers
            .iter()
            .filter_map(|server| server.tls.as_ref())
        {
            let Some(certificate) = Certificate::of(tls) else {
                continue;
            };
            let gateways = by_certificate.entry(certificate).or_default();
            if !gateways.iter().any(|(other, _)| *other == key) {
                gateways.push((key, &object.body));
            }
        }
    }
    let spec = FieldPath::root("spec");
    let servers = spec.field("servers");
    for (key, object) in &analysis.resources.gateways {
        let mut report = report.on("Gateway", key);
        for (i, server) in object.body.servers.iter().enumerate() {
            let Some(certificate) = server.tls.as_ref().and_then(Certificate::of) else {
                continue;
            };
            let same = by_certificate.get(&certificate).into_iter().flatten();
            let same = same
                .filter(|(other, gateway)| {
                    let mut wanted = object.body.selector.iter();
                    *other != key && wanted.all(|(k, v)| gateway.selector.get(k) == Some(v))
                })
                .map(|(other, _)| other.to_string());
            let same: Vec<_> = same.collect();
            if same.is_empty() {
                continue;
            }
            report.add(
                codes::DUPLICATE_CERTIFICATE,
                Level::Warning,
                &servers.index(i).field("tls"),
                format!(
                    "Gateway {} offers the same certificate: a browser may send requests for one over its HTTP/2 connection to the other, and get 404.",
                    same.join(", ")
                ),
                "Serve both from one Gateway, or give each its own certificate.",
            );
        }
    }
}

/// What names a certificate.
#[derive(PartialEq, Eq, Hash)]
enum Certificate<'t> {
    Secret(&'t str),
    Files(&'t str, &'t str),
}

impl<'t> Certificate<'t> {
    fn of(tls: &'t ServerTls) -> Option<Self> {
        let files = (tls.server_certificate.as_str(), tls.private_key.as_str());
        match (tls.credential_name.as_str(), files) {
            ("", ("", _) | (_, "")) => None,
            ("", (certificate, key)) => Some(Self::Files(certificate, key)),
            (name, _) => Some(Self::Secret(name)),
        }
    }
}
