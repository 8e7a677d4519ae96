//! What can be wrong with a meter.

use super::{Rule, build::PRICE_MAX};
use crate::{
    ledger::Units,
    meter::{CostRule, Pack},
    spec::{AccessMode, ProblemKind, RouteSpec, ServiceSpec, SpecProblem},
};

/// Services whose reservations would end by another rule than those of the first metered one.
pub(super) fn abandoned_problems(services: &[ServiceSpec]) -> Vec<SpecProblem> {
    let mut metered =
        services.iter().enumerate().filter_map(|(at, service)| Some((at, service, service.meter.as_ref()?)));
    let Some((_, first, rule)) = metered.next() else { return Vec::new() };
    let others = metered.filter(|(_, _, meter)| meter.abandoned != rule.abandoned);
    let problem = |service| {
        let kind = ProblemKind::MixedAbandoned(first.name.clone());
        SpecProblem { service, route: None, field: "on_crash", kind }
    };
    others.map(|(at, ..)| problem(at)).collect()
}

/// What is wrong with a service's meter.
pub(super) fn meter_problems(service: &ServiceSpec) -> Vec<(&'static str, ProblemKind)> {
    let Some(meter) = &service.meter else { return Vec::new() };
    let mut found = Vec::new();
    let is_sold = |route: &RouteSpec| route.access.is_some_and(|access| access != AccessMode::Free);
    if service.access == AccessMode::Free && !service.routes.iter().any(is_sold) {
        found.push(("meter", ProblemKind::MeterWithoutPrice));
    }
    found.extend(cost_problem(&meter.cost));
    found.extend(pack_problems(&meter.packs, meter.cost.estimate()));
    found
}

/// What is wrong with a route's part of the meter.
pub(super) fn route_meter_problems(
    service: &ServiceSpec,
    route: &RouteSpec,
    rule: &Rule,
) -> Vec<(&'static str, ProblemKind)> {
    let mut found = Vec::new();
    if service.meter.is_none() {
        if route.cost.is_some() {
            found.push(("cost", ProblemKind::CostWithoutMeter));
        }
        if !route.packs.is_empty() {
            found.push(("pack", ProblemKind::CostWithoutMeter));
        }
        return found;
    }
    found.extend(route.cost.as_ref().and_then(cost_problem));
    if route.price.is_some() && route.packs.is_empty() {
        found.push(("price", ProblemKind::PriceWithoutPack));
    }
    if route.price.is_none() && !route.packs.is_empty() {
        found.push(("pack", ProblemKind::PackWithoutPrice));
    }
    let is_own = route.cost.is_some() || !route.packs.is_empty();
    if let Some(meter) = rule.meter.as_ref().filter(|_| is_own && rule.access != AccessMode::Free) {
        let field_of = |(_, kind)| (if route.packs.is_empty() { "cost" } else { "pack" }, kind);
        found.extend(pack_problems(&rule.packs, meter.estimate()).into_iter().map(field_of));
    }
    found
}

fn cost_problem(cost: &CostRule) -> Option<(&'static str, ProblemKind)> {
    (cost.estimate() == Units::ZERO).then_some(("cost", ProblemKind::ZeroCost))
}

/// Whoever buys a pack has to get at least one request for it.
fn pack_problems(packs: &[Pack], needed: Units) -> Vec<(&'static str, ProblemKind)> {
    let mut found = Vec::new();
    for (index, pack) in packs.iter().enumerate() {
        if pack.units == Units::ZERO {
            found.push(("pack", ProblemKind::EmptyPack));
        } else if pack.units < needed {
            found.push(("pack", ProblemKind::PackTooSmall { pack: pack.units, needed }));
        }
        // The first one has the price of the service or the route, which is looked at there. The mint sells nothing for
        // nothing.
        if index > 0 && pack.price > PRICE_MAX {
            found.push(("packs", ProblemKind::AbsurdPrice { max: PRICE_MAX }));
        }
        if packs.iter().take(index).any(|earlier| earlier.name == pack.name) {
            found.push(("packs", ProblemKind::DuplicatePack(pack.name.clone())));
        }
    }
    found
}
