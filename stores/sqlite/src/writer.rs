//! The one thread that writes: everything that waits goes into one transaction, and is answered after its commit.

use crate::{
    lock::Lock,
    log::Log,
    settlements::{self, Record},
    sheet::Sheet,
    trouble::Trouble,
};
use l402_lightning::BoxFuture;
use l402_paywall::{
    StoreError,
    ledger::{Effect, Operation},
};
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use std::{
    path::Path,
    sync::{
        Arc, OnceLock,
        mpsc::{self, Receiver, Sender},
    },
    thread::JoinHandle,
};
use tokio::sync::oneshot;

/// Requests in one transaction.
const GROUP_MAX: usize = 1_024;

/// Claims that are forgotten in one transaction: an answer may be large, and others wait.
pub(super) const FORGOTTEN_MAX: usize = 512;

pub(super) struct Writer {
    /// Absent only while it is dropped. Each request in it belongs to one that the gateway serves, and those are limited.
    requests: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
    fault: Fault,
}

/// What went wrong for good.
#[derive(Clone, Default)]
pub(super) struct Fault(Arc<OnceLock<StoreError>>);

type Done<T> = oneshot::Sender<Result<T, StoreError>>;

enum Request {
    Record {
        record: Record,
        done: Done<()>,
    },
    Step {
        operation: Operation,
        at: u64,
        done: Done<Effect>,
    },
    /// Forget claims that have expired.
    Forget {
        now: u64,
        done: Done<usize>,
    },
}

/// What somebody is told once the transaction has ended.
enum Reply {
    Record(Done<()>, Result<(), StoreError>),
    Step(Done<Effect>, Result<Effect, StoreError>),
    Forget(Done<usize>, Result<usize, StoreError>),
}

/// Requests that stand in one transaction.
struct Group<'w> {
    first: Option<Request>,
    waiting: &'w Receiver<Request>,
    replies: Vec<Reply>,
}

impl Writer {
    /// Writes for a gateway, and looks after the log.
    pub(super) fn start(
        path: &Path,
        mut connection: Connection,
        lock: Arc<Lock>,
    ) -> Result<Self, StoreError> {
        let fault = Fault::default();
        let log = Log::watch(path, &mut connection, lock, &fault)?;
        Self::run(path, connection, Some(log), fault)
    }

    /// Writes while a gateway may be running, which looks after the log.
    pub(super) fn start_beside(path: &Path, connection: Connection) -> Result<Self, StoreError> {
        Self::run(path, connection, None, Fault::default())
    }

    pub(super) fn record(&self, record: Record) -> BoxFuture<'static, Result<(), StoreError>> {
        self.send(|done| Request::Record { record, done })
    }

    pub(super) fn step(
        &self,
        operation: Operation,
        at: u64,
    ) -> BoxFuture<'static, Result<Effect, StoreError>> {
        self.send(|done| Request::Step { operation, at, done })
    }

    /// Forgets some of the claims that have expired by `now`, and tells how many.
    pub(super) fn forget(&self, now: u64) -> BoxFuture<'static, Result<usize, StoreError>> {
        self.send(|done| Request::Forget { now, done })
    }

    pub(super) fn fault(&self) -> Option<StoreError> {
        match &self.thread {
            Some(thread) if thread.is_finished() && self.fault.0.get().is_none() => Some(has_ended()),
            _ => self.fault.0.get().cloned(),
        }
    }

    fn run(
        path: &Path,
        mut connection: Connection,
        mut log: Option<Log>,
        fault: Fault,
    ) -> Result<Self, StoreError> {
        let (requests, waiting) = mpsc::channel();
        let own = fault.clone();
        let thread = std::thread::Builder::new().name("ledger".into());
        let thread = thread.spawn(move || {
            serve(&mut connection, &waiting, log.as_mut(), &own);
            if let Some(log) = log {
                log.note(&connection);
                drop(log); // so that the last connection to close is this one, which folds what is left
            }
        });
        let thread =
            thread.map_err(|error| StoreError::Open { path: path.to_owned(), reason: error.to_string() })?;
        Ok(Self { requests: Some(requests), thread: Some(thread), fault })
    }

    /// The request is under way when this returns.
    fn send<T: Send + 'static>(
        &self,
        request: impl FnOnce(Done<T>) -> Request,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let (done, told) = oneshot::channel();
        if let Some(requests) = &self.requests {
            let _ = requests.send(request(done)); // without a thread, `told` ends too
        }
        Box::pin(async move { told.await.unwrap_or_else(|_| Err(has_ended())) })
    }
}

impl Drop for Writer {
    /// Everything that was sent is still written.
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic there has printed itself
        }
    }
}

impl Fault {
    /// A lock that somebody else holds passes. After anything else it is not certain what the disk holds; the first such
    /// thing counts.
    pub(super) fn note(&self, trouble: &Trouble) {
        let passes = match trouble {
            Trouble::Sql(error) => {
                matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
            }
            Trouble::Refused(_) => false,
        };
        if !passes {
            let _ = self.0.set(trouble.on_writing());
        }
    }
}

/// Until nobody can send any more.
fn serve(connection: &mut Connection, waiting: &Receiver<Request>, mut log: Option<&mut Log>, fault: &Fault) {
    let mut kept = Sheet::default();
    while let Ok(first) = waiting.recv() {
        let mut group = Group { first: Some(first), waiting, replies: Vec::new() };
        if let Some(fault) = fault.0.get() {
            group.refuse(fault);
            continue;
        }
        match write(connection, std::mem::take(&mut kept), &mut group) {
            Ok(sheet) => kept = sheet,
            Err(trouble) => {
                fault.note(&trouble);
                group.refuse(&trouble.on_writing());
                continue;
            }
        }
        group.answer();
        if let Some(Err(error)) = log.as_mut().map(|log| log.look_after(connection)) {
            fault.note(&error.into());
        }
    }
}

/// One transaction with all of them; each request stands or falls by itself. Returns the rows as they are now.
fn write(connection: &mut Connection, kept: Sheet, group: &mut Group<'_>) -> Result<Sheet, Trouble> {
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut sheet = kept.carry_on(&transaction)?;
    while let Some(request) = group.next() {
        match request {
            Request::Record { record, done } => {
                let outcome = settlements::record(&mut transaction, &record);
                group.note(outcome, |outcome| Reply::Record(done, outcome))?;
            }
            Request::Step { operation, at, done } => {
                let outcome = sheet.step(&transaction, &operation, at);
                group.note(outcome, |outcome| Reply::Step(done, outcome))?;
            }
            Request::Forget { now, done } => {
                let outcome = forget(&transaction, now);
                group.note(outcome, |outcome| Reply::Forget(done, outcome))?;
            }
        }
    }
    sheet.write(&transaction)?;
    transaction.commit()?;
    Ok(sheet)
}

/// A claim that has expired counts as absent already, so it does not matter what else the transaction does with it.
fn forget(connection: &Connection, now: u64) -> Result<usize, Trouble> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM claim WHERE id IN \
         (SELECT id FROM claim WHERE is_answered = 1 AND expires_at <= ?1 ORDER BY expires_at LIMIT ?2)",
    )?;
    let (now, most) =
        (i64::try_from(now).unwrap_or(i64::MAX), i64::try_from(FORGOTTEN_MAX).unwrap_or(i64::MAX));
    Ok(delete.execute([now, most])?)
}

fn has_ended() -> StoreError {
    StoreError::Write("its writing thread has ended".to_owned())
}

impl Group<'_> {
    /// Whatever waits, also what came since the transaction began.
    fn next(&mut self) -> Option<Request> {
        if self.first.is_some() {
            return self.first.take();
        }
        if self.replies.len() < GROUP_MAX { self.waiting.try_recv().ok() } else { None }
    }

    /// Keeps an outcome until the commit. An error is one of all of them.
    fn note<T>(
        &mut self,
        outcome: Result<T, Trouble>,
        reply: impl FnOnce(Result<T, StoreError>) -> Reply,
    ) -> Result<(), Trouble> {
        match outcome {
            Ok(value) => self.replies.push(reply(Ok(value))),
            Err(Trouble::Refused(error)) => self.replies.push(reply(Err(error))),
            Err(trouble) => {
                self.replies.push(reply(Err(trouble.on_writing())));
                return Err(trouble);
            }
        }
        Ok(())
    }

    fn answer(self) {
        for reply in self.replies {
            reply.send();
        }
    }

    /// Nothing of the group is in the file, and what waits behind it would only wait for the same.
    fn refuse(mut self, error: &StoreError) {
        while let Some(request) = self.next() {
            request.unmet(error).send();
        }
        for reply in self.replies {
            reply.instead(error).send();
        }
    }
}

impl Request {
    fn unmet(self, error: &StoreError) -> Reply {
        let error = error.clone();
        match self {
            Self::Record { done, .. } => Reply::Record(done, Err(error)),
            Self::Step { done, .. } => Reply::Step(done, Err(error)),
            Self::Forget { done, .. } => Reply::Forget(done, Err(error)),
        }
    }
}

impl Reply {
    fn instead(self, error: &StoreError) -> Self {
        let error = error.clone();
        match self {
            Self::Record(done, _) => Self::Record(done, Err(error)),
            Self::Step(done, _) => Self::Step(done, Err(error)),
            Self::Forget(done, _) => Self::Forget(done, Err(error)),
        }
    }

    /// Who no longer waits need not know.
    fn send(self) {
        match self {
            Self::Record(done, outcome) => drop(done.send(outcome)),
            Self::Step(done, outcome) => drop(done.send(outcome)),
            Self::Forget(done, outcome) => drop(done.send(outcome)),
        }
    }
}
