//! VirtualServices that were read, each with what was said of it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::api::istio::VirtualService as Api;
use crate::finding::Finding;
use crate::resources::{Object, ObjectKey, ObjectRef};
use crate::source::Kind;
use crate::translate::report::Report;
use crate::translate::virtual_service::VirtualService;

/// The VirtualServices of the last translation, by the address of their object: ten thousand of
/// them are asked for with every change.
#[derive(Debug, Default)]
pub(crate) struct ReadServices {
    translation: u64,
    by_address: HashMap<usize, ReadService>,
}

/// A VirtualService that was read.
#[derive(Debug)]
pub(super) struct ReadService {
    /// Held so that no other takes its address.
    object: Arc<Object<Api>>,
    service: Option<Arc<VirtualService>>,
    findings: Vec<Finding>,
    refused: bool,
    /// What each look at it found.
    looks: [Option<Vec<Finding>>; Look::COUNT],
    /// The last translation that asked for it.
    used: u64,
}

/// A check that looks at one VirtualService and at its surroundings, never at another one: what it
/// finds holds as long as its routes do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Look {
    /// At the Gateways that it names.
    Gateways,
    /// At what it leads to.
    Destinations,
    /// At what it leads to, as the gateway sees it.
    Reachable,
    /// At fields that Istio has given up.
    Deprecated,
}

impl Look {
    const COUNT: usize = 4;
}

impl ReadServices {
    pub(super) fn begin(&mut self) {
        self.translation += 1;
    }

    /// The surroundings changed.
    pub(super) fn forget_looks(&mut self) {
        for read in self.by_address.values_mut() {
            read.looks = Default::default();
        }
    }

    /// This very version, if it was read.
    pub(super) fn known(&mut self, object: &Arc<Object<Api>>) -> Option<&ReadService> {
        let known = self.by_address.get_mut(&address(object))?;
        known.used = self.translation;
        Some(known)
    }

    /// Reads a version, and remembers what is said of it.
    pub(super) fn remember(
        &mut self,
        object: &Arc<Object<Api>>,
        report: &mut Report,
        parse: impl FnOnce(&mut Report) -> Option<VirtualService>,
    ) -> Option<Arc<VirtualService>> {
        let key = &object.meta.key;
        let before = report.findings.len();
        let service = parse(report).map(Arc::new);
        let read = ReadService {
            object: Arc::clone(object),
            service: service.clone(),
            findings: report.findings.get(before..).unwrap_or_default().to_vec(),
            refused: report.refused.contains(&reference(key)),
            looks: Default::default(),
            used: self.translation,
        };
        self.by_address.insert(address(object), read);
        service
    }

    /// Reports what a look at this version found before; the first time, what `check` reports.
    pub(crate) fn look(
        &mut self,
        look: Look,
        object: &Arc<Object<Api>>,
        report: &mut Report,
        check: impl FnOnce(&mut Report),
    ) {
        let Some(known) = self.by_address.get_mut(&address(object)) else {
            return check(report);
        };
        let [gateways, destinations, reachable, deprecated] = &mut known.looks;
        let found = match look {
            Look::Gateways => gateways,
            Look::Destinations => destinations,
            Look::Reachable => reachable,
            Look::Deprecated => deprecated,
        };
        let found = found.get_or_insert_with(|| {
            let before = report.findings.len();
            check(report);
            report.findings.split_off(before)
        });
        report.findings.extend(found.iter().cloned());
    }

    /// Forgets VirtualServices that are gone, and what is not needed of the others.
    pub(super) fn end(&mut self) {
        self.by_address.retain(|_, read| {
            if let Some(service) = read.service.as_mut().and_then(Arc::get_mut) {
                service.forget_rules();
            }
            read.used == self.translation
        });
    }
}

impl ReadService {
    /// Says again what was said of it.
    pub(super) fn say_again(&self, report: &mut Report) -> Option<Arc<VirtualService>> {
        report.findings.extend(self.findings.iter().cloned());
        if self.refused {
            report.refused.insert(reference(&self.object.meta.key));
        }
        self.service.clone()
    }
}

fn address(object: &Arc<Object<Api>>) -> usize {
    Arc::as_ptr(object).addr()
}

fn reference(key: &ObjectKey) -> ObjectRef {
    Kind::VirtualService.reference(key)
}
