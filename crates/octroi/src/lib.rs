//! The Octroi gateway: charge for any HTTP or gRPC API over the Lightning Network.
//!
//! The binary only parses its arguments; everything else is here, so that tests and other programs can start a gateway
//! in their own process. The engine of a paid API is `l402_paywall`; this crate puts it behind sockets.

pub mod commands;
pub mod config;
mod date;
pub mod edge;
pub mod gateway;
pub mod ledger;
pub mod lightning;
pub mod listener;
pub mod ops;
pub mod proxy;
pub mod start;
pub mod telemetry;
mod waiting;
