//! Judging the caveats of a verified token for one request.

use crate::{
    Access, Caveat, CaveatFault, Identifier, Name, PaymentHash, Satisfier, Satisfiers, TokenId,
    UnknownCaveats, VerifiedToken, encoding::canonical_u64, name::is_name, satisfiers::Rule,
};
use l402_macaroon::MacaroonRef;

/// Most units that anything is counted in: what every store can hold.
const UNITS_MAX: u64 = i64::MAX.unsigned_abs();

/// Evidence that a verified token allows one request. Only [`clear`] makes it.
#[derive(Clone, Debug)]
pub struct Permit {
    identifier: Identifier,
    service: Name,
    tier: u64,
    capability: Option<Box<str>>,
    expires_at: Option<u64>,
    unknown_caveats: u32,
    units: Option<u64>,
    budgets: Box<[Budget]>,
}

/// A part of a token's units that its holder delegated: all copies that share the caveat, and everything before it, may
/// spend so many together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Its name. Not secret.
    pub key: [u8; 32],
    /// How many units.
    pub units: u64,
}

/// Why a verified token does not allow a request. Complete: each variant is one answer on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClearError {
    /// The token is not for this service, or for none at all. Another purchase would help.
    #[error("the token is for another service")]
    WrongService,
    /// The token is for another tier of the service. Another purchase would help.
    #[error("the token is for another tier")]
    WrongTier,
    /// The token's time is over. Another purchase would help.
    #[error("the token has expired")]
    Expired,
    /// The token lacks the capability that the route asks for. Another purchase would help.
    #[error("the token lacks the capability for this route")]
    CapabilityMissing,
    /// A configured or custom constraint is absent or does not allow the request. Another purchase would help.
    #[error("a constraint of the token does not allow this request")]
    Constraint,
    /// The service is sold by the unit, and the token was sold without any. Another purchase would help.
    #[error("the token was not sold by the unit")]
    NotMetered,
    /// The token was sold by the unit, and the service no longer is. Another purchase would help.
    #[error("the token was sold by the unit, and the service no longer is")]
    Metered,
    /// A condition in our namespaces that we do not know, or a foreign one where these are refused. Another purchase
    /// would help.
    #[error("the token has a caveat that is not known here")]
    UnknownCaveat,
    /// A caveat cannot be read. The holder's fault: buying again would not help.
    #[error("a caveat of the token cannot be read")]
    Undecodable,
    /// A caveat allows what an earlier one does not. The holder's fault: buying again would not help.
    #[error("a caveat of the token widens an earlier one")]
    Widened,
}

/// Judges every caveat of `token`: all have to hold, and each may only narrow what the ones before it of the same
/// condition allow. Absent is not allowed: without `services`, without a demanded constraint, or without the
/// capability that the route asks for, the answer is no. Allocates nothing, except for a capability.
///
/// `access.service` has to be the service that `satisfiers` were built for; anything else is
/// [`ClearError::WrongService`].
pub fn clear(
    token: &VerifiedToken,
    satisfiers: &Satisfiers,
    access: &Access<'_>,
) -> Result<Permit, ClearError> {
    if access.service != satisfiers.service().as_str() {
        return Err(ClearError::WrongService);
    }
    let mut clearance = Clearance::new(token, satisfiers, access);
    for (index, caveat) in token.macaroon().caveats().enumerate() {
        let caveat = Caveat::parse(caveat.identifier).map_err(|_| ClearError::Undecodable)?;
        clearance.judge(index, &caveat)?;
    }
    clearance.require_presence()?;
    Ok(Permit {
        identifier: *token.identifier(),
        service: satisfiers.service().clone(),
        tier: access.tier,
        capability: access.capability.map(Box::from),
        expires_at: clearance.valid_until,
        unknown_caveats: clearance.unknown_caveats,
        units: clearance.units,
        budgets: clearance.budgets.into(),
    })
}

impl Permit {
    /// The token's name for limits, ledgers and revocation.
    pub fn token_id(&self) -> TokenId {
        self.identifier.token_id
    }

    /// The invoice whose payment made the token good.
    pub fn payment_hash(&self) -> PaymentHash {
        self.identifier.payment_hash
    }

    /// The service that the request may use.
    pub fn service(&self) -> &str {
        self.service.as_str()
    }

    /// The same, as a name.
    pub fn service_name(&self) -> &Name {
        &self.service
    }

    /// The tier of the service that was bought.
    pub fn tier(&self) -> u64 {
        self.tier
    }

    /// The capability that the route asked for and the token has.
    pub fn capability(&self) -> Option<&str> {
        self.capability.as_deref()
    }

    /// When the token ends, in seconds since 1970; the request has to be before that. `None`: never.
    pub fn expires_at(&self) -> Option<u64> {
        self.expires_at
    }

    /// The units that were bought with the token; `None` where the service is not metered.
    pub fn units(&self) -> Option<u64> {
        self.units
    }

    /// The budgets that its holders delegated, each within the one before.
    pub fn budgets(&self) -> &[Budget] {
        &self.budgets
    }

    /// How many foreign caveats were skipped.
    pub fn unknown_caveats(&self) -> u32 {
        self.unknown_caveats
    }
}

impl From<CaveatFault> for ClearError {
    fn from(fault: CaveatFault) -> Self {
        match fault {
            CaveatFault::Undecodable => Self::Undecodable,
            CaveatFault::Widened => Self::Widened,
            CaveatFault::Unmet => Self::Constraint,
        }
    }
}

/// What the caveats up to here have allowed.
struct Clearance<'t> {
    token: &'t VerifiedToken,
    macaroon: MacaroonRef<'t>,
    satisfiers: &'t Satisfiers,
    access: &'t Access<'t>,
    services: Option<&'t str>,
    capabilities: Option<&'t str>,
    valid_until: Option<u64>,
    constraints_met: usize,
    unknown_caveats: u32,
    units: Option<u64>,
    budgets: Vec<Budget>,
}

impl<'t> Clearance<'t> {
    fn new(token: &'t VerifiedToken, satisfiers: &'t Satisfiers, access: &'t Access<'t>) -> Self {
        Self {
            token,
            macaroon: token.macaroon(),
            satisfiers,
            access,
            services: None,
            capabilities: None,
            valid_until: None,
            constraints_met: 0,
            unknown_caveats: 0,
            units: None,
            budgets: Vec::new(),
        }
    }

    fn judge(&mut self, index: usize, caveat: &Caveat<'t>) -> Result<(), ClearError> {
        match self.satisfiers.rule(caveat.condition) {
            Rule::Services => self.judge_services(caveat.value),
            Rule::Capabilities => self.judge_capabilities(caveat.value),
            Rule::ValidUntil => self.judge_valid_until(caveat.value),
            Rule::Units => self.judge_units(index, caveat.value),
            Rule::Constraint(demanded) => self.judge_constraint(index, caveat, demanded),
            Rule::Custom(satisfier) => self.judge_custom(index, caveat, satisfier),
            Rule::Preimage | Rule::Elsewhere => Ok(()),
            Rule::Misspelt => Err(ClearError::Undecodable),
            Rule::Unknown => Err(ClearError::UnknownCaveat),
            Rule::Foreign => match self.satisfiers.unknown_caveats() {
                UnknownCaveats::Refuse => Err(ClearError::UnknownCaveat),
                UnknownCaveats::Skip => {
                    self.unknown_caveats += 1;
                    Ok(())
                }
            },
        }
    }

    /// `name:tier,name:tier`; at least one.
    fn judge_services(&mut self, value: &'t str) -> Result<(), ClearError> {
        let (mut has_service, mut has_tier) = (false, false);
        for entry in entries(value) {
            let colon = entry.iter().position(|&byte| byte == b':').ok_or(ClearError::Undecodable)?;
            let (service, tier) = (&entry[..colon], &entry[colon + 1..]);
            let tier = canonical_u64(tier).ok_or(ClearError::Undecodable)?;
            if !is_name(service) {
                return Err(ClearError::Undecodable);
            }
            let is_service = service == self.access.service.as_bytes();
            has_service |= is_service;
            has_tier |= is_service && tier == self.access.tier;
        }
        require_subset(self.services.replace(value), value)?;
        match (has_service, has_tier) {
            (_, true) => Ok(()),
            (true, false) => Err(ClearError::WrongTier),
            (false, false) => Err(ClearError::WrongService),
        }
    }

    /// `name,name`; empty means none.
    fn judge_capabilities(&mut self, value: &'t str) -> Result<(), ClearError> {
        if !value.is_empty() && !entries(value).all(is_name) {
            return Err(ClearError::Undecodable);
        }
        require_subset(self.capabilities.replace(value), value)?;
        match self.access.capability {
            Some(needed) if !entries(value).any(|name| name == needed.as_bytes()) => {
                Err(ClearError::CapabilityMissing)
            }
            _ => Ok(()),
        }
    }

    /// Seconds since 1970; good before that second.
    fn judge_valid_until(&mut self, value: &str) -> Result<(), ClearError> {
        let until = canonical_u64(value.as_bytes()).ok_or(ClearError::Undecodable)?;
        if self.valid_until.replace(until).is_some_and(|previous| until > previous) {
            return Err(ClearError::Widened);
        }
        if self.access.now < until { Ok(()) } else { Err(ClearError::Expired) }
    }

    /// The first caveat of the token says how many were bought, and nobody but the mint can write there. Any other one
    /// is a holder's, who delegates a part of what there is.
    fn judge_units(&mut self, index: usize, value: &str) -> Result<(), ClearError> {
        let units = canonical_u64(value.as_bytes()).filter(|units| *units <= UNITS_MAX);
        let units = units.ok_or(ClearError::Undecodable)?;
        if !self.satisfiers.is_metered() {
            return Err(if index == 0 { ClearError::Metered } else { ClearError::UnknownCaveat });
        }
        if index == 0 {
            self.units = Some(units);
            return Ok(());
        }
        let left =
            self.budgets.last().map(|budget| budget.units).or(self.units).ok_or(ClearError::NotMetered)?;
        if units > left {
            return Err(ClearError::Widened);
        }
        let key = self.token.budget_at(index).ok_or(ClearError::Undecodable)?;
        self.budgets.push(Budget { key, units });
        Ok(())
    }

    /// One value is allowed, so a repetition can only say the same again.
    fn judge_constraint(
        &mut self,
        index: usize,
        caveat: &Caveat<'t>,
        demanded: &str,
    ) -> Result<(), ClearError> {
        let is_met = caveat.value == demanded;
        match self.previous(index, caveat.condition) {
            Some(_) if is_met => Ok(()),
            Some(_) => Err(ClearError::Widened),
            None if is_met => {
                self.constraints_met += 1;
                Ok(())
            }
            None => Err(ClearError::Constraint),
        }
    }

    fn judge_custom(
        &self,
        index: usize,
        caveat: &Caveat<'t>,
        satisfier: &dyn Satisfier,
    ) -> Result<(), ClearError> {
        if let Some(previous) = self.previous(index, caveat.condition) {
            satisfier.narrows(previous, caveat.value)?;
        }
        Ok(satisfier.satisfies(caveat.value, self.access)?)
    }

    /// The value of the last caveat of this condition before the one at `index`.
    fn previous(&self, index: usize, condition: &str) -> Option<&'t str> {
        let earlier = self.macaroon.caveats().take(index).map(|caveat| caveat.identifier);
        let of_condition =
            earlier.filter_map(|text| text.strip_prefix(condition.as_bytes())?.strip_prefix(b"="));
        of_condition.last().and_then(|value| str::from_utf8(value).ok())
    }

    fn require_presence(&self) -> Result<(), ClearError> {
        if self.services.is_none() {
            return Err(ClearError::WrongService);
        }
        if self.access.capability.is_some() && self.capabilities.is_none() {
            return Err(ClearError::CapabilityMissing);
        }
        if self.satisfiers.is_metered() && self.units.is_none() {
            return Err(ClearError::NotMetered);
        }
        if self.constraints_met != self.satisfiers.constraint_count() {
            return Err(ClearError::Constraint);
        }
        Ok(())
    }
}

/// Entries have one spelling each, so they are the same when their text is.
fn require_subset(previous: Option<&str>, current: &str) -> Result<(), ClearError> {
    let Some(previous) = previous else { return Ok(()) };
    let is_allowed = |entry: &[u8]| entries(previous).any(|allowed| allowed == entry);
    if current.is_empty() || entries(current).all(is_allowed) { Ok(()) } else { Err(ClearError::Widened) }
}

fn entries(list: &str) -> impl Iterator<Item = &[u8]> {
    list.as_bytes().split(|&byte| byte == b',')
}
