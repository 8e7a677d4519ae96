//! The contract against a real LNbits: `e2e/lnbits/run` starts one with a fake funding source, makes two wallets and runs
//! this. With the same variables it runs against any LNbits of 1.6 or later; payments go from one wallet to the other.
//!
//! - `L402_LNBITS_ADDRESS`: its URL.
//! - `L402_LNBITS_SELLER_KEY`: the invoice key of the wallet that is paid.
//! - `L402_LNBITS_BUYER_KEY`, `L402_LNBITS_BUYER_INVOICE_KEY`: the admin key and the invoice key of the wallet that pays;
//!   it needs some 10,000 sat, and less than 9,000,000.

#![expect(clippy::expect_used, reason = "a step that fails ends the test")]

#[expect(dead_code, reason = "the imitations share it and use the rest")]
#[path = "../../../lnurl/tests/lnurl/front.rs"]
mod front;
#[path = "../lnbits/liar.rs"]
mod liar;
mod real;
#[path = "../lnbits/rigs.rs"]
mod rigs;
mod rules;
#[expect(dead_code, reason = "LNURL's tests share it and use the rest")]
#[path = "../../../lnurl/tests/lnurl/scribe.rs"]
mod scribe;

use real::Real;
use rigs::Rig;
use testkit::VirtualClock;

async fn rig() -> Rig<Real> {
    Rig::new(Real::from_environment(), VirtualClock::following_the_system())
}

testkit::seller_contract!(rig);
testkit::buyer_contract!(rig);
