//! The L402 protocol: tokens that are good once a Lightning invoice is paid.
//!
//! A server answers `402 Payment Required` with a macaroon and an invoice. Paying the invoice reveals its preimage, and
//! macaroon and preimage together are the credential. Both sides are here, and nothing else: no I/O, no HTTP library,
//! no node, no clock, no randomness.
//!
//! # Selling
//!
//! What a request presents becomes evidence in three steps, each of which takes what only the one before can make:
//! [`Credential`] (well-formed, proves nothing), [`VerifiedToken`] (minted with our key, and paid), [`Permit`] (and its
//! caveats allow this request).
//!
//! ```
//! use l402::*;
//!
//! struct Keys; // in earnest: derived from a master key and the identifier
//! impl RootKeys for Keys {
//!     fn root_key(&self, _id: &Identifier) -> Option<RootKey> {
//!         Some(RootKey::from_bytes([1; 32]))
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let weather = Name::try_from("weather")?;
//! let preimage = Preimage::from_bytes([2; 32]); // known to the node, until somebody pays
//! let identifier =
//!     Identifier { payment_hash: preimage.payment_hash(), token_id: TokenId::from_bytes([3; 32]) };
//! let spec = TokenSpec {
//!     service: weather.clone(),
//!     tier: 0,
//!     capabilities: vec![],
//!     constraints: vec![],
//!     units: None,
//!     valid_until: Some(1_700_003_600),
//! };
//! let key = Keys.root_key(&identifier).ok_or("no key")?;
//! let challenge =
//!     Challenge { token: mint(&key, "lsat", &identifier, &spec)?, invoice: "lnbcrt1...".replace('.', "") };
//!
//! // The buyer reads the challenge, pays, and comes back.
//! let lines = [challenge.lsat_value(), challenge.l402_value()];
//! let offers = read_challenges(lines.iter().map(String::as_bytes));
//! let offer = offers.into_iter().flatten().next().ok_or("no offer")?;
//! let line = authorization_value(offer.scheme, &offer.token, &preimage);
//!
//! // The seller checks what it gets.
//! let satisfiers = Satisfiers::builder(weather).build();
//! let access = Access {
//!     service: "weather",
//!     tier: 0,
//!     capability: None,
//!     method: "GET",
//!     path: "/weather/today",
//!     client: None,
//!     now: 1_700_000_000,
//! };
//! let credential = Credential::read([line.as_bytes()].into_iter(), std::iter::empty())?.ok_or("none")?;
//! let token = verify(credential, &Keys)?;
//! let permit = clear(&token, &satisfiers, &access)?;
//! assert_eq!(permit.expires_at(), Some(1_700_003_600));
//! # Ok(())
//! # }
//! ```
//!
//! Evidence cannot be made up: the fields are private, and no other function returns it.
//!
//! ```compile_fail,E0451
//! // error: a verified token comes from `verify` only
//! fn forged(macaroon: l402::Macaroon, identifier: l402::Identifier) -> l402::VerifiedToken {
//!     l402::VerifiedToken { macaroon, identifier, scheme: l402::Scheme::L402 }
//! }
//! ```
//!
//! ```compile_fail,E0308
//! // error: caveats are judged on a verified token, not on a credential
//! fn hasty(c: l402::Credential, s: &l402::Satisfiers, a: &l402::Access<'_>) {
//!     let _ = l402::clear(&c, s, a);
//! }
//! ```
//!
//! ```compile_fail,E0451
//! // error: a permit comes from `clear` only
//! fn granted(permit: l402::Permit) -> l402::Permit {
//!     l402::Permit { tier: 9, ..permit }
//! }
//! ```
//!
//! ```compile_fail,E0451
//! // error: a credential is read from header lines only
//! fn assembled(macaroon: l402::Macaroon, preimage: l402::Preimage) -> l402::Credential {
//!     l402::Credential { macaroon, preimage, ..unreachable!() }
//! }
//! ```
//!
//! # Rules
//!
//! - Every value has one spelling: tokens, base64, numbers, names. What could be read in two ways is refused.
//! - Restrictions only narrow. All caveats of a condition have to hold, and none may allow what an earlier one does not.
//! - What is missing is not allowed: a token without `services` opens nothing.
//! - Errors are closed enums, one per step, so that each cause can have its own answer.
//! - Secrets print as `..`, are overwritten on drop and compared in constant time.

mod caveat;
mod challenge;
mod clear;
mod credential;
mod encoding;
mod field;
mod identifier;
mod mint;
mod name;
mod payment;
mod satisfier;
mod satisfiers;
mod verify;

pub use caveat::{Caveat, CaveatError};
pub use challenge::{
    Challenge, ChallengeError, Offer, OfferScheme, authorization_value, metadata_value, read_challenges,
};
pub use clear::{Budget, ClearError, Permit, clear};
pub use credential::{Credential, CredentialError, Scheme, application_authorization, is_l402_authorization};
pub use identifier::{EpochId, Identifier, IdentifierError, TokenId};
pub use l402_macaroon::{
    CaveatRef, Caveats, DecodeError, LimitError, Limits, Macaroon, MacaroonRef, RootKey,
};
pub use mint::{MAX_MINTED_BYTES, MintError, TokenSpec, mint, minted_size};
pub use name::{Name, NameError};
pub use payment::{HexError, PaymentHash, Preimage};
pub use satisfier::{Access, CaveatFault, Satisfier};
pub use satisfiers::{Namespaces, Satisfiers, SatisfiersBuilder, UnknownCaveats};
pub use verify::{RootKeys, VerifiedToken, VerifyError, verify};
