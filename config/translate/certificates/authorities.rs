//! CAs that the other side's certificate must come from, and what they revoked.

use std::borrow::Cow;
use std::sync::Arc;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::parse_x509_certificate;

use super::revocations::{self, List};
use super::{Credentials, secret};
use crate::codes;
use crate::finding::Level;
use crate::model::{Authorities, Verification};
use crate::resources::{ObjectKey, ObjectRef};
use crate::source::Kind;
use crate::translate::field_path::FieldPath;
use crate::translate::report::{Input, ObjectReport};

/// The CAs of a bundle with every one there is are 150.
const CERTIFICATES: usize = 1024;

/// The keys of CAs and of revoked certificates, in the order in which they are tried.
pub(crate) const CA_KEYS: [(&str, &str); 2] = [("cacert", "crl"), ("ca.crt", "ca.crl")];

/// Where a system keeps the CAs that it trusts; of several the first (as Istio's agent looks).
const SYSTEM: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Whom certificates are taken from.
pub(crate) struct Trust {
    authorities: Arc<[CertificateDer<'static>]>,
    revoked: Arc<[CertificateRevocationListDer<'static>]>,
}

/// Which Secret holds the CAs.
pub(crate) enum SecretOfTrust<'n> {
    /// This one, which may be a ConfigMap.
    Named(&'n str),
    /// `<name>-cacert`, or else the one with the certificate.
    Beside(&'n str),
}

impl Trust {
    /// What this comes to; further conditions are the caller's.
    pub(crate) fn verification(self) -> Verification {
        Verification {
            authorities: Authorities::These(self.authorities),
            revoked: self.revoked,
            ..Verification::default()
        }
    }
}

impl<'a> Credentials<'a> {
    /// The CAs of a file, and those certificates of another (if it is named) that they revoked.
    /// None, and a finding, if they cannot be used.
    pub(crate) fn trust_of_files(
        &mut self,
        authorities: &str,
        revoked: Option<&str>,
        path: &FieldPath<'_>,
        report: &mut ObjectReport<'_>,
    ) -> Option<Trust> {
        let text = self.file(authorities, path, report);
        let revoked_text = match revoked {
            Some(revoked) => Some(self.file(revoked, path, report)?),
            None => None,
        };
        let names = (authorities, revoked.unwrap_or_default());
        let files = [Some(authorities), revoked].into_iter().flatten();
        let inputs = files.map(|path| Input::File(path.to_owned())).collect();
        self.trust(
            (&text?, revoked_text.as_deref()),
            names,
            inputs,
            path,
            report,
        )
    }

    /// The CAs that this system trusts, and those certificates of a file that they revoked.
    pub(crate) fn trust_of_system(
        &mut self,
        revoked: Option<&str>,
        path: &FieldPath<'_>,
        report: &mut ObjectReport<'_>,
    ) -> Option<Trust> {
        self.files.extend(SYSTEM.map(str::to_owned));
        let files = &self.settings.files;
        let mut read = SYSTEM.iter().filter_map(|path| files.get(path)).peekable();
        // Nobody has looked yet.
        read.peek()?;
        let Some(text) = read.find_map(Result::ok) else {
            report.add(
                codes::CERTIFICATE,
                Level::Error,
                path,
                format!(
                    "no CA is named, and this system has none: there is no {}; {}.",
                    SYSTEM.join(", nor "),
                    self.kept()
                ),
                "Name the CA of the endpoints with `caCertificates`, or install the package \
                 ca-certificates.",
            );
            return None;
        };
        let authorities = self.known.system(text, readable_certificates);
        let revoked = match revoked {
            None => Arc::default(),
            Some(name) => {
                let text = self.file(name, path, report)?;
                let input = Input::File(name.to_owned());
                match revocations::read(&text, name) {
                    Ok(lists) => self.revoked(lists, name, Some(input), path, report),
                    Err(wrong) => {
                        self.refuse(name, &wrong, vec![input], path, report);
                        return None;
                    }
                }
            }
        };
        Some(Trust {
            authorities,
            revoked,
        })
    }

    /// The CAs of a Secret.
    pub(crate) fn trust_of_secret(
        &mut self,
        which: &SecretOfTrust<'_>,
        path: &FieldPath<'_>,
        report: &mut ObjectReport<'_>,
    ) -> Option<Trust> {
        let (name, kind) = match which {
            SecretOfTrust::Named(name) => match name.strip_prefix("configmap://") {
                Some(name) => (name, Kind::ConfigMap),
                None => (*name, Kind::Secret),
            },
            SecretOfTrust::Beside(name) => (*name, Kind::Secret),
        };
        let key = match secret::reference(name, self.settings) {
            Ok(key) => key,
            Err(secret::NoReference { message, hint }) => {
                let message = format!("{message}: {}.", self.effect);
                report.add(codes::REFERENCE, Level::Error, path, message, hint);
                return None;
            }
        };
        let beside = ObjectKey::new(&*key.namespace, format!("{}-cacert", key.name));
        let keys = match which {
            SecretOfTrust::Named(_) => vec![key],
            SecretOfTrust::Beside(_) => vec![beside, key],
        };
        for key in &keys {
            let values = CA_KEYS.map(|(cas, crl)| {
                let value = |name| {
                    self.value(kind, key, name)
                        .filter(|value| !value.is_empty())
                };
                Some(((cas, value(cas)?), (crl, value(crl))))
            });
            let Some((cas, crl)) = values.into_iter().flatten().next() else {
                continue;
            };
            let inputs = vec![Input::Object(ObjectRef {
                kind: kind.name().to_owned(),
                key: key.clone(),
            })];
            let (cas_name, crl_name) = (
                format!("{} {key}, {}", kind.name(), cas.0),
                format!("{} {key}, {}", kind.name(), crl.0),
            );
            let texts = (&*cas.1, crl.1.as_deref());
            return self.trust(texts, (&cas_name, &crl_name), inputs, path, report);
        }
        let gone = keys.iter().map(|key| {
            Input::Object(ObjectRef {
                kind: kind.name().to_owned(),
                key: key.clone(),
            })
        });
        report.outdated(gone.collect());
        let keys: Vec<_> = keys.iter().map(ToString::to_string).collect();
        report.add(
            codes::REFERENCE,
            Level::Error,
            path,
            format!(
                "there is no CA in the {} {}, under the key `cacert` or `ca.crt`: {}.",
                kind.name(),
                keys.join(", nor in "),
                self.kept()
            ),
            "Add the CA of those certificates, in PEM, as `ca.crt`.",
        );
        None
    }

    /// What a Secret or ConfigMap has under a key.
    fn value(&self, kind: Kind, key: &ObjectKey, name: &str) -> Option<Cow<'a, [u8]>> {
        if kind == Kind::Secret {
            let object = self.resources.secrets.get(key)?;
            return secret::value(&object.body, name).map(Cow::Borrowed);
        }
        let object = self.resources.config_maps.get(key)?;
        let text = object.body.data.as_ref().and_then(|data| data.get(name));
        match text {
            Some(text) => Some(Cow::Borrowed(text.as_bytes())),
            None => Some(Cow::Borrowed(
                &object.body.binary_data.as_ref()?.get(name)?.0,
            )),
        }
    }

    fn trust(
        &mut self,
        (authorities, revoked): (&[u8], Option<&[u8]>),
        names: (&str, &str),
        inputs: Vec<Input>,
        path: &FieldPath<'_>,
        report: &mut ObjectReport<'_>,
    ) -> Option<Trust> {
        let read = certificates(authorities, names.0).and_then(|authorities| {
            let lists: Vec<List> = match revoked {
                Some(text) => revocations::read(text, names.1)?,
                None => Vec::new(),
            };
            Ok((authorities, lists))
        });
        match read {
            Ok((authorities, lists)) => {
                // Where they have files of their own, that of the lists comes last.
                let of_lists = inputs.last().cloned();
                Some(Trust {
                    authorities: self.valid(authorities, names.0, inputs, path, report)?,
                    revoked: self.revoked(lists, names.1, of_lists, path, report),
                })
            }
            Err(wrong) => {
                self.refuse(names.0, &wrong, inputs, path, report);
                None
            }
        }
    }

    /// Those whose time has come and is not over; none, and a finding, if there is not one left.
    /// Nobody looks at the time of a CA in a handshake (RFC 5280 §6.1.1).
    fn valid(
        &mut self,
        authorities: Vec<CertificateDer<'static>>,
        name: &str,
        inputs: Vec<Input>,
        path: &FieldPath<'_>,
        report: &mut ObjectReport<'_>,
    ) -> Option<Arc<[CertificateDer<'static>]>> {
        let now = super::seconds(self.settings.now);
        let mut expired = Vec::new();
        let mut valid = Vec::new();
        for authority in authorities {
            // All of them were read before.
            let Ok((_, parsed)) = parse_x509_certificate(&authority) else {
                continue;
            };
            let times = parsed.validity();
            let (from, until) = (times.not_before.timestamp(), times.not_after.timestamp());
            self.look_again_at([from, until.saturating_add(1)]);
            if now > until {
                expired.push(format!("`{}` on {}", parsed.subject(), super::day(until)));
            } else if now >= from {
                valid.push(authority.clone());
            }
        }
        let level = match valid.is_empty() {
            true => Level::Error,
            false => Level::Warning,
        };
        let effect = match valid.is_empty() {
            true => self.kept(),
            false => "certificates that it issued are not taken".to_owned(),
        };
        if !expired.is_empty() || valid.is_empty() {
            let message = match expired.is_empty() {
                true => format!("`{name}`: no CA is valid yet; {effect}."),
                false => format!(
                    "`{name}`: the CA expired: {}; {effect}.",
                    expired.join(", ")
                ),
            };
            let hint = "Write the certificate of a CA that is in force.";
            report.add(codes::CERTIFICATE, level, path, message, hint);
        }
        if valid.is_empty() {
            report.outdated(inputs);
            return None;
        }
        Some(valid.into())
    }

    fn refuse(
        &self,
        name: &str,
        wrong: &str,
        inputs: Vec<Input>,
        path: &FieldPath<'_>,
        report: &mut ObjectReport<'_>,
    ) {
        report.refuse_inputs(inputs);
        let message = format!("`{name}` is of no use: {wrong}; {}.", self.kept());
        let hint = "Write CAs and lists of revoked certificates in PEM.";
        report.add(codes::CERTIFICATE, Level::Error, path, message, hint);
    }
}

/// Those that can be read: the system's bundle is not the user's to mend.
fn readable_certificates(text: &[u8]) -> Arc<[CertificateDer<'static>]> {
    let all = CertificateDer::pem_slice_iter(text).take(CERTIFICATES);
    let all = all.filter_map(Result::ok);
    all.filter(|ca| parse_x509_certificate(ca).is_ok())
        .collect()
}

fn certificates(text: &[u8], name: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text)
        .take(CERTIFICATES + 1)
        .collect();
    match found {
        Ok(found) if found.len() > CERTIFICATES => {
            Err(format!("it has more than {CERTIFICATES} certificates"))
        }
        Ok(found) if found.is_empty() => Err(format!("`{name}` holds no certificate in PEM")),
        Ok(found) => {
            if found.iter().all(|ca| parse_x509_certificate(ca).is_ok()) {
                Ok(found)
            } else {
                Err("it has a certificate that cannot be read".to_owned())
            }
        }
        Err(_) => Err("it is no PEM".to_owned()),
    }
}
