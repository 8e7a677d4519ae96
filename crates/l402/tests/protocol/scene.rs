//! A seller with one key and a service `weather`, and what buyers of it hold.

use l402::{
    Access, ClearError, Credential, CredentialError, Identifier, Macaroon, Name, Permit, Preimage, RootKey,
    RootKeys, Satisfiers, SatisfiersBuilder, TokenId, VerifiedToken, verify,
};

/// The present.
pub(crate) const NOW: u64 = 1_700_000_000;

/// One root key for every token. How keys are derived is no concern of these tests.
pub(crate) struct OneKey;

impl RootKeys for OneKey {
    fn root_key(&self, _id: &Identifier) -> Option<RootKey> {
        Some(key())
    }
}

pub(crate) fn key() -> RootKey {
    RootKey::from_bytes([1; 32])
}

pub(crate) fn preimage() -> Preimage {
    Preimage::from_bytes([2; 32])
}

pub(crate) fn identifier() -> Identifier {
    Identifier { payment_hash: preimage().payment_hash(), token_id: TokenId::from_bytes([3; 32]) }
}

pub(crate) fn name(text: &str) -> Name {
    text.try_into().unwrap()
}

/// A token of ours with these caveats, whatever they are.
pub(crate) fn token(caveats: &[&str]) -> Macaroon {
    Macaroon::mint(&key(), "lsat", &identifier().to_bytes(), caveats).unwrap()
}

/// Reads `Authorization` lines and `Macaroon` lines.
pub(crate) fn read(authorization: &[&str], macaroon: &[&str]) -> Result<Option<Credential>, CredentialError> {
    fn bytes<'a>(lines: &'a [&str]) -> impl Iterator<Item = &'a [u8]> {
        lines.iter().map(|line| line.as_bytes())
    }
    Credential::read(bytes(authorization), bytes(macaroon))
}

/// The token as a paying buyer presents it.
pub(crate) fn verified(token: &Macaroon) -> VerifiedToken {
    let line = l402::authorization_value(l402::OfferScheme::L402, token, &preimage());
    verify(read(&[&line], &[]).unwrap().unwrap(), &OneKey).unwrap()
}

/// A request for `weather`, tier 0, at [`NOW`].
pub(crate) fn access() -> Access<'static> {
    Access {
        service: "weather",
        tier: 0,
        capability: None,
        method: "GET",
        path: "/weather/today",
        client: None,
        now: NOW,
    }
}

/// Judges for `weather` where `weather`, `weather_pro` and `maps` are sold.
pub(crate) fn satisfiers() -> SatisfiersBuilder {
    Satisfiers::builder(name("weather")).namespaces(vec![name("weather"), name("weather_pro"), name("maps")])
}

/// The verdict on a token with these caveats.
pub(crate) fn clear(
    caveats: &[&str],
    satisfiers: &Satisfiers,
    access: &Access<'_>,
) -> Result<Permit, ClearError> {
    l402::clear(&verified(&token(caveats)), satisfiers, access)
}
