//! The engine of a paid API: which request belongs to which service, what it costs, whether it is paid.
//!
//! One request goes through four plain functions and at most one call to a node
//! (see the life of a request in `ARCHITECTURE.md`):
//!
//! 1. [`RouteTable::find`]: canonical path, host and method to a [`Rule`];
//! 2. [`l402::Credential::read`], [`l402::verify`] and [`l402::clear`]: headers to an [`l402::Permit`];
//! 3. [`Gate::admit`] runs these steps and returns a [`Verdict`]: an [`Admission`], the only thing a proxy may forward
//!    with, or what is still to be asked, or a [`Refusal`];
//! 4. where the seller wants settled payments, or sells by the unit, [`Gate::complete`] asks the [`SettlementCheck`] and
//!    the [`ledger`];
//! 5. [`Gate::answer`] turns a refusal into a response, minting a challenge where the refusal asks for one.
//!
//! This crate names no server and no database: time, entropy, the node and the store come in as arguments.

mod admission;
mod cors;
mod gate;
mod host;
mod keys;
pub mod ledger;
mod limit;
pub mod meter;
pub mod metering;
mod mint;
mod path;
mod recent;
mod refusal;
mod render;
mod route;
mod settled;
mod spec;

pub use admission::{Admission, Outcome, Receipt};
pub use cors::Cors;
pub use gate::{Answer, Client, Completed, Gate, GateParts, Now, Order, Pending, Verdict};
pub use keys::{KeyFile, KeyFileError, KeyRing, PreimageKey};
pub use limit::{MintLimits, Rate};
pub use mint::{Entropy, Mint, MintRefusal, Minted};
pub use path::{CanonicalPath, PathOddities, PathProblem};
pub use refusal::{Refusal, Refused};
pub use render::Form;
pub use route::{Found, RouteTable, Rule, Service};
pub use settled::{
    FeedPosition, Place, SettlementCheck, SettlementStore, SettlementTotals, StoreError, Unsettled,
};
pub use spec::{
    AccessMode, HostPattern, PathPattern, PatternError, ProblemKind, RouteSpec, ServiceSpec, SpecProblem,
};
