//! The Lightning backends that the gateway (`lightning.backend`) and the buyer (`--wallet`) can use. A new one is a crate
//! and one line here.

use l402_lightning::Backend;

/// Every backend, in the order of the reference.
pub static ALL: &[&Backend] = &[
    &l402_lnd::BACKEND,
    &l402_cln::BACKEND,
    &l402_phoenixd::BACKEND,
    &l402_nwc::BACKEND,
    &l402_lnurl::BACKEND,
    &l402_lnbits::BACKEND,
];
