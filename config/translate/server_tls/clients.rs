//! Certificates of clients: MUTUAL and OPTIONAL_MUTUAL.

use k8s_openapi::ByteString;
use serde_json::Value;

use crate::api::istio::gateway::{ServerTls as Api, TlsMode};
use crate::model::{ClientCertificates, Verification};
use crate::translate::certificates::{Credentials, SecretOfTrust, Trust};
use crate::translate::field_path::FieldPath;
use crate::translate::gateway::Gateway;
use crate::translate::report::ObjectReport;
use crate::translate::server_tls::ended::file;

/// How clients are judged; none, and a finding, if they cannot be: then nobody is let in.
pub(super) fn build(
    gateway: &Gateway,
    tls: &Api,
    path: &FieldPath<'_>,
    credentials: &mut Credentials<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<ClientCertificates> {
    let spki = path.field("verifyCertificateSpki");
    let public_key_hashes = hashes(
        &tls.verify_certificate_spki,
        from_base64,
        "base64",
        &spki,
        report,
    );
    let hash = path.field("verifyCertificateHash");
    let certificate_hashes = hashes(&tls.verify_certificate_hash, from_hex, "hex", &hash, report);
    let skip = tls.mode == TlsMode::Mutual && tls.insecure_skip_verify == Some(true);
    let trusted = if skip {
        Some(Verification {
            skip,
            ..Verification::default()
        })
    } else {
        trust(gateway, tls, path, credentials, report).map(Trust::verification)
    };
    Some(ClientCertificates {
        required: tls.mode == TlsMode::Mutual,
        verification: Verification {
            subject_alt_names: tls.subject_alt_names.clone(),
            public_key_hashes: public_key_hashes?,
            certificate_hashes: certificate_hashes?,
            ..trusted?
        },
    })
}

/// Fields that say how clients are judged do nothing where none is asked for a certificate.
pub(super) fn none(tls: &Api, path: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    for (field, is_set) in [
        ("caCertificates", !tls.ca_certificates.is_empty()),
        (
            "caCertCredentialName",
            !tls.ca_cert_credential_name.is_empty(),
        ),
        ("subjectAltNames", !tls.subject_alt_names.is_empty()),
        (
            "verifyCertificateSpki",
            !tls.verify_certificate_spki.is_empty(),
        ),
        (
            "verifyCertificateHash",
            !tls.verify_certificate_hash.is_empty(),
        ),
        ("insecureSkipVerify", tls.insecure_skip_verify == Some(true)),
    ] {
        if is_set {
            report.no_effect(
                &path.field(field),
                format!(
                    "with SIMPLE clients are asked for no certificate, so {field} has no effect."
                ),
                "Write `mode: MUTUAL` to ask for one.",
            );
        }
    }
}

fn trust(
    gateway: &Gateway,
    tls: &Api,
    path: &FieldPath<'_>,
    credentials: &mut Credentials<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<Trust> {
    let named = tls.ca_cert_credential_name.as_str();
    if !named.is_empty() {
        let path = path.field("caCertCredentialName");
        return credentials.trust_of_secret(&SecretOfTrust::Named(named), &path, report);
    }
    let names = path.field("credentialNames");
    let (name, path_of_name) = match tls.credential_names.first() {
        Some(first) => (first.as_str(), names.index(0)),
        None => (tls.credential_name.as_str(), path.field("credentialName")),
    };
    if !name.is_empty() {
        return credentials.trust_of_secret(&SecretOfTrust::Beside(name), &path_of_name, report);
    }
    let of_pair = tls.tls_certificates.first();
    let of_pair = of_pair.map(|pair| pair.ca_certificates.as_str());
    let authorities = match tls.ca_certificates.as_str() {
        "" => of_pair.unwrap_or_default(),
        own => own,
    };
    let authorities = file(gateway, authorities);
    let revoked = Some(&tls.ca_crl).filter(|crl| !crl.is_empty());
    let revoked = revoked.map(|crl| file(gateway, crl));
    let path = path.field("caCertificates");
    credentials.trust_of_files(&authorities, revoked.as_deref(), &path, report)
}

/// Hashes as they are written; none, and findings, if one is wrong: less would be let in than is
/// meant, or more.
fn hashes(
    written: &[String],
    read: fn(&str) -> Option<[u8; 32]>,
    form: &str,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<Vec<[u8; 32]>> {
    let mut all = Some(Vec::new());
    for (i, text) in written.iter().enumerate() {
        let hash = read(text);
        if hash.is_none() {
            report.add(
                crate::codes::CERTIFICATE,
                crate::finding::Level::Error,
                &path.index(i),
                format!("`{text}` is no SHA-256 in {form}: connections to this server are closed."),
                "",
            );
        }
        all = all.zip(hash).map(|(mut all, hash)| {
            all.push(hash);
            all
        });
    }
    all
}

fn from_base64(text: &str) -> Option<[u8; 32]> {
    let bytes: ByteString = serde_json::from_value(Value::from(text)).ok()?;
    bytes.0.try_into().ok()
}

/// With or without a colon between bytes.
fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .filter(|c| *c != ':')
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits.filter(|digits| digits.len() == 64)?;
    let (pairs, _) = digits.as_chunks::<2>();
    let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    bytes.try_into().ok()
}
