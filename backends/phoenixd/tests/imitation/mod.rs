//! phoenixd, imitated from its published documents.

mod buys;
pub(crate) mod node;
mod sells;
// The same lines with the same faults as in front of the other imitation.
#[path = "../../../cln/tests/imitation/server.rs"]
pub(crate) mod server;
mod socket;
