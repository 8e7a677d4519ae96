//! Making a token that says what was bought, and nothing more.

use crate::{Caveat, Identifier, Name, RootKey, encoding::canonical_u64, satisfiers::standard};
use l402_macaroon::{LimitError, Limits, Macaroon, MacaroonRef};

/// Longest token that [`mint`] makes, in bytes. The token goes out three times in one 402, and the header block of
/// that answer has to stay below 4,000 bytes: nginx in front, with its default buffers, refuses more.
pub const MAX_MINTED_BYTES: usize = 450;

/// What a token is to allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSpec {
    /// The service.
    pub service: Name,
    /// Its tier.
    pub tier: u64,
    /// Capabilities; none is a restriction too.
    pub capabilities: Vec<Name>,
    /// Further restrictions, minted in this order as `<service>_<name>=<value>`.
    pub constraints: Vec<(Name, String)>,
    /// Units that the payment buys, where the service is metered.
    pub units: Option<u64>,
    /// First second at which the token is no longer good, counted from 1970; `None`: it does not expire.
    pub valid_until: Option<u64>,
}

/// Why no token was made. The caller's configuration is at fault, never a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// The token would have this many bytes, more than [`MAX_MINTED_BYTES`].
    #[error("the token would have {0} bytes, more than {MAX_MINTED_BYTES}")]
    TooLong(usize),
    /// The caveats would exceed what is accepted back.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// A constraint has the name of a standard condition, or ends in one.
    #[error("a constraint has the name of a standard condition")]
    ReservedConstraint,
    /// Two constraints have the same name.
    #[error("two constraints have the same name")]
    RepeatedConstraint,
    /// What was asked for cannot be read out of the token that was made.
    #[error("a restriction is missing from the token that was made")]
    RestrictionMissing,
}

/// Makes the token for `identifier`, with the caveats in this order: `<service>_units` where the service is metered,
/// `services`, `<service>_capabilities`, constraints, `<service>_valid_until`.
///
/// The units come first because that place can only be written by whoever has the root key: holders append, and a holder
/// who appends units to a token that was sold without any must not be believed.
///
/// The token is decoded again before it is handed out: unless it verifies and every restriction of `spec` can be
/// read from it, there is no token.
pub fn mint(
    key: &RootKey,
    location: &str,
    identifier: &Identifier,
    spec: &TokenSpec,
) -> Result<Macaroon, MintError> {
    spec.check_constraint_names()?;
    let size = minted_size(location, spec);
    if size > MAX_MINTED_BYTES {
        return Err(MintError::TooLong(size));
    }
    let token = Macaroon::mint(key, location, &identifier.to_bytes(), spec.caveats())?;
    let decoded = MacaroonRef::parse(token.as_bytes(), &Limits::default());
    let is_whole = decoded.is_ok_and(|token| {
        token.verify(key).is_ok()
            && Identifier::parse(token.identifier()) == Ok(*identifier)
            && spec.is_written_in(&token)
    });
    if is_whole { Ok(token) } else { Err(MintError::RestrictionMissing) }
}

/// How many bytes a token for `spec` has. The identifier's length is fixed, so a configuration can be refused before
/// anything is sold. For `valid_until` any date of our time will do.
pub fn minted_size(location: &str, spec: &TokenSpec) -> usize {
    Macaroon::encoded_len(location, Identifier::LEN, spec.caveats().iter().map(String::len))
}

impl TokenSpec {
    fn caveats(&self) -> Vec<String> {
        let service = &self.service;
        let capabilities: Vec<&str> = self.capabilities.iter().map(Name::as_str).collect();
        let mut caveats = Vec::with_capacity(4 + self.constraints.len());
        caveats.extend(self.units.map(|units| format!("{service}_units={units}")));
        caveats.push(format!("services={service}:{}", self.tier));
        caveats.push(format!("{service}_capabilities={}", capabilities.join(",")));
        caveats.extend(self.constraints.iter().map(|(name, value)| format!("{service}_{name}={value}")));
        caveats.extend(self.valid_until.map(|until| format!("{service}_valid_until={until}")));
        caveats
    }

    fn check_constraint_names(&self) -> Result<(), MintError> {
        for (index, (name, _)) in self.constraints.iter().enumerate() {
            let is_standard =
                |suffix: &str| name.as_str().strip_suffix(suffix).is_some_and(ends_like_a_service);
            if is_standard("capabilities") || is_standard("valid_until") || is_standard("units") {
                return Err(MintError::ReservedConstraint);
            }
            if self.constraints[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(MintError::RepeatedConstraint);
            }
        }
        Ok(())
    }

    /// Reads the restrictions back, from the text and not from [`Self::caveats`].
    fn is_written_in(&self, token: &MacaroonRef<'_>) -> bool {
        let value_of = |condition: &str| {
            let mut values = token
                .caveats()
                .filter_map(|caveat| Caveat::parse(caveat.identifier).ok())
                .filter(|caveat| caveat.condition == condition)
                .map(|caveat| caveat.value);
            let only = values.next();
            if values.next().is_some() { None } else { only }
        };
        let own = |suffix: &str| standard(&self.service, suffix);

        let services = value_of("services").and_then(|value| value.split_once(':'));
        let has_service = services.is_some_and(|(name, tier)| {
            name == self.service.as_str() && canonical_u64(tier.as_bytes()) == Some(self.tier)
        });
        let has_capabilities = value_of(&own("capabilities")).is_some_and(|value| {
            let mut names = value.split(',').filter(|name| !name.is_empty());
            names.by_ref().eq(self.capabilities.iter().map(Name::as_str))
        });
        let has_constraints = (self.constraints.iter())
            .all(|(name, value)| value_of(&own(name.as_str())) == Some(value.as_str()));
        let has_expiry = value_of(&own("valid_until")).map(|until| canonical_u64(until.as_bytes()))
            == self.valid_until.map(Some);
        let has_units = value_of(&own("units")).map(|units| canonical_u64(units.as_bytes()))
            == self.units.map(Some)
            && (self.units.is_none() || first_condition(token) == Some(own("units").as_str()));
        let optional = usize::from(self.valid_until.is_some()) + usize::from(self.units.is_some());
        let is_all = token.caveat_count() == 2 + self.constraints.len() + optional;
        has_service && has_capabilities && has_constraints && has_expiry && has_units && is_all
    }
}

fn first_condition<'t>(token: &MacaroonRef<'t>) -> Option<&'t str> {
    Some(Caveat::parse(token.caveats().next()?.identifier).ok()?.condition)
}

/// Whether the text before a standard suffix is empty or could be the end of a service's name: `<service>_b_valid_until`
/// reads as a standard condition of a service `<service>_b`.
fn ends_like_a_service(prefix: &str) -> bool {
    prefix.is_empty() || prefix.ends_with('_')
}
