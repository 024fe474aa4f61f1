//! Which of a server's certificates a client gets.

use std::sync::Arc;

use gatehouse_config::model::Certificate;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The certificates of a server, the preferred one first.
pub(super) struct Certificates(Vec<Arc<CertifiedKey>>);

impl Certificates {
    /// # Errors
    ///
    /// A key is of a kind that cannot sign.
    pub(super) fn new(certificates: &[Arc<Certificate>]) -> Result<Self, rustls::Error> {
        let keys = certificates.iter().map(|certificate| {
            Ok(Arc::new(CertifiedKey {
                cert: certificate.chain.clone(),
                key: any_supported_type(&certificate.key)?,
                ocsp: certificate.ocsp_staple.clone(),
            }))
        });
        Ok(Self(keys.collect::<Result<_, rustls::Error>>()?))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // One that the client can check, RSA or ECDSA; a client that can check none gets the
        // first, and says itself what it misses.
        let fits = |key: &&Arc<CertifiedKey>| {
            let scheme = key.key.choose_scheme(client.signature_schemes());
            scheme.is_some()
        };
        let chosen = self.0.iter().find(fits).or_else(|| self.0.first())?;
        Some(Arc::clone(chosen))
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Certificates({})", self.0.len())
    }
}
