//! `tls` towards the endpoints: every rule is checked; it is not spoken yet, and that is said.

use crate::api::istio::traffic_policy::{ClientTls, ClientTlsMode};
use crate::codes;
use crate::finding::Level;
use crate::translate::field_path::FieldPath;
use crate::translate::report::ObjectReport;

/// Checks the block.
pub(super) fn check(settings: &ClientTls, path: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    let ClientTls {
        mode,
        client_certificate,
        private_key,
        ca_certificates,
        ca_crl,
        credential_name,
        subject_alt_names,
        sni: _, // any text
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
    } else if *mode == ClientTlsMode::Mutual {
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
    match mode {
        ClientTlsMode::Disable => {}
        // Only sidecars have the mesh's certificates to answer with.
        ClientTlsMode::IstioMutual => report.add(
            codes::NOT_SUPPORTED,
            Level::Warning,
            path,
            "the mesh's own TLS is not supported: requests are sent in plain text.",
            "Without sidecars at the endpoints, remove it.",
        ),
        ClientTlsMode::Simple | ClientTlsMode::Mutual => report.not_served(
            path,
            "TLS to the endpoints",
            "requests are sent in plain text, and an endpoint that expects TLS answers 400 or nothing",
        ),
    }
}
