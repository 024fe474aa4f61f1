//! Lists of revoked certificates, and what their time says.
//!
//! A list says when the next one comes (`nextUpdate`, RFC 5280 §5.1.2.5). After that nobody knows
//! which certificates were revoked since, so those of its CA are taken no more until there is a new
//! list: so do OpenSSL (`X509_V_ERR_CRL_HAS_EXPIRED`) and Envoy (1.40: `certificate revocation check
//! against provided CRLs failed: CRL has expired`), for clients and for endpoints. The handshake
//! looks at the clock, as the moment comes without anybody writing anything; here is what is said of
//! it, before and after, and which of several lists counts. Certificates of other CAs go on.

use std::sync::Arc;

use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject as _;
use webpki::OwnedCertRevocationList;
use x509_parser::oid_registry::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT;
use x509_parser::parse_x509_crl;
use x509_parser::x509::X509Version;

use super::{Credentials, LAST_DAYS, LAST_PART, day, seconds};
use crate::codes;
use crate::finding::Level;
use crate::translate::field_path::FieldPath;
use crate::translate::report::{Input, ObjectReport};

/// In one file, or under one key.
const LISTS: usize = 64;

/// One that can be used.
pub(super) struct List {
    der: CertificateRevocationListDer<'static>,
    /// The CA, for people.
    issuer: String,
    /// What it is about: its CA, and the part of that CA's certificates.
    scope: (Vec<u8>, Option<Vec<u8>>),
    from: i64,
    /// The first second in which it counts no more.
    until: i64,
}

impl List {
    fn is_in_force(&self, now: i64) -> bool {
        self.from <= now && now < self.until
    }
}

/// The lists of a text in PEM.
///
/// # Errors
///
/// There is none, or one cannot be used; why, as part of a sentence.
pub(super) fn read(text: &[u8], name: &str) -> Result<Vec<List>, String> {
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(text)
        .take(LISTS + 1)
        .collect();
    match found {
        Ok(found) if found.len() > LISTS => Err(format!("`{name}` has more than {LISTS} lists")),
        Ok(found) if found.is_empty() => Err(format!(
            "`{name}` holds no list of revoked certificates in PEM"
        )),
        Ok(found) => found.into_iter().map(|der| usable(der, name)).collect(),
        Err(_) => Err(unreadable(name)),
    }
}

fn unreadable(name: &str) -> String {
    format!("`{name}` has a list of revoked certificates that cannot be read")
}

fn usable(der: CertificateRevocationListDer<'static>, name: &str) -> Result<List, String> {
    let (_, parsed) = parse_x509_crl(&der).map_err(|_| unreadable(name))?;
    let issuer = parsed.issuer().to_string();
    let refused = |why: String| {
        Err(format!(
            "the list of revoked certificates of `{issuer}` in `{name}` {why}"
        ))
    };
    if parsed.version() != Some(X509Version::V2) {
        return refused(
            "is of version 1, where version 2 is needed (RFC 5280 §5.1.2.1; OpenSSL makes one \
             where its configuration has `crlnumber`)"
                .to_owned(),
        );
    }
    let Some(until) = parsed.next_update() else {
        return refused("does not say when the next one comes (RFC 5280 §5.1.2.5)".to_owned());
    };
    // The judge in the handshake asks for more, and would take none of the lists.
    if let Err(error) = OwnedCertRevocationList::from_der(&der) {
        return refused(format!("is of a kind that is not supported: {error}"));
    }
    let part = parsed
        .extensions()
        .iter()
        .find(|extension| extension.oid == OID_X509_EXT_ISSUER_DISTRIBUTION_POINT);
    let scope = (
        parsed.issuer().as_raw().to_vec(),
        part.map(|part| part.value.to_vec()),
    );
    let (from, until) = (parsed.last_update().timestamp(), until.timestamp());
    Ok(List {
        issuer,
        scope,
        from,
        until,
        der,
    })
}

impl Credentials<'_> {
    /// The lists in the order in which they count: those that are in force first, and the newer
    /// before the older, for the first one that is about a certificate decides. Tells of those that
    /// make certificates be refused, or soon will; `input` is where they come from.
    pub(super) fn revoked(
        &mut self,
        mut lists: Vec<List>,
        name: &str,
        input: Option<Input>,
        path: &FieldPath<'_>,
        report: &mut ObjectReport<'_>,
    ) -> Arc<[CertificateRevocationListDer<'static>]> {
        let now = seconds(self.settings.now);
        lists.sort_by_key(|list| (!list.is_in_force(now), std::cmp::Reverse(list.from)));
        let none_in_force = !lists.iter().any(|list| list.is_in_force(now));
        let before = match none_in_force {
            true => "a version from before stays in force where it has one that is; without that, ",
            false => "",
        };
        for (at, list) in lists.iter().enumerate() {
            let List {
                issuer,
                scope,
                from,
                until,
                ..
            } = list;
            let notice = until - ((until - from) / LAST_PART).min(LAST_DAYS * 86_400);
            self.look_again_at([*from, notice, *until]);
            let is_superseded = lists.iter().take(at).any(|before| before.scope == *scope);
            if is_superseded {
                continue;
            }
            let (code, level, message) = if now >= *until {
                let message = format!(
                    "expired on {}; {before}certificates that it issued are not taken, for nobody knows which it has revoked since.",
                    day(*until)
                );
                (codes::CERTIFICATE, Level::Error, message)
            } else if now < *from {
                let message = format!(
                    "is not valid before {}; {before}it counts all the same.",
                    day(*from)
                );
                (codes::CERTIFICATE, Level::Warning, message)
            } else if now >= notice {
                let message = format!(
                    "expires on {}; after that no certificate that it issued is taken.",
                    day(*until)
                );
                (codes::CERTIFICATE_EXPIRES, Level::Warning, message)
            } else {
                continue;
            };
            let message =
                format!("`{name}`: the list of revoked certificates of `{issuer}` {message}");
            let hint = "Have the CA issue a new list, and put it here.";
            report.add(code, level, path, message, hint);
        }
        if none_in_force && !lists.is_empty() {
            report.outdated(input.into_iter().collect());
        }
        lists.into_iter().map(|list| list.der).collect()
    }
}
