//! Judges of clients' certificates: CAs and revocations by webpki, then names and pins.

use std::sync::Arc;

use gatehouse_config::model::{Authorities, ClientCertificates, Verification};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme,
};

use crate::tls::x509;

/// The judge that settings ask for.
///
/// # Errors
///
/// There is no usable CA, or a revocation list cannot be read.
pub(super) fn of_clients(
    clients: &ClientCertificates,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, rustls::Error> {
    let Verification {
        skip,
        authorities,
        revoked,
        subject_alt_names,
        public_key_hashes,
        certificate_hashes,
    } = &clients.verification;
    let particulars = Particulars {
        subject_alt_names: subject_alt_names.clone(),
        public_key_hashes: public_key_hashes.clone(),
        certificate_hashes: certificate_hashes.clone(),
    };
    if *skip {
        return Ok(Arc::new(Strict {
            authorities: Arc::new(Anyone {
                required: clients.required,
                provider,
            }),
            particulars,
        }));
    }
    let Authorities::These(authorities) = authorities else {
        // Whoever has a certificate of a public CA is not a client of this server.
        return Err(rustls::Error::General(
            "clients need a CA of their own".to_owned(),
        ));
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities.iter().cloned());
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .with_crls(revoked.iter().cloned())
        .enforce_revocation_expiration();
    if !clients.required {
        builder = builder.allow_unauthenticated();
    }
    let authorities = builder
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    if particulars.are_none() {
        return Ok(authorities);
    }
    Ok(Arc::new(Strict {
        authorities,
        particulars,
    }))
}

/// Takes certificates of any CA, and of none (`insecureSkipVerify`; Envoy: `ACCEPT_UNTRUSTED`). The
/// client must still have the key of what it shows.
#[derive(Debug)]
struct Anyone {
    required: bool,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for Anyone {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// What a certificate must have beyond a CA.
#[derive(Clone, Debug)]
pub(super) struct Particulars {
    subject_alt_names: Vec<String>,
    public_key_hashes: Vec<[u8; 32]>,
    certificate_hashes: Vec<[u8; 32]>,
}

impl Particulars {
    fn are_none(&self) -> bool {
        self.subject_alt_names.is_empty()
            && self.public_key_hashes.is_empty()
            && self.certificate_hashes.is_empty()
    }

    /// Names and pins: one of each kind that is asked for. Of the two kinds of pins one is enough
    /// (Envoy: `DefaultCertValidator::verifyCertificate`).
    pub(super) fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        let refused = || {
            let error = CertificateError::ApplicationVerificationFailure;
            Err(rustls::Error::InvalidCertificate(error))
        };
        if self.are_none() {
            return Ok(());
        }
        let Some(read) = x509::read(certificate) else {
            return refused();
        };
        let names = &self.subject_alt_names;
        if !names.is_empty() && !names.iter().any(|name| read.has_name(name)) {
            return refused();
        }
        let (keys, whole) = (&self.public_key_hashes, &self.certificate_hashes);
        let pinned = !keys.is_empty() || !whole.is_empty();
        if pinned && !keys.contains(&read.public_key_hash()) && !whole.contains(&read.hash()) {
            return refused();
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Strict {
    authorities: Arc<dyn ClientCertVerifier>,
    particulars: Particulars,
}

impl ClientCertVerifier for Strict {
    fn offer_client_auth(&self) -> bool {
        self.authorities.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.authorities.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.authorities.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let judged = self
            .authorities
            .verify_client_cert(end_entity, intermediates, now)?;
        self.particulars.check(end_entity)?;
        Ok(judged)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}
