//! The running gateway, as its clients, its upstreams and its operator see it: through sockets, signals and logs.
//!
//! Most tests start a gateway in this process and stand on both sides of it; where exit codes, log lines or signals
//! matter, they run the binary. Everything listens on loopback, on ports that the system chooses.

#![expect(clippy::expect_used, clippy::panic, reason = "a step that fails ends the test")]

// The stage: what stands around the gateway.
mod backend;
mod caller;
mod certificate;
mod payload;
mod process;
mod raw;
mod stage;

// What is shown on it.
mod charging;
mod frames;
mod framing;
mod grpc;
mod headers;
mod leaving;
mod limits;
mod metered;
mod node;
mod ops;
mod paths;
mod purchase;
mod refusals;
mod reload;
mod secrets;
mod settled;
mod signals;
mod spent;
mod start;
mod streaming;
mod tls;
mod upstreams;
mod websocket;
