//! The one thread that writes: everything that waits goes into one transaction, and is answered after its commit.

use crate::file::{is_damage, reason};
use l402_lightning::Settlement;
use l402_paywall::{FeedPosition, StoreError};
use rusqlite::{Connection, ErrorCode, Savepoint, TransactionBehavior, params};
use std::{
    path::Path,
    sync::{
        Arc, OnceLock,
        mpsc::{self, Receiver, Sender},
    },
    thread::JoinHandle,
};
use tokio::sync::oneshot;

/// Operations in one transaction.
const GROUP_MAX: usize = 1_024;

/// What went wrong for good.
type Fault = Arc<OnceLock<StoreError>>;

pub(super) struct Writer {
    /// Absent only while it is dropped. Who sends waits for the answer, so no more waits here than callers do.
    operations: Option<Sender<Operation>>,
    thread: Option<JoinHandle<()>>,
    fault: Fault,
}

/// One step that is done whole or not at all.
struct Operation {
    settlements: Vec<Settlement>,
    /// A feed's name and its cursor.
    feed: Option<(String, u64)>,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// Why an operation cannot be applied.
enum Trouble {
    /// It alone is at fault; the others of its transaction are not.
    Range,
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl Writer {
    pub(super) fn start(path: &Path, mut connection: Connection) -> Result<Self, StoreError> {
        let (operations, waiting) = mpsc::channel();
        let fault = Fault::default();
        let own = Arc::clone(&fault);
        let thread = std::thread::Builder::new().name("ledger".into());
        let thread = thread.spawn(move || run(&mut connection, &waiting, &own));
        let thread =
            thread.map_err(|error| StoreError::Open { path: path.to_owned(), reason: error.to_string() })?;
        Ok(Self { operations: Some(operations), thread: Some(thread), fault })
    }

    pub(super) async fn record(
        &self,
        settlements: &[Settlement],
        feed: Option<FeedPosition<'_>>,
    ) -> Result<(), StoreError> {
        let ended = || StoreError::Write("its writing thread has ended".to_owned());
        let (done, acknowledged) = oneshot::channel();
        let feed = feed.map(|FeedPosition { feed, cursor }| (feed.to_owned(), cursor));
        let operation = Operation { settlements: settlements.to_vec(), feed, done };
        let operations = self.operations.as_ref().ok_or_else(ended)?;
        operations.send(operation).map_err(|_| ended())?;
        acknowledged.await.map_err(|_| ended())?
    }

    pub(super) fn fault(&self) -> Option<StoreError> {
        match &self.thread {
            Some(thread) if thread.is_finished() && self.fault.get().is_none() => {
                Some(StoreError::Write("its writing thread has ended".to_owned()))
            }
            _ => self.fault.get().cloned(),
        }
    }
}

impl Drop for Writer {
    /// Everything that was sent is still written.
    fn drop(&mut self) {
        self.operations = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic there has printed itself
        }
    }
}

/// Until nobody can send any more.
fn run(connection: &mut Connection, waiting: &Receiver<Operation>, fault: &Fault) {
    while let Ok(first) = waiting.recv() {
        let mut group = vec![first];
        group.extend(waiting.try_iter().take(GROUP_MAX - 1));
        let outcomes = match fault.get() {
            Some(fault) => Err(fault.clone()),
            None => write(connection, &group).map_err(|error| judge(&error, fault)),
        };
        match outcomes {
            Ok(outcomes) => {
                for (operation, outcome) in group.into_iter().zip(outcomes) {
                    let _ = operation.done.send(outcome); // who no longer waits need not know
                }
            }
            Err(error) => {
                for operation in group {
                    let _ = operation.done.send(Err(error.clone()));
                }
            }
        }
    }
}

/// A lock that somebody else holds passes. After anything else it is not certain what the disk holds.
fn judge(error: &rusqlite::Error, fault: &Fault) -> StoreError {
    let reason = reason(error);
    let told = if is_damage(error) { StoreError::Damaged(reason) } else { StoreError::Write(reason) };
    if !matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) {
        let _ = fault.set(told.clone()); // the first one counts
    }
    told
}

/// One transaction with all of them; each operation stands or falls by itself.
fn write(connection: &mut Connection, group: &[Operation]) -> rusqlite::Result<Vec<Result<(), StoreError>>> {
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut outcomes = Vec::with_capacity(group.len());
    for operation in group {
        let savepoint = transaction.savepoint()?;
        outcomes.push(match apply(&savepoint, operation) {
            Ok(()) => {
                savepoint.commit()?;
                Ok(())
            }
            Err(Trouble::Range) => {
                savepoint.finish()?; // rolls back
                Err(StoreError::Range)
            }
            Err(Trouble::Sql(error)) => return Err(error),
        });
    }
    transaction.commit()?;
    Ok(outcomes)
}

fn apply(savepoint: &Savepoint<'_>, operation: &Operation) -> Result<(), Trouble> {
    let (mut count, mut amount) = (0_i64, 0_i64);
    let mut insert = savepoint.prepare_cached(
        "INSERT INTO settled (payment_hash, amount_msat, settled_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?;
    for settlement in &operation.settlements {
        let (msat, settled_at) = (signed(settlement.amount.as_msat())?, signed(settlement.settled_at)?);
        if insert.execute(params![settlement.payment_hash.as_bytes(), msat, settled_at])? == 1 {
            count += 1;
            amount = amount.checked_add(msat).ok_or(Trouble::Range)?;
        }
    }
    if count > 0 {
        add_to_totals(savepoint, count, amount)?;
    }
    if let Some((name, cursor)) = &operation.feed {
        let mut advance = savepoint.prepare_cached(
            "INSERT INTO feed (name, cursor) VALUES (?1, ?2) \
             ON CONFLICT (name) DO UPDATE SET cursor = max(cursor, excluded.cursor)",
        )?;
        advance.execute(params![name, signed(*cursor)?])?;
    }
    Ok(())
}

fn add_to_totals(savepoint: &Savepoint<'_>, count: i64, amount: i64) -> Result<(), Trouble> {
    let mut totals = savepoint.prepare_cached("SELECT count, amount_msat FROM totals")?;
    let (counted, sum): (i64, i64) = totals.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let count = counted.checked_add(count).ok_or(Trouble::Range)?;
    let sum = sum.checked_add(amount).ok_or(Trouble::Range)?;
    let mut update = savepoint.prepare_cached("UPDATE totals SET count = ?1, amount_msat = ?2")?;
    update.execute(params![count, sum])?;
    Ok(())
}

/// SQLite's integers are signed.
fn signed(value: u64) -> Result<i64, Trouble> {
    i64::try_from(value).map_err(|_| Trouble::Range)
}
