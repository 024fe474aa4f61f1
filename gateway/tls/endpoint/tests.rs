//! Handshakes in memory with servers of all kinds.

use std::sync::Arc;

use gatehouse_config::model::{
    Authorities, ClientSni, ClientTls, EndpointAddress, TlsParameters, Verification,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyIdMethod, KeyPair, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConnection, ServerConfig, ServerConnection};

use super::*;
use crate::tls::failure;

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

type Pair = (CertificateDer<'static>, PrivateKeyDer<'static>);

fn pair(key: &KeyPair, certificate: &rcgen::Certificate) -> Pair {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    (certificate.der().clone(), key)
}

fn issue(ca: &CertifiedIssuer<'static, KeyPair>, names: &[&str], expired: bool) -> Pair {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    if expired {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    pair(&key, &params.signed_by(&key, ca).unwrap())
}

fn trusting(roots: &[&CertificateDer<'static>]) -> ClientTls {
    let roots: Vec<_> = roots.iter().map(|root| (*root).clone()).collect();
    ClientTls {
        certificate: None,
        verification: Verification {
            authorities: Authorities::These(roots.into()),
            ..Verification::default()
        },
        parameters: TlsParameters::default(),
        sni: ClientSni::FromHost,
        verify_host: true,
    }
}

fn client(tls: ClientTls) -> Arc<TlsClient> {
    let mut clients = Clients::new(&Snapshot::default());
    clients.get(&Arc::new(tls)).unwrap()
}

fn server((certificate, key): &Pair) -> Arc<ServerConfig> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let builder = ServerConfig::builder_with_provider(provider.into());
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_no_client_auth();
    let mut config = builder
        .with_single_cert(vec![certificate.clone()], key.clone_key())
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// What the server was asked for and agreed on, or the words of the failure.
fn shake(
    client: &TlsClient,
    within: Within,
    host: Option<&str>,
    server: &Arc<ServerConfig>,
) -> Result<(Option<String>, Option<Vec<u8>>), String> {
    let endpoint = EndpointAddress::Inet(([127, 0, 0, 1], 443).into());
    let handshake = client.handshake(within, host, &endpoint);
    let Handshake { config, name } = handshake.ok_or("no name")?;
    let mut client = ClientConnection::new(config, name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    let words = |error: rustls::Error| failure::words_of(&error);
    for _ in 0..8 {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets().map_err(words)?;
        }
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets().map_err(words)?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((
        server.server_name().map(str::to_owned),
        client.alpn_protocol().map(<[u8]>::to_vec),
    ))
}

fn said(result: Result<(Option<String>, Option<Vec<u8>>), String>, expected: &str) {
    match result {
        Err(words) => assert!(words.contains(expected), "{words}"),
        Ok(agreed) => panic!("{expected}: {agreed:?}"),
    }
}

#[test]
fn the_host_is_asked_for_and_must_be_in_the_certificate() {
    let ca = authority("ca");
    let up = server(&issue(&ca, &["up.lan", "*.w.lan", "127.0.0.9"], false));
    let client = client(trusting(&[ca.der()]));
    let ask = |host| shake(&client, Within::Http1, host, &up);
    let agreed = |sni: Option<&str>, alpn: Option<&[u8]>| {
        Ok((sni.map(str::to_owned), alpn.map(<[u8]>::to_vec)))
    };
    assert_eq!(
        ask(Some("up.lan")),
        agreed(Some("up.lan"), Some(b"http/1.1"))
    );
    assert_eq!(
        ask(Some("a.w.lan")),
        agreed(Some("a.w.lan"), Some(b"http/1.1"))
    );
    // An address is no name to ask for, but may be in the certificate.
    assert_eq!(ask(Some("127.0.0.9")), agreed(None, Some(b"http/1.1")));
    said(
        ask(Some("127.0.0.8")),
        "CERTIFICATE_VERIFY_FAILED:verify SAN list: it is not for 127.0.0.8",
    );
    said(ask(Some("b.a.w.lan")), "it is not for b.a.w.lan");
    assert_eq!(ask(Some("no name")), Err("no name".to_owned()));
    assert_eq!(ask(None), Err("no name".to_owned()));
    // Each version of HTTP is offered alone, and for bytes nothing is.
    let of = |within, host| shake(&client, within, host, &up);
    assert_eq!(
        of(Within::Http2, Some("up.lan")),
        agreed(Some("up.lan"), Some(b"h2"))
    );
    assert_eq!(of(Within::Bytes, None), agreed(None, None));
}

#[test]
fn chains_are_judged_before_names() {
    let (ca, other) = (authority("ca"), authority("other"));
    let stranger = server(&issue(&other, &["x.lan"], false));
    let old = server(&issue(&ca, &["up.lan"], true));
    let up = server(&issue(&ca, &["up.lan"], false));
    let fixed = ClientTls {
        sni: ClientSni::Name("up.lan".to_owned()),
        verify_host: false,
        ..trusting(&[ca.der()])
    };
    let plain = client(fixed.clone());
    let ask = |server| shake(&plain, Within::Http1, None, server);
    said(ask(&stranger), "no CA that is trusted has issued it");
    said(ask(&old), "certificate has expired");
    assert!(ask(&up).is_ok());
    // A name that is asked for need not be in the certificate, as with Envoy …
    let asked = client(ClientTls {
        sni: ClientSni::Name("other.lan".to_owned()),
        ..fixed.clone()
    });
    let agreed = shake(&asked, Within::Http1, None, &up);
    assert_eq!(agreed.map(|(sni, _)| sni), Ok(Some("other.lan".to_owned())));
    // … but one of those that are listed must be.
    let mut listed = fixed;
    listed.verification.subject_alt_names = vec!["a.lan".to_owned(), "b.lan".to_owned()];
    let strict = client(listed.clone());
    said(
        shake(&strict, Within::Http1, None, &up),
        "it is not for a.lan or b.lan",
    );
    listed
        .verification
        .subject_alt_names
        .push("up.lan".to_owned());
    assert!(shake(&client(listed), Within::Http1, None, &up).is_ok());
    // Unverified, anything goes.
    let skipped = client(ClientTls {
        verification: Verification {
            skip: true,
            ..Verification::default()
        },
        verify_host: false,
        ..trusting(&[])
    });
    for server in [&stranger, &old, &up] {
        assert!(shake(&skipped, Within::Http1, Some("q.lan"), server).is_ok());
    }
}

#[test]
fn an_expired_list_of_revoked_certificates_trusts_nobody() {
    let ca = authority("ca");
    let up = server(&issue(&ca, &["up.lan"], false));
    let judging_by = |until: i32| {
        let list = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2001, 1, 1),
            next_update: rcgen::date_time_ymd(until, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&ca).unwrap();
        let mut tls = trusting(&[ca.der()]);
        tls.verification.revoked = [list.der().clone()].into();
        client(tls)
    };
    let ask = |client: &TlsClient| shake(client, Within::Http1, Some("up.lan"), &up);
    assert!(ask(&judging_by(2999)).is_ok());
    said(
        ask(&judging_by(2002)),
        "CERTIFICATE_VERIFY_FAILED:CRL has expired",
    );
}

#[test]
fn a_self_signed_certificate_may_be_trusted_itself() {
    let mut params = CertificateParams::new(vec!["nas.lan".to_owned()]).unwrap();
    // As `openssl req -x509` makes them.
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let own = params.self_signed(&key).unwrap();
    let nas = server(&pair(&key, &own));
    let trusting_it = client(trusting(&[own.der()]));
    assert!(shake(&trusting_it, Within::Http1, Some("nas.lan"), &nas).is_ok());
    said(
        shake(&trusting_it, Within::Http1, Some("tv.lan"), &nas),
        "it is not for tv.lan",
    );
    let other = client(trusting(&[authority("ca").der()]));
    assert!(shake(&other, Within::Http1, Some("nas.lan"), &nas).is_err());
}

#[test]
fn the_host_must_be_in_the_certificate_also_where_another_name_is_asked_for() {
    let ca = authority("ca");
    let up = server(&issue(&ca, &["up.lan", "127.0.0.9", "::1"], false));
    let asked = client(ClientTls {
        sni: ClientSni::Name("other.lan".to_owned()),
        ..trusting(&[ca.der()])
    });
    let ask = |host| shake(&asked, Within::Http1, host, &up);
    let agreed = || Ok((Some("other.lan".to_owned()), Some(b"http/1.1".to_vec())));
    // Again and again: no session lets a Host in for another one.
    for _ in 0..3 {
        for host in ["up.lan", "127.0.0.9", "[::1]"] {
            assert_eq!(ask(Some(host)), agreed());
        }
        said(ask(Some("tv.lan")), "it is not for tv.lan");
        said(ask(Some("other.lan")), "it is not for other.lan");
    }
    assert_eq!(ask(Some("no name")), Err("no name".to_owned()));
    assert_eq!(ask(None), Err("no name".to_owned()));
    // Bytes that are carried have no Host.
    let of_bytes = shake(&asked, Within::Bytes, None, &up);
    assert_eq!(of_bytes, Ok((Some("other.lan".to_owned()), None)));
}

#[test]
fn what_did_not_change_is_taken_over() {
    let ca = authority("ca");
    let tls = Arc::new(trusting(&[ca.der()]));
    let mut clients = Clients::new(&Snapshot::default());
    let one = clients.get(&tls).unwrap();
    let same = clients.get(&Arc::new(ClientTls::clone(&tls))).unwrap();
    assert!(Arc::ptr_eq(&one, &same));
    let mut other = ClientTls::clone(&tls);
    other.verify_host = false;
    let other = clients.get(&Arc::new(other)).unwrap();
    assert_ne!(one.id, other.id);
}

#[test]
fn suites_and_groups_are_those_that_are_asked_for() {
    let ca = authority("ca");
    let client = client(ClientTls {
        parameters: TlsParameters {
            cipher_suites: vec![0xcca9],
            groups: vec![0x18, 0x17],
            ..TlsParameters::default()
        },
        ..trusting(&[ca.der()])
    });
    let endpoint = EndpointAddress::Inet(([127, 0, 0, 1], 443).into());
    for within in [Within::Http1, Within::Http2, Within::Bytes] {
        let handshake = client.handshake(within, Some("up.lan"), &endpoint).unwrap();
        let provider = handshake.config.crypto_provider();
        let suites = provider.cipher_suites.iter();
        let before_1_3 = suites.filter(|suite| suite.tls13().is_none());
        let suites: Vec<u16> = before_1_3.map(|suite| suite.suite().into()).collect();
        assert_eq!(suites, [0xcca9], "{within:?}");
        let groups = provider.kx_groups.iter();
        let groups: Vec<u16> = groups.map(|group| group.name().into()).collect();
        assert_eq!(groups, [0x18, 0x17], "{within:?}");
    }
    let up = server(&issue(&ca, &["up.lan"], false));
    assert!(shake(&client, Within::Http1, Some("up.lan"), &up).is_ok());
}
