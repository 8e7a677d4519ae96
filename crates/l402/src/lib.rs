//! The L402 protocol: tokens that are good once an invoice is paid.

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
pub use clear::{ClearError, Permit, clear};
pub use credential::{Credential, CredentialError, Scheme, is_l402_authorization};
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
