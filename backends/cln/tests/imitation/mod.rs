//! Core Lightning's clnrest, imitated from its published documents.

pub(crate) mod node;
mod params;
mod pays;
pub(crate) mod rune;
mod sells;
pub(crate) mod server;
