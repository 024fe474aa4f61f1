//! The rules of a server's `tls` block (Istio: `validateTLSOptions`).

mod clients;
pub(crate) mod ended;
pub(crate) mod parameters;

use std::collections::HashSet;

use crate::api::istio::gateway::{ServerTls, TlsCertificate, TlsMode, TlsProtocol};
use crate::translate::field_path::FieldPath;
use crate::translate::gateway::Protocol;
use crate::translate::report::ObjectReport;

/// BoringSSL's names of the suites that may be asked for.
const CIPHER_SUITES: [&str; 15] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
    "DES-CBC3-SHA",
];

/// How many certificates a server can have: an RSA and an ECDSA one.
const MAX_CERTIFICATES: usize = 2;

/// Whether TLS is carried on unopened.
pub(crate) fn passes_through(tls: &ServerTls) -> bool {
    matches!(tls.mode, TlsMode::Passthrough | TlsMode::AutoPassthrough)
}

/// Checks the block of a server at `path`.
pub(crate) fn check(
    tls: Option<&ServerTls>,
    protocol: Protocol,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) {
    let path = path.field("tls");
    let Some(tls) = tls else {
        if protocol == Protocol::Tls {
            report.invalid(
                &path,
                "an HTTPS or TLS server needs tls settings; the object is not used.",
                "Add `tls: {mode: SIMPLE, credentialName: NAME}`.",
            );
        }
        return;
    };
    let has_files = !tls.ca_certificates.is_empty()
        || !tls.private_key.is_empty()
        || !tls.server_certificate.is_empty();
    match protocol {
        Protocol::Http if !passes_through(tls) || has_files => report.invalid(
            &path,
            "a plain HTTP server has no TLS; the object is not used.",
            "Keep `httpsRedirect` alone, or set the protocol to HTTPS.",
        ),
        Protocol::Tcp => report.invalid(
            &path,
            "a TCP server has no TLS; the object is not used.",
            "Set the protocol to TLS.",
        ),
        Protocol::Tls if tls.https_redirect => report.questionable(
            &path.field("httpsRedirect"),
            "httpsRedirect has no effect on a server that speaks TLS already.",
            "Put it on the plain HTTP server.",
        ),
        Protocol::Http | Protocol::Tls => {}
    }
    check_ciphers(tls, &path, report);
    match tls.mode {
        TlsMode::IstioMutual => check_mesh_certificates(tls, &path, report),
        TlsMode::Passthrough | TlsMode::AutoPassthrough => {
            if let Some(field) = certificate_fields(tls).next() {
                report.questionable(
                    &path.field(field),
                    "TLS is passed through unopened (mode PASSTHROUGH, also when none is written), so certificates are not used.",
                    "Write `mode: SIMPLE` to end TLS here.",
                );
            }
        }
        TlsMode::Simple | TlsMode::Mutual | TlsMode::OptionalMutual => {
            check_certificates(tls, &path, report);
        }
    }
}

/// The fields that name a certificate, a key or a list of revoked ones.
fn certificate_fields(tls: &ServerTls) -> impl Iterator<Item = &'static str> {
    [
        ("serverCertificate", !tls.server_certificate.is_empty()),
        ("privateKey", !tls.private_key.is_empty()),
        ("caCertificates", !tls.ca_certificates.is_empty()),
        ("caCrl", !tls.ca_crl.is_empty()),
        ("tlsCertificates", !tls.tls_certificates.is_empty()),
        ("credentialName", !tls.credential_name.is_empty()),
        ("credentialNames", !tls.credential_names.is_empty()),
    ]
    .into_iter()
    .filter_map(|(field, is_set)| is_set.then_some(field))
}

fn check_ciphers(tls: &ServerTls, path: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    let old = matches!(
        tls.min_protocol_version,
        TlsProtocol::V1_0 | TlsProtocol::V1_1
    );
    if old && tls.cipher_suites.is_empty() {
        report.questionable(
            &path.field("minProtocolVersion"),
            "TLS before 1.2 has no cipher suite in common with the default ones.",
            "Name compatible ones in `cipherSuites`, or write TLSV1_2.",
        );
    }
    let path = path.field("cipherSuites");
    let mut seen = HashSet::new();
    for (i, suite) in tls.cipher_suites.iter().enumerate() {
        if !CIPHER_SUITES.contains(&suite.as_str()) {
            report.questionable(
                &path.index(i),
                format!("`{suite}` is no cipher suite that can be chosen, and is left out."),
                crate::translate::suggest::did_you_mean(suite, CIPHER_SUITES),
            );
        } else if !seen.insert(suite) {
            report.questionable(&path.index(i), format!("`{suite}` is named twice."), "");
        }
    }
}

/// ISTIO_MUTUAL brings the mesh's own certificates.
fn check_mesh_certificates(tls: &ServerTls, path: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    for field in certificate_fields(tls).filter(|field| *field != "caCrl") {
        report.invalid(
            &path.field(field),
            format!("with ISTIO_MUTUAL there is no {field}; the object is not used."),
            format!("Remove `{field}`, or write `mode: MUTUAL`."),
        );
    }
}

fn check_certificates(tls: &ServerTls, path: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    let sources = [
        !tls.server_certificate.is_empty() && !tls.private_key.is_empty(),
        !tls.credential_name.is_empty(),
        !tls.credential_names.is_empty(),
        !tls.tls_certificates.is_empty(),
    ];
    if sources.iter().filter(|is_set| **is_set).count() > 1 {
        report.invalid(
            path,
            "the certificate is given more than once; the object is not used.",
            "Keep one of credentialName, credentialNames, serverCertificate with privateKey, and tlsCertificates.",
        );
    }
    if tls.credential_names.len() > MAX_CERTIFICATES {
        report.questionable(
            &path.field("credentialNames"),
            "a server has two certificates at most, an RSA and an ECDSA one.",
            "",
        );
    }
    if !tls.credential_name.is_empty() || !tls.credential_names.is_empty() {
        // Certificate, key and CAs come with the Secret.
        return;
    }
    let skip = tls.mode == TlsMode::Mutual && tls.insecure_skip_verify == Some(true);
    let pairs = tls.tls_certificates.iter();
    let has_authorities = !tls.ca_certificates.is_empty()
        || !tls.ca_cert_credential_name.is_empty()
        || pairs
            .into_iter()
            .any(|pair| !pair.ca_certificates.is_empty());
    if tls.mode != TlsMode::Simple && !skip && !has_authorities {
        missing("a client CA bundle", &path.field("caCertificates"), report);
    }
    if tls.tls_certificates.len() > MAX_CERTIFICATES {
        report.questionable(
            &path.field("tlsCertificates"),
            "a server has two certificates at most, an RSA and an ECDSA one.",
            "",
        );
    }
    let files = |server: &str, key: &str, path: &FieldPath<'_>, report: &mut ObjectReport<'_>| {
        if server.is_empty() {
            missing("a certificate", &path.field("serverCertificate"), report);
        }
        if key.is_empty() {
            missing("a private key", &path.field("privateKey"), report);
        }
    };
    let list = path.field("tlsCertificates");
    for (i, pair) in tls.tls_certificates.iter().enumerate() {
        let TlsCertificate {
            server_certificate,
            private_key,
            ca_certificates: _, // may be missing
        } = pair;
        files(server_certificate, private_key, &list.index(i), report);
    }
    if tls.tls_certificates.is_empty() {
        files(&tls.server_certificate, &tls.private_key, path, report);
    }
    if !tls.ca_crl.is_empty() && tls.mode == TlsMode::Simple {
        report.invalid(
            &path.field("caCrl"),
            "with SIMPLE no client certificate is asked for, so none can be revoked; the object is not used.",
            "Remove `caCrl`, or write `mode: MUTUAL`.",
        );
    }
}

fn missing(what: &str, path: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    report.invalid(
        path,
        format!("TLS is ended here, which needs {what}; the object is not used."),
        "Name a Secret with `credentialName`, or the file.",
    );
}
