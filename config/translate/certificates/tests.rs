//! Certificates that fit, and all the ways in which they do not.

use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::*;
use crate::model::{ChainContent, FilterChain, ServerContent, ServerTls};
use crate::translate::tests::{findings, resources};
use crate::translate::{Translation, Translator, translate};

/// 2026-06-01.
pub(crate) const NOW: u64 = 1_780_272_000;
const DAY: u64 = 86_400;

/// A CA, one below it, and what they issue.
pub(crate) struct Authority {
    root: CertifiedIssuer<'static, KeyPair>,
    between: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key in PEM.
#[derive(Clone)]
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let authority = |name: &str| {
            let mut params = CertificateParams::new(Vec::new()).expect("no names");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params
                .distinguished_name
                .push(rcgen::DnType::CommonName, name);
            params
        };
        let key = || KeyPair::generate().expect("a key");
        let root = CertifiedIssuer::self_signed(authority("root"), key()).expect("signed");
        let between =
            CertifiedIssuer::signed_by(authority("between"), key(), &root).expect("signed");
        Self { root, between }
    }

    /// One for `name` that is valid from a year before [`NOW`] for this many days.
    pub(crate) fn issue(&self, name: &str, days: u64) -> Issued {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW - 365 * DAY);
        params.not_before = start.into();
        params.not_after = (start + Duration::from_secs(days * DAY)).into();
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.between).expect("signed");
        Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    pub(crate) fn root(&self) -> String {
        self.root.pem()
    }

    pub(crate) fn between(&self) -> String {
        self.between.pem()
    }
}

pub(crate) fn at_now() -> Settings {
    Settings {
        now: SystemTime::UNIX_EPOCH + Duration::from_secs(NOW),
        ..Settings::default()
    }
}

fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n    ")
}

/// A Secret `name` of the gateway's namespace with text under these keys.
pub(crate) fn secret(name: &str, keys: &[(&str, &str)]) -> String {
    let mut text = format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: istio-system}}\nstringData:\n"
    );
    for (key, value) in keys {
        text += &format!("  {key}: |\n    {}\n", indented(value));
    }
    text
}

pub(crate) fn tls_secret(name: &str, issued: &Issued) -> String {
    secret(
        name,
        &[("tls.crt", &issued.certificate), ("tls.key", &issued.key)],
    )
}

/// A Gateway with one HTTPS server for a.lan.
pub(crate) fn https(tls: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: gw, namespace: default}}\nspec: {{selector: {{istio: ingressgateway}}, servers: [{{port: {{number: 443, name: s, protocol: HTTPS}}, hosts: [a.lan], tls: {{{tls}}}}}]}}\n"
    )
}

const BY_NAME: &str = "mode: SIMPLE, credentialName: c";
const BY_FILE: &str = "mode: SIMPLE, serverCertificate: certs/a.crt, privateKey: /etc/a.key";

pub(crate) fn chains(translation: &Translation) -> &[FilterChain] {
    match translation.model.servers.as_slice() {
        [server] => match &server.serves {
            ServerContent::Tls(chains) => chains,
            other => panic!("not TLS: {other:?}"),
        },
        other => panic!("not one server: {other:?}"),
    }
}

/// How the only server ends TLS.
pub(crate) fn ended(translation: &Translation) -> Option<&Arc<ServerTls>> {
    match &chains(translation)[0].serves {
        ChainContent::Http { tls, .. } | ChainContent::Tcp { tls, .. } => tls.as_ref(),
        other => panic!("TLS is not ended: {other:?}"),
    }
}

fn with_secret(keys: &[(&str, &str)]) -> Translation {
    let yaml = https(BY_NAME) + &secret("c", keys);
    translate(&resources(&yaml), &at_now())
}

/// Translates with files of this content.
fn with_files(files: &[(&str, Result<&str, &str>)]) -> Translation {
    let mut settings = at_now();
    let contents = Arc::make_mut(&mut settings.files);
    for (path, content) in files {
        let content = content
            .map(|text| text.as_bytes().into())
            .map_err(str::to_owned);
        contents.insert((*path).to_owned(), content);
    }
    translate(&resources(&https(BY_FILE)), &settings)
}

fn says(translation: &Translation, expected: &str) {
    let found = findings(translation);
    assert!(
        found.iter().any(|f| f.contains(expected)),
        "{expected}: {found:#?}"
    );
}

fn is_silent(translation: &Translation) {
    let found = findings(translation);
    let about_tls = |f: &&String| f.contains("tls") || f.contains("certificate");
    let found: Vec<_> = found.iter().filter(about_tls).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn both_forms_of_secrets_are_read_the_generic_one_first() {
    let ca = Authority::new();
    let (one, two) = (ca.issue("a.lan", 730), ca.issue("a.lan", 730));
    let tls = [
        ("tls.crt", one.certificate.as_str()),
        ("tls.key", one.key.as_str()),
    ];
    let generic = [
        ("cert", two.certificate.as_str()),
        ("key", two.key.as_str()),
    ];
    let chain = |translation: &Translation| {
        is_silent(translation);
        ended(translation)
            .expect("there is a certificate")
            .certificates[0]
            .chain
            .clone()
    };
    let first = chain(&with_secret(&tls));
    let second = chain(&with_secret(&generic));
    assert_ne!(first, second);
    assert_eq!(chain(&with_secret(&[tls, generic].concat())), second);
    // An empty form is passed over.
    let empty = [("cert", ""), ("key", "")];
    assert_eq!(chain(&with_secret(&[&empty[..], &tls[..]].concat())), first);
    let names = ended(&with_secret(&tls)).expect("there").clone();
    assert_eq!(names.certificates[0].source, "Secret istio-system/c");
    assert_eq!(names.alpn, [&b"h2"[..], b"http/1.1"]);
}

#[test]
fn base64_data_is_read_too_and_keys_are_never_printed() {
    let ca = Authority::new();
    let issued = ca.issue("a.lan", 730);
    let yaml = https(BY_NAME) + &tls_secret("c", &issued);
    let mut resources = resources(&yaml);
    let (key, object) = resources
        .secrets
        .iter()
        .next()
        .map(|(k, o)| (k.clone(), o.clone()))
        .expect("one");
    let mut object = (*object).clone();
    let text = object.body.string_data.take().expect("text");
    let bytes = |text: String| k8s_openapi::ByteString(text.into_bytes());
    object.body.data = Some(text.into_iter().map(|(k, v)| (k, bytes(v))).collect());
    resources.secrets.insert(key, Arc::new(object));
    let translation = translate(&resources, &at_now());
    let tls = ended(&translation).expect("there is a certificate");
    let line = issued.key.lines().nth(1).expect("a line of the key");
    let printed = format!("{tls:?} {:?} {:?}", translation.model, translation.findings);
    assert!(!printed.contains(line));
    assert!(!printed.contains(&format!("{:?}", tls.certificates[0].key.secret_der())));
}

#[test]
fn a_chain_is_sent_in_its_order_whatever_order_it_is_written_in() {
    let ca = Authority::new();
    let issued = ca.issue("a.lan", 730);
    let right = [issued.certificate.clone(), ca.between(), ca.root()].concat();
    let wrong = [ca.root(), issued.certificate.clone(), ca.between()].concat();
    let stranger = [
        issued.certificate.clone(),
        Authority::new().issue("b.lan", 730).certificate,
    ]
    .concat();
    let read = |text: &str| with_secret(&[("tls.crt", text), ("tls.key", &issued.key)]);
    let chain = |t: &Translation| {
        ended(t).expect("a certificate").certificates[0]
            .chain
            .clone()
    };
    let expected = read(&right);
    is_silent(&expected);
    assert_eq!(chain(&expected).len(), 3);
    let sorted = read(&wrong);
    says(
        &sorted,
        "GH0125 spec.servers[0].tls.credentialName: Secret istio-system/c: the certificates in `tls.crt` are in the wrong order",
    );
    assert_eq!(chain(&sorted), chain(&expected));
    let left_out = read(&stranger);
    says(&left_out, "not in the chain of the key's");
    assert_eq!(chain(&left_out).len(), 1);
}

#[test]
fn what_is_of_no_use_is_refused_and_closes_its_own_server_only() {
    let ca = Authority::new();
    let (one, other) = (ca.issue("a.lan", 730), ca.issue("a.lan", 730));
    let (certificate, key) = (one.certificate.as_str(), one.key.as_str());
    let encrypted = key.replace("PRIVATE", "ENCRYPTED PRIVATE");
    let many = certificate.repeat(33);
    let cut = certificate.replace("-----END CERTIFICATE-----", "");
    for (keys, code, expected) in [
        (
            vec![("tls.crt", certificate)],
            "IST0161",
            "it has neither `tls.crt` and `tls.key`",
        ),
        (
            vec![("tls.crt", certificate), ("tls.key", "")],
            "IST0161",
            "`tls.crt` or `tls.key` is empty",
        ),
        (
            vec![("tls.crt", "abc"), ("tls.key", key)],
            "IST0161",
            "`tls.crt` is no certificate in PEM",
        ),
        (
            vec![("tls.crt", &cut), ("tls.key", key)],
            "IST0161",
            "`tls.crt` is no certificate in PEM",
        ),
        (
            vec![("tls.crt", &many), ("tls.key", key)],
            "IST0161",
            "more than 32 certificates",
        ),
        (
            vec![("tls.crt", certificate), ("tls.key", &other.key)],
            "GH0123",
            "the key in `tls.key` is not that of the certificate in `tls.crt`",
        ),
        (
            vec![("tls.crt", certificate), ("tls.key", &encrypted)],
            "GH0123",
            "is encrypted with a password",
        ),
        (
            vec![("cert", certificate), ("key", certificate)],
            "GH0123",
            "`key` is no private key",
        ),
    ] {
        let translation = with_secret(&keys);
        says(
            &translation,
            &format!("{code} spec.servers[0].tls.credentialName: "),
        );
        says(&translation, expected);
        assert!(ended(&translation).is_none(), "{expected}");
        let refused: Vec<_> = translation
            .refused
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(refused, ["Secret istio-system/c"], "{expected}");
    }
}

#[test]
fn names_that_lead_nowhere() {
    let ca = Authority::new();
    let there = tls_secret("c", &ca.issue("a.lan", 730));
    let elsewhere = there.replace("istio-system", "default");
    for (name, secret, expected) in [
        (
            "d",
            &there,
            "IST0101 spec.servers[0].tls.credentialName: there is no Secret istio-system/d",
        ),
        (
            "c",
            &elsewhere,
            "There is default/c: move it to the namespace `istio-system`",
        ),
        (
            "default/c",
            &elsewhere,
            "the Secret default/c is not the gateway's to use",
        ),
        ("sds://c", &there, "`sds://` leads to no Secret"),
    ] {
        let yaml = https(&format!("mode: SIMPLE, credentialName: \"{name}\"")) + secret;
        let translation = translate(&resources(&yaml), &at_now());
        says(&translation, expected);
        assert!(ended(&translation).is_none(), "{name}");
        assert!(translation.refused.is_empty());
    }
    for name in [
        "kubernetes://c",
        "kubernetes://istio-system/c",
        "istio-system/c",
    ] {
        let yaml = https(&format!("mode: SIMPLE, credentialName: \"{name}\"")) + &there;
        let translation = translate(&resources(&yaml), &at_now());
        is_silent(&translation);
        assert!(ended(&translation).is_some(), "{name}");
    }
}

#[test]
fn time_passes() {
    let ca = Authority::new();
    let translated = |days| {
        let yaml = https(BY_NAME) + &tls_secret("c", &ca.issue("a.lan", days));
        translate(&resources(&yaml), &at_now())
    };
    let in_days = |days: u64| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(NOW + days * DAY));
    let good = translated(730);
    is_silent(&good);
    assert_eq!(good.model.look_again, in_days(365 - 14));
    let soon = translated(370);
    says(
        &soon,
        "GH0124 spec.servers[0].tls.credentialName: the certificate of Secret istio-system/c expires on 2026-06-06 00:00 UTC",
    );
    assert_eq!(
        soon.model.look_again,
        in_days(5).map(|at| at + Duration::from_secs(1))
    );
    assert_eq!(soon.outdated, []);
    // An expired one is served if there is no other.
    let expired = translated(364);
    says(
        &expired,
        "IST0161 spec.servers[0].tls.credentialName: the certificate of Secret istio-system/c expired on 2026-05-31",
    );
    assert!(ended(&expired).is_some());
    assert_eq!((expired.outdated.len(), expired.refused.len()), (1, 0));
    let early = Settings {
        now: SystemTime::UNIX_EPOCH + Duration::from_secs(NOW - 400 * DAY),
        ..Settings::default()
    };
    let yaml = https(BY_NAME) + &tls_secret("c", &ca.issue("a.lan", 730));
    let early = translate(&resources(&yaml), &early);
    says(&early, "is not valid before 2025-06-01");
    assert_eq!(early.outdated.len(), 1);
}

#[test]
fn files_are_wanted_first_and_judged_when_they_are_there() {
    let ca = Authority::new();
    let issued = ca.issue("a.lan", 730);
    let nothing = with_files(&[]);
    is_silent(&nothing);
    assert!(ended(&nothing).is_none());
    let wanted: Vec<_> = nothing.model.files.iter().map(String::as_str).collect();
    assert_eq!(wanted, ["/etc/a.key", "certs/a.crt"]);
    let (certificate, key) = (Ok(issued.certificate.as_str()), Ok(issued.key.as_str()));
    let there = with_files(&[("/etc/a.key", key), ("certs/a.crt", certificate)]);
    is_silent(&there);
    let tls = ended(&there).expect("there is a certificate");
    assert_eq!(tls.certificates[0].source, "certs/a.crt");
    let gone = with_files(&[
        ("/etc/a.key", Err("there is no such file")),
        ("certs/a.crt", certificate),
    ]);
    says(
        &gone,
        "GH0123 spec.servers[0].tls.serverCertificate: the file `/etc/a.key` cannot be read: there is no such file",
    );
    assert!(ended(&gone).is_none());
    assert_eq!(gone.refused_files, ["/etc/a.key"]);
    let other = ca.issue("a.lan", 730);
    let half = with_files(&[("/etc/a.key", Ok(&other.key)), ("certs/a.crt", certificate)]);
    says(
        &half,
        "the key in `/etc/a.key` is not that of the certificate in `certs/a.crt`",
    );
    assert_eq!(half.refused_files, ["/etc/a.key", "certs/a.crt"]);
}

#[test]
fn the_same_certificate_stays_the_same() {
    let ca = Authority::new();
    let yaml = https(BY_NAME) + &tls_secret("c", &ca.issue("a.lan", 730));
    let mut translator = Translator::default();
    let settings = at_now();
    let mut certificate = |yaml: &str| {
        let translation = translator.translate(&resources(yaml), &settings);
        Arc::clone(&ended(&translation).expect("there is one").certificates[0])
    };
    let first = certificate(&yaml);
    assert!(Arc::ptr_eq(&first, &certificate(&yaml)));
    let renewed = https(BY_NAME) + &tls_secret("c", &ca.issue("a.lan", 730));
    assert_ne!(first, certificate(&renewed));
}

#[test]
fn versions_that_are_not_spoken() {
    let ca = Authority::new();
    let there = tls_secret("c", &ca.issue("a.lan", 730));
    for (versions, expected, spoken) in [
        ("minProtocolVersion: TLSV1_3", "", true),
        (
            "minProtocolVersion: TLSV1_0, cipherSuites: [AES128-SHA]",
            "GH0101 spec.servers[0].tls.minProtocolVersion: TLS before 1.2",
            true,
        ),
        (
            "maxProtocolVersion: TLSV1_1",
            "GH0101 spec.servers[0].tls.maxProtocolVersion: ",
            false,
        ),
        (
            "minProtocolVersion: TLSV1_3, maxProtocolVersion: TLSV1_2",
            "no version is left",
            false,
        ),
    ] {
        let yaml = https(&format!("{BY_NAME}, {versions}")) + &there;
        let translation = translate(&resources(&yaml), &at_now());
        if expected.is_empty() {
            is_silent(&translation);
        } else {
            says(&translation, expected);
        }
        assert_eq!(ended(&translation).is_some(), spoken, "{versions}");
    }
}
