//! `tls` towards the endpoints. It is not spoken yet: such a cluster answers 503, and that is said.

use crate::api::istio::traffic_policy::{ClientTls as Api, ClientTlsMode as Mode};
use crate::model::{ClientTls, ClientTlsMode};
use crate::translate::field_path::FieldPath;
use crate::translate::report::ObjectReport;

/// Reads the block; none within: DISABLE, which an outer block does not overrule.
pub(super) fn parse(
    settings: &Api,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<ClientTls> {
    let Api {
        mode,
        client_certificate,
        private_key,
        ca_certificates,
        ca_crl,
        credential_name,
        subject_alt_names,
        sni,
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
    let mode = match mode {
        Mode::Disable => return None,
        Mode::Simple => ClientTlsMode::Simple,
        Mode::Mutual => ClientTlsMode::Mutual,
        Mode::IstioMutual => ClientTlsMode::IstioMutual,
    };
    report.not_served(
        path,
        "TLS to the endpoints",
        "nothing is sent to them in plain text instead, and routes to them answer 503",
    );
    Some(ClientTls {
        mode,
        client_certificate: client_certificate.clone(),
        private_key: private_key.clone(),
        ca_certificates: ca_certificates.clone(),
        ca_crl: ca_crl.clone(),
        credential_name: credential_name.clone(),
        subject_alt_names: subject_alt_names.clone(),
        sni: sni.clone(),
        insecure_skip_verify: *insecure_skip_verify == Some(true),
    })
}
