//! TLS towards endpoints: where certificates and CAs come from, and what becomes of wrong ones.

use super::*;
use crate::model::{Authorities, ClientSni, ClientTls, TlsParameters, TlsVersion, UpstreamTls};
use crate::translate::certificates::tests::{Authority, at_now, secret, tls_secret};

/// A rule for reviews with these blocks, and what it refers to.
fn with(policy: &str, rest: &str, files: &[(&str, Result<&str, &str>)]) -> Translation {
    let http = with_http(&format!("[{{{TO_REVIEWS}}}]"));
    let rule = format!(
        "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: dr, namespace: default}}\nspec: {{host: reviews, trafficPolicy: {policy}}}\n"
    );
    let mut settings = at_now();
    let contents = Arc::make_mut(&mut settings.files);
    for (path, content) in files {
        let content = content
            .map(|text| text.as_bytes().into())
            .map_err(str::to_owned);
        contents.insert((*path).to_owned(), content);
    }
    translate(
        &resources(&base_and(&format!("{http}{rule}{rest}"))),
        &settings,
    )
}

fn of(tls: &str, rest: &str, files: &[(&str, Result<&str, &str>)]) -> Translation {
    with(&format!("{{tls: {{{tls}}}}}"), rest, files)
}

fn spoken(translation: &Translation) -> &ClientTls {
    match &translation.model.clusters[0].policy.tls {
        UpstreamTls::Spoken(tls) => tls,
        other => panic!("{other:?}: {:#?}", findings(translation)),
    }
}

fn authorities(translation: &Translation) -> usize {
    match &spoken(translation).verification.authorities {
        Authorities::None => 0,
        Authorities::These(these) => these.len(),
    }
}

/// Nothing is sent, and this is why.
fn impossible(translation: &Translation, expected: &str) {
    let tls = &translation.model.clusters[0].policy.tls;
    assert!(matches!(tls, UpstreamTls::Impossible(_)), "{tls:?}");
    let found = findings(translation);
    let fits = |f: &String| f.contains(expected) && f.contains("routes there answer 503");
    assert!(found.iter().any(fits), "{expected}: {found:#?}");
}

const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";

#[test]
fn without_a_ca_those_of_the_system_are_trusted() {
    let (one, two) = (Authority::new().root(), Authority::new().root());
    let bundle = format!("{one}{two}");
    for tls in ["mode: SIMPLE", "mode: SIMPLE, caCertificates: system"] {
        let translation = of(tls, "", &[(SYSTEM, Ok(&bundle))]);
        assert_eq!(authorities(&translation), 2, "{tls}");
        assert!(translation.model.files.contains(SYSTEM));
        let tls = spoken(&translation);
        assert!(tls.verify_host && tls.certificate.is_none());
        assert_eq!(tls.sni, ClientSni::FromHost);
    }
    // Not read yet: nothing goes out, and nothing is said.
    let early = of("mode: SIMPLE", "", &[]);
    let tls = &early.model.clusters[0].policy.tls;
    assert!(matches!(tls, UpstreamTls::Impossible(_)), "{tls:?}");
    let about_tls = |f: &&String| f.starts_with("GH0123");
    assert_eq!(findings(&early).iter().find(about_tls), None);
    let missing = of(
        "mode: SIMPLE",
        "",
        &[(SYSTEM, Err("there is no such file"))],
    );
    impossible(&missing, "this system has none");
    // Unverified, they are not even looked for.
    let skipped = of("mode: SIMPLE, insecureSkipVerify: true", "", &[]);
    assert!(spoken(&skipped).verification.skip && !spoken(&skipped).verify_host);
    assert!(!skipped.model.files.contains(SYSTEM));
}

#[test]
fn secrets_give_certificate_and_ca() {
    let (ca, other) = (Authority::new(), Authority::new());
    let issued = ca.issue("gateway.lan", 730);
    let (root, another) = (ca.root(), other.root());
    let within = [
        ("tls.crt", issued.certificate.as_str()),
        ("tls.key", issued.key.as_str()),
        ("ca.crt", root.as_str()),
    ];
    let by_name = "mode: MUTUAL, credentialName: c";
    let whole = of(by_name, &secret("c", &within), &[]);
    assert_eq!(authorities(&whole), 1);
    let own = spoken(&whole).certificate.as_ref().expect("one of ours");
    assert_eq!(own.source, "Secret istio-system/c");
    let beside = secret("c", &within) + &secret("c-cacert", &[("cacert", &another)]);
    let beside = of(by_name, &beside, &[]);
    assert_ne!(
        spoken(&whole).verification.authorities,
        spoken(&beside).verification.authorities
    );
    // With SIMPLE the Secret is asked for a CA alone, and a ConfigMap will do.
    let map = format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m, namespace: istio-system}}\ndata: {{ca.crt: {another:?}}}\n"
    );
    let simple = of("mode: SIMPLE, credentialName: 'configmap://m'", &map, &[]);
    assert_eq!(authorities(&simple), 1);
    assert!(spoken(&simple).certificate.is_none());

    impossible(&of(by_name, "", &[]), "there is no Secret istio-system/c");
    let no_ca = of(by_name, &tls_secret("c", &issued), &[]);
    impossible(&no_ca, "there is no CA");
    let mapped = of("mode: MUTUAL, credentialName: 'configmap://m'", &map, &[]);
    impossible(&mapped, "leads to no Secret");
    let broken = of(
        by_name,
        &secret("c", &[("tls.crt", "x"), ("tls.key", "y")]),
        &[],
    );
    impossible(&broken, "Secret istio-system/c is of no use");
    assert_eq!(broken.refused.len(), 1, "its last good version is wanted");
}

#[test]
fn files_give_certificate_and_ca() {
    let ca = Authority::new();
    let issued = ca.issue("gateway.lan", 730);
    let root = ca.root();
    let by_file =
        "mode: MUTUAL, clientCertificate: own.crt, privateKey: /own.key, caCertificates: ca.crt";
    let files = [
        ("own.crt", Ok(issued.certificate.as_str())),
        ("/own.key", Ok(issued.key.as_str())),
        ("ca.crt", Ok(root.as_str())),
    ];
    let translation = of(by_file, "", &files);
    assert_eq!(authorities(&translation), 1);
    assert!(spoken(&translation).certificate.is_some());
    let broken = [files[0], files[1], ("ca.crt", Ok("nothing"))];
    let broken = of(by_file, "", &broken);
    impossible(&broken, "`ca.crt` is of no use");
    assert_eq!(broken.refused_files, ["ca.crt"]);
    let foreign = Authority::new().issue("x.lan", 730);
    let foreign = [files[0], ("/own.key", Ok(foreign.key.as_str())), files[2]];
    impossible(&of(by_file, "", &foreign), "own.crt is of no use");
    let missing = [files[0], files[1], ("ca.crt", Err("there is no such file"))];
    impossible(&of(by_file, "", &missing), "`ca.crt` cannot be read");
    let revoked = of(
        &format!("{by_file}, caCrl: crl"),
        "",
        &[&files[..], &[("crl", Ok("x"))]].concat(),
    );
    impossible(&revoked, "holds no list of revoked certificates");
}

#[test]
fn names_are_the_rules_or_the_service_entrys_or_the_hosts() {
    let root = Authority::new().root();
    let files = [("/ca", Ok(root.as_str()))];
    let ca = "mode: SIMPLE, caCertificates: /ca";
    for (tls, sni, names, verify_host) in [
        ("", ClientSni::FromHost, vec![], true),
        (
            ", sni: a.lan",
            ClientSni::Name("a.lan".to_owned()),
            vec![],
            false,
        ),
        (
            ", subjectAltNames: [b.lan]",
            ClientSni::FromHost,
            vec!["b.lan"],
            false,
        ),
    ] {
        let translation = of(&format!("{ca}{tls}"), "", &files);
        let spoken = spoken(&translation);
        assert_eq!(spoken.sni, sni, "{tls}");
        assert_eq!(spoken.verification.subject_alt_names, names, "{tls}");
        assert_eq!(spoken.verify_host, verify_host, "{tls}");
    }
    let entry = "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e, namespace: default}\nspec: {hosts: [e.lan], resolution: STATIC, subjectAltNames: [c.lan], ports: [{number: 9080, name: http, protocol: HTTP}], endpoints: [{address: 127.0.0.1}]}\n";
    let rule = |tls: &str| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: e, namespace: default}}\nspec: {{host: e.lan, trafficPolicy: {{tls: {{{ca}{tls}}}}}}}\n"
        )
    };
    let to = with_http("[{route: [{destination: {host: e.lan}}]}]");
    for (tls, expected) in [("", "c.lan"), (", subjectAltNames: [b.lan]", "b.lan")] {
        let mut settings = at_now();
        let contents = Arc::make_mut(&mut settings.files);
        contents.insert("/ca".to_owned(), Ok(root.as_bytes().into()));
        let yaml = base_and(&format!("{to}{entry}{}", rule(tls)));
        let translation = translate(&resources(&yaml), &settings);
        let names = &spoken(&translation).verification.subject_alt_names;
        assert_eq!(names, &[expected], "{tls}");
    }
}

#[test]
fn nearer_blocks_win_and_disable_is_plain_text() {
    let skip = "tls: {mode: SIMPLE, insecureSkipVerify: true}";
    let plain = |policy: &str| {
        let translation = with(policy, "", &[]);
        translation.model.clusters[0].policy.tls == UpstreamTls::Plain
    };
    assert!(!plain(&format!("{{{skip}}}")));
    assert!(plain("{tls: {mode: DISABLE}}"));
    let port = |tls: &str| format!("portLevelSettings: [{{port: {{number: 9080}}, {tls}}}]");
    assert!(plain(&format!(
        "{{{skip}, {}}}",
        port("tls: {mode: DISABLE}")
    )));
    assert!(!plain(&format!(
        "{{tls: {{mode: DISABLE}}, {}}}",
        port(skip)
    )));
    // What is written for a port replaces all, also by nothing.
    assert!(plain(&format!(
        "{{{skip}, {}}}",
        port("loadBalancer: {simple: RANDOM}")
    )));
}

#[test]
fn of_rules_that_no_route_leads_to_nothing_is_said() {
    let yaml = base_and(
        "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: dr, namespace: default}\nspec: {host: reviews, trafficPolicy: {tls: {mode: MUTUAL, credentialName: none}}}\n",
    );
    let translation = translate(&resources(&yaml), &at_now());
    let about = |f: &&String| f.contains("none");
    assert_eq!(findings(&translation).iter().find(about), None);
}

/// Istio: `applyTLSDefaults` takes suites and curves, and no version.
#[test]
fn a_mesh_config_says_what_is_spoken_to_endpoints() {
    let root = Authority::new().root();
    let to_endpoints = |defaults: &str| {
        let mesh = format!("---\nkind: MeshConfig\ntlsDefaults: {{{defaults}}}\n");
        let files = [("/ca", Ok(root.as_str()))];
        let translation = of("mode: SIMPLE, caCertificates: /ca", &mesh, &files);
        let parameters = spoken(&translation).parameters.clone();
        let found = findings(&translation);
        let about = |f: &String| f.contains("tls") || f.contains("TLS");
        (
            parameters,
            found.into_iter().filter(about).collect::<Vec<_>>(),
        )
    };
    let none = TlsParameters::default();
    assert_eq!(to_endpoints(""), (none.clone(), vec![]));
    let some = TlsParameters {
        cipher_suites: vec![0xcca9, 0xc02f],
        groups: vec![0x18, 0x1d],
        ..TlsParameters::default()
    };
    let written = "cipherSuites: [ECDHE-ECDSA-CHACHA20-POLY1305, ECDHE-RSA-AES128-GCM-SHA256], ecdhCurves: [P-384, X25519]";
    assert_eq!(to_endpoints(written), (some, vec![]));
    let newest = TlsParameters {
        min: TlsVersion::V1_3,
        ..TlsParameters::default()
    };
    let (parameters, found) = to_endpoints("cipherSuites: [AES128-SHA]");
    assert_eq!(parameters, newest);
    assert!(found[0].contains("`AES128-SHA` is not supported yet"));
    let (parameters, found) = to_endpoints("minProtocolVersion: TLSV1_3");
    assert_eq!(parameters, none);
    let expected = "GH0120 spec.trafficPolicy.tls: the minProtocolVersion of the MeshConfig's tlsDefaults is for servers of Gateways";
    assert!(found[0].starts_with(expected), "{found:#?}");
    assert_eq!(found.len(), 1, "{found:#?}");
    let (_, found) = to_endpoints("minProtocolVersion: TLSV1_2");
    assert_eq!(found, Vec::<String>::new());
}
