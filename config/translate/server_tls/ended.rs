//! TLS that ends at a server: its certificates, and what is spoken.

use std::path::Path;
use std::sync::Arc;

use crate::api::istio::gateway::{ServerTls as Api, TlsMode, TlsProtocol};
use crate::model::{ServerTls, TlsParameters, TlsVersion};
use crate::translate::certificates::Credentials;
use crate::translate::field_path::FieldPath;
use crate::translate::gateway::{Gateway, Server};
use crate::translate::report::ObjectReport;

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
        ca_certificates: _, // of modes that are not served yet
        ca_crl: _,          // of modes that are not served yet
        credential_name,
        credential_names,
        ca_cert_credential_name: _, // of modes that are not served yet
        tls_certificates,
        subject_alt_names: _,       // of modes that are not served yet
        verify_certificate_spki: _, // of modes that are not served yet
        verify_certificate_hash: _, // of modes that are not served yet
        min_protocol_version,
        max_protocol_version,
        cipher_suites: _,
        ecdh_curves: _,
        insecure_skip_verify: _, // of modes that are not served yet
    } = tls;
    if *mode == TlsMode::IstioMutual {
        // There are no certificates of a mesh; the caller has said so.
        return None;
    }
    if *mode != TlsMode::Simple {
        report.not_served(
            &path.field("mode"),
            "asking clients for certificates",
            "connections to this server are closed",
        );
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
    let parameters = parameters(
        (*min_protocol_version, *max_protocol_version),
        &path,
        report,
    )?;
    if certificates.is_empty() {
        return None;
    }
    Some(Arc::new(ServerTls {
        certificates,
        clients: None,
        parameters,
        alpn: HTTP.map(<[u8]>::to_vec).into(),
    }))
}

/// The path of a file that a Gateway names.
fn file(gateway: &Gateway, path: &str) -> String {
    let folder = gateway.folder.as_deref().unwrap_or(Path::new(""));
    folder.join(path).to_string_lossy().into_owned()
}

/// What is spoken; none, and a finding, if that is nothing.
fn parameters(
    (min, max): (TlsProtocol, TlsProtocol),
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<TlsParameters> {
    let closed = "connections to this server are closed";
    let min = match min {
        TlsProtocol::Auto | TlsProtocol::V1_2 => TlsVersion::V1_2,
        TlsProtocol::V1_3 => TlsVersion::V1_3,
        TlsProtocol::V1_0 | TlsProtocol::V1_1 => {
            report.unsupported(
                &path.field("minProtocolVersion"),
                "TLS before 1.2",
                "this server speaks TLS 1.2 and 1.3",
            );
            TlsVersion::V1_2
        }
    };
    let max_path = path.field("maxProtocolVersion");
    let max = match max {
        TlsProtocol::Auto | TlsProtocol::V1_3 => TlsVersion::V1_3,
        TlsProtocol::V1_2 => TlsVersion::V1_2,
        TlsProtocol::V1_0 | TlsProtocol::V1_1 => {
            report.not_served(&max_path, "TLS before 1.2", closed);
            return None;
        }
    };
    if min > max {
        report.add(
            crate::codes::SCHEMA_WARNING,
            crate::finding::Level::Error,
            &max_path,
            format!("it is older than minProtocolVersion, so that no version is left: {closed}."),
            "Leave out one of the two.",
        );
        return None;
    }
    Some(TlsParameters {
        min,
        max,
        ..TlsParameters::default()
    })
}
