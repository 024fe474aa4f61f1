//! The judge of endpoints' certificates, who judges as Envoy does: CAs and revocations by webpki,
//! then names, which are not always those that were asked for.

use std::fmt;
use std::sync::Arc;

use gatehouse_config::model::{ClientTls, Verification};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use crate::tls::endpoint::trusted;
use crate::tls::x509;

/// Judges by CAs and names.
#[derive(Debug)]
pub(super) struct Judge {
    /// None: takes any certificate (`insecureSkipVerify`).
    rules: Option<Arc<Rules>>,
    /// The certificate must be for this Host, whatever name was asked for.
    host: Option<ServerName<'static>>,
    /// For signatures: whoever shows a certificate must have its key.
    algorithms: WebPkiSupportedAlgorithms,
}

/// What a certificate must have.
#[derive(Debug)]
struct Rules {
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
    /// The one that settings ask for, of connections for requests or for bytes, which have no Host.
    ///
    /// # Errors
    ///
    /// There is no usable CA, or a revocation list cannot be read.
    pub(super) fn new(
        tls: &ClientTls,
        has_host: bool,
        roots: &Arc<RootCertStore>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, Error> {
        let Verification {
            skip,
            authorities,
            revoked,
            subject_alt_names,
            public_key_hashes: _,  // of clients' certificates only
            certificate_hashes: _, // likewise
        } = &tls.verification;
        let rules = match skip {
            true => None,
            false => {
                let (roots, of_chains) = (Arc::clone(roots), Arc::clone(provider));
                let chains = WebPkiServerVerifier::builder_with_provider(roots, of_chains)
                    .with_crls(revoked.iter().cloned())
                    .enforce_revocation_expiration()
                    .build()
                    .map_err(|error| Error::General(error.to_string()))?;
                Some(Arc::new(Rules {
                    chains,
                    trusted: trusted(authorities).into(),
                    subject_alt_names: subject_alt_names.clone(),
                    verify_host: tls.verify_host && has_host,
                }))
            }
        };
        Ok(Self {
            rules,
            host: None,
            algorithms: provider.signature_verification_algorithms,
        })
    }

    /// The same for the endpoint of a Host that is not the name that it is asked for.
    pub(super) fn of_host(&self, host: ServerName<'static>) -> Self {
        Self {
            rules: self.rules.clone(),
            host: Some(host),
            algorithms: self.algorithms,
        }
    }
}

impl Rules {
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
        if let Some(rules) = &self.rules {
            let name = self.host.as_ref().unwrap_or(server_name);
            rules.judge_chain(end_entity, intermediates, name, now)?;
            rules.judge_names(end_entity, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
