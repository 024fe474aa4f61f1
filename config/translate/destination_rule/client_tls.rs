//! `tls` towards the endpoints, as it is written. What it comes to is found out for the clusters
//! that use it ([`upstream_tls`](crate::translate::upstream_tls)).

use std::sync::Arc;

use crate::api::istio::traffic_policy::{ClientTls as Api, ClientTlsMode as Mode};
use crate::resources::ObjectKey;
use crate::translate::field_path::FieldPath;
use crate::translate::report::ObjectReport;

/// A block that asks for TLS, and where it stands.
#[derive(Debug, PartialEq)]
pub(crate) struct TlsSettings {
    /// The DestinationRule.
    pub(crate) rule: ObjectKey,
    /// The path of the block.
    pub(crate) path: String,
    pub(crate) tls: Api,
}

/// Reads the block; none: DISABLE, which an outer block does not overrule.
pub(super) fn parse(
    settings: &Api,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<Arc<TlsSettings>> {
    let Api {
        mode,
        client_certificate,
        private_key,
        ca_certificates,
        ca_crl,
        credential_name,
        subject_alt_names,
        sni: _, // any text; judged where it is asked for
        insecure_skip_verify,
    } = settings;
    if *insecure_skip_verify == Some(true)
        && !(ca_certificates.is_empty()
            && credential_name.is_empty()
            && subject_alt_names.is_empty())
    {
        report.invalid(
            &path.field("insecureSkipVerify"),
            "with insecureSkipVerify nothing is verified, so caCertificates, credentialName and subjectAltNames may not be given; the object is not used.",
            "",
        );
    }
    let files = [
        ("clientCertificate", client_certificate),
        ("privateKey", private_key),
        ("caCertificates", ca_certificates),
        ("caCrl", ca_crl),
    ];
    if !credential_name.is_empty() {
        if let Some((field, _)) = files.iter().find(|(_, file)| !file.is_empty()) {
            report.invalid(
                &path.field(field),
                format!("{field} and credentialName exclude each other; the object is not used."),
                "Keep one of them.",
            );
        }
    } else if *mode == Mode::Mutual {
        for (field, file) in &files[..2] {
            if file.is_empty() {
                report.invalid(
                    &path.field(field),
                    format!(
                        "mode MUTUAL needs {field}, or credentialName; the object is not used."
                    ),
                    "",
                );
            }
        }
    }
    (*mode != Mode::Disable).then(|| {
        Arc::new(TlsSettings {
            rule: report.key().clone(),
            path: path.to_string(),
            tls: settings.clone(),
        })
    })
}
