//! What the Lightning backends that speak HTTP share: where a node is, whom to trust there, how long to wait and how
//! much to read, and answers that name the field which is wrong.
//!
//! No redirects are followed, no proxy is used and nothing is sent twice: a request either happened once or its outcome
//! is unknown.

mod answer;
mod door;
mod fault;
mod place;

pub use answer::{Answer, Fields};
pub use door::{Door, DoorOptions};
pub use fault::Fault;
pub use place::Place;
