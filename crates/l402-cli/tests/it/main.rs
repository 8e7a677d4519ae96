//! The `l402` program through its own door: a shop that sells by L402, a loopback node's wallet, and the built binary.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what a test builds its world from works, or the test has failed"
)]

mod bodies;
mod buying;
mod crowd;
mod decoding;
mod exits;
mod faults;
mod redirects;
mod refusing;
mod shop;
mod spelling;
mod store;
mod transport;
mod world;
