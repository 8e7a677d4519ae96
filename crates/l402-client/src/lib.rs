//! The paying side of L402: fetch a URL, pay for it once if it asks for money, and keep the token.
//!
//! - [`Buyer`]: the whole way, from a [`Request`] to an [`Answer`] whose body streams.
//! - [`Purchase`]: one payment as a state machine without I/O; its laws are the reason that nothing is paid twice.
//! - [`Vault`]: tokens, intents and locks in a private folder that all processes of a user share.
//! - [`Approved`]: an offer that passed every check there is before paying, under a [`SpendingCap`].
//! - [`Wallet`]: what pays, named by a [`WalletAddress`]; the kinds there are come from the caller, as backends.
//!
//! ```no_run
//! # use std::{path::Path, sync::Arc, time::Duration};
//! # use l402_client::*;
//! # async fn fetch(now: fn() -> u64) -> Result<(), Box<dyn std::error::Error>> {
//! let wallet = WalletAddress::parse("loopback:", l402_backends::ALL, &WalletCredentials::default())?;
//! let buyer = Buyer {
//!     vault: Vault::open(Path::new("/home/me/.local/share/l402"))?,
//!     transport: Transport::new(Trust::System, Timeouts::default()),
//!     purse: Purse::At(wallet),
//!     spending: Spending::UpTo(SpendingCap::new("100 sat".parse()?)),
//!     payment_timeout: Duration::from_secs(60),
//!     clock: Arc::new(now),
//!     witness: Arc::new(|_| {}),
//! };
//! let mut fetched = buyer.fetch(&Request::get("http://127.0.0.1:8402/weather/today".parse()?)).await?;
//! while let Some(bytes) = fetched.answer.chunk().await? {
//!     println!("{} bytes", bytes.len());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What this crate never does: print, prompt, read the clock (callers give one), or send a token or a payment to
//! another origin than the one that was named.

mod approval;
mod buyer;
mod cap;
mod checkout;
mod demand;
mod error;
mod event;
mod http;
mod import;
mod origin;
mod purchase;
mod scope;
mod vault;
mod wallet;

pub use approval::{Approved, FINAL_CLTV_BLOCKS_MAX, Refusal, TIME_LEFT_SECS_MIN};
pub use buyer::{Buyer, Clock, Fetched, Purse, Quote, Request, Spending};
pub use cap::{FeeLimit, SpendingCap};
pub use error::FetchError;
pub use event::{Event, Receipt, Witness};
pub use import::{ImportError, ImportedToken, read_token_file};
pub use l402_tls::{Trust, TrustError};
pub use origin::{Origin, OriginError, Scheme};
pub use purchase::{Purchase, PurchaseFailure, Step, Terms, Unresolved};
pub use scope::{Grant, Scope, ScopeError, valid_until};
pub use vault::{
    LockAttempt, LockOwner, PaidToken, Partial, PrivateFileError, PurchaseRecord, RecordError, ScopeLock,
    Stage, Standing, Vault, VaultError,
};
pub use wallet::{Wallet, WalletAddress, WalletAddressError, WalletCredentials, wallet_schemes};

pub use self::http::{
    Answer, CrossOrigin, HOPS_MAX, Payload, PayloadError, RedirectError, Timeouts, Transport, TransportError,
};
