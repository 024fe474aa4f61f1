//! Lists of revoked certificates: which count, and what is said of their time.

use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa, KeyIdMethod,
    KeyPair, SerialNumber,
};
use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject as _;

use super::tests::*;
use crate::model::ServerTls;
use crate::translate::tests::{findings, resources};
use crate::translate::{Translation, translate};

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed")
}

/// A list in PEM, in force between these days from now.
fn list(ca: &CertifiedIssuer<'static, KeyPair>, from: i64, until: i64) -> String {
    let at = |days: i64| {
        let seconds = NOW.checked_add_signed(days * 86_400).expect("a moment");
        (SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).into()
    };
    let params = CertificateRevocationListParams {
        this_update: at(from),
        next_update: at(until),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(ca).expect("signed").pem().expect("PEM")
}

/// A server whose clients are judged by these CAs and lists.
fn judged_by(cas: &str, lists: &str) -> Translation {
    let own = Authority::new().issue("a.lan", 730);
    let secret = secret(
        "c",
        &[
            ("tls.crt", &own.certificate),
            ("tls.key", &own.key),
            ("ca.crt", cas),
            ("ca.crl", lists),
        ],
    );
    let yaml = https("mode: MUTUAL, credentialName: c") + &secret;
    translate(&resources(&yaml), &at_now())
}

fn in_order(translation: &Translation) -> &[CertificateRevocationListDer<'static>] {
    let tls: &ServerTls = ended(translation).expect("it is served");
    &tls.clients.as_ref().expect("asked").verification.revoked
}

fn says(translation: &Translation, expected: &[&str]) {
    const PATH: &str = " spec.servers[0].tls.credentialName: `Secret istio-system/c, ca.crl`";
    let found = findings(translation);
    let said: Vec<_> = found.iter().filter(|f| f.contains("revoked")).collect();
    assert_eq!(said.len(), expected.len(), "{found:#?}");
    for (said, expected) in said.iter().zip(expected) {
        let (code, text) = expected.split_once(' ').expect("a code and a text");
        assert!(said.starts_with(&format!("{code}{PATH}")), "{said}");
        assert!(said.contains(text), "{text}: {said}");
    }
}

fn in_days(days: u64) -> Option<SystemTime> {
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(NOW + days * 86_400))
}

#[test]
fn a_list_in_force_is_silent_until_it_is_to_be_renewed() {
    let ca = authority("one");
    let good = judged_by(&ca.pem(), &list(&ca, -5, 25));
    says(&good, &[]);
    assert_eq!(good.model.look_again, in_days(20), "a sixth before");
    assert_eq!(good.outdated, []);
    let soon = judged_by(&ca.pem(), &list(&ca, -26, 4));
    says(
        &soon,
        &[
            "GH0124 the list of revoked certificates of `CN=one` expires on 2026-06-05 00:00 UTC; after that no certificate that it issued is taken.",
        ],
    );
    assert_eq!(soon.model.look_again, in_days(4));
    assert_eq!(soon.outdated, []);
}

#[test]
fn an_expired_list_stays_in_force_for_the_handshake_to_refuse() {
    let (ca, other) = (authority("one"), authority("two"));
    let old = list(&ca, -60, -1);
    let alone = judged_by(&ca.pem(), &old);
    says(
        &alone,
        &["GH0123 of `CN=one` expired on 2026-05-31 00:00 UTC; a version from before stays"],
    );
    assert_eq!(in_order(&alone).len(), 1, "left out, it would let all in");
    assert_eq!(alone.outdated.len(), 1, "the version before is better");
    // The clients of the other CA go on, and so the newest version does.
    let both = (ca.pem() + &other.pem(), old.clone() + &list(&other, -1, 30));
    let one_left = judged_by(&both.0, &both.1);
    says(
        &one_left,
        &[
            "GH0123 of `CN=one` expired on 2026-05-31 00:00 UTC; certificates that it issued are not",
        ],
    );
    assert_eq!(in_order(&one_left).len(), 2);
    assert_eq!(one_left.outdated, []);
    // A new one of the same CA decides, wherever it stands.
    let new = list(&ca, -1, 30);
    let renewed = judged_by(&ca.pem(), &(old + &list(&ca, -2, 10) + &new));
    says(&renewed, &[]);
    let der = CertificateRevocationListDer::from_pem_slice(new.as_bytes()).expect("PEM");
    assert_eq!(in_order(&renewed)[0], der);
}

#[test]
fn a_list_of_tomorrow_counts_where_there_is_none_of_today() {
    let ca = authority("one");
    let tomorrow = list(&ca, 1, 30);
    let alone = judged_by(&ca.pem(), &tomorrow);
    says(
        &alone,
        &[
            "GH0123 of `CN=one` is not valid before 2026-06-02 00:00 UTC; a version from before stays",
        ],
    );
    assert_eq!(in_order(&alone).len(), 1);
    assert_eq!(alone.outdated.len(), 1);
    let today = list(&ca, -10, 20);
    let both = judged_by(&ca.pem(), &(tomorrow + &today));
    says(&both, &[]);
    let der = CertificateRevocationListDer::from_pem_slice(today.as_bytes()).expect("PEM");
    assert_eq!(in_order(&both)[0], der);
    assert_eq!(both.model.look_again, in_days(1));
}

/// `openssl ca -gencrl` without `crlnumber`: version 1.
const VERSION_1: &str = "-----BEGIN X509 CRL-----
MIGXMD4wCgYIKoZIzj0EAwIwEjEQMA4GA1UEAwwHdGVzdCBDQRcNMjYxMTI5MTYx
NDM4WhcNMjYxMjI5MTYxNDM4WjAKBggqhkjOPQQDAgNJADBGAiEAi7x6MJvHaKCr
llWk4ZjSfzku+WSOzDZXSJkuY+r5r8oCIQDhp6bZ6ot5BgJdpUE2bQhrhhG9jits
AUqFV9xsGRRPHA==
-----END X509 CRL-----
";

#[test]
fn a_list_that_no_handshake_could_use_is_refused_here() {
    let ca = authority("one");
    let translation = judged_by(&ca.pem(), VERSION_1);
    let found = findings(&translation);
    let expected = "is of version 1, where version 2 is needed";
    assert!(found.iter().any(|f| f.contains(expected)), "{found:#?}");
    assert!(ended(&translation).is_none());
    assert_eq!(translation.refused.len(), 1);
}
