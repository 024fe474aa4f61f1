//! The judge of clients' certificates: CAs and revocations by webpki, then names and pins.

use std::sync::Arc;

use gatehouse_config::model::{Authorities, ClientCertificates, Verification};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
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
    let algorithms = provider.signature_verification_algorithms;
    let chains = match (skip, authorities) {
        (true, _) => None,
        // Whoever has a certificate of a public CA is not a client of this server.
        (false, Authorities::None) => {
            return Err(rustls::Error::General(
                "clients need a CA of their own".to_owned(),
            ));
        }
        (false, Authorities::These(authorities)) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(authorities.iter().cloned());
            let chains = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .with_crls(revoked.iter().cloned())
                .enforce_revocation_expiration()
                .build()
                .map_err(|error| rustls::Error::General(error.to_string()))?;
            Some(chains)
        }
    };
    Ok(Arc::new(Judge {
        required: clients.required,
        chains,
        particulars: Particulars {
            subject_alt_names: subject_alt_names.clone(),
            public_key_hashes: public_key_hashes.clone(),
            certificate_hashes: certificate_hashes.clone(),
        },
        algorithms,
    }))
}

/// What a certificate must have beyond a CA.
#[derive(Debug)]
struct Particulars {
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
    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), rustls::Error> {
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

/// Judges by CAs, names and pins.
#[derive(Debug)]
struct Judge {
    /// Without a certificate there is no connection.
    required: bool,
    /// None: any CA will do, and none too (`insecureSkipVerify`; Envoy: `ACCEPT_UNTRUSTED`). The
    /// client must still have the key of what it shows.
    chains: Option<Arc<dyn ClientCertVerifier>>,
    particulars: Particulars,
    /// For signatures that prove that.
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for Judge {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        match &self.chains {
            Some(chains) => chains.root_hint_subjects(),
            None => &[],
        }
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if let Some(chains) = &self.chains {
            chains.verify_client_cert(end_entity, intermediates, now)?;
        }
        self.particulars.check(end_entity)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
