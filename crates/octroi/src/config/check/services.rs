//! Services: each with its upstream, and all of them together as a route table.

use super::{
    Checker, key,
    meter::{RouteMeter, pack_at},
};
use crate::config::{
    file::{ConfigFile, Cors, RouteSection, ServiceSection},
    place::{Field, Step},
    problem::{Combination, Fault},
    section::{Item, Section},
    settings::{Upstream, UpstreamTrust},
    value::Pairs,
};
use l402::{Name, UnknownCaveats};
use l402_lightning::MilliSat;
use l402_paywall::{
    AccessMode, HostPattern, PathOddities, PathPattern, ProblemKind, RouteSpec, RouteTable, ServiceSpec,
    SpecProblem, meter::MeterSpec,
};

/// Stands in for a price that could not be read, so that its absence is not reported too.
pub(super) const SOME_PRICE: MilliSat = MilliSat::from_msat(1000);

/// A service on its way to the route table.
struct Draft<'f> {
    item: &'f Item<ServiceSection>,
    spec: ServiceSpec,
    /// For each route of the spec, its item in the file.
    routes: Vec<&'f Item<RouteSection>>,
    doubt: Doubt,
}

/// The keys of a service that could not be read. A problem that may only be a consequence of one is not reported.
struct Doubt(Vec<&'static str>);

impl Checker<'_, '_> {
    pub(super) fn services(&mut self, file: &ConfigFile) -> Option<(RouteTable, Vec<Upstream>)> {
        let list = file.services.given()?;
        let mut upstreams = Vec::with_capacity(list.items.len());
        let mut drafts = Vec::with_capacity(list.items.len());
        for item in &list.items {
            let steps = [key("services"), Step::Index(item.index)];
            upstreams.push(self.upstream(&item.value, &steps));
            drafts.extend(self.draft(item, &steps));
        }
        let location = file.location.given().map_or("", |location| location.0.as_str());
        let specs = drafts.iter().map(|draft| draft.spec.clone()).collect();
        match RouteTable::build(specs, location) {
            Ok(table) => Some((table, upstreams.into_iter().collect::<Option<Vec<_>>>()?)),
            Err(problems) => {
                for problem in problems {
                    self.spec_problem(problem, &drafts);
                }
                None
            }
        }
    }

    fn spec_problem(&mut self, problem: SpecProblem, drafts: &[Draft<'_>]) {
        let Some(draft) = drafts.get(problem.service) else { return };
        if !draft.doubt.believes(problem.route, &problem.kind, drafts) {
            return;
        }
        let mut steps = vec![key("services"), Step::Index(draft.item.index)];
        let service = &draft.item.value;
        let route = problem.route.and_then(|route| draft.routes.get(route));
        let is_metered = matches!(problem.field, "pack" | "packs" | "cost" | "on_crash");
        let (mut at, pack) = match (route, service.meter.given().filter(|_| is_metered)) {
            (Some(route), _) => {
                steps.extend([key("routes"), Step::Index(route.index)]);
                let RouteSection { pack, packs, .. } = &route.value;
                (route.value.place_of(problem.field), pack_at(&problem.kind, pack, packs))
            }
            (None, Some(meter)) => {
                steps.push(key("meter"));
                (meter.place_of(problem.field), pack_at(&problem.kind, &meter.pack, &meter.packs))
            }
            (None, None) => (service.place_of(problem.field), None),
        };
        match pack {
            Some((index, field, place)) => {
                steps.extend([key("packs"), Step::Index(index), key(field)]);
                at = place;
            }
            None => steps.push(key(problem.field)),
        }
        if let ProblemKind::ReservedConstraint(name) | ProblemKind::ConstraintValue(name) = &problem.kind {
            let pairs = service.constraints.given().into_iter().flat_map(|pairs| &pairs.pairs);
            at = pairs.filter(|pair| pair.name == *name).map(|pair| pair.at).next().unwrap_or(at);
            steps.push(key(name.as_str()));
        }
        self.report(at, &steps, Fault::Service(problem.kind));
    }

    /// What the route table can be asked about the service.
    fn draft<'f>(&mut self, item: &'f Item<ServiceSection>, steps: &[Step]) -> Option<Draft<'f>> {
        let service = &item.value;
        let hosts = match &service.host {
            Field::Absent => Vec::new(),
            Field::Given(list) if list.value.0.complete => {
                list.value.0.items.iter().map(|host| host.value.clone()).collect()
            }
            Field::Given(_) | Field::Faulty(_) => vec![stand_in_host(item.index)],
        };
        let items = service.routes.given().map_or(&[][..], |list| &list.items);
        let routes: Vec<&Item<RouteSection>> = items.iter().filter(|route| is_placed(&route.value)).collect();
        let capabilities = service.capabilities.given();
        let capabilities_are_unread = service.capabilities.is_faulty()
            || capabilities.is_some_and(|list| !list.complete)
            || service.routes.is_faulty()
            || routes.len() != items.len()
            || items.iter().any(|route| route.value.capability.is_faulty());
        let on_crash_is_unread = service.meter.given().is_some_and(|meter| meter.on_crash.is_faulty());
        let unread = [
            ("name", service.name.given().is_none()),
            ("path", service.path.given().is_none()),
            ("capabilities", capabilities_are_unread),
            ("meter", service.meter.is_faulty()),
            ("on_crash", on_crash_is_unread),
        ];
        let doubt = Doubt(unread.into_iter().filter(|(_, unread)| *unread).map(|(key, _)| key).collect());
        let meter = self.meter(service, steps);
        let specs = routes
            .iter()
            .map(|route| self.route_spec(route, meter.as_ref(), steps))
            .collect::<Option<_>>()?;
        let spec = ServiceSpec {
            name: service.name.given().cloned().or_else(|| stand_in_name(item.index))?,
            hosts,
            path: service.path.given().cloned().unwrap_or_else(|| stand_in_path(item.index)),
            access: access(&service.access).unwrap_or_default(),
            price: price(&service.price),
            valid_for_secs: service.valid_for.given().map(|secs| u64::from(secs.0)),
            tier: service.tier.given().map_or(0, |tier| tier.0),
            capabilities: capabilities
                .into_iter()
                .flat_map(|list| &list.items)
                .map(|name| name.value.clone())
                .collect(),
            constraints: service.constraints.given().map(constraints).unwrap_or_default(),
            legacy_lsat: service.legacy_lsat.given().copied().unwrap_or(true),
            unknown_caveats: service.unknown_caveats.given().copied().unwrap_or(UnknownCaveats::Skip),
            cors: service.cors.given().and_then(cors),
            allow_in_path: oddities(service),
            skip_invoice: service.skip_invoice.given().copied().unwrap_or(false),
            meter,
            free_requests: service.free_requests.given().copied(),
            routes: specs,
        };
        Some(Draft { item, spec, routes, doubt })
    }

    fn route_spec(
        &mut self,
        item: &Item<RouteSection>,
        meter: Option<&MeterSpec>,
        steps: &[Step],
    ) -> Option<RouteSpec> {
        let route = &item.value;
        let steps = [steps, &[key("routes"), Step::Index(item.index)]].concat();
        let RouteMeter { cost, packs } = self.route_meter(route, meter, &steps)?;
        let price = price(&route.price);
        let methods = route.methods.given().into_iter().flat_map(|list| &list.items);
        Some(RouteSpec {
            path: route.path.given()?.clone(),
            methods: methods.map(|method| method.value.clone()).collect(),
            access: access(&route.access),
            price,
            capability: match &route.capability {
                Field::Given(name) => Some(name.value.clone()),
                Field::Faulty(_) => price.and_then(|_| stand_in_name(0)),
                Field::Absent => None,
            },
            skip_invoice: route.skip_invoice.given().copied(),
            cost,
            packs,
        })
    }

    fn upstream(&mut self, service: &ServiceSection, steps: &[Step]) -> Option<Upstream> {
        let trust = self.trust(service, steps);
        if let (Field::Given(rewrite), Some(PathPattern::Exact(_) | PathPattern::Regex(_))) =
            (&service.rewrite, service.path.given())
        {
            let steps = [steps, &[key("rewrite")]].concat();
            self.report(rewrite.at, &steps, Fault::Combination(Combination::RewriteWithoutPrefix));
        }
        let passed = service.pass_headers.given().into_iter().flat_map(|list| &list.items);
        Some(Upstream {
            url: service.upstream.given()?.clone(),
            protocol: service.upstream_protocol.given().copied(),
            trust,
            host_header: *service.host_header.given()?,
            forward_credential: *service.forward_credential.given()?,
            rewrite: service.rewrite.given().map(|prefix| prefix.0.clone()),
            pass_headers: passed.map(|name| name.value.0.clone()).collect(),
        })
    }

    fn trust(&mut self, service: &ServiceSection, steps: &[Step]) -> UpstreamTrust {
        let below = |name: &str| [steps, &[key(name)]].concat();
        let plain = service.upstream.given().is_some_and(|url| !url.tls);
        let insecure = service.insecure_tls.given() == Some(&true);
        if plain && insecure {
            let at = service.place_of("insecure_tls");
            self.report(at, &below("insecure_tls"), Fault::Combination(Combination::NotTls));
        }
        let Field::Given(path) = &service.upstream_ca else {
            return if insecure { UpstreamTrust::InsecureNone } else { UpstreamTrust::System };
        };
        let steps = below("upstream_ca");
        let authorities = self.path(&path.value.0);
        self.file(&authorities, path.at, &steps);
        if plain {
            self.report(path.at, &steps, Fault::Combination(Combination::NotTls));
        } else if insecure {
            let at = service.place_of("insecure_tls");
            self.report(at, &below("insecure_tls"), Fault::Combination(Combination::CaAndInsecure));
        }
        UpstreamTrust::Authorities(authorities)
    }
}

impl Doubt {
    /// Whether a key could be read.
    fn knows(&self, key: &str) -> bool {
        !self.0.contains(&key)
    }

    fn believes(&self, route: Option<usize>, kind: &ProblemKind, drafts: &[Draft<'_>]) -> bool {
        match kind {
            ProblemKind::DuplicateName(_) | ProblemKind::TokenTooLarge { .. } => self.knows("name"),
            ProblemKind::NamespaceCollision { shorter, longer } => {
                let is_one = |draft: &Draft<'_>| draft.spec.name == *shorter || draft.spec.name == *longer;
                drafts.iter().filter(|draft| is_one(draft)).all(|draft| draft.doubt.knows("name"))
            }
            ProblemKind::DuplicateRoute { .. } => self.knows("path") || route.is_some(),
            ProblemKind::OutsideService { .. } => self.knows("path"),
            ProblemKind::CapabilityNotSold(_) => self.knows("capabilities"),
            ProblemKind::CostWithoutMeter => self.knows("meter"),
            ProblemKind::MixedAbandoned(_) => drafts.iter().all(|draft| draft.doubt.knows("on_crash")),
            _ => true,
        }
    }
}

/// Whether it is known which requests a route covers.
fn is_placed(route: &RouteSection) -> bool {
    let methods = route.methods.given().map_or(!route.methods.is_faulty(), |list| list.complete);
    methods && route.path.given().is_some()
}

/// An access that could not be read is taken as the one that needs no price.
fn access(field: &Field<AccessMode>) -> Option<AccessMode> {
    if field.is_faulty() { Some(AccessMode::Shadow) } else { field.given().copied() }
}

fn price(field: &Field<MilliSat>) -> Option<MilliSat> {
    if field.is_faulty() { Some(SOME_PRICE) } else { field.given().copied() }
}

fn constraints(pairs: &Pairs) -> Vec<(Name, String)> {
    pairs.pairs.iter().map(|pair| (pair.name.clone(), pair.value.clone())).collect()
}

fn cors(cors: &Cors) -> Option<l402_paywall::Cors> {
    match cors {
        Cors::Any(true) => Some(l402_paywall::Cors::Any),
        Cors::Any(false) => None,
        Cors::Section(section) => {
            let origins = section.origins.given()?.items.iter().map(|origin| origin.value.0.clone());
            Some(l402_paywall::Cors::Origins(origins.collect()))
        }
    }
}

fn oddities(service: &ServiceSection) -> PathOddities {
    let list = service.allow_in_path.given().into_iter().flat_map(|list| &list.items);
    list.fold(PathOddities::NONE, |all, oddity| all.union(oddity.value.0))
}

/// A name that nobody would choose, in place of one that could not be read.
fn stand_in_name(index: usize) -> Option<Name> {
    Name::try_from(format!("0000000000000000-unread-{index}").as_str()).ok()
}

/// A host that nobody has (RFC 6761 section 6.4).
fn stand_in_host(index: usize) -> HostPattern {
    HostPattern::Exact(format!("unread-{index}.invalid"))
}

/// A path that no request has.
fn stand_in_path(index: usize) -> PathPattern {
    PathPattern::Exact(format!("/\0{index}"))
}
