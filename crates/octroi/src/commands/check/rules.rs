//! What requests of one kind cost, in words.

use crate::date::Span;
use l402_paywall::{
    AccessMode, Rate, RouteSpec, ServiceSpec,
    meter::{CostRule, Direction, MeterSpec, Pack},
};
use std::fmt;

/// What requests of one kind cost.
pub(super) struct Rule {
    access: AccessMode,
    what: String,
    terms: Vec<String>,
}

impl Rule {
    pub(super) fn of_service(spec: &ServiceSpec) -> Self {
        let hosts: Vec<String> = spec.hosts.iter().map(ToString::to_string).collect();
        let hosts = if hosts.is_empty() { "any host".to_owned() } else { hosts.join(", ") };
        let mut rule =
            Self { access: spec.access, what: format!("{hosts} {}", spec.path), terms: Vec::new() };
        if spec.access != AccessMode::Free {
            match &spec.meter {
                Some(meter) => {
                    rule.terms.extend(packs(meter, &meter.packs));
                    rule.terms.push(cost(&meter.cost));
                }
                None => rule.terms.extend(spec.price.map(|price| price.to_string())),
            }
            rule.terms.push(validity(spec));
            rule.terms.extend(spec.free_requests.map(free_requests));
        }
        rule
    }

    pub(super) fn of_route(spec: &ServiceSpec, route: &RouteSpec) -> Self {
        let methods: Vec<&str> = route.methods.iter().map(http::Method::as_str).collect();
        let methods = if methods.is_empty() { "any method".to_owned() } else { methods.join(", ") };
        let access = route.access.unwrap_or(spec.access);
        let mut rule = Self { access, what: format!("{methods} {}", route.path), terms: Vec::new() };
        if access != AccessMode::Free {
            match &spec.meter {
                // Packs that are not its own stand with the service.
                Some(meter) => {
                    rule.terms.extend(packs(meter, &route.packs));
                    rule.terms.push(cost(route.cost.as_ref().unwrap_or(&meter.cost)));
                }
                None => rule.terms.extend(route.price.or(spec.price).map(|price| price.to_string())),
            }
            rule.terms.extend(route.capability.as_ref().map(|name| format!("capability {name}")));
        }
        rule
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = match self.access {
            AccessMode::Paid => "paid",
            AccessMode::Free => "free",
            AccessMode::Shadow => "shadow",
        };
        write!(f, "{access:<6} {}", self.what)?;
        if self.terms.is_empty() { Ok(()) } else { write!(f, ": {}", self.terms.join(", ")) }
    }
}

fn packs(meter: &MeterSpec, packs: &[Pack]) -> impl Iterator<Item = String> {
    let several = packs.len() > 1;
    packs.iter().map(move |Pack { name, units, price }| {
        let name = if several { format!(" (pack {name})") } else { String::new() };
        format!("{price} for {units} of unit {}{name}", meter.unit)
    })
}

fn cost(rule: &CostRule) -> String {
    match rule {
        CostRule::Fixed(units) => format!("a request costs {units}"),
        CostRule::Header { max } => format!("a request costs what `L402-Cost` says, at most {max}"),
        CostRule::Json { path, max } => format!("a request costs `{path}` of its answer, at most {max}"),
        CostRule::Events { path, max, .. } => {
            format!("a request costs `{path}` of its events, at most {max}")
        }
        CostRule::Bytes { of, per_unit, step } => {
            let of = match of {
                Direction::Request => "request body",
                Direction::Response => "answer",
                Direction::Both => "request body and answer",
            };
            format!("each {per_unit} bytes of {of} cost 1, {step} are set aside at a time")
        }
        CostRule::Time { secs_per_unit, step } => {
            format!("each {} costs 1, {step} are set aside at a time", Span(*secs_per_unit))
        }
    }
}

fn validity(spec: &ServiceSpec) -> String {
    spec.valid_for_secs.map_or("does not expire".to_owned(), |secs| format!("valid for {}", Span(secs)))
}

fn free_requests(rate: Rate) -> String {
    format!("{} free in {} for each network", rate.count, Span(u64::from(rate.period_secs)))
}
