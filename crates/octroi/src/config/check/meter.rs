//! Meters: what a service counts, and what its routes cost.

use super::{Checker, key, services::SOME_PRICE};
use crate::config::{
    Place,
    file::{RouteSection, ServiceSection},
    meter::{Cost, CostSection, IdempotencySection, MeterSection, PackSection},
    place::{Field, Step},
    problem::{Combination, Fault},
    section::{List, Section},
    value::PackUnits,
};
use l402::Name;
use l402_lightning::MilliSat;
use l402_paywall::{
    AccessMode, ProblemKind,
    ledger::Units,
    meter::{Charging, CostRule, Idempotency, MeterSpec, Pack, UnitName},
};

/// What buyers get who name no pack.
const FIRST_PACK: &str = "default";

/// What is set aside at a time where bytes are counted: each step is one write of the ledger, and few answers need more
/// than one.
const STEP_BYTES: u64 = 256 << 10;
/// The same where seconds are counted.
const STEP_SECS: u64 = 10;

/// Stands in for a cost that could not be read; no pack is too small for it.
const SOME_COST: CostRule = CostRule::Fixed(Units::ONE);

/// The kinds of cost that a further key belongs to.
const BELONGING: [(&str, &[&str]); 4] = [
    ("max", &["header", "json", "sse"]),
    ("floor", &["sse"]),
    ("per", &["bytes"]),
    ("step", &["bytes", "time"]),
];

/// A route's part of the meter.
pub(super) struct RouteMeter {
    pub(super) cost: Option<CostRule>,
    pub(super) packs: Vec<Pack>,
}

impl Checker<'_, '_> {
    /// The service's meter. What could not be read of it is stood in for, so that the routes can still be looked at.
    pub(super) fn meter(&mut self, service: &ServiceSection, steps: &[Step]) -> Option<MeterSpec> {
        let section = service.meter.given()?;
        let steps = below(steps, "meter");
        if needs_price(service) {
            let fault = Fault::Combination(Combination::MeterWithoutPrice);
            self.report(section.place_of("pack"), &below(&steps, "pack"), fault);
        }
        let packs = packs(&section.pack, &service.price, &section.packs)?;
        let cost = self.cost(&section.cost, &packs, &steps).unwrap_or(SOME_COST);
        let unit = section.unit.given().map(|unit| unit.0.clone());
        Some(MeterSpec {
            unit: unit.or_else(|| Name::try_from("unread").ok().map(UnitName))?,
            packs,
            cost,
            charging: charging(section),
            abandoned: section.on_crash.given().copied().unwrap_or_default(),
            idempotency: section.idempotency.given().and_then(idempotency),
        })
    }

    /// What a route says about the meter of its service.
    pub(super) fn route_meter(
        &mut self,
        route: &RouteSection,
        meter: Option<&MeterSpec>,
        steps: &[Step],
    ) -> Option<RouteMeter> {
        let packs = match (&route.pack, &route.packs) {
            (Field::Absent, Field::Given(further)) if route.price.place().is_none() => {
                let fault = Fault::Combination(Combination::PacksWithoutPack);
                self.report(further.at, &below(steps, "packs"), fault);
                Vec::new()
            }
            (Field::Absent, _) => Vec::new(),
            (pack, further) => packs(pack, &route.price, further)?,
        };
        let sold = if packs.is_empty() { meter.map_or(&[][..], |meter| &meter.packs) } else { &packs };
        let cost = match &route.cost {
            Field::Absent => None,
            field => Some(self.cost(field, sold, steps).unwrap_or(SOME_COST)),
        };
        Some(RouteMeter { cost, packs })
    }

    /// `steps` lead to the section that has the key.
    fn cost(&mut self, field: &Field<Cost>, packs: &[Pack], steps: &[Step]) -> Option<CostRule> {
        match field.given()? {
            Cost::Fixed(units) => Some(CostRule::Fixed(units.0)),
            Cost::Found(section) => self.found_cost(section, packs, &below(steps, "cost")),
        }
    }

    fn found_cost(&mut self, section: &CostSection, packs: &[Pack], steps: &[Step]) -> Option<CostRule> {
        let sources = given_sources(section);
        let [source] = sources.as_slice() else {
            self.report(section.at, steps, Fault::Combination(Combination::OneCostSource));
            return None;
        };
        for (name, sources) in BELONGING {
            match key_place(section, name) {
                Some(at) if !sources.contains(source) => {
                    let fault = Combination::CostKeyElsewhere { kind: source, kinds: sources };
                    self.report(at, &below(steps, name), Fault::Combination(fault));
                }
                None if name == "max" && sources.contains(source) => {
                    self.report(section.at, steps, Fault::MissingKey { key: "max", example: "8000" });
                }
                _ => {}
            }
        }
        rule(section, packs)
    }
}

/// Where a pack stands that a problem is about, if it is one of `packs`: its key and place.
pub(super) fn pack_at(
    kind: &ProblemKind,
    first: &Field<PackUnits>,
    further: &Field<List<PackSection>>,
) -> Option<(usize, &'static str, Place)> {
    let items = &further.given()?.items;
    let (item, field) = match kind {
        ProblemKind::DuplicatePack(name) => {
            (items.iter().rfind(|item| item.value.name.given() == Some(name))?, "name")
        }
        ProblemKind::PackTooSmall { pack, .. } => {
            let is_it = |field: &Field<PackUnits>| field.given().is_some_and(|units| units.0 == *pack);
            if is_it(first) {
                return None;
            }
            (items.iter().find(|item| is_it(&item.value.pack))?, "pack")
        }
        _ => return None,
    };
    Some((item.index, field, item.value.place_of(field)))
}

/// A paid service without a price is told so anyway, and one that sells nothing at all that it needs no meter.
fn needs_price(service: &ServiceSection) -> bool {
    let routes = service.routes.given().into_iter().flat_map(|list| &list.items);
    let sells_below = routes
        .map(|route| &route.value.access)
        .any(|access| access.is_faulty() || access.given().is_some_and(|access| *access != AccessMode::Free));
    let is_open = match service.access.given() {
        Some(AccessMode::Shadow) => true,
        Some(AccessMode::Free) => sells_below,
        Some(AccessMode::Paid) | None => false,
    };
    is_open && service.price.place().is_none()
}

/// The packs of a section: the one of its own price first.
fn packs(
    pack: &Field<PackUnits>,
    price: &Field<MilliSat>,
    further: &Field<List<PackSection>>,
) -> Option<Vec<Pack>> {
    let units = |field: &Field<PackUnits>| field.given().map_or(Units::MAX, |units| units.0);
    let first = Pack {
        name: Name::try_from(FIRST_PACK).ok()?,
        units: units(pack),
        price: price.given().copied().unwrap_or(SOME_PRICE),
    };
    let further = further.given().into_iter().flat_map(|list| &list.items).map(|item| {
        let section = &item.value;
        let unread = || Name::try_from(format!("0000000000000000-unread-{}", item.index).as_str()).ok();
        Some(Pack {
            name: section.name.given().cloned().or_else(unread)?,
            units: units(&section.pack),
            price: section.price.given().map_or(SOME_PRICE, |price| price.0),
        })
    });
    std::iter::once(Some(first)).chain(further).collect()
}

/// The rule of a section whose keys fit each other.
fn rule(section: &CostSection, packs: &[Pack]) -> Option<CostRule> {
    let max = section.max.given().map(|units| units.0);
    if section.header.given().is_some() {
        return Some(CostRule::Header { max: max? });
    }
    if let Some(path) = section.json.given() {
        return Some(CostRule::Json { path: path.clone(), max: max? });
    }
    if let Some(path) = section.sse.given() {
        let floor_per_event = or_absent(&section.floor, |floor| floor.0, Units::ONE)?;
        return Some(CostRule::Events { path: path.clone(), max: max?, floor_per_event });
    }
    if let Some(of) = section.bytes.given() {
        let per_unit = or_absent(&section.per, |per| per.0, 1)?;
        let step = or_absent(&section.step, |step| step.0, usual_step(STEP_BYTES / per_unit, packs))?;
        return Some(CostRule::Bytes { of: *of, per_unit, step });
    }
    let secs_per_unit = u64::from(section.time.given()?.0);
    let step = or_absent(&section.step, |step| step.0, usual_step(STEP_SECS / secs_per_unit, packs))?;
    Some(CostRule::Time { secs_per_unit, step })
}

/// So many units, at least one, and no more than each pack has.
fn usual_step(units: u64, packs: &[Pack]) -> Units {
    let units = Units::new(units).unwrap_or(Units::MAX).max(Units::ONE);
    packs.iter().map(|pack| pack.units).fold(units, Units::min)
}

/// The value of a key, or what its absence means; `None` where it could not be read.
fn or_absent<T, V>(field: &Field<T>, value: impl FnOnce(&T) -> V, absent: V) -> Option<V> {
    if field.place().is_none() { Some(absent) } else { field.given().map(value) }
}

/// The keys of a section that say where the cost is found.
fn given_sources(section: &CostSection) -> Vec<&'static str> {
    let sources = [
        ("header", section.header.place()),
        ("json", section.json.place()),
        ("sse", section.sse.place()),
        ("bytes", section.bytes.place()),
        ("time", section.time.place()),
    ];
    sources.into_iter().filter(|(_, place)| place.is_some()).map(|(name, _)| name).collect()
}

/// Where one of the further keys stands, if it does.
fn key_place(section: &CostSection, name: &str) -> Option<Place> {
    match name {
        "max" => section.max.place(),
        "floor" => section.floor.place(),
        "per" => section.per.place(),
        "step" => section.step.place(),
        _ => None,
    }
}

fn charging(section: &MeterSection) -> Charging {
    let usual = Charging::default();
    Charging {
        on_error: section.on_error.given().copied().unwrap_or(usual.on_error),
        on_client_error: section.on_client_error.given().copied().unwrap_or(usual.on_client_error),
        on_cut: section.on_cut.given().copied().unwrap_or(usual.on_cut),
        on_abort: section.on_abort.given().copied().unwrap_or(usual.on_abort),
        on_not_modified: section.on_not_modified.given().copied().unwrap_or(usual.on_not_modified),
        on_head: section.on_head.given().copied().unwrap_or(usual.on_head),
    }
}

fn idempotency(section: &IdempotencySection) -> Option<Idempotency> {
    Some(Idempotency {
        keep_secs: u64::from(section.keep.given()?.0),
        answer_bytes_max: section.answer.given()?.0,
        request_bytes_max: section.request.given()?.0,
    })
}

fn below(steps: &[Step], name: &str) -> Vec<Step> {
    [steps, &[key(name)]].concat()
}
