//! The engine through its public door: a gate over real invoices of the loopback node.

#![expect(clippy::expect_used, clippy::panic, unreachable_pub, reason = "a test fails by panicking")]

mod admit;
mod house;
mod metered;
mod mint;
mod settled;
mod wire;
