//! The protocol through its public door: headers in, permits and named refusals out.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod challenges;
mod clearing;
mod credentials;
mod minting;
mod mutations;
mod narrowing;
mod scene;
mod values;
mod vectors;
