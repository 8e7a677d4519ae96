//! Macaroons: bearer tokens that their holder can restrict, but not widen.
//!
//! A token is an identifier, a list of caveats, and a signature that is the end of a chain of HMACs over them. Whoever
//! holds the root key can check it without a database. Whoever holds the token can add a caveat and pass the result on,
//! and cannot take one away.
//!
//! ```
//! use l402_macaroon::{Limits, Macaroon, MacaroonRef, RootKey};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = RootKey::from_bytes([7; 32]); // in earnest: random
//! let token = Macaroon::mint(&key, "https://example.com/", b"order 1", ["paths=/photos"])?;
//!
//! // The holder restricts the token before handing it on. No key is needed.
//! let narrower = token.attenuate(b"until=1700000000")?;
//!
//! // The issuer gets bytes from anywhere. Parsing proves nothing; verifying proves who made the token.
//! let presented = MacaroonRef::parse(narrower.as_bytes(), &Limits::default())?;
//! presented.verify(&key)?;
//!
//! // Whether the caveats hold is for the application to say. All of them have to.
//! let caveats: Vec<&[u8]> = presented.caveats().map(|caveat| caveat.identifier).collect();
//! assert_eq!(caveats, [&b"paths=/photos"[..], b"until=1700000000"]);
//! # Ok(())
//! # }
//! ```
//!
//! # What this crate is
//!
//! - One format: the version 2 binary form of libmacaroons, in exactly one spelling. Lengths are minimal, empty fields
//!   are absent, nothing follows the signature: two byte strings are never the same token, so bytes can be compared,
//!   and nobody can vary them without breaking the signature.
//! - Interoperable: the root secret goes through the `macaroons-key-generator` step that every macaroon library does
//!   and most descriptions of the format forget.
//! - Bounded: [`Limits`] are checked before anything else. Reading and verifying allocate nothing.
//! - Pure: no I/O, no clock, no randomness. Comparisons of signatures take constant time.
//!
//! # What it is not
//!
//! - It does not judge caveats. They are bytes here.
//! - Third-party caveats are read and written back, and such a token is refused by
//!   [`MacaroonRef::verify`]: [`VerifyError::ThirdParty`].
//!
//! # Features
//!
//! Both are off by default and only add functions.
//!
//! - `v1`: `Macaroon::from_v1` reads the older packet format, for imports.
//! - `json`: `Macaroon::from_json` and `Macaroon::to_json`, the JSON form of version 2.

mod chain;
mod codec;
mod hmac;
#[cfg(feature = "json")]
mod json;
mod key;
mod limits;
mod token;
#[cfg(feature = "v1")]
mod v1;
mod view;

#[cfg(feature = "json")]
pub use json::JsonError;
pub use key::RootKey;
pub use limits::{LimitError, Limits};
pub use token::Macaroon;
#[cfg(feature = "v1")]
pub use v1::V1Error;
pub use view::{CaveatRef, Caveats, DecodeError, MacaroonRef, VerifyError};
