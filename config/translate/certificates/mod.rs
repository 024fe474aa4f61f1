//! Certificates with their keys, from Secrets and from files.
//!
//! What is of no use is refused like an object that breaks a rule: its last good version stays.
//! What was read once is kept as long as its text stays, so that the same certificate is the same
//! [`Arc`] from one translation to the next.

mod authorities;
#[cfg(test)]
mod client_tests;
mod memory;
mod pair;
#[cfg(test)]
mod revocation_tests;
mod revocations;
mod secret;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::codes;
use crate::finding::Level;
use crate::model::Certificate;
use crate::resources::{ObjectRef, Resources};
use crate::source::Kind;
use crate::translate::Settings;
use crate::translate::field_path::FieldPath;
use crate::translate::report::{Input, ObjectReport};
pub(crate) use authorities::{CA_KEYS, SecretOfTrust, Trust};
pub(crate) use memory::Certificates;
use memory::{Known, Texts};
pub(crate) use pair::Validity;

/// A certificate with less than this of its time left is told of …
const LAST_PART: i64 = 6;
/// … and never earlier than this.
const LAST_DAYS: i64 = 14;

/// Everything that certificates come from, and what is found out on the way.
pub(crate) struct Credentials<'a> {
    pub(crate) resources: &'a Resources,
    pub(crate) settings: &'a Settings,
    known: &'a mut Certificates,
    /// The files that are to be read.
    pub(crate) files: BTreeSet<String>,
    /// When what was found changes without anybody writing anything.
    pub(crate) look_again: Option<SystemTime>,
    /// What becomes of traffic without a certificate.
    pub(crate) effect: &'static str,
}

/// Of servers of Gateways.
pub(crate) const CLOSED: &str = "connections to this server are closed";

/// Where a pair was found.
struct Found<'a> {
    texts: Texts,
    /// What the two are called: keys of a Secret, or paths.
    names: (&'a str, &'a str),
    inputs: Vec<Input>,
}

impl<'a> Credentials<'a> {
    pub(crate) fn new(
        resources: &'a Resources,
        settings: &'a Settings,
        known: &'a mut Certificates,
    ) -> Self {
        Self {
            resources,
            settings,
            known,
            files: BTreeSet::new(),
            look_again: None,
            effect: CLOSED,
        }
    }

    /// What is done about something that is of no use.
    fn kept(&self) -> String {
        format!(
            "what was there before stays in force where it was good; without that, {}",
            self.effect
        )
    }

    /// The certificate of the Secret that the field at `path` names. None, and a finding, if it
    /// cannot be used.
    pub(crate) fn of_secret(
        &mut self,
        name: &str,
        path: &FieldPath<'_>,
        report: &mut ObjectReport<'_>,
    ) -> Option<Arc<Certificate>> {
        // The analyzers say the same with Istio's words, of Gateways that are not served, too.
        let told =
            self.settings.offline && self.effect == CLOSED && path.ends_with("credentialName");
        let key = match secret::reference(name, self.settings) {
            Ok(key) => key,
            Err(secret::NoReference { message, hint }) => {
                let message = format!("{message}: {}.", self.effect);
                report.add(codes::REFERENCE, Level::Error, path, message, hint);
                return None;
            }
        };
        let inputs = vec![Input::Object(ObjectRef {
            kind: Kind::Secret.name().to_owned(),
            key: key.clone(),
        })];
        let Some(object) = self.resources.secrets.get(&key) else {
            // One that vanishes takes no server with it, as at Istio's gateway: whoever makes it anew
            // deletes it first.
            report.outdated(inputs);
            if !told {
                report.add(
                    codes::REFERENCE,
                    Level::Error,
                    path,
                    format!(
                        "there is no Secret {key}, which is where the gateway looks for it: {}.",
                        self.kept()
                    ),
                    secret::nearest(&key, self.resources),
                );
            }
            return None;
        };
        let secret = match secret::pair(&object.body) {
            Ok(secret) => secret,
            Err(wrong) => {
                report.refuse_inputs(inputs);
                if !told {
                    report.add(
                        codes::INVALID_CREDENTIAL,
                        Level::Error,
                        path,
                        format!("the Secret {key} is of no use: {wrong}; {}.", self.kept()),
                        "It needs a certificate and its key, as `tls.crt` and `tls.key`.",
                    );
                }
                return None;
            }
        };
        let found = Found {
            texts: Texts {
                source: format!("Secret {key}"),
                certificate: secret.certificate.into(),
                key: secret.key.into(),
                ocsp_staple: secret.ocsp_staple.map(Into::into),
            },
            names: secret.names,
            inputs,
        };
        self.judge(found, told, path, report)
    }

    /// The certificate of two files. None, and a finding, if it cannot be used; none without a
    /// finding while they were not read yet.
    pub(crate) fn of_files(
        &mut self,
        certificate: &str,
        key: &str,
        path: &FieldPath<'_>,
        report: &mut ObjectReport<'_>,
    ) -> Option<Arc<Certificate>> {
        let texts = (
            self.file(certificate, path, report),
            self.file(key, path, report),
        );
        let (Some(certificate_text), Some(key_text)) = texts else {
            return None;
        };
        let found = Found {
            texts: Texts {
                source: certificate.to_owned(),
                certificate: certificate_text,
                key: key_text,
                ocsp_staple: None,
            },
            names: (certificate, key),
            inputs: [certificate, key]
                .map(|path| Input::File(path.to_owned()))
                .into(),
        };
        self.judge(found, false, path, report)
    }

    /// What a file holds, as soon as it was read.
    pub(crate) fn file(
        &mut self,
        file: &str,
        path: &FieldPath<'_>,
        report: &mut ObjectReport<'_>,
    ) -> Option<Arc<[u8]>> {
        self.files.insert(file.to_owned());
        match self.settings.files.get(file)? {
            Ok(text) => Some(Arc::clone(text)),
            Err(wrong) => {
                report.refuse_inputs(vec![Input::File(file.to_owned())]);
                // What is checked may be meant for another machine.
                let level = match self.settings.offline {
                    true => Level::Warning,
                    false => Level::Error,
                };
                report.add(
                    codes::CERTIFICATE,
                    level,
                    path,
                    format!(
                        "the file `{file}` cannot be read: {wrong}; {}.",
                        self.kept()
                    ),
                    "Correct the path, and let the user that gatehouse runs as read the file. A \
                     relative path begins at the folder of the object's own file.",
                );
                None
            }
        }
    }

    fn judge(
        &mut self,
        found: Found<'_>,
        told: bool,
        path: &FieldPath<'_>,
        report: &mut ObjectReport<'_>,
    ) -> Option<Arc<Certificate>> {
        let Found {
            texts,
            names,
            inputs,
        } = found;
        let source = texts.source.clone();
        // What Istio's analyzers say of a Secret has their code.
        let code = match inputs.as_slice() {
            [Input::Object(_), ..] => codes::INVALID_CREDENTIAL,
            _ => codes::CERTIFICATE,
        };
        let known = self.known.read(texts, names);
        let kept = self.kept();
        let Known {
            certificate,
            valid,
            mended,
        } = match &*known {
            Ok(known) => known,
            Err(wrong) => {
                report.refuse_inputs(inputs);
                // They look at the certificate alone.
                let code = match wrong.concerns_key {
                    true => codes::CERTIFICATE,
                    false => code,
                };
                if !told || wrong.concerns_key {
                    report.add(
                        code,
                        Level::Error,
                        path,
                        format!("{source} is of no use: {}; {kept}.", wrong.why),
                        "Write the certificate, those of the CAs between it and its root, and the key that belongs to it, all in PEM.",
                    );
                }
                return None;
            }
        };
        for mended in mended {
            report.add(
                codes::CERTIFICATE_CHAIN,
                Level::Warning,
                path,
                format!("{source}: {mended}"),
                "Write the server's own certificate first, then its CA's, and so on.",
            );
        }
        if let Some(expiry) = self.expiry(*valid, code) {
            let Expiry {
                code,
                level,
                message,
                useless,
            } = expiry;
            if useless {
                report.outdated(inputs);
            }
            if !(told && useless) {
                let message = format!("the certificate of {source} {message}");
                report.add(code, level, path, message, "Renew it.");
            }
        }
        Some(Arc::clone(certificate))
    }

    /// What is said may change at the next of these moments.
    fn look_again_at<const N: usize>(&mut self, moments: [i64; N]) {
        let now = seconds(self.settings.now);
        if let Some(next) = moments.into_iter().filter(|next| *next > now).min() {
            let next = u64::try_from(next).unwrap_or_default();
            let next = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(next));
            self.look_again = [self.look_again, next].into_iter().flatten().min();
        }
    }

    /// What is to be said of a certificate's time, now.
    fn expiry(&mut self, valid: Validity, code: &'static str) -> Option<Expiry> {
        let Validity { from, until } = valid;
        let now = seconds(self.settings.now);
        let notice = until - ((until - from) / LAST_PART).min(LAST_DAYS * 86_400);
        self.look_again_at([from, notice, until.saturating_add(1)]);
        let bad = |message| Expiry {
            code,
            level: Level::Error,
            message,
            useless: true,
        };
        let other = match self.effect {
            CLOSED => "client",
            _ => "endpoint",
        };
        let effect = format!(
            "the one before it is served where there was one, else this one, which no {other} trusts."
        );
        if now > until {
            Some(bad(format!("expired on {}; {effect}", day(until))))
        } else if now < from {
            Some(bad(format!("is not valid before {}; {effect}", day(from))))
        } else if now >= notice {
            Some(Expiry {
                code: codes::CERTIFICATE_EXPIRES,
                level: Level::Warning,
                message: format!(
                    "expires on {}; after that no {other} trusts it.",
                    day(until)
                ),
                useless: false,
            })
        } else {
            None
        }
    }
}

struct Expiry {
    code: &'static str,
    level: Level,
    message: String,
    /// Whether one from before is better.
    useless: bool,
}

/// Seconds since 1970.
fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

/// The moment, to the minute, in UTC.
fn day(at: i64) -> String {
    match jiff::Timestamp::from_second(at) {
        Ok(at) => at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        Err(_) => "a day that nobody will see".to_owned(),
    }
}
