//! Which rule applies to a request: an immutable table, built once and shared by all requests.
//!
//! The most specific service wins: exact host, then the longest wildcard, then any host; within a host an exact path,
//! then the longest prefix, then regular expressions in file order. Inside the service the same order picks the
//! route. Hosts, exact paths and prefixes are looked up by hash, so the cost does not grow with their number.

mod build;
mod checks;
mod index;

use crate::{
    ledger::Abandoned,
    meter::{Meter, Pack},
    path::{CanonicalPath, PathOddities, PathProblem},
    spec::{AccessMode, ServiceSpec},
};
use index::PathIndex;
use l402::{Name, Satisfiers, TokenSpec};
use l402_lightning::MilliSat;
use std::{collections::HashMap, sync::Arc};

/// All services of a gateway and what their requests cost. An empty table routes nothing.
#[derive(Debug, Default)]
pub struct RouteTable {
    services: Vec<Service>,
    exact_hosts: HashMap<Box<str>, PathIndex<usize>>,
    wildcard_hosts: HashMap<Box<str>, PathIndex<usize>>,
    any_host: PathIndex<usize>,
}

/// A service with its rules and the satisfiers of its caveats.
#[derive(Debug)]
pub struct Service {
    spec: ServiceSpec,
    satisfiers: Satisfiers,
    rules: Vec<Rule>,
    routes: PathIndex<usize>,
}

/// What one request class costs and what a token needs for it.
#[derive(Debug, Clone)]
pub struct Rule {
    pub(crate) access: AccessMode,
    pub(crate) price: Option<MilliSat>,
    pub(crate) capability: Option<Name>,
    pub(crate) skip_invoice: bool,
    /// What a token says, without its units and its expiry.
    pub(crate) sells: TokenSpec,
    /// How a request is counted, where the service is metered.
    pub(crate) meter: Option<Arc<Meter>>,
    /// What can be bought here; empty where the service is not metered.
    pub(crate) packs: Arc<[Pack]>,
}

/// A service and a rule inside it, by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) service: usize,
    pub(crate) rule: usize,
}

/// The service and rule found for a request.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    pub(crate) place: Place,
    pub(crate) service: &'a Service,
    pub(crate) rule: &'a Rule,
}

impl<'a> Found<'a> {
    /// Index of the service, as handed to [`RouteTable::build`].
    pub fn service_id(&self) -> usize {
        self.place.service
    }

    /// Index of the rule in [`Service::rules`].
    pub fn rule_id(&self) -> usize {
        self.place.rule
    }

    /// The service.
    pub fn service(&self) -> &'a Service {
        self.service
    }

    /// The rule inside it.
    pub fn rule(&self) -> &'a Rule {
        self.rule
    }
}

impl RouteTable {
    /// The services, in the order they were handed in.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// What becomes of units that were set aside for requests whose gateway ended.
    pub fn abandoned(&self) -> Abandoned {
        let mut meters = self.services.iter().filter_map(|service| service.spec.meter.as_ref());
        meters.next().map(|meter| meter.abandoned).unwrap_or_default()
    }

    /// The rule for a request; `host` is lower case, without port and trailing dot.
    ///
    /// `Ok(None)` where nothing matches. A path that is ambiguous for the service, or whose readings lead to different
    /// rules, is an error.
    pub fn find(
        &self,
        host: &str,
        method: &http::Method,
        path: &CanonicalPath<'_>,
    ) -> Result<Option<Found<'_>>, PathProblem> {
        let found = self.find_reading(host, method, path.decoded());
        let Some(resolved) = path.resolved() else { return Ok(found) };
        let ambiguous = Err(PathProblem::Oddity(path.oddities()));
        let Some(literal) = found else { return ambiguous };
        let agreed = self
            .find_reading(host, method, resolved)
            .is_some_and(|other| std::ptr::eq(other.rule, literal.rule));
        if agreed && literal.service.allow_in_path().contains(path.oddities()) {
            Ok(found)
        } else {
            ambiguous
        }
    }

    fn find_reading(&self, host: &str, method: &http::Method, path: &str) -> Option<Found<'_>> {
        let service = self.service_for(host, method, path)?;
        let rule = self.services.get(service)?.routes.find(path, method).unwrap_or(Service::OWN_RULE);
        self.at(Place { service, rule })
    }

    pub(crate) fn at(&self, place: Place) -> Option<Found<'_>> {
        let service = self.services.get(place.service)?;
        Some(Found { place, service, rule: service.rules.get(place.rule)? })
    }

    fn service_for(&self, host: &str, method: &http::Method, path: &str) -> Option<usize> {
        if let Some(found) = self.exact_hosts.get(host).and_then(|index| index.find(path, method)) {
            return Some(found);
        }
        if !self.wildcard_hosts.is_empty() {
            let suffixes = host.match_indices('.').map(|(dot, _)| &host[dot..]);
            let mut matching = suffixes.filter_map(|suffix| self.wildcard_hosts.get(suffix));
            if let Some(found) = matching.find_map(|index| index.find(path, method)) {
                return Some(found);
            }
        }
        self.any_host.find(path, method)
    }
}

impl Service {
    /// The service's own rule comes first, its routes' follow.
    const OWN_RULE: usize = 0;

    /// Name in caveats, logs and metrics.
    pub fn name(&self) -> &Name {
        &self.spec.name
    }

    /// What it was built from.
    pub fn spec(&self) -> &ServiceSpec {
        &self.spec
    }

    /// Clears the caveats of tokens for this service.
    pub fn satisfiers(&self) -> &Satisfiers {
        &self.satisfiers
    }

    /// Its own rule and its routes', in that order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    fn allow_in_path(&self) -> PathOddities {
        self.spec.allow_in_path
    }
}

impl Rule {
    /// Whether its requests are paid for.
    pub fn access(&self) -> AccessMode {
        self.access
    }

    /// What one token costs.
    pub fn price(&self) -> Option<MilliSat> {
        self.price
    }

    /// The capability a token needs.
    pub fn capability(&self) -> Option<&Name> {
        self.capability.as_ref()
    }

    /// How a request is counted, where the service is metered.
    pub fn meter(&self) -> Option<&Arc<Meter>> {
        self.meter.as_ref()
    }

    /// What can be bought here, the default first; empty where the service is not metered.
    pub fn packs(&self) -> &[Pack] {
        &self.packs
    }

    /// Whether a missing credential is answered 401 instead of with an invoice.
    pub fn skips_invoice(&self) -> bool {
        self.skip_invoice
    }
}

#[cfg(test)]
mod tests;
