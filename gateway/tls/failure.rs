//! Why TLS to an endpoint failed, in the words of Envoy's access log (`TLS_error:|…:TLS_error_end`)
//! as far as BoringSSL has any.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

/// BoringSSL's number of its library for TLS, which its errors begin with.
const LIBRARY: u32 = 16 << 24;
/// Its numbers of alerts that were received begin here.
const ALERTS: u32 = 1000;

/// The words for a failure that comes of TLS; none for one of the connection below.
pub fn words(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(words_of(error))
}

/// The words for a failure of TLS.
pub fn words_of(error: &Error) -> String {
    let (number, name, detail) = match error {
        Error::InvalidCertificate(wrong) => (125, "CERTIFICATE_VERIFY_FAILED", why(wrong)),
        Error::NoCertificatesPresented => {
            let why = "the endpoint shows no certificate".to_owned();
            (125, "CERTIFICATE_VERIFY_FAILED", why)
        }
        Error::AlertReceived(alert) => {
            let number = ALERTS + u32::from(u8::from(*alert));
            (number, alert_name(*alert), String::new())
        }
        // Whatever does not begin as TLS does: plain HTTP, most of the time.
        Error::InvalidMessage(_) => (247, "WRONG_VERSION_NUMBER", error.to_string()),
        other => (0, "", other.to_string()),
    };
    let separator = if detail.is_empty() { "" } else { ":" };
    match name {
        "" => format!("TLS_error:|{detail}:TLS_error_end"),
        name => format!(
            "TLS_error:|{}:SSL routines:OPENSSL_internal:{name}{separator}{detail}:TLS_error_end",
            LIBRARY + number
        ),
    }
}

/// Whether it was the other side's certificate.
pub fn is_of_certificate(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(_) | Error::NoCertificatesPresented
    )
}

fn why(wrong: &CertificateError) -> String {
    let why = match wrong {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "certificate has expired"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "certificate is not yet valid"
        }
        CertificateError::Revoked => "certificate revoked",
        CertificateError::UnknownRevocationStatus => "unable to get certificate CRL",
        CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => "CRL has expired",
        CertificateError::UnknownIssuer => "no CA that is trusted has issued it",
        CertificateError::BadSignature => "its CA's signature is wrong",
        CertificateError::Other(other) => return format!("verify SAN list: {other}"),
        other => return other.to_string(),
    };
    why.to_owned()
}

/// BoringSSL's names of alerts.
fn alert_name(alert: AlertDescription) -> &'static str {
    use AlertDescription as Alert;
    match alert {
        Alert::CloseNotify => "SSLV3_ALERT_CLOSE_NOTIFY",
        Alert::UnexpectedMessage => "SSLV3_ALERT_UNEXPECTED_MESSAGE",
        Alert::BadRecordMac => "SSLV3_ALERT_BAD_RECORD_MAC",
        Alert::HandshakeFailure => "SSLV3_ALERT_HANDSHAKE_FAILURE",
        Alert::NoCertificate => "SSLV3_ALERT_NO_CERTIFICATE",
        Alert::BadCertificate => "SSLV3_ALERT_BAD_CERTIFICATE",
        Alert::UnsupportedCertificate => "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        Alert::CertificateRevoked => "SSLV3_ALERT_CERTIFICATE_REVOKED",
        Alert::CertificateExpired => "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        Alert::CertificateUnknown => "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        Alert::IllegalParameter => "SSLV3_ALERT_ILLEGAL_PARAMETER",
        Alert::UnknownCA => "TLSV1_ALERT_UNKNOWN_CA",
        Alert::AccessDenied => "TLSV1_ALERT_ACCESS_DENIED",
        Alert::DecodeError => "TLSV1_ALERT_DECODE_ERROR",
        Alert::DecryptError => "TLSV1_ALERT_DECRYPT_ERROR",
        Alert::ProtocolVersion => "TLSV1_ALERT_PROTOCOL_VERSION",
        Alert::InsufficientSecurity => "TLSV1_ALERT_INSUFFICIENT_SECURITY",
        Alert::InternalError => "TLSV1_ALERT_INTERNAL_ERROR",
        Alert::UnrecognisedName => "TLSV1_ALERT_UNRECOGNIZED_NAME",
        Alert::CertificateRequired => "TLSV1_ALERT_CERTIFICATE_REQUIRED",
        Alert::NoApplicationProtocol => "TLSV1_ALERT_NO_APPLICATION_PROTOCOL",
        _ => "TLSV1_ALERT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_read_as_in_envoys_log() {
        let io = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert_eq!(
            words(&io(unknown)).as_deref(),
            Some(
                "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:no CA that is trusted has issued it:TLS_error_end"
            )
        );
        let refused = Error::AlertReceived(AlertDescription::HandshakeFailure);
        assert_eq!(
            words(&io(refused)).as_deref(),
            Some(
                "TLS_error:|268436496:SSL routines:OPENSSL_internal:SSLV3_ALERT_HANDSHAKE_FAILURE:TLS_error_end"
            )
        );
        assert_eq!(words(&io::ErrorKind::ConnectionReset.into()), None);
    }
}
