//! The proxy engine: one single-threaded runtime per core, each with its own listeners, upstream connections and
//! requests. Nothing on the way of a request is shared between cores but counters and the snapshot pointer.
//!
//! The way of a request is `exchange`: frame, admit, forward (`forward`), or refuse. What is sold by the unit is counted by
//! `order` (before), `count` (on the way) and `metered` (the answer); `errand` serves on where a client leaves. Which engine shape to build was decided by
//! measurement (`docs/performance.md`).

mod body;
mod count;
mod errand;
mod exchange;
mod forward;
mod framing;
mod headers;
mod meter;
mod metered;
mod order;
mod replay;
mod snapshot;
mod ticket;
mod tunnel;
mod upstream;
mod worker;

#[cfg(test)]
mod tests;

pub(crate) use exchange::serve;
pub use snapshot::{Snapshot, SnapshotError};
pub(crate) use upstream::{TrustError, UpstreamTls};
pub(crate) use worker::{Connection, InFlight, LocalExec, Shared, Worker};
