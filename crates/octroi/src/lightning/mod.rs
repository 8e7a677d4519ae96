//! The node that the gateway is paid by, as far as it can be trusted to answer: a breaker and a deadline on every call,
//! what is known of its health, and the follower of its settlements.

mod circuit;
mod follower;
mod guard;
mod health;

pub use follower::Follower;
pub use guard::NodeGuard;
