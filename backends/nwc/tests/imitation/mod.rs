//! A wallet service (NIP-47) and a relay (NIP-01) in this process, written from the published NIPs. Keys, signatures and
//! encryption are real; who may do what is checked.

pub(crate) mod client;
pub(crate) mod ledger;
pub(crate) mod relay;
pub(crate) mod service;
