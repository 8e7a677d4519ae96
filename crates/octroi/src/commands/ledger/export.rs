//! `octroi ledger export`: the journal, one line at a time.

use super::{LedgerFault, check::sum};
use crate::date::Date;
use l402_paywall::ledger::{EndedBy, Entry, EntryKind, Ledger, Totals};
use serde_json::{Map, Value};
use std::io::{self, Write};

/// Lines that are held in memory.
const PAGE_LINES: usize = 1_000;
/// Whoever waits for more lines than this wants to know that it goes on.
const TOLD_EVERY: u64 = 500_000;

/// Writes the journal from line `from` on. The sums count from the first line, wherever writing begins, so that they are
/// the same in every export. A reader that goes away ends it, and is no error.
pub(super) async fn export(ledger: &dyn Ledger, from: u64, out: &mut dyn Write) -> Result<(), LedgerFault> {
    match write_lines(ledger, from, out).await {
        Err(LedgerFault::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

async fn write_lines(ledger: &dyn Ledger, from: u64, out: &mut dyn Write) -> Result<(), LedgerFault> {
    let mut sums = Totals::default();
    let (mut after, mut read) = (0, 0_u64);
    loop {
        let page = ledger.journal(after, PAGE_LINES).await?;
        let Some((last, _)) = page.last() else { break };
        after = *last;
        for (number, entry) in &page {
            add(&mut sums, entry);
            if *number >= from {
                writeln!(out, "{}", line(*number, entry, &sums)).map_err(LedgerFault::Output)?;
            }
            read += 1;
            if read.is_multiple_of(TOLD_EVERY) {
                eprintln!("read {read} lines of the journal");
            }
        }
    }
    out.flush().map_err(LedgerFault::Output)
}

/// A budget's units are part of those of its purchase and are not counted again.
fn add(sums: &mut Totals, entry: &Entry) {
    if entry.kind == EntryKind::Credited {
        sums.credited += u128::from(entry.credited.get());
    }
    sums.debited += u128::from(entry.charged.get());
    sums.owed += u128::from(entry.owed.get());
}

fn line(number: u64, entry: &Entry, sums: &Totals) -> Value {
    let mut line = Map::new();
    let mut put = |key: &str, value: Value| line.insert(key.to_owned(), value);
    put("line", number.into());
    put("at", entry.at.into());
    put("time", Date(entry.at).to_string().into());
    put("kind", word(&entry.kind).into());
    put("account", hex::encode(entry.account.as_bytes()).into());
    match &entry.kind {
        EntryKind::Credited | EntryKind::Revoked => {}
        EntryKind::CapOpened(key) => {
            put("budget", hex::encode(key.as_bytes()).into());
        }
        EntryKind::Ended { handle, .. } => {
            put("reservation", hex::encode(handle.id.as_bytes()).into());
            let budgets = handle.accounts.iter().skip(1).map(|key| hex::encode(key.as_bytes()));
            put("budgets", budgets.collect());
        }
    }
    put("credited", entry.credited.get().into());
    put("reserved", entry.reserved.get().into());
    put("charged", entry.charged.get().into());
    put("overrun", entry.overrun.get().into());
    put("owed", entry.owed.get().into());
    put("credited_sum", sum(sums.credited));
    put("debited_sum", sum(sums.debited));
    put("owed_sum", sum(sums.owed));
    Value::Object(line)
}

fn word(kind: &EntryKind) -> &'static str {
    match kind {
        EntryKind::Credited => "credited",
        EntryKind::CapOpened(_) => "budget_opened",
        EntryKind::Ended { by: EndedBy::Settle, .. } => "settled",
        EntryKind::Ended { by: EndedBy::Release, .. } => "released",
        EntryKind::Ended { by: EndedBy::Expire, .. } => "expired",
        EntryKind::Revoked => "revoked",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::ledger::sample::{ID, NOW, reserve, sample, token};
    use l402_paywall::ledger::{MemoryLedger, Operation, Units};

    async fn exported(ledger: &MemoryLedger, from: u64) -> String {
        let mut out = Vec::new();
        export(ledger, from, &mut out).await.expect("exported");
        String::from_utf8(out).expect("text")
    }

    #[tokio::test]
    async fn each_line_carries_the_sums_up_to_it_wherever_the_export_begins() {
        let ledger = sample();
        ledger.step(&Operation::Revoke(token(ID)), NOW).expect("revoked");
        let whole = exported(&ledger, 1).await;
        insta::assert_snapshot!("journal", whole);
        let tail = exported(&ledger, 3).await;
        assert!(!tail.is_empty() && whole.ends_with(&tail));
        assert_eq!(tail.lines().count() + 2, whole.lines().count());
        assert_eq!(exported(&ledger, 1_000).await, "");
    }

    #[tokio::test]
    async fn a_journal_of_many_pages_is_whole() {
        let ledger = sample();
        for number in 0..2_500_u32 {
            let reserve = reserve(ID, number + 100, Units::ONE, 0);
            let handle = reserve.handle();
            ledger.step(&Operation::Reserve(reserve), NOW).expect("reserved");
            ledger.step(&Operation::Release(handle), NOW).expect("released");
        }
        let text = exported(&ledger, 1).await;
        let numbers: Vec<u64> = text
            .lines()
            .map(|line| {
                let line: Value = serde_json::from_str(line).expect("JSON");
                line["line"].as_u64().expect("a number")
            })
            .collect();
        assert!(numbers.len() > 2_500);
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
        let last: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
        let totals = ledger.audit().totals;
        assert_eq!(u128::from(last["credited_sum"].as_u64().expect("a sum")), totals.credited);
        assert_eq!(u128::from(last["debited_sum"].as_u64().expect("a sum")), totals.debited);
    }

    /// A pipe whose reader is gone, or a disk without room.
    struct Broken(io::ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_reader_that_left_is_no_error_and_a_full_disk_is() {
        let ledger = sample();
        assert!(export(&ledger, 1, &mut Broken(io::ErrorKind::BrokenPipe)).await.is_ok());
        assert!(export(&ledger, 1, &mut Broken(io::ErrorKind::StorageFull)).await.is_err());
    }
}
