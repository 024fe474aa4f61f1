//! Certificates that were read, by their text.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;

use super::pair::{self, Pair, Validity};
use crate::model::Certificate;

/// What was read, kept while it is used.
#[derive(Default)]
pub(crate) struct Certificates {
    translation: u64,
    known: HashMap<Texts, (u64, Arc<Judged>)>,
    /// The CAs that the system trusts, and what they were read from.
    system: Option<(Arc<[u8]>, Authorities)>,
}

type Authorities = Arc<[CertificateDer<'static>]>;

/// A certificate and its key as they are written.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Texts {
    /// What it is called in findings.
    pub(super) source: String,
    pub(super) certificate: Arc<[u8]>,
    pub(super) key: Arc<[u8]>,
    /// DER, and sent as it is.
    pub(super) ocsp_staple: Option<Arc<[u8]>>,
}

pub(super) type Judged = Result<Known, pair::Wrong>;

/// A certificate that can be used.
pub(super) struct Known {
    pub(super) certificate: Arc<Certificate>,
    pub(super) valid: Validity,
    pub(super) mended: Vec<String>,
}

impl Certificates {
    /// A translation begins.
    pub(crate) fn begin(&mut self) {
        self.translation += 1;
    }

    /// It ends: what it did not use is forgotten.
    pub(crate) fn end(&mut self) {
        self.known.retain(|_, (used, _)| *used == self.translation);
    }

    /// The CAs of the system's bundle, which is large: it is read once.
    pub(super) fn system(
        &mut self,
        text: &Arc<[u8]>,
        read: fn(&[u8]) -> Authorities,
    ) -> Authorities {
        match &self.system {
            Some((before, authorities)) if Arc::ptr_eq(before, text) => Arc::clone(authorities),
            _ => {
                let authorities = read(text);
                self.system = Some((Arc::clone(text), Arc::clone(&authorities)));
                authorities
            }
        }
    }

    /// What there is to know of a pair.
    pub(super) fn read(&mut self, texts: Texts, names: (&str, &str)) -> Arc<Judged> {
        let translation = self.translation;
        if let Some((used, known)) = self.known.get_mut(&texts) {
            *used = translation;
            return Arc::clone(known);
        }
        let judged = pair::read(&texts.certificate, &texts.key, names).map(|pair| {
            let Pair {
                chain,
                key,
                valid,
                mended,
            } = pair;
            let certificate = Arc::new(Certificate {
                source: texts.source.clone(),
                chain,
                key,
                ocsp_staple: texts.ocsp_staple.as_deref().map(<[u8]>::to_vec),
            });
            Known {
                certificate,
                valid,
                mended,
            }
        });
        let judged = Arc::new(judged);
        let known = (translation, Arc::clone(&judged));
        self.known.insert(texts, known);
        judged
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.known.keys().map(|texts| &texts.source))
            .finish()
    }
}
