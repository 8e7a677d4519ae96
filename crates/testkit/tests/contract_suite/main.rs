//! The contract suite itself: services that keep every promise pass it, rich and poor ones, and each scenario finds a
//! service that breaks its promise.

#![expect(clippy::expect_used, reason = "a step that fails ends the test")]

mod counter;
mod counter_slips;
mod wallet;
mod wallet_slips;

use counter::{Counter, Kind};
use wallet::Wallet;

async fn rich_counter() -> Counter {
    Counter::new(Kind::Rich, None)
}

async fn poor_counter() -> Counter {
    Counter::new(Kind::Poor, None)
}

async fn wallet() -> Wallet {
    Wallet::new(None)
}

mod rich {
    use super::rich_counter;
    testkit::seller_contract!(rich_counter);
}

mod poor {
    use super::poor_counter;
    testkit::seller_contract!(poor_counter);
}

testkit::buyer_contract!(wallet);

/// Whether a scenario finds a service that makes a slip.
fn finds(scenario: impl FnOnce() + std::panic::UnwindSafe) -> bool {
    std::panic::catch_unwind(scenario).is_err()
}

/// Every scenario of the suite was run against a slip, and every slip was found.
fn assert_found(tried: &[(&str, String, bool)], scenarios: &[&str]) {
    let missed: Vec<_> = tried.iter().filter(|(_, _, found)| !found).collect();
    assert!(missed.is_empty(), "scenarios that do not find a slip: {missed:?}");
    let untried = |name: &&&str| !tried.iter().any(|(scenario, _, _)| scenario == *name);
    let untried: Vec<_> = scenarios.iter().filter(untried).collect();
    assert!(untried.is_empty(), "no slip is known that these find: {untried:?}");
}
