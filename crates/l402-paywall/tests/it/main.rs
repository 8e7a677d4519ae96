//! The engine through its public door: a gate over real invoices of the loopback node.

#![allow(missing_docs, reason = "a test binary")]

mod admit;
mod house;
mod mint;
mod wire;
