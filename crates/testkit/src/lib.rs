//! Test hardware for the crates above the protocol. Unpublished; nothing here is for production.
//!
//! - [`VirtualClock`] and [`SeededEntropy`]: time and chance as arguments.
//! - [`World`]: a loopback node with its wallet door open on a port of its own.
//! - [`Upstream`]: the API behind a gateway, which records what reaches it and answers as it is told.
//! - [`contract`]: what every Lightning backend has to keep, as scenarios that run over all of them.
//! - [`ledger`]: what every ledger has to keep, as scenarios and random histories against a model of its own.
//! - [`Seller`]: the other side for a buyer: it sells by L402, in every spelling, and cheats in every way it is told.
//!
//! Everything listens on 127.0.0.1, on ports that the system chooses, on threads of its own, so that it serves
//! blocking tests, asynchronous ones and other processes alike. Dropping a server closes it.

#![expect(clippy::expect_used, clippy::missing_panics_doc, reason = "a step that fails ends the test")]

mod background;
mod body;
mod clock;
pub mod contract;
mod entropy;
pub mod ledger;
mod seller;
mod upstream;
mod world;

pub use clock::VirtualClock;
pub use entropy::SeededEntropy;
pub use seller::{Seller, SellerOptions, Spelling, Trick};
pub use upstream::{Reply, Seen, Upstream};
pub use world::World;
