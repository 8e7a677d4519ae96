//! Seeded worlds of clients, gateways, upstreams and one ledger, in which everything fails that can, at any step. After
//! each step the ledger's invariants are checked, and the books of an observer from outside.
//!
//! `SIM_SEED=n` plays one world and prints its story; `SIM_SEEDS=n` plays the worlds 1 to n.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a step that fails ends the test")]

mod books;
mod dice;
mod gateway;
mod store;
mod story;
mod world;

use gateway::Habit;
use std::collections::BTreeMap;
use world::{Broken, play};

/// Worlds that are played by default.
const SEEDS: u64 = 2_000;

/// So many worlds show everything that can happen.
const SEEDS_TELLING: u64 = 1_000;

/// Worlds in which a gateway with a bad habit has to be found.
const SEEDS_HABIT: u64 = 500;

/// What has to have happened somewhere.
const EVENTS: [&str; 21] = [
    "answer cut",
    "answer lost",
    "answer replayed",
    "asked after the end",
    "clock jump",
    "crash",
    "expired",
    "forwarded",
    "overrun",
    "part served",
    "refused: claimed",
    "refused: revoked",
    "refused: short",
    "refused: unavailable",
    "restart",
    "revoked",
    "step late",
    "step refused",
    "swept in the end",
    "upstream failed",
    "whole answer",
];

#[test]
fn seeded_worlds_keep_every_promise() {
    if let Some(seed) = number("SIM_SEED") {
        match play(seed, Habit::Good, true) {
            Ok((events, story)) => println!("{}\n{events:#?}", story.join("\n")),
            Err(broken) => fail(seed, &broken),
        }
        return;
    }
    let seeds = number("SIM_SEEDS").unwrap_or(SEEDS);
    let mut happened: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 1..=seeds {
        match play(seed, Habit::Good, false) {
            Ok((events, _)) => {
                for (event, times) in events {
                    *happened.entry(event).or_default() += times;
                }
            }
            Err(_) => match play(seed, Habit::Good, true) {
                Err(broken) => fail(seed, &broken),
                Ok(_) => panic!("world {seed} is not the same every time"),
            },
        }
    }
    println!("{seeds} worlds: {happened:#?}");
    let missing: Vec<_> = EVENTS.iter().filter(|event| !happened.contains_key(*event)).collect();
    assert!(missing.is_empty() || seeds < SEEDS_TELLING, "never happened: {missing:?}");
}

#[test]
fn a_seed_is_the_same_world_every_time() {
    let story = |seed| play(seed, Habit::Good, true).map(|(_, story)| story).ok().unwrap();
    assert_eq!(story(7), story(7));
    assert_ne!(story(7), story(8));
}

#[test]
fn gateways_with_a_bad_habit_are_found() {
    let habits = [
        Habit::ForwardsOnHope,
        Habit::ServesBeforeSettling,
        Habit::TrustsSilence,
        Habit::ServesWhatHasExpired,
        Habit::ChargesFailures,
        Habit::StreamsAhead,
        Habit::ForgetsTheFuture,
    ];
    let found = |habit| (1..=SEEDS_HABIT).find_map(|seed| Some((seed, play(seed, habit, false).err()?.why)));
    for habit in habits {
        match found(habit) {
            Some((seed, why)) => println!("{habit:?} is found in world {seed}: {why}"),
            None => panic!("{habit:?} is not found in {SEEDS_HABIT} worlds"),
        }
    }
}

fn fail(seed: u64, broken: &Broken) -> ! {
    println!("{}", broken.story.join("\n"));
    panic!(
        "world {seed}: {}\nits story is above; replay it with\n    \
         SIM_SEED={seed} cargo test -p testkit --test simulation seeded -- --nocapture",
        broken.why
    );
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} has to be a number, and is {text}")))
}
