//! The `l402` program through its own door: a shop that sells by L402, a loopback node's wallet, and the built binary.

mod bodies;
mod buying;
mod crowd;
mod decoding;
mod faults;
mod redirects;
mod refusing;
mod shop;
mod spelling;
mod store;
mod transport;
mod world;
