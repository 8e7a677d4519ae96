//! Macaroons: bearer tokens that their holder can restrict but not widen.

mod chain;
mod codec;
mod hmac;
mod key;
mod limits;
mod token;
mod view;

pub use key::RootKey;
pub use limits::{LimitError, Limits};
pub use token::Macaroon;
pub use view::{CaveatRef, Caveats, DecodeError, MacaroonRef, VerifyError};
