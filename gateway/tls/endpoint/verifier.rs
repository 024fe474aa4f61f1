//! Judges of endpoints' certificates, as Envoy judges them: CAs and revocations by webpki, then
//! names, which are not always those that were asked for.

use std::fmt;
use std::sync::Arc;

use gatehouse_config::model::{ClientTls, Verification};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use crate::tls::endpoint::trusted;
use crate::tls::x509;

/// The judge that settings ask for, of connections for requests or for bytes, which have no Host.
///
/// # Errors
///
/// There is no usable CA, or a revocation list cannot be read.
pub(super) fn new(
    tls: &ClientTls,
    has_host: bool,
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    let Verification {
        skip,
        authorities,
        revoked,
        subject_alt_names,
        public_key_hashes: _,  // of clients' certificates only
        certificate_hashes: _, // likewise
    } = &tls.verification;
    if *skip {
        return Ok(Arc::new(Anyone(Arc::clone(provider))));
    }
    let builder =
        WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider));
    let chains = builder
        .with_crls(revoked.iter().cloned())
        .enforce_revocation_expiration()
        .build()
        .map_err(|error| Error::General(error.to_string()))?;
    Ok(Arc::new(Judge {
        chains,
        trusted: trusted(authorities).into(),
        subject_alt_names: subject_alt_names.clone(),
        verify_host: tls.verify_host && has_host,
    }))
}

/// Judges by CAs and names.
#[derive(Debug)]
struct Judge {
    chains: Arc<WebPkiServerVerifier>,
    trusted: Box<[CertificateDer<'static>]>,
    /// The certificate must carry one of these; empty: any will do.
    subject_alt_names: Vec<String>,
    /// It must carry the name of the request's Host.
    verify_host: bool,
}

/// The certificate is another one's.
#[derive(Debug)]
struct WrongName {
    wanted: String,
}

impl fmt::Display for WrongName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it is not for {}", self.wanted)
    }
}

impl std::error::Error for WrongName {}

impl Judge {
    fn judge_chain(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        // A certificate that is trusted itself needs no CA, as OpenSSL has it: many on a LAN have
        // signed their own. webpki takes none of those.
        if self.trusted.iter().any(|trusted| trusted == end_entity) {
            let read = x509::read(end_entity);
            let read = read.ok_or(CertificateError::BadEncoding)?;
            return Ok(read.check_time(now)?);
        }
        match self
            .chains
            .verify_server_cert(end_entity, intermediates, name, &[], now)
        {
            Ok(_) => Ok(()),
            // It is looked at last: all else is well. Which names count is said below.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn judge_names(
        &self,
        end_entity: &CertificateDer<'_>,
        host: &ServerName<'_>,
    ) -> Result<(), Error> {
        let names = &self.subject_alt_names;
        if names.is_empty() && !self.verify_host {
            return Ok(());
        }
        let read = x509::read(end_entity).ok_or(CertificateError::BadEncoding)?;
        let refused = |wanted: String| {
            let error = OtherError(Arc::new(WrongName { wanted }));
            Err(Error::InvalidCertificate(CertificateError::Other(error)))
        };
        if !names.is_empty() && !names.iter().any(|name| read.has_name(name)) {
            return refused(names.join(" or "));
        }
        let host = host.to_str();
        if self.verify_host && !read.has_name(&host) {
            return refused(host.into_owned());
        }
        Ok(())
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge_chain(end_entity, intermediates, server_name, now)?;
        self.judge_names(end_entity, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// Judges as another one does, by a name that is not the one that was asked for.
#[derive(Debug)]
pub(super) struct ByHost {
    pub(super) judge: Arc<dyn ServerCertVerifier>,
    pub(super) host: ServerName<'static>,
}

impl ServerCertVerifier for ByHost {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let host = &self.host;
        self.judge
            .verify_server_cert(end_entity, intermediates, host, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}

/// Takes any certificate (`insecureSkipVerify`); whoever shows it must still have its key.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
