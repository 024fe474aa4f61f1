//! Certificates of clients, and what is spoken: the rules of a server, each with a wrong value.

use super::tests::*;
use crate::model::{Authorities, ClientCertificates};
use crate::translate::tests::{findings, resources};
use crate::translate::{Translation, translate};

fn translated(tls: &str, secrets: &str) -> Translation {
    translate(&resources(&(https(tls) + secrets)), &at_now())
}

fn clients(translation: &Translation) -> &ClientCertificates {
    let tls = ended(translation).unwrap_or_else(|| panic!("{:#?}", findings(translation)));
    tls.clients.as_ref().expect("clients are asked")
}

fn trusted(translation: &Translation) -> &[rustls_pki_types::CertificateDer<'static>] {
    match &clients(translation).verification.authorities {
        Authorities::These(these) => these,
        Authorities::None => panic!("no CA is given"),
    }
}

#[test]
fn authorities_come_from_beside_the_certificate_or_from_within() {
    let (ca, other) = (Authority::new(), Authority::new());
    let issued = ca.issue("a.lan", 730);
    let (root, another) = (ca.root(), other.root());
    let pair = [
        ("tls.crt", issued.certificate.as_str()),
        ("tls.key", issued.key.as_str()),
    ];
    let within = [&pair[..], &[("ca.crt", root.as_str())]].concat();
    let mutual = "mode: MUTUAL, credentialName: c";
    let one = translated(mutual, &secret("c", &within));
    assert!(clients(&one).required);
    let beside = secret("c", &within) + &secret("c-cacert", &[("cacert", &another)]);
    let two = translated(&mutual.replace("MUTUAL", "OPTIONAL_MUTUAL"), &beside);
    assert!(!clients(&two).required);
    assert_ne!(trusted(&one), trusted(&two));
    // Named, it wins over both; a ConfigMap will do.
    let map = format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m, namespace: istio-system}}\ndata: {{ca.crt: {another:?}}}\n"
    );
    let named = format!("{mutual}, caCertCredentialName: \"configmap://m\"");
    let three = translated(&named, &(secret("c", &within) + &map));
    assert_eq!(trusted(&three), trusted(&two));
    let names = translated(
        "mode: MUTUAL, credentialNames: [c, d]",
        &(beside + &tls_secret("d", &ca.issue("a.lan", 730))),
    );
    assert_eq!(trusted(&names), trusted(&two));
    assert_eq!(ended(&names).map(|tls| tls.certificates.len()), Some(2));
}

#[test]
fn without_authorities_nobody_is_let_in() {
    let ca = Authority::new();
    let issued = ca.issue("a.lan", 730);
    let alone = tls_secret("c", &issued);
    let pair = [
        ("tls.crt", issued.certificate.as_str()),
        ("tls.key", issued.key.as_str()),
    ];
    let with = |more: &[(&str, &str)]| secret("c", &[&pair[..], more].concat());
    let root = ca.root();
    let mutual = "mode: MUTUAL, credentialName: c";
    for (tls, secrets, expected) in [
        (
            mutual.to_owned(),
            alone.clone(),
            "IST0101 spec.servers[0].tls.credentialName: there is no CA in the Secret istio-system/c-cacert, nor in istio-system/c",
        ),
        (
            format!("{mutual}, caCertCredentialName: d"),
            alone,
            "IST0101 spec.servers[0].tls.caCertCredentialName: there is no CA in the Secret istio-system/d",
        ),
        (
            mutual.to_owned(),
            with(&[("ca.crt", "abc")]),
            "holds no certificate in PEM",
        ),
        (
            mutual.to_owned(),
            with(&[("ca.crt", &root), ("ca.crl", "abc")]),
            "holds no list of revoked certificates",
        ),
        (
            format!("{mutual}, verifyCertificateSpki: [abc]"),
            with(&[("ca.crt", &root)]),
            "GH0123 spec.servers[0].tls.verifyCertificateSpki[0]: `abc` is no SHA-256 in base64",
        ),
        (
            format!("{mutual}, verifyCertificateHash: [\"00\"]"),
            with(&[("ca.crt", &root)]),
            "GH0123 spec.servers[0].tls.verifyCertificateHash[0]: `00` is no SHA-256 in hex",
        ),
    ] {
        let translation = translated(&tls, &secrets);
        let found = findings(&translation);
        assert!(
            found.iter().any(|f| f.contains(expected)),
            "{expected}: {found:#?}"
        );
        assert!(ended(&translation).is_none(), "{expected}");
    }
}

#[test]
fn what_is_asked_of_clients() {
    let ca = Authority::new();
    let issued = ca.issue("a.lan", 730);
    let root = ca.root();
    let secrets = secret(
        "c",
        &[
            ("tls.crt", &issued.certificate),
            ("tls.key", &issued.key),
            ("ca.crt", &root),
            ("tls.ocsp-staple", "abc"),
        ],
    );
    let hash = "00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:FF".to_owned();
    let tls = format!(
        "mode: MUTUAL, credentialName: c, subjectAltNames: [x.lan], verifyCertificateSpki: [\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"], verifyCertificateHash: [\"{hash}:{hash}\"]"
    );
    let translation = translated(&tls, &secrets);
    let verification = &clients(&translation).verification;
    assert_eq!(verification.subject_alt_names, ["x.lan"]);
    assert_eq!(
        verification.public_key_hashes,
        [std::array::from_fn(|i| i as u8)]
    );
    assert_eq!(
        verification.certificate_hashes[0][..4],
        [0, 0x11, 0x22, 0x33]
    );
    let certificate = &ended(&translation).expect("there").certificates[0];
    assert_eq!(
        certificate.ocsp_staple.as_deref().map(<[u8]>::trim_ascii),
        Some(&b"abc"[..])
    );
    let skip = translated(
        "mode: MUTUAL, credentialName: c, insecureSkipVerify: true",
        &tls_secret("c", &issued),
    );
    assert!(clients(&skip).verification.skip);
    let simple = translated(
        "mode: SIMPLE, credentialName: c, subjectAltNames: [x.lan]",
        &secrets,
    );
    assert!(ended(&simple).is_some_and(|tls| tls.clients.is_none()));
    let found = findings(&simple);
    let expected = "GH0120 spec.servers[0].tls.subjectAltNames: with SIMPLE clients are asked for no certificate";
    assert!(found.iter().any(|f| f.starts_with(expected)), "{found:#?}");
}

#[test]
fn suites_and_groups_are_those_that_are_there() {
    let secrets = tls_secret("c", &Authority::new().issue("a.lan", 730));
    let spoken = |more: &str| {
        let translation = translated(
            &format!("mode: SIMPLE, credentialName: c, {more}"),
            &secrets,
        );
        let parameters = ended(&translation).map(|tls| tls.parameters.clone());
        (parameters, findings(&translation))
    };
    let (some, found) = spoken(
        "cipherSuites: [ECDHE-RSA-CHACHA20-POLY1305, AES128-SHA, ECDHE-ECDSA-AES128-GCM-SHA256], ecdhCurves: [P-384, P-521]",
    );
    let some = some.expect("served");
    assert_eq!(some.cipher_suites, [0xcca8, 0xc02b]);
    assert_eq!(some.groups, [0x18]);
    for expected in [
        "GH0101 spec.servers[0].tls.cipherSuites[1]: `AES128-SHA` is not supported yet",
        "GH0101 spec.servers[0].tls.ecdhCurves[1]: `P-521` is not supported yet",
    ] {
        assert!(
            found.iter().any(|f| f.starts_with(expected)),
            "{expected}: {found:#?}"
        );
    }
    let (none, _) = spoken("cipherSuites: [AES128-SHA]");
    assert_eq!(none.map(|p| p.min), Some(crate::model::TlsVersion::V1_3));
    let (none, _) = spoken("cipherSuites: [AES128-SHA], maxProtocolVersion: TLSV1_2");
    assert_eq!(none, None);
}

#[test]
fn an_expired_authority_lets_nobody_in() {
    let (ca, other) = (Authority::new(), Authority::new());
    let issued = ca.issue("a.lan", 730);
    let old = other.issue("old CA", 364).certificate;
    let with = |cas: &str| {
        secret(
            "c",
            &[
                ("tls.crt", &issued.certificate),
                ("tls.key", &issued.key),
                ("ca.crt", cas),
            ],
        )
    };
    let mutual = "mode: MUTUAL, credentialName: c";
    let one_left = translated(mutual, &with(&(ca.root() + &old)));
    assert_eq!(
        trusted(&one_left),
        trusted(&translated(mutual, &with(&ca.root())))
    );
    let told = |translation: &Translation| {
        let found = findings(translation);
        let expected = "GH0123 spec.servers[0].tls.credentialName: `Secret istio-system/c, ca.crt`: the CA expired: `CN=old CA` on 2026-05-31";
        assert!(found.iter().any(|f| f.starts_with(expected)), "{found:#?}");
    };
    told(&one_left);
    assert_eq!(one_left.outdated, []);
    // The version before is better, if there is one.
    let none_left = translated(mutual, &with(&old));
    told(&none_left);
    assert!(ended(&none_left).is_none());
    assert_eq!(none_left.outdated.len(), 1);
    assert!(none_left.model.look_again.is_some());
}
