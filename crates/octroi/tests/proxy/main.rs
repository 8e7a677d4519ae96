//! What the engine does with sockets: clients that say nothing, descriptors that run out, upstreams that take only so
//! many requests at once. Everything listens on loopback, on ports that the system chooses.

#![expect(clippy::expect_used, clippy::panic, reason = "a step that fails ends the test")]

mod descriptors;
mod openings;
mod stage;
mod streams;
