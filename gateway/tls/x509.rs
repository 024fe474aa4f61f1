//! Certificates of others, as far as settings and headers ask for their contents.

use std::fmt::Write as _;
use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use rustls::CertificateError;
use rustls::pki_types::UnixTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// A certificate that was read.
pub(super) struct Read<'c> {
    der: &'c [u8],
    certificate: X509Certificate<'c>,
}

/// Reads a certificate (DER); none where it is none.
pub(super) fn read(der: &[u8]) -> Option<Read<'_>> {
    let (_, certificate) = parse_x509_certificate(der).ok()?;
    Some(Read { der, certificate })
}

impl Read<'_> {
    /// SHA-256 of the whole.
    pub(super) fn hash(&self) -> [u8; 32] {
        sha256(self.der)
    }

    /// SHA-256 of its SubjectPublicKeyInfo.
    pub(super) fn public_key_hash(&self) -> [u8; 32] {
        sha256(self.certificate.public_key().raw)
    }

    /// Whether it is for `name`: a DNS name (its own may begin with `*.`, which stands for one
    /// label), a URI, an address or a mail address, each as written.
    pub(super) fn has_name(&self, name: &str) -> bool {
        self.names().any(|own| match own {
            GeneralName::DNSName(own) => is_dns_name(own, name),
            GeneralName::URI(own) | GeneralName::RFC822Name(own) => *own == name,
            GeneralName::IPAddress(own) => address(own).is_some_and(|own| name.parse() == Ok(own)),
            _ => false,
        })
    }

    /// Whether its time has come, and is not over.
    pub(super) fn check_time(&self, now: UnixTime) -> Result<(), CertificateError> {
        let validity = self.certificate.validity();
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if now < validity.not_before.timestamp() {
            Err(CertificateError::NotValidYet)
        } else if now > validity.not_after.timestamp() {
            Err(CertificateError::Expired)
        } else {
            Ok(())
        }
    }

    /// The URIs among its names.
    pub(super) fn uris(&self) -> impl Iterator<Item = &str> {
        self.names().filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        })
    }

    /// The DNS names among its names.
    pub(super) fn dns_names(&self) -> impl Iterator<Item = &str> {
        self.names().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(*name),
            _ => None,
        })
    }

    /// The subject, the most specific part first (RFC 2253).
    pub(super) fn subject(&self) -> String {
        rfc2253(self.certificate.subject())
    }

    /// The issuer, written as the subject is.
    pub(super) fn issuer(&self) -> String {
        rfc2253(self.certificate.issuer())
    }

    /// The serial number, in hex.
    pub(super) fn serial(&self) -> String {
        HEXLOWER.encode(&self.certificate.serial.to_bytes_be())
    }

    fn names(&self) -> impl Iterator<Item = &GeneralName<'_>> {
        let names = self.certificate.subject_alternative_name().ok().flatten();
        names
            .into_iter()
            .flat_map(|names| &names.value.general_names)
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

fn is_dns_name(own: &str, name: &str) -> bool {
    if own.eq_ignore_ascii_case(name) {
        return true;
    }
    let (Some(domain), Some((_, parent))) = (own.strip_prefix("*."), name.split_once('.')) else {
        return false;
    };
    domain.eq_ignore_ascii_case(parent)
}

fn rfc2253(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = name
        .iter()
        .map(|rdn| {
            let attributes: Vec<String> = rdn.iter().map(attribute).collect();
            attributes.join("+")
        })
        .collect();
    parts.reverse();
    parts.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type().to_id_string();
    let short = match oid.as_str() {
        "2.5.4.3" => "CN",
        "2.5.4.4" => "SN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "street",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.12" => "title",
        "2.5.4.42" => "GN",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        _ => &oid,
    };
    match attribute.as_str() {
        Ok(value) => format!("{short}={}", escaped(value)),
        // RFC 2253 §2.4: what has no text is printed as its bytes.
        Err(_) => {
            let mut value = format!("{short}=#");
            for byte in attribute.attr_value().data {
                let _ = write!(value, "{byte:02X}");
            }
            value
        }
    }
}

/// RFC 2253 §2.4, and nothing that a header could not carry.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    let last = value.len().saturating_sub(1);
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => {
                escaped.push('\\');
                escaped.push(char::from(byte));
            }
            b'#' if at == 0 => escaped.push_str("\\#"),
            b' ' if at == 0 || at == last => escaped.push_str("\\ "),
            0x20..=0x7e => escaped.push(char::from(byte)),
            _ => {
                let _ = write!(escaped, "\\{byte:02X}");
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_label() {
        for (own, name, fits) in [
            ("a.lan", "A.lan", true),
            ("*.lan", "a.lan", true),
            ("*.lan", "b.a.lan", false),
            ("*.lan", "lan", false),
            ("a.lan", "b.lan", false),
        ] {
            assert_eq!(is_dns_name(own, name), fits, "{own} {name}");
        }
    }

    #[test]
    fn subjects_cannot_break_out() {
        assert_eq!(escaped("gatehouse test"), "gatehouse test");
        assert_eq!(escaped(" a\",b\r\n "), "\\ a\\\"\\,b\\0D\\0A\\ ");
        assert_eq!(escaped("#ü"), "\\#\\C3\\BC");
    }
}
