//! The public listeners: sockets, TLS, one accept loop per core, and who a client is.

mod accept;
mod address;
mod descriptors;
mod engine;
mod io;
mod opening;
mod tls;

pub(crate) use address::client_address;
pub use engine::{Engine, EngineError, EngineSettings};
pub(crate) use io::Pulse;
pub use tls::{TlsError, server_config};
