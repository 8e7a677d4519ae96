//! A process that writes is killed at any moment: what it had acknowledged is there, and the sums are right.

use crate::{cursor, hash, is_settled, ledger, open, rows, settlement, totals};
use l402_paywall::{FeedPosition, SettlementStore as _};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
};

/// Where the child writes; without it, the child does nothing.
const LEDGER: &str = "L402_STORE_TEST_LEDGER";
const ROUNDS: u64 = 15;
/// Numbers of invoices that were asked for, not told by the feed.
const ASKED: u64 = 1 << 40;

#[test]
#[ignore = "the process that another test starts and kills"]
fn a_child_that_writes_until_it_is_killed() {
    let Ok(path) = std::env::var(LEDGER) else { return };
    let store = open(Path::new(&path));
    let feed = async {
        let mut cursor = store.cursor("node").await.expect("a cursor");
        loop {
            let batch: Vec<_> = (cursor + 1..=cursor + 1 + cursor % 3).map(settlement).collect();
            cursor += batch.len() as u64;
            let position = FeedPosition { feed: "node", cursor };
            store.record(&batch, Some(position)).await.expect("written");
            say("told", cursor);
        }
    };
    let asked = async {
        let first = ASKED + u64::from(std::process::id()) * 1_000_000;
        for number in (first..).step_by(3) {
            let batch = [number, number + 1, number + 2].map(settlement);
            let [one, two, three] = batch.each_ref().map(std::slice::from_ref);
            let all =
                tokio::join!(store.record(one, None), store.record(two, None), store.record(three, None));
            assert_eq!(all, (Ok(()), Ok(()), Ok(())));
            (number..number + 3).for_each(|number| say("asked", number));
        }
    };
    crate::wait(async {
        tokio::join!(feed, asked);
    });
}

fn say(word: &str, number: u64) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{word} {number}").and_then(|()| out.flush()).expect("somebody listens");
}

#[test]
fn what_was_acknowledged_survives_a_kill_at_any_moment() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = ledger(&folder);
    let (mut told, mut asked) = (0, Vec::new());
    for round in 0..ROUNDS {
        // Some rounds end among the first writes, some after hundreds.
        let lines = round * round * 7 % 301;
        let child = "crash::a_child_that_writes_until_it_is_killed";
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--ignored", "--exact", child, "--nocapture"])
            .env(LEDGER, &path)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let mut said = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut listen = |line: String| {
            match line.split_once(' ') {
                Some(("told", number)) => told = number.parse().expect("a number"),
                Some(("asked", number)) => asked.push(number.parse::<u64>().expect("a number")),
                _ => return 0,
            }
            1
        };
        let mut heard = 0;
        while heard <= lines {
            heard += listen(said.next().expect("it goes on").expect("text"));
        }
        child.kill().expect("a child of this process");
        // What it had said before it was killed counts too; the last line may be torn.
        let rest: Vec<String> = said.map_while(Result::ok).collect();
        for line in rest.iter().take(rest.len().saturating_sub(1)) {
            listen(line.clone());
        }
        child.wait().expect("an end");

        let store = open(&path);
        assert!(cursor(&store, "node").expect("a cursor") >= told, "round {round}");
        assert!((1..=told).all(|number| is_settled(&store, hash(number)) == Ok(true)), "round {round}");
        assert!(asked.iter().all(|number| is_settled(&store, hash(*number)) == Ok(true)), "round {round}");
        // Everything up to the cursor is there, and nothing beyond: a step is whole or not at all.
        let cursor = cursor(&store, "node").expect("a cursor");
        assert!((1..=cursor).all(|number| is_settled(&store, hash(number)) == Ok(true)), "round {round}");
        assert_eq!(is_settled(&store, hash(cursor + 1)), Ok(false), "round {round}");
        assert_eq!(totals(&store), rows(&path), "round {round}");
    }
    assert!(told > 0 && !asked.is_empty());
}
