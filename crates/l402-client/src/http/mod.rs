//! HTTP as a buyer needs it: redirects are this crate's decision, bodies stream, a cut body is an error.

mod payload;
mod transport;
mod visit;

pub use payload::{Payload, PayloadError};
pub use transport::{Answer, Timeouts, Transport, TransportError};
pub use visit::{CrossOrigin, HOPS_MAX, RedirectError};

pub(crate) use visit::Visit;
