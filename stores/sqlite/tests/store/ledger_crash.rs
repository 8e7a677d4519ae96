//! A gateway that reserves and settles is killed at any moment: every step it had acknowledged is there, once, and not a
//! unit is missing or made up.

use crate::{
    ledger, open,
    purchases::{NOW, apply, audit, purse, reserve, settle, sums},
    wait,
};
use l402_paywall::ledger::{Abandoned, Effect, Ledger as _, Operation, Purse, Reserve, Units};
use l402_store_sqlite::SqliteStore;
use std::{
    collections::HashSet,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Where the child writes; without it, the child does nothing.
const LEDGER: &str = "L402_STORE_TEST_METERED_LEDGER";
const ROUNDS: u64 = 12;
const CALLERS: u64 = 8;
/// Children that are killed while they start, each a little later than the one before.
const BEGINNINGS: u8 = 40;
/// Units per purchase; more than are ever spent.
const PACK: u32 = 1_000_000;

/// The request with this number; some draw on a delegated budget, and all on few purchases.
fn request(number: u64) -> Reserve {
    let purse = Purse { pack: Units::from(PACK), ..purse(number % 3) };
    let cap = crate::purchases::delegated(number % 3, &[200]).caps[0];
    let caps = if number.is_multiple_of(2) {
        [].into()
    } else {
        [l402_paywall::ledger::Cap { units: Units::from(PACK), ..cap }].into()
    };
    reserve(number, Purse { caps, ..purse })
}

#[test]
#[ignore = "the process that another test starts and kills"]
fn a_child_that_serves_until_it_is_killed() {
    let Ok(path) = std::env::var(LEDGER) else { return };
    let store = open(Path::new(&path));
    let first = u64::from(std::process::id()) << 32;
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let store = &store;
            scope.spawn(move || serve(store, first + (caller << 24)));
        }
    });
}

fn serve(store: &SqliteStore, first: u64) {
    wait(async {
        for number in first.. {
            let request = request(number);
            let handle = request.handle();
            let reserved = store.apply(Operation::Reserve(request), NOW).await.expect("written");
            assert!(matches!(reserved, Effect::Reserved(_)), "{reserved:?}");
            say("reserved", number);
            let settled = store.apply(settle(handle, 2), NOW).await.expect("written");
            assert!(matches!(settled, Effect::Ended { is_new: true, .. }), "{settled:?}");
            say("settled", number);
        }
    });
}

fn say(word: &str, number: u64) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{word} {number}").and_then(|()| out.flush()).expect("somebody listens");
}

fn child(path: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--ignored", "--exact", "ledger_crash::a_child_that_serves_until_it_is_killed", "--nocapture"])
        .env(LEDGER, path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child")
}

/// Runs the child until it has said so much, kills it, and tells what it had said: reserved, and of those settled.
fn killed(path: &Path, lines: usize) -> (HashSet<u64>, HashSet<u64>) {
    let mut child = child(path);
    let mut said = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut heard: Vec<String> = Vec::new();
    while heard.len() <= lines {
        heard.push(said.next().expect("it goes on").expect("text"));
    }
    child.kill().expect("a child of this process");
    // What it had said before it was killed counts too; the last line may be torn.
    let rest: Vec<String> = said.map_while(Result::ok).collect();
    heard.extend(rest.iter().take(rest.len().saturating_sub(1)).cloned());
    child.wait().expect("an end");
    let numbers = |word: &str| {
        let numbers = heard.iter().filter_map(|line| line.split_once(' ').filter(|line| line.0 == word));
        numbers.map(|(_, number)| number.parse().expect("a number")).collect::<HashSet<u64>>()
    };
    (numbers("reserved"), numbers("settled"))
}

#[test]
fn a_gateway_killed_while_it_makes_the_ledger_can_start_again() {
    for moment in 0..BEGINNINGS {
        let folder = tempfile::tempdir().expect("a folder");
        let path = ledger(&folder);
        let mut child = child(&path);
        // From before the first file is there until after the first steps.
        std::thread::sleep(Duration::from_micros(u64::from(moment) * 600));
        child.kill().expect("a child of this process");
        child.wait().expect("an end");
        assert_eq!(audit(&open(&path)).breaches, [], "moment {moment}");
    }
}

#[test]
fn no_acknowledged_step_is_lost_and_no_unit_is_made_up_by_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = ledger(&folder);
    let mut debited = 0;
    for round in 0..ROUNDS {
        let (reserved, settled) = killed(&path, usize::try_from(round * round * 11 % 401).expect("few"));
        let store = open(&path);
        let before = audit(&store);
        assert_eq!(before.breaches, [], "round {round}");
        for number in &reserved {
            // Whether the settlement happened is asked by asking for it again.
            let again = apply(&store, settle(request(*number).handle(), 2)).expect("applied");
            let Effect::Ended { ending, is_new, .. } = again else { panic!("round {round}: {again:?}") };
            assert_eq!((ending.charged, is_new && settled.contains(number)), (Units::from(2), false));
            debited += 2;
        }
        // Reservations that were written but not yet told of: nobody was served for them.
        for handle in wait(store.overdue(NOW + 60, 1_000)).expect("a list") {
            assert!(apply(&store, Operation::Expire { handle, rule: Abandoned::Release }).is_ok());
        }
        let [credited, spent, balance, set_aside, owed] = sums(&store);
        // A step may have been written and its line torn or unsaid by the kill.
        let untold = spent - debited;
        assert!(untold <= 2 * u128::from(CALLERS), "round {round}: {untold}");
        assert_eq!((set_aside, owed, balance + spent), (0, 0, credited), "round {round}");
        debited = spent;
    }
    assert!(debited > 0);
}
