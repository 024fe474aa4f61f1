//! A certificate and its key, from PEM: whether they fit, and the chain in the order in which it is
//! sent.

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::parse_x509_certificate;

/// Certificates that are read from one text; a chain has three or four.
const CERTIFICATES: usize = 32;

/// A certificate that can be served.
pub(super) struct Pair {
    /// Sorted: each is followed by that of its issuer.
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    /// When the certificate itself is valid.
    pub(super) valid: Validity,
    /// What is not as it should be, and was mended; as whole sentences.
    pub(super) mended: Vec<String>,
}

/// From when until when something is valid, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) from: i64,
    pub(crate) until: i64,
}

/// Why a pair cannot be used.
pub(super) struct Wrong {
    /// As part of a sentence.
    pub(super) why: String,
    /// Whether the certificate alone could be used.
    pub(super) concerns_key: bool,
}

/// Reads a certificate and its key. `names` is what the two texts are called in messages.
///
/// # Errors
///
/// They cannot be used.
pub(super) fn read(certificate: &[u8], key: &[u8], names: (&str, &str)) -> Result<Pair, Wrong> {
    let (certificate_name, key_name) = names;
    let of_certificate = |why| Wrong {
        why,
        concerns_key: false,
    };
    let of_key = |why| Wrong {
        why,
        concerns_key: true,
    };
    let certificates = certificates(certificate, certificate_name).map_err(of_certificate)?;
    let parsed = parse_all(&certificates, certificate_name).map_err(of_certificate)?;
    let key = private_key(key, key_name).map_err(of_key)?;
    let signing = any_supported_type(&key).map_err(|_| {
        of_key(format!(
            "`{key_name}` is no key that can be used: RSA of 2048 to 8192 bits, ECDSA of P-256, \
             P-384 or P-521, or Ed25519"
        ))
    })?;
    let public_key = signing.public_key();
    let belongs = |certificate: &X509Certificate<'_>| {
        public_key.as_deref() == Some(certificate.tbs_certificate.subject_pki.raw)
    };
    let mut parsed_by_index = parsed.iter().enumerate();
    let (leaf, own) = parsed_by_index
        .find(|(_, certificate)| belongs(certificate))
        .ok_or_else(|| {
            of_key(format!(
                "the key in `{key_name}` is not that of the certificate in `{certificate_name}`"
            ))
        })?;
    let order = order(&parsed, leaf);
    let mut mended = Vec::new();
    if !order.iter().is_sorted() {
        mended.push(format!(
            "the certificates in `{certificate_name}` are in the wrong order; they are sent in the \
             right one."
        ));
    }
    if order.len() < parsed.len() {
        mended.push(format!(
            "`{certificate_name}` has certificates that are not in the chain of the key's; \
             they are not sent."
        ));
    }
    let validity = own.validity();
    let valid = Validity {
        from: validity.not_before.timestamp(),
        until: validity.not_after.timestamp(),
    };
    let chain = order.iter().filter_map(|index| certificates.get(*index));
    Ok(Pair {
        chain: chain.cloned().collect(),
        key,
        valid,
        mended,
    })
}

/// All certificates of a text; at least one.
///
/// # Errors
///
/// There is none, or one that is no PEM; as part of a sentence.
pub(super) fn certificates(
    text: &[u8],
    name: &str,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text)
        .take(CERTIFICATES + 1)
        .collect();
    match found {
        Ok(found) if found.len() > CERTIFICATES => Err(format!(
            "`{name}` has more than {CERTIFICATES} certificates"
        )),
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(format!("`{name}` is no certificate in PEM")),
    }
}

fn parse_all<'c>(
    certificates: &'c [CertificateDer<'_>],
    name: &str,
) -> Result<Vec<X509Certificate<'c>>, String> {
    let parse = |certificate: &'c CertificateDer<'_>| match parse_x509_certificate(certificate) {
        Ok(([], parsed)) => Ok(parsed),
        _ => Err(format!("`{name}` has a certificate that cannot be read")),
    };
    certificates.iter().map(parse).collect()
}

fn private_key(text: &[u8], name: &str) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(text).map_err(|_| {
        let marker = b"ENCRYPTED";
        if text.windows(marker.len()).any(|part| part == marker) {
            format!("the key in `{name}` is encrypted with a password")
        } else {
            format!("`{name}` is no private key in PEM")
        }
    })
}

/// The chain of the certificate at `leaf`: each followed by its issuer's, as far as they are there.
fn order(parsed: &[X509Certificate<'_>], leaf: usize) -> Vec<usize> {
    let mut order = vec![leaf];
    let mut last = parsed.get(leaf);
    while let Some(certificate) = last {
        let issuer = certificate.issuer().as_raw();
        if issuer == certificate.subject().as_raw() {
            break;
        }
        let next = parsed
            .iter()
            .enumerate()
            .find(|(index, other)| !order.contains(index) && other.subject().as_raw() == issuer);
        last = next.map(|(index, other)| {
            order.push(index);
            other
        });
    }
    // Another way to a root (a CA that is signed by two) is as good as the first.
    for (index, other) in parsed.iter().enumerate() {
        let name = other.subject().as_raw();
        let issues = order.iter().filter_map(|index| parsed.get(*index));
        let issues = issues.map(|certificate| certificate.issuer().as_raw() == name);
        if !order.contains(&index) && issues.into_iter().any(|issues| issues) {
            order.push(index);
        }
    }
    order
}
