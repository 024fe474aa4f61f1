//! VirtualServices that were read, each with what was said of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::api::istio::VirtualService as Api;
use crate::api::rare::Rare;
use crate::finding::Finding;
use crate::resources::{Object, ObjectKey, ObjectRef};
use crate::source::Kind;
use crate::translate::report::Report;
use crate::translate::virtual_service::VirtualService;
use crate::translate::virtual_service::matches::claim;

/// The VirtualServices of the last translation, by the address of their object: ten thousand of
/// them are asked for with every change.
#[derive(Debug, Default)]
pub(crate) struct ReadServices {
    translation: u64,
    by_address: HashMap<usize, ReadService, RandomState>,
    /// What looks found, where it is something.
    found: HashMap<(usize, Look), Vec<Finding>, RandomState>,
    /// How many have each trait; those that are gone count until the translation's end.
    with: [usize; Trait::ALL.len()],
}

/// Something that a VirtualService says, which few of them do and a check looks for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trait {
    /// A destination names a subset.
    Subset,
    /// A match depends on the claim of a token.
    Claim,
}

impl Trait {
    const ALL: [Self; 2] = [Self::Subset, Self::Claim];

    fn is_of(self, service: &Api) -> bool {
        let mut rules = service.http.iter();
        match self {
            Self::Subset => rules.any(|rule| {
                let mut shares = rule.route.iter().filter_map(|to| to.destination.as_ref());
                shares.any(|to| !to.subset.is_empty())
            }),
            Self::Claim => rules.any(|rule| {
                rule.matches.iter().any(|matched| {
                    let conditions = [&matched.headers, &matched.without_headers];
                    conditions.into_iter().any(|all| claim(all).is_some())
                })
            }),
        }
    }
}

/// A VirtualService that was read.
#[derive(Debug)]
pub(super) struct ReadService {
    /// Held so that no other takes its address.
    object: Arc<Object<Api>>,
    service: Option<Arc<VirtualService>>,
    findings: Rare<Vec<Finding>>,
    refused: bool,
    /// Which looks were taken at it.
    looked: [bool; Look::ALL.len()],
    /// Which looks found something.
    found: [bool; Look::ALL.len()],
    traits: [bool; Trait::ALL.len()],
    /// The last translation that asked for it.
    used: u64,
}

/// A check that looks at one VirtualService and at its surroundings, never at another one: what it
/// finds holds as long as its routes do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    const ALL: [Self; 4] = [
        Self::Gateways,
        Self::Destinations,
        Self::Reachable,
        Self::Deprecated,
    ];
}

impl ReadServices {
    pub(super) fn begin(&mut self) {
        self.translation += 1;
    }

    /// The surroundings changed.
    pub(super) fn forget_looks(&mut self) {
        for read in self.by_address.values_mut() {
            read.looked = Default::default();
            read.found = Default::default();
        }
        self.found = HashMap::default();
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
        let traits = Trait::ALL.map(|one| one.is_of(&object.body));
        for (with, has) in self.with.iter_mut().zip(traits) {
            *with += usize::from(has);
        }
        let read = ReadService {
            object: Arc::clone(object),
            service: service.clone(),
            findings: report
                .findings
                .get(before..)
                .unwrap_or_default()
                .to_vec()
                .into(),
            refused: report.refused.contains(&reference(key)),
            looked: Default::default(),
            found: Default::default(),
            traits,
            used: self.translation,
        };
        self.by_address.insert(address(object), read);
        service
    }

    /// Whether any VirtualService may have this.
    pub(crate) fn any(&self, which: Trait) -> bool {
        self.with.get(which as usize).is_some_and(|with| *with > 0)
    }

    /// The VirtualServices that a look is to be taken at, or that it has something to say of; all
    /// others were looked at and are well.
    pub(crate) fn to_look_at(&self, look: Look) -> BTreeMap<ObjectKey, Arc<Object<Api>>> {
        let which = look as usize;
        let reads = self.by_address.values().filter(|read| {
            read.used == self.translation && (!read.looked[which] || read.found[which])
        });
        reads
            .map(|read| (read.object.meta.key.clone(), Arc::clone(&read.object)))
            .collect()
    }

    /// Reports what a look at this version found before; the first time, what `check` reports.
    pub(crate) fn look(
        &mut self,
        look: Look,
        object: &Arc<Object<Api>>,
        report: &mut Report,
        check: impl FnOnce(&mut Report),
    ) {
        let address = address(object);
        let Some(known) = self.by_address.get_mut(&address) else {
            return check(report);
        };
        let which = look as usize;
        if known.looked[which] {
            let found = self.found.get(&(address, look));
            report.findings.extend(found.into_iter().flatten().cloned());
            return;
        }
        let before = report.findings.len();
        check(report);
        let found = report.findings.get(before..).unwrap_or_default();
        known.looked[which] = true;
        known.found[which] = !found.is_empty();
        if !found.is_empty() {
            self.found.insert((address, look), found.to_vec());
        }
    }

    /// Forgets VirtualServices that are gone, and what is not needed of the others.
    pub(super) fn end(&mut self) {
        let Self {
            translation,
            by_address,
            found,
            with,
        } = self;
        by_address.retain(|address, read| {
            if read.used != *translation {
                for (look, _) in Look::ALL.iter().zip(read.found).filter(|(_, found)| *found) {
                    found.remove(&(*address, *look));
                }
                for (with, has) in with.iter_mut().zip(read.traits) {
                    *with -= usize::from(has);
                }
                return false;
            }
            if let Some(service) = read.service.as_mut().and_then(Arc::get_mut) {
                service.forget_rules();
            }
            true
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
