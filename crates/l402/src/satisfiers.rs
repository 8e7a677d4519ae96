//! The conditions that one service knows, and whose every other condition is.

use crate::{Name, Satisfier};
use std::{collections::HashSet, fmt, sync::Arc};

/// What becomes of a condition that is neither known nor inside a namespace of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum UnknownCaveats {
    /// Skipped and counted: the protocol text says that a verifier must skip them.
    #[default]
    Skip,
    /// Refused: a restriction that nobody checks is none.
    Refuse,
}

/// Names of all configured services. `services` and every condition that starts with one of these names and `_` are
/// ours, so an unknown one among them is a restriction we fail to understand. Cheap to clone: one set serves the
/// [`Satisfiers`] of all services.
#[derive(Clone, Debug, Default)]
pub struct Namespaces(Arc<HashSet<Name>>);

/// The caveats that one service can judge. Built once, then only read.
pub struct Satisfiers {
    service: Name,
    /// Conditions in the service's own namespace.
    own: Vec<(String, OwnRule)>,
    constraint_count: usize,
    is_metered: bool,
    custom: Vec<Box<dyn Satisfier>>,
    namespaces: Namespaces,
    unknown: UnknownCaveats,
}

enum OwnRule {
    ValidUntil,
    Capabilities,
    Units,
    /// Every token of the service has to carry it with this value.
    Constraint(String),
}

/// Collects what [`Satisfiers`] are made of; see [`Satisfiers::builder`].
#[must_use = "nothing is judged until `build` is called"]
pub struct SatisfiersBuilder(Satisfiers);

/// Whose a condition is.
pub(crate) enum Rule<'s> {
    Services,
    Capabilities,
    ValidUntil,
    Units,
    /// The value that the configuration demands.
    Constraint(&'s str),
    Custom(&'s dyn Satisfier),
    /// Compared with the credential's preimage when the credential was read.
    Preimage,
    /// A standard condition of another configured service: it restricts only that one.
    Elsewhere,
    /// A common slip for `<service>_valid_until`. As a foreign condition it would be ignored in silence.
    Misspelt,
    /// Inside a namespace of ours, and nothing we know.
    Unknown,
    /// Somebody else's condition.
    Foreign,
}

impl Satisfiers {
    /// Starts with the conditions every service has: `services`, `<service>_capabilities`, `<service>_valid_until`,
    /// `<service>_units`.
    pub fn builder(service: Name) -> SatisfiersBuilder {
        SatisfiersBuilder(Self {
            own: vec![
                (standard(&service, "valid_until"), OwnRule::ValidUntil),
                (standard(&service, "capabilities"), OwnRule::Capabilities),
                (standard(&service, "units"), OwnRule::Units),
            ],
            constraint_count: 0,
            is_metered: false,
            custom: Vec::new(),
            namespaces: Namespaces::default(),
            unknown: UnknownCaveats::default(),
            service,
        })
    }

    /// The service that these caveats are judged for.
    pub fn service(&self) -> &Name {
        &self.service
    }

    /// What becomes of foreign conditions.
    pub fn unknown_caveats(&self) -> UnknownCaveats {
        self.unknown
    }

    /// Whether the service is sold by the unit.
    pub(crate) fn is_metered(&self) -> bool {
        self.is_metered
    }

    /// How many constraints a token has to carry.
    pub(crate) fn constraint_count(&self) -> usize {
        self.constraint_count
    }

    pub(crate) fn rule(&self, condition: &str) -> Rule<'_> {
        match condition {
            "services" => return Rule::Services,
            "preimage" => return Rule::Preimage,
            "valid_until" | "expires" => return Rule::Misspelt,
            _ => {}
        }
        if let Some((_, own)) = self.own.iter().find(|(known, _)| known == condition) {
            return match own {
                OwnRule::ValidUntil => Rule::ValidUntil,
                OwnRule::Capabilities => Rule::Capabilities,
                OwnRule::Units => Rule::Units,
                OwnRule::Constraint(value) => Rule::Constraint(value),
            };
        }
        if let Some(custom) = self.custom.iter().find(|custom| custom.condition() == condition) {
            return Rule::Custom(custom.as_ref());
        }
        match self.owner(condition) {
            Some((owner, "capabilities" | "valid_until" | "units")) if owner != self.service.as_str() => {
                Rule::Elsewhere
            }
            Some(_) => Rule::Unknown,
            None => Rule::Foreign,
        }
    }

    /// The configured service that a condition belongs to, and the rest of the condition. Where both `a` and `a_b`
    /// are services, `a_b_x` belongs to the longer name.
    fn owner<'c>(&self, condition: &'c str) -> Option<(&'c str, &'c str)> {
        let is_ours = |name: &str| name == self.service.as_str() || self.namespaces.0.contains(name);
        condition
            .rmatch_indices('_')
            .map(|(at, _)| (&condition[..at], &condition[at + 1..]))
            .find(|(name, _)| name.len() <= Name::MAX_LEN && is_ours(name))
    }
}

impl fmt::Debug for Satisfiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = self.own.iter().map(|(condition, _)| condition.as_str());
        let custom = self.custom.iter().map(|custom| custom.condition());
        f.debug_struct("Satisfiers")
            .field("service", &self.service)
            .field("own", &own.collect::<Vec<_>>())
            .field("custom", &custom.collect::<Vec<_>>())
            .field("unknown", &self.unknown)
            .finish_non_exhaustive()
    }
}

impl SatisfiersBuilder {
    /// Demands `<service>_<name>=<value>` of every token: one without it, or with another value, opens nothing.
    #[expect(clippy::needless_pass_by_value, reason = "a builder takes its parts")]
    pub fn constraint(mut self, name: Name, value: impl Into<String>) -> Self {
        let condition = standard(&self.0.service, name.as_str());
        self.0.own.push((condition, OwnRule::Constraint(value.into())));
        self.0.constraint_count += 1;
        self
    }

    /// Demands units of every token: the service is sold by the unit.
    pub fn metered(mut self, is_metered: bool) -> Self {
        self.0.is_metered = is_metered;
        self
    }

    /// Adds a condition of the operator's own. It is judged where it occurs and demanded of no token.
    pub fn custom(mut self, satisfier: Box<dyn Satisfier>) -> Self {
        self.0.custom.push(satisfier);
        self
    }

    /// Names all configured services; this one is always among them.
    pub fn namespaces(mut self, services: impl Into<Namespaces>) -> Self {
        self.0.namespaces = services.into();
        self
    }

    /// Decides about foreign conditions; skipped by default.
    pub fn unknown(mut self, unknown: UnknownCaveats) -> Self {
        self.0.unknown = unknown;
        self
    }

    /// The finished registry. Conditions that a longer configured name claims are that service's: where both `a` and
    /// `a_b` are services, `a_b_region` is never a condition of `a`.
    pub fn build(self) -> Satisfiers {
        let mut satisfiers = self.0;
        let own = std::mem::take(&mut satisfiers.own);
        let is_ours = |condition: &str| {
            satisfiers.owner(condition).is_some_and(|(owner, _)| owner == satisfiers.service.as_str())
        };
        satisfiers.own = own.into_iter().filter(|(condition, _)| is_ours(condition)).collect();
        satisfiers
    }
}

impl FromIterator<Name> for Namespaces {
    fn from_iter<I: IntoIterator<Item = Name>>(names: I) -> Self {
        Self(Arc::new(names.into_iter().collect()))
    }
}

impl From<Vec<Name>> for Namespaces {
    fn from(names: Vec<Name>) -> Self {
        names.into_iter().collect()
    }
}

/// The condition `<service>_<suffix>`.
pub(crate) fn standard(service: &Name, suffix: &str) -> String {
    format!("{service}_{suffix}")
}
