//! The Octroi gateway: charge for any HTTP or gRPC API over the Lightning Network

pub mod config;
