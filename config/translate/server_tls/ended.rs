//! TLS that ends at a server: its certificates, and what is spoken.

use std::path::Path;
use std::sync::Arc;

use crate::api::istio::gateway::{ServerTls as Api, TlsMode};
use crate::model::ServerTls;
use crate::translate::certificates::Credentials;
use crate::translate::field_path::FieldPath;
use crate::translate::gateway::{Gateway, Server};
use crate::translate::report::ObjectReport;
use crate::translate::server_tls::{clients, parameters};

/// What an HTTPS server offers (RFC 7301), as Istio does.
const HTTP: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// How a server ends TLS; none, and a finding, if it cannot.
pub(crate) fn build(
    gateway: &Gateway,
    server: &Server,
    credentials: &mut Credentials<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<Arc<ServerTls>> {
    let tls = server.tls.as_deref()?;
    let spec = FieldPath::root("spec");
    let servers = spec.field("servers");
    let path = servers.index(server.index);
    let path = path.field("tls");
    let Api {
        https_redirect: _, // judged with the Gateway
        mode,
        server_certificate,
        private_key,
        credential_name,
        credential_names,
        tls_certificates,
        min_protocol_version,
        max_protocol_version,
        cipher_suites,
        ecdh_curves,
        // Of clients.
        ca_certificates: _,
        ca_crl: _,
        ca_cert_credential_name: _,
        subject_alt_names: _,
        verify_certificate_spki: _,
        verify_certificate_hash: _,
        insecure_skip_verify: _,
    } = tls;
    if *mode == TlsMode::IstioMutual {
        // There are no certificates of a mesh; the caller has said so.
        return None;
    }
    let mut certificates = Vec::new();
    if !credential_name.is_empty() {
        let path = path.field("credentialName");
        certificates.extend(credentials.of_secret(credential_name, &path, report));
    }
    let names = path.field("credentialNames");
    for (i, name) in credential_names
        .iter()
        .enumerate()
        .take(super::MAX_CERTIFICATES)
    {
        certificates.extend(credentials.of_secret(name, &names.index(i), report));
    }
    let mut files = |certificate: &str, key: &str, path: &FieldPath<'_>| {
        let certificate = file(gateway, certificate);
        let key = file(gateway, key);
        certificates.extend(credentials.of_files(&certificate, &key, path, report));
    };
    if credential_name.is_empty() && credential_names.is_empty() {
        let list = path.field("tlsCertificates");
        for (i, pair) in tls_certificates
            .iter()
            .enumerate()
            .take(super::MAX_CERTIFICATES)
        {
            files(&pair.server_certificate, &pair.private_key, &list.index(i));
        }
        if tls_certificates.is_empty() {
            let path = path.field("serverCertificate");
            files(server_certificate, private_key, &path);
        }
    }
    let parameters = parameters::build(
        &credentials.settings.mesh.tls,
        (*min_protocol_version, *max_protocol_version),
        (cipher_suites, ecdh_curves),
        &path,
        report,
    )?;
    let clients = match mode {
        TlsMode::Mutual | TlsMode::OptionalMutual => {
            Some(clients::build(gateway, tls, &path, credentials, report)?)
        }
        _ => {
            clients::none(tls, &path, report);
            None
        }
    };
    if certificates.is_empty() {
        return None;
    }
    Some(Arc::new(ServerTls {
        certificates,
        clients,
        parameters,
        alpn: HTTP.map(<[u8]>::to_vec).into(),
    }))
}

/// The path of a file that a Gateway names.
pub(super) fn file(gateway: &Gateway, path: &str) -> String {
    let folder = gateway.folder.as_deref().unwrap_or(Path::new(""));
    folder.join(path).to_string_lossy().into_owned()
}
