//! A Lightning Address against a service in this process, which speaks plain HTTP on loopback.

#![expect(clippy::expect_used, reason = "a step that fails ends the test")]

#[expect(dead_code, reason = "LNbits' tests share it and use the rest")]
mod front;
mod rig;
mod rules;
#[expect(dead_code, reason = "LNbits' tests share it and use the rest")]
mod scribe;
mod site;

use rig::rig;

testkit::seller_contract!(rig);
