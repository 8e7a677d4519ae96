//! Seeded worlds of clients with wallets, gateways, a node, upstreams and one ledger, in which everything fails that can,
//! at any step. What a gateway does is the real gate; what drives it stands here in place of the proxy. After each step the
//! ledger's invariants are checked, and the books of an observer from outside.
//!
//! `SIM_SEED=n` plays one world and prints its story; `SIM_SEEDS=n` plays the worlds 1 to n.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a step that fails ends the test")]

mod books;
mod client;
mod crowd;
mod dice;
mod exchange;
mod gauge;
mod node;
mod page;
mod process;
mod settlements;
mod slip;
mod store;
mod story;
mod tariff;
mod visit;
mod world;

use slip::Slip;
use std::{collections::BTreeMap, future::poll_fn, task::Poll};
use world::{Broken, play};

/// Worlds that are played by default.
const SEEDS: u64 = 2_000;
/// So many worlds show everything that can happen.
const SEEDS_TELLING: u64 = 1_000;
/// Lines of a story that are told of a world that failed.
const LAST_LINES: usize = 60;
/// Threads that play worlds. Each world has one of them for itself.
const THREADS: u64 = 2;

/// What happened, and how often.
type Happened = BTreeMap<&'static str, u64>;

/// What has to have happened somewhere.
const EVENTS: [&str; 46] = [
    "answer cut",
    "answer lost",
    "answer replayed",
    "asked after the end",
    "client left",
    "clock jump",
    "commit failed",
    "crash",
    "expired",
    "forwarded",
    "gateway died",
    "invoice troubled",
    "not paid",
    "overpaid",
    "overrun",
    "paid twice",
    "part served",
    "payment troubled",
    "power loss",
    "reload",
    "restart",
    "spent in the middle",
    "spent to the last unit",
    "step late",
    "swept in the end",
    "token revoked",
    "upkeep failed",
    "upstream broke off",
    "upstream failed",
    "whole answer",
    // Refusals, by their reason.
    "answer_not_kept",
    "exhausted",
    "in_flight",
    "invalid_token",
    "key_reused",
    "ledger_unavailable",
    "node_unavailable",
    "payment_required",
    "rate_limited",
    "store_unavailable",
    "revoked",
    "unknown_pack",
    "unsettled",
    "upstream_unreachable",
    "widened_caveat",
    "wrong_preimage",
];

#[test]
fn seeded_worlds_keep_every_promise() {
    if let Some(seed) = number("SIM_SEED") {
        match play(seed, None, true) {
            Ok((events, story)) => println!("{}\n{events:#?}", story.join("\n")),
            Err(broken) => fail(seed, &broken, usize::MAX),
        }
        return;
    }
    let seeds = number("SIM_SEEDS").unwrap_or(SEEDS);
    let (happened, failed) = play_all(seeds);
    if let Some(seed) = failed {
        match play(seed, None, true) {
            Err(broken) => fail(seed, &broken, LAST_LINES),
            Ok(_) => panic!("world {seed} is not the same every time"),
        }
    }
    println!("{seeds} worlds: {happened:#?}");
    let missing: Vec<_> = EVENTS.iter().filter(|event| !happened.contains_key(*event)).collect();
    assert!(missing.is_empty() || seeds < SEEDS_TELLING, "never happened: {missing:?}");
}

#[test]
fn a_seed_is_the_same_world_every_time() {
    let story = |seed| play(seed, None, true).map(|(_, story)| story).ok().unwrap();
    for seed in 7..17 {
        assert_eq!(story(seed), story(seed), "{seed}");
    }
    assert_ne!(story(7), story(8));
}

#[test]
fn planted_slips_are_found() {
    let found = |slip| (1..=SEEDS).find_map(|seed| Some((seed, play(seed, Some(slip), false).err()?.why)));
    for slip in Slip::ALL {
        match found(slip) {
            Some((seed, why)) => println!("{slip:?} is found in world {seed}: {why}"),
            None => panic!("{slip:?} is not found in {SEEDS} worlds"),
        }
    }
}

/// Plays the worlds 1 to `seeds`: what happened in all of them, and the first that failed.
fn play_all(seeds: u64) -> (Happened, Option<u64>) {
    let play_some = |first| {
        let mut happened = Happened::new();
        for seed in (first..=seeds).step_by(usize::try_from(THREADS).unwrap()) {
            let Ok((events, _)) = play(seed, None, false) else { return (happened, Some(seed)) };
            add(&mut happened, events);
        }
        (happened, None)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (1..=THREADS).map(|first| scope.spawn(move || play_some(first))).collect();
        let (mut happened, mut failed) = (Happened::new(), None::<u64>);
        for thread in threads {
            let (events, first) = thread.join().unwrap();
            add(&mut happened, events);
            failed = failed.into_iter().chain(first).min();
        }
        (happened, failed)
    })
}

fn add(happened: &mut Happened, events: Happened) {
    for (event, times) in events {
        *happened.entry(event).or_default() += times;
    }
}

fn fail(seed: u64, broken: &Broken, lines: usize) -> ! {
    let Broken { why, step, story } = broken;
    let last = &story[story.len().saturating_sub(lines)..];
    println!("{}", last.join("\n"));
    panic!(
        "world {seed}, step {step}: {why}\nthe end of its story is above; replay it with\n    \
         SIM_SEED={seed} cargo test -p testkit --test simulation seeded -- --nocapture"
    );
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} has to be a number, and is {text}")))
}

/// Something else happens first.
async fn pause() {
    let mut has_waited = false;
    poll_fn(|_| if std::mem::replace(&mut has_waited, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}
