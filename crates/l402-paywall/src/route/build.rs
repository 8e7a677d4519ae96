//! Builds the table and finds everything that is wrong with it, all at once.

use super::{
    PathIndex, RouteTable, Rule, Service,
    checks::{abandoned_problems, meter_problems, route_meter_problems},
};
use crate::{
    ledger::Units,
    meter::{CostRule, Meter, MeterSpec},
    spec::{AccessMode, HostPattern, PathPattern, ProblemKind, RouteSpec, ServiceSpec, SpecProblem},
};
use l402::{MAX_MINTED_BYTES, Name, Namespaces, Satisfiers, TokenSpec};
use l402_lightning::MilliSat;
use std::{collections::HashMap, sync::Arc};

/// Ten bitcoin. No API call costs more, and a slip of the unit is caught before a buyer meets it.
pub(super) const PRICE_MAX: MilliSat = MilliSat::from_msat(1_000_000_000_000);

/// Conditions that the gateway mints itself.
const RESERVED_CONSTRAINTS: [&str; 3] = ["capabilities", "valid_until", "units"];

/// A constraint's value leaves room for the other caveats of a token.
const CONSTRAINT_VALUE_BYTES_MAX: usize = 255;

impl RouteTable {
    /// Checks services against each other and builds the table, or returns every problem found.
    ///
    /// `location` is the macaroon location that tokens will be minted with; it counts towards their size.
    pub fn build(services: Vec<ServiceSpec>, location: &str) -> Result<Self, Vec<SpecProblem>> {
        let mut problems = Vec::new();
        check_names(&services, &mut problems);
        check_overlaps(&services, &mut problems);
        problems.extend(abandoned_problems(&services));
        for (index, service) in services.iter().enumerate() {
            check_service(index, service, location, &mut problems);
        }
        if !problems.is_empty() {
            problems.sort_by_key(|problem| (problem.service, problem.route));
            return Err(problems);
        }
        Ok(Self::assemble(services))
    }

    fn assemble(specs: Vec<ServiceSpec>) -> Self {
        let namespaces: Namespaces = specs.iter().map(|spec| spec.name.clone()).collect();
        let mut table = Self {
            services: Vec::with_capacity(specs.len()),
            exact_hosts: HashMap::new(),
            wildcard_hosts: HashMap::new(),
            any_host: PathIndex::default(),
        };
        for (index, spec) in specs.into_iter().enumerate() {
            if spec.hosts.is_empty() {
                table.any_host.insert(&spec.path, &[], index);
            }
            for host in &spec.hosts {
                let paths = match host {
                    HostPattern::Exact(host) => table.exact_hosts.entry(host.as_str().into()),
                    HostPattern::Wildcard(suffix) => table.wildcard_hosts.entry(suffix.as_str().into()),
                };
                paths.or_default().insert(&spec.path, &[], index);
            }
            table.services.push(Service::assemble(spec, namespaces.clone()));
        }
        table
    }
}

impl Service {
    fn assemble(spec: ServiceSpec, namespaces: Namespaces) -> Self {
        let mut satisfiers =
            Satisfiers::builder(spec.name.clone()).namespaces(namespaces).unknown(spec.unknown_caveats);
        satisfiers = satisfiers.metered(spec.meter.is_some());
        for (name, value) in &spec.constraints {
            satisfiers = satisfiers.constraint(name.clone(), value.clone());
        }
        let mut rules = vec![own_rule(&spec)];
        let mut routes = PathIndex::default();
        for route in &spec.routes {
            routes.insert(&route.path, &route.methods, rules.len());
            rules.push(route_rule(&spec, route));
        }
        Self { satisfiers: satisfiers.build(), rules, routes, spec }
    }
}

fn own_rule(service: &ServiceSpec) -> Rule {
    Rule {
        access: service.access,
        price: service.price,
        capability: None,
        skip_invoice: service.skip_invoice,
        sells: sells(service, None),
        meter: meter(service, None),
        packs: service.meter.iter().flat_map(|meter| meter.packs.clone()).collect(),
    }
}

fn route_rule(service: &ServiceSpec, route: &RouteSpec) -> Rule {
    let inherited = service.meter.as_ref().map_or(&[][..], |meter| &meter.packs);
    let packs = if route.packs.is_empty() { inherited } else { &route.packs };
    Rule {
        access: route.access.unwrap_or(service.access),
        price: route.price.or(service.price),
        capability: route.capability.clone(),
        skip_invoice: route.skip_invoice.unwrap_or(service.skip_invoice),
        sells: sells(service, route.price.and(route.capability.clone())),
        meter: meter(service, route.cost.clone()),
        packs: packs.into(),
    }
}

/// The service's meter, with a route's own cost.
fn meter(service: &ServiceSpec, cost: Option<CostRule>) -> Option<Arc<Meter>> {
    let MeterSpec { unit, cost: usual, charging, idempotency, .. } = service.meter.clone()?;
    Some(Arc::new(Meter { unit, cost: cost.unwrap_or(usual), charging, idempotency }))
}

/// What a token of the service says, without its expiry: the service's capabilities and the one bought on top.
fn sells(service: &ServiceSpec, bought: Option<Name>) -> TokenSpec {
    let mut capabilities = service.capabilities.clone();
    capabilities.extend(bought.filter(|name| !service.capabilities.contains(name)));
    TokenSpec {
        service: service.name.clone(),
        tier: service.tier,
        capabilities,
        constraints: service.constraints.clone(),
        units: None,
        valid_until: None,
    }
}

fn check_names(services: &[ServiceSpec], problems: &mut Vec<SpecProblem>) {
    for (index, service) in services.iter().enumerate() {
        let earlier = &services[..index];
        let mut report = |kind| {
            problems.push(SpecProblem { service: index, route: None, field: "name", kind });
        };
        if earlier.iter().any(|other| other.name == service.name) {
            report(ProblemKind::DuplicateName(service.name.clone()));
        }
        for other in earlier {
            for (shorter, longer) in [(&other.name, &service.name), (&service.name, &other.name)] {
                let inside = longer.as_str().strip_prefix(shorter.as_str());
                if inside.is_some_and(|rest| rest.starts_with('_')) {
                    let (shorter, longer) = (shorter.clone(), longer.clone());
                    report(ProblemKind::NamespaceCollision { shorter, longer });
                }
            }
        }
    }
}

/// A host, a path and a method; absent means any.
type Place = (Option<HostPattern>, String, Option<http::Method>);

/// Finds rules that cover the same place, so that only the first of them could ever match.
fn check_overlaps(services: &[ServiceSpec], problems: &mut Vec<SpecProblem>) {
    let mut taken: HashMap<Place, (usize, Option<usize>)> = HashMap::new();
    for (index, service) in services.iter().enumerate() {
        let hosts = places(&service.hosts);
        let own = std::iter::once((None, &service.path, &[][..]));
        let routes = service.routes.iter().enumerate();
        let routes = routes.map(|(at, route)| (Some(at), &route.path, route.methods.as_slice()));
        for (route, path, methods) in own.chain(routes) {
            let here = (index, route);
            let mut first = None;
            for host in &hosts {
                for method in places(methods) {
                    let owner = *taken.entry((host.clone(), path.to_string(), method)).or_insert(here);
                    first = first.or((owner != here).then_some(owner));
                }
            }
            if let Some(first) = first {
                let kind = ProblemKind::DuplicateRoute { other: description(services, first) };
                problems.push(SpecProblem { service: index, route, field: "path", kind });
            }
        }
    }
}

fn description(services: &[ServiceSpec], (service, route): (usize, Option<usize>)) -> String {
    let Some(service) = services.get(service) else { return String::new() };
    match route.and_then(|at| service.routes.get(at)) {
        Some(route) => format!("route `{}` of service `{}`", route.path, service.name),
        None => format!("service `{}`", service.name),
    }
}

fn places<T: Clone>(some: &[T]) -> Vec<Option<T>> {
    if some.is_empty() { vec![None] } else { some.iter().cloned().map(Some).collect() }
}

fn check_service(index: usize, service: &ServiceSpec, location: &str, problems: &mut Vec<SpecProblem>) {
    let mut report = |field, kind| problems.push(SpecProblem { service: index, route: None, field, kind });
    for kind in price_problems(service.access, service.price) {
        report("price", kind);
    }
    if service.valid_for_secs == Some(0) {
        report("valid_for", ProblemKind::ZeroValidity);
    }
    for (name, value) in &service.constraints {
        if RESERVED_CONSTRAINTS.contains(&name.as_str()) {
            report("constraints", ProblemKind::ReservedConstraint(name.clone()));
        }
        if value.len() > CONSTRAINT_VALUE_BYTES_MAX || value.chars().any(char::is_control) {
            report("constraints", ProblemKind::ConstraintValue(name.clone()));
        }
    }
    for (field, kind) in meter_problems(service) {
        report(field, kind);
    }
    let rules =
        std::iter::once(own_rule(service)).chain(service.routes.iter().map(|r| route_rule(service, r)));
    let largest = rules.map(|rule| token_size(location, rule.sells, service)).max().unwrap_or_default();
    if largest > MAX_MINTED_BYTES {
        report("constraints", ProblemKind::TokenTooLarge { bytes: largest, max: MAX_MINTED_BYTES });
    }
    for (at, route) in service.routes.iter().enumerate() {
        for (field, kind) in route_problems(service, route) {
            problems.push(SpecProblem { service: index, route: Some(at), field, kind });
        }
    }
}

/// The size with the longest expiry that can be written.
fn token_size(location: &str, mut token: TokenSpec, service: &ServiceSpec) -> usize {
    token.valid_until = service.valid_for_secs.map(|_| u64::MAX);
    token.units = service.meter.as_ref().map(|_| Units::MAX.get());
    l402::minted_size(location, &token)
}

fn price_problems(access: AccessMode, price: Option<MilliSat>) -> Vec<ProblemKind> {
    match price {
        None if access == AccessMode::Paid => vec![ProblemKind::NoPrice],
        Some(price) if price.as_msat() == 0 => vec![ProblemKind::ZeroPrice],
        Some(price) if price > PRICE_MAX => vec![ProblemKind::AbsurdPrice { max: PRICE_MAX }],
        _ => Vec::new(),
    }
}

fn route_problems(service: &ServiceSpec, route: &RouteSpec) -> Vec<(&'static str, ProblemKind)> {
    let mut found = Vec::new();
    let inside = match &route.path {
        PathPattern::Exact(path) | PathPattern::Prefix(path) => service.path.covers(path),
        PathPattern::Regex(_) => true, // only asked for paths that the service covers
    };
    if !inside {
        found.push(("path", ProblemKind::OutsideService { service_path: service.path.to_string() }));
    }
    let rule = route_rule(service, route);
    found.extend(route_meter_problems(service, route, &rule));
    if route.price.is_some() || (rule.access == AccessMode::Paid && service.access != AccessMode::Paid) {
        found.extend(price_problems(rule.access, rule.price).into_iter().map(|kind| ("price", kind)));
    }
    match &route.capability {
        None if route.price.is_some() => found.push(("price", ProblemKind::PriceWithoutCapability)),
        // What a 402 sells has to open the route that asked for it.
        Some(capability)
            if rule.access == AccessMode::Paid && !rule.sells.capabilities.contains(capability) =>
        {
            found.push(("capability", ProblemKind::CapabilityNotSold(capability.clone())));
        }
        _ => {}
    }
    found
}
