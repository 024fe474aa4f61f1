//! TLS towards the endpoints of a cluster: our certificate, whom theirs are trusted from, and the
//! name that is asked for (Istio: `constructUpstreamTLS`).

use std::path::Path;
use std::sync::Arc;

use crate::api::istio::traffic_policy::{ClientTls as Api, ClientTlsMode as Mode};
use crate::codes;
use crate::finding::Level;
use crate::model::{Certificate, ClientSni, ClientTls, TlsParameters, UpstreamTls, Verification};
use crate::translate::certificates::{Credentials, SecretOfTrust, Trust};
use crate::translate::destination_rule::TlsSettings;
use crate::translate::field_path::FieldPath;
use crate::translate::hosts;
use crate::translate::report::{ObjectReport, Report};

/// What becomes of a cluster whose TLS cannot be spoken.
const EFFECT: &str =
    "nothing is sent to the endpoints, in plain text neither, and routes there answer 503";

/// The name of the CAs that the system trusts, which is also meant by none.
const SYSTEM: &str = "system";

/// What the service adds to its DestinationRule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Asked<'s> {
    /// The names that a ServiceEntry says.
    pub(crate) names: &'s [String],
    /// Endpoints are looked up by the request's Host.
    pub(crate) is_dynamic: bool,
}

/// What the block comes to. If it cannot be spoken there is a finding, but for files that were not
/// read yet.
pub(crate) fn build(
    settings: &TlsSettings,
    asked: Asked<'_>,
    credentials: &mut Credentials<'_>,
    report: &mut Report,
) -> UpstreamTls {
    let TlsSettings { rule, path, tls } = settings;
    let path = FieldPath::written(path);
    let mut report = report.on("DestinationRule", rule);
    let outer = std::mem::replace(&mut credentials.effect, EFFECT);
    let mut block = Block {
        tls,
        path: &path,
        folder: credentials
            .resources
            .destination_rules
            .get(rule)
            .and_then(|object| object.origin.folder())
            .unwrap_or(Path::new("")),
        credentials,
        report: &mut report,
    };
    let built = block.build(asked);
    credentials.effect = outer;
    match built {
        Ok(tls) => UpstreamTls::Spoken(Arc::new(tls)),
        Err(what) => {
            let why = format!("{what} of DestinationRule {rule} ({path}) cannot be used");
            UpstreamTls::Impossible(why.into())
        }
    }
}

/// A block, with all that is needed to judge it.
struct Block<'b, 'c, 'r> {
    tls: &'b Api,
    path: &'b FieldPath<'b>,
    folder: &'b Path,
    credentials: &'b mut Credentials<'c>,
    report: &'b mut ObjectReport<'r>,
}

impl Block<'_, '_, '_> {
    /// # Errors
    ///
    /// What cannot be used.
    fn build(&mut self, asked: Asked<'_>) -> Result<ClientTls, &'static str> {
        let tls = self.tls;
        let certificate = match tls.mode {
            Mode::Disable | Mode::Simple => None,
            Mode::Mutual => Some(self.certificate().ok_or("the client certificate")?),
            Mode::IstioMutual => {
                let field = self.path.field("mode");
                let what = "ISTIO_MUTUAL, which needs the certificates of a mesh,";
                self.report.not_served(&field, what, EFFECT);
                return Err("the mode ISTIO_MUTUAL");
            }
        };
        if tls.mode == Mode::Simple {
            self.report_unused();
        }
        let skip = tls.insecure_skip_verify == Some(true);
        let verification = match skip {
            true => Verification {
                skip,
                ..Verification::default()
            },
            false => self.trust().ok_or("the CA")?.verification(),
        };
        let subject_alt_names = match tls.subject_alt_names.as_slice() {
            _ if skip => &[],
            [] => asked.names,
            own => own,
        };
        let verify_host =
            asked.is_dynamic || (tls.sni.is_empty() && tls.subject_alt_names.is_empty());
        Ok(ClientTls {
            certificate,
            verification: Verification {
                subject_alt_names: subject_alt_names.to_vec(),
                ..verification
            },
            parameters: self.parameters(),
            sni: self.sni(),
            verify_host: verify_host && !skip,
        })
    }

    /// What is spoken, of which only a MeshConfig can say anything.
    fn parameters(&mut self) -> TlsParameters {
        let mesh = &self.credentials.settings.mesh;
        if mesh.tls.min > mesh.endpoint_tls.min {
            self.report.add(
                codes::NO_EFFECT,
                Level::Info,
                self.path,
                "the minProtocolVersion of the MeshConfig's tlsDefaults is for servers of Gateways; endpoints may still choose TLS 1.2, as with Istio.",
                "Have the endpoints refuse TLS 1.2.",
            );
        }
        mesh.endpoint_tls.clone()
    }

    /// Our own certificate.
    fn certificate(&mut self) -> Option<Arc<Certificate>> {
        let Api {
            client_certificate,
            private_key,
            credential_name,
            ..
        } = self.tls;
        if credential_name.is_empty() {
            let path = self.path.field("clientCertificate");
            let (certificate, key) = (self.file(client_certificate), self.file(private_key));
            return self
                .credentials
                .of_files(&certificate, &key, &path, self.report);
        }
        let path = self.path.field("credentialName");
        self.credentials
            .of_secret(credential_name, &path, self.report)
    }

    /// Whom the certificates of endpoints are trusted from.
    fn trust(&mut self) -> Option<Trust> {
        let Api {
            ca_certificates,
            ca_crl,
            credential_name,
            ..
        } = self.tls;
        if !credential_name.is_empty() {
            let path = self.path.field("credentialName");
            let which = match credential_name.starts_with("configmap://") {
                true => SecretOfTrust::Named(credential_name),
                false => SecretOfTrust::Beside(credential_name),
            };
            return self.credentials.trust_of_secret(&which, &path, self.report);
        }
        let path = self.path.field("caCertificates");
        let revoked = Some(ca_crl).filter(|crl| !crl.is_empty());
        let revoked = revoked.map(|crl| self.file(crl));
        if ca_certificates.is_empty() || ca_certificates == SYSTEM {
            return self
                .credentials
                .trust_of_system(revoked.as_deref(), &path, self.report);
        }
        let authorities = self.file(ca_certificates);
        self.credentials
            .trust_of_files(&authorities, revoked.as_deref(), &path, self.report)
    }

    fn sni(&mut self) -> ClientSni {
        let sni = self.tls.sni.as_str();
        if sni.is_empty() {
            return ClientSni::FromHost;
        }
        if hosts::is_ip(sni) || rustls_pki_types::DnsName::try_from(sni).is_err() {
            self.report.questionable(
                &self.path.field("sni"),
                format!("`{sni}` is no DNS name, and TLS can ask for nothing else (RFC 6066 §3): endpoints are asked for no name."),
                "Write the name that the endpoint's certificate is for, or leave `sni` out.",
            );
        }
        ClientSni::Name(sni.to_owned())
    }

    /// With SIMPLE there is no certificate of ours.
    fn report_unused(&mut self) {
        let Api {
            client_certificate,
            private_key,
            ..
        } = self.tls;
        for (field, file) in [
            ("clientCertificate", client_certificate),
            ("privateKey", private_key),
        ] {
            if !file.is_empty() {
                self.report.no_effect(
                    &self.path.field(field),
                    format!("with SIMPLE no certificate of ours is shown to the endpoints, so {field} has no effect."),
                    "Write `mode: MUTUAL` to show one.",
                );
            }
        }
    }

    /// The path of a file that the rule names.
    fn file(&self, path: &str) -> String {
        self.folder.join(path).to_string_lossy().into_owned()
    }
}
