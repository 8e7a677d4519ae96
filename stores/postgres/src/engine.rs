//! The one thread that talks to the server. Gateways have a runtime per core and connections belong to one, so all of them
//! belong to this.

use crate::{
    address::Address,
    failure::{Failure, open_error},
    lane::{Health, Lane, QUEUE_MAX, Step},
    schema,
    session::Session,
};
use l402_lightning::BoxFuture;
use l402_paywall::{
    StoreError,
    ledger::{Effect, Operation},
};
use std::{
    sync::{Arc, mpsc::SyncSender},
    thread::JoinHandle,
    time::Duration,
};
use tokio::{
    runtime::{Builder, Handle},
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};

/// Connections that write balances. While the server syncs the commit of one, it works for the other.
const LANES: usize = 2;
/// Opening takes no longer than this.
const OPEN_LIMIT: Duration = Duration::from_secs(20);

const CLOSED: &str = "the store is closed";

pub(crate) struct Engine {
    /// Absent only while it is dropped.
    doors: Option<Doors>,
    runtime: Handle,
    thread: Option<JoinHandle<()>>,
}

/// One per lane.
type Doors = [Door; LANES];

struct Door {
    steps: mpsc::Sender<Step>,
    health: Health,
}

impl Engine {
    /// Connects, brings the tables up to date, and starts to take operations.
    pub(crate) fn start(address: &Arc<Address>) -> Result<Self, StoreError> {
        let (ready, opened) = std::sync::mpsc::sync_channel(1);
        let address = Arc::clone(address);
        let thread = std::thread::Builder::new().name("ledger".into());
        let thread = thread.spawn(move || run(address, &ready));
        let thread = thread.map_err(|error| open_error(&error.to_string()))?;
        let ended = |_| open_error("its thread has ended");
        let (doors, runtime) = opened.recv().map_err(ended)??;
        Ok(Self { doors: Some(doors), runtime, thread: Some(thread) })
    }

    /// Puts one operation into the lane of its account, at once; its outcome comes later.
    pub(crate) fn apply(
        &self,
        operation: Operation,
        at: u64,
    ) -> BoxFuture<'static, Result<Effect, StoreError>> {
        let (done, acknowledged) = oneshot::channel();
        let sent = match self.door(&operation) {
            Some(door) => door.steps.try_send(Step { operation, at, done }).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => unreachable("too many operations wait for the server"),
                mpsc::error::TrySendError::Closed(_) => has_ended(),
            }),
            None => Err(has_ended()),
        };
        Box::pin(async move {
            sent?;
            acknowledged.await.map_err(|_| has_ended())?
        })
    }

    /// Runs a question on the engine's thread.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        question: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Failure>> {
        if let Some(reason) = self.outage() {
            return Box::pin(std::future::ready(Err(Failure::Lost(reason))));
        }
        let asked = self.runtime.spawn(question);
        Box::pin(async move { asked.await.map_err(|_| Failure::Lost(CLOSED.to_owned()))? })
    }

    /// Why a lane does not get through, if one does not.
    pub(crate) fn trouble(&self) -> Option<StoreError> {
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return Some(has_ended());
        }
        self.doors.iter().flatten().find_map(|door| door.health.trouble())
    }

    /// Why nothing is asked at all, where it is known that nobody answers.
    fn outage(&self) -> Option<String> {
        match self.doors.iter().flatten().find_map(|door| door.health.outage())? {
            StoreError::Unreachable(reason) => Some(reason),
            _ => None,
        }
    }

    fn door(&self, operation: &Operation) -> Option<&Door> {
        let key = match operation {
            Operation::Credit(purse) => *purse.payment_hash.as_bytes(),
            Operation::Reserve(reserve) => *reserve.purse.payment_hash.as_bytes(),
            Operation::Extend { handle, .. }
            | Operation::Settle { handle, .. }
            | Operation::Release(handle)
            | Operation::Expire { handle, .. } => {
                handle.accounts.first().map_or([0; 32], |key| *key.as_bytes())
            }
            Operation::Revoke(token_id) => *token_id.as_bytes(),
        };
        let last = usize::from(key[31]);
        self.doors.as_ref()?.get(last % LANES)
    }
}

impl Drop for Engine {
    /// Everything that was sent is still written, within the bound of a lane.
    fn drop(&mut self) {
        self.doors = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic there has printed itself
        }
    }
}

/// The thread: until nobody can send any more and everything that was sent is answered.
fn run(address: Arc<Address>, ready: &SyncSender<Result<(Doors, Handle), StoreError>>) {
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = ready.send(Err(open_error(&error.to_string()))); // who started it waits
            return;
        }
    };
    runtime.block_on(async {
        let slow = |_| Err(unreachable("it takes too long to open it"));
        match timeout(OPEN_LIMIT, open(address)).await.unwrap_or_else(slow) {
            Ok((doors, lanes)) => {
                let mut running: JoinSet<()> = lanes.into_iter().map(Lane::run).collect();
                let _ = ready.send(Ok((doors, Handle::current())));
                while running.join_next().await.is_some() {}
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        }
    });
    // Looking up a name cannot be interrupted, and nobody waits for it any more.
    runtime.shutdown_background();
}

async fn open(address: Arc<Address>) -> Result<(Doors, Vec<Lane>), StoreError> {
    let session = Session::open(&address).await.map_err(Failure::of_opening)?;
    schema::migrate(&session, &address).await?;
    let mut lanes = Vec::with_capacity(LANES);
    let doors: Doors = std::array::from_fn(|_| {
        let (steps, waiting) = mpsc::channel(QUEUE_MAX);
        let health = Health::default();
        lanes.push((waiting, health.clone()));
        Door { steps, health }
    });
    let mut opened = Vec::with_capacity(LANES);
    for (waiting, health) in lanes {
        let lane = Lane::open(Arc::clone(&address), waiting, health).await;
        opened.push(lane.map_err(Failure::of_opening)?);
    }
    Ok((doors, opened))
}

fn unreachable(reason: &str) -> StoreError {
    StoreError::Unreachable(reason.to_owned())
}

fn has_ended() -> StoreError {
    unreachable(CLOSED)
}
