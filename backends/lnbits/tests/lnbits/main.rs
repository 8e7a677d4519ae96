//! LNbits against an imitation in this process. `e2e/lnbits/run` runs the same contract against the real one.

#![expect(clippy::expect_used, reason = "a step that fails ends the test")]

#[path = "../../../lnurl/tests/lnurl/front.rs"]
mod front;
mod imitation;
mod liar;
mod rigs;
mod rules;
#[expect(dead_code, reason = "LNURL's tests share it and use the rest")]
#[path = "../../../lnurl/tests/lnurl/scribe.rs"]
mod scribe;

use imitation::Imitation;
use rigs::Rig;
use testkit::VirtualClock;

async fn rig() -> Rig<Imitation> {
    let clock = VirtualClock::standing_at(1_800_000_000);
    Rig::new(Imitation::new(clock.as_fn()), clock)
}

testkit::seller_contract!(rig);
testkit::buyer_contract!(rig);
