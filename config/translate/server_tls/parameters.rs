//! Versions, cipher suites and key exchange groups: those that rustls has.

use crate::api::istio::gateway::TlsProtocol;
use crate::api::istio::mesh_config::{MeshTls, MeshTlsProtocol};
use crate::codes;
use crate::finding::Level;
use crate::model::{TlsParameters, TlsVersion};
use crate::translate::certificates::CLOSED;
use crate::translate::field_path::FieldPath;
use crate::translate::report::ObjectReport;

/// BoringSSL's names of the suites of TLS 1.2 that are spoken, and IANA's numbers.
const SUITES: [(&str, u16); 6] = [
    ("ECDHE-ECDSA-AES128-GCM-SHA256", 0xc02b),
    ("ECDHE-RSA-AES128-GCM-SHA256", 0xc02f),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", 0xc02c),
    ("ECDHE-RSA-AES256-GCM-SHA384", 0xc030),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", 0xcca9),
    ("ECDHE-RSA-CHACHA20-POLY1305", 0xcca8),
];

/// Envoy's names of the groups that are spoken, and IANA's numbers.
const GROUPS: [(&str, u16); 4] = [
    ("X25519", 0x001d),
    ("P-256", 0x0017),
    ("P-384", 0x0018),
    ("X25519MLKEM768", 0x11ec),
];

/// What a MeshConfig says (`tlsDefaults`) of servers that say nothing themselves, and of what is
/// spoken to endpoints. There the oldest version is always 1.2, as with Istio (`applyTLSDefaults`):
/// suites and groups alone are said for both.
pub(crate) fn of_mesh(
    tls: &MeshTls,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> (TlsParameters, TlsParameters) {
    let MeshTls {
        min_protocol_version,
        ecdh_curves,
        cipher_suites,
    } = tls;
    let suites = known(cipher_suites, &SUITES, &path.field("cipherSuites"), report);
    let groups = known(ecdh_curves, &GROUPS, &path.field("ecdhCurves"), report);
    let of_servers = match min_protocol_version {
        MeshTlsProtocol::TlsAuto | MeshTlsProtocol::Tls12 => TlsVersion::V1_2,
        MeshTlsProtocol::Tls13 => TlsVersion::V1_3,
    };
    let spoken_from = |min| TlsParameters {
        min: oldest(min, cipher_suites, &suites),
        cipher_suites: suites.clone(),
        groups: groups.clone(),
        ..TlsParameters::default()
    };
    (spoken_from(of_servers), spoken_from(TlsVersion::V1_2))
}

/// With no suite of its own there is no TLS 1.2; those of TLS 1.3 cannot be chosen.
fn oldest(min: TlsVersion, wanted: &[String], suites: &[u16]) -> TlsVersion {
    if !wanted.is_empty() && suites.is_empty() {
        TlsVersion::V1_3
    } else {
        min
    }
}

/// What is spoken, where nothing else is said as `defaults` have it; none, and a finding, if that
/// is nothing.
pub(super) fn build(
    defaults: &TlsParameters,
    (min, max): (TlsProtocol, TlsProtocol),
    (cipher_suites, curves): (&[String], &[String]),
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<TlsParameters> {
    let min = match min {
        TlsProtocol::Auto => defaults.min,
        TlsProtocol::V1_2 => TlsVersion::V1_2,
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
            report.not_served(&max_path, "TLS before 1.2", CLOSED);
            return None;
        }
    };
    let mut suites = known(cipher_suites, &SUITES, &path.field("cipherSuites"), report);
    let mut groups = known(curves, &GROUPS, &path.field("ecdhCurves"), report);
    let min = oldest(min, cipher_suites, &suites);
    if cipher_suites.is_empty() {
        suites.clone_from(&defaults.cipher_suites);
    }
    if curves.is_empty() {
        groups.clone_from(&defaults.groups);
    }
    if min > max {
        report.add(
            codes::SCHEMA_WARNING,
            Level::Error,
            &max_path,
            format!("no version is left between the oldest and the newest, with these cipher suites: {CLOSED}."),
            "Leave out minProtocolVersion, maxProtocolVersion or cipherSuites.",
        );
        return None;
    }
    Some(TlsParameters {
        min,
        max,
        cipher_suites: suites,
        groups,
    })
}

/// The numbers of those that are spoken; the others are told of.
fn known(
    wanted: &[String],
    known: &[(&str, u16)],
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Vec<u16> {
    let mut numbers = Vec::new();
    for (i, name) in wanted.iter().enumerate() {
        match known.iter().find(|(known, _)| known == name) {
            Some((_, number)) if !numbers.contains(number) => numbers.push(*number),
            Some(_) => {}
            None => report.unsupported(&path.index(i), &format!("`{name}`"), "it is left out"),
        }
    }
    numbers
}
