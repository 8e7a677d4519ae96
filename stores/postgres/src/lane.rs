//! A queue of operations and the connection that writes them: everything that waits goes into one transaction.
//!
//! Operations on one account always take the same lane, so they are done in the order in which they were asked for. When
//! the connection breaks, the group that was under way is applied again over a new one: operations are known by their
//! keys, so what had happened already is read back. A group that does not get through in time is given up, and from then
//! on everything is refused at once, until the server is back.

use crate::{address::Address, failure::Failure, load::Loading, save::Saving, session::Session};
use l402_paywall::{
    StoreError,
    ledger::{BookError, Effect, Operation},
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout, timeout_at},
};

/// Operations in one transaction.
const GROUP_MAX: usize = 512;
/// Operations that may wait; who sends more is refused.
pub(crate) const QUEUE_MAX: usize = 16_384;
/// One try of a group, which is two exchanges with the server.
const TRY_LIMIT: Duration = Duration::from_secs(5);
/// A group is tried again for so long.
const GROUP_LIMIT: Duration = Duration::from_secs(8);
/// Pauses between tries, for both a server that is gone and other gateways that come first.
const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// What is asked for, and who waits for it.
pub(crate) struct Step {
    pub(crate) operation: Operation,
    pub(crate) at: u64,
    pub(crate) done: oneshot::Sender<Result<Effect, StoreError>>,
}

/// How a lane is, for others to see.
#[derive(Clone, Default)]
pub(crate) struct Health(Arc<Mutex<Condition>>);

#[derive(Clone, Default)]
enum Condition {
    #[default]
    Well,
    /// The last group failed, or is being tried again.
    Troubled(StoreError),
    /// It was given up; everything is refused until the server is back.
    Down(StoreError),
}

/// A lane's own side.
pub(crate) struct Lane {
    address: Arc<Address>,
    steps: mpsc::Receiver<Step>,
    health: Health,
    /// Absent after it broke.
    link: Option<Link>,
}

/// A connection with everything prepared.
struct Link {
    session: Session,
    loading: Loading,
    saving: Saving,
}

/// What came of the operations of a group, in order.
type Outcomes = Vec<Result<Effect, StoreError>>;

impl Lane {
    /// Connects once; what fails then is the caller's to judge.
    pub(crate) async fn open(
        address: Arc<Address>,
        steps: mpsc::Receiver<Step>,
        health: Health,
    ) -> Result<Self, Failure> {
        let link = Link::open(&address).await?;
        Ok(Self { address, steps, health, link: Some(link) })
    }

    /// Until nobody can send any more, and everything that was sent is answered.
    pub(crate) async fn run(mut self) {
        let mut group = Vec::with_capacity(GROUP_MAX);
        loop {
            let is_open = tokio::select! {
                biased;
                count = self.steps.recv_many(&mut group, GROUP_MAX) => count > 0,
                // A group of none only connects anew.
                () = ended(&mut self.link) => true,
            };
            if !is_open {
                return;
            }
            let deadline = Instant::now() + GROUP_LIMIT;
            match self.write(&group, deadline).await {
                Ok(outcomes) => {
                    self.health.set(Condition::Well);
                    for (step, outcome) in group.drain(..).zip(outcomes) {
                        let _ = step.done.send(outcome); // who no longer waits need not know
                    }
                }
                Err(error) => {
                    self.health.set(Condition::Troubled(error.clone()));
                    refuse(group.drain(..), &error);
                    if matches!(error, StoreError::Unreachable(_)) && !self.wait_for_server(error).await {
                        return;
                    }
                }
            }
        }
    }

    /// Tries until it is done, or is refused, or the deadline has passed.
    async fn write(&mut self, group: &[Step], deadline: Instant) -> Result<Outcomes, StoreError> {
        let mut pause = PAUSE_MIN;
        let mut reason = "the server does not answer".to_owned();
        loop {
            match timeout_at(deadline, self.try_once(group)).await {
                Ok(Ok(outcomes)) => return Ok(outcomes),
                Ok(Err(Failure::Lost(told))) => {
                    self.link = None;
                    self.health.set(Condition::Troubled(StoreError::Unreachable(told.clone())));
                    reason = told;
                }
                Ok(Err(Failure::Conflict(told))) => reason = told,
                Ok(Err(failure)) => return Err(failure.of_write()),
                Err(_) => self.link = None, // it is in the middle of something
            }
            if timeout_at(deadline, sleep(pause)).await.is_err() {
                return Err(StoreError::Unreachable(reason));
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn try_once(&mut self, group: &[Step]) -> Result<Outcomes, Failure> {
        if self.link.as_ref().is_some_and(|link| link.session.is_closed()) {
            self.link = None;
        }
        let link = match &mut self.link {
            Some(link) => link,
            // A server that was good once and refuses now may become good again: a password, a standby.
            none => match Link::open(&self.address).await {
                Err(Failure::Refused(reason)) => return Err(Failure::Lost(reason)),
                opened => none.insert(opened?),
            },
        };
        if group.is_empty() {
            return Ok(Vec::new());
        }
        match timeout(TRY_LIMIT, link.write(group)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::Lost("the server does not answer".to_owned())),
        }
    }

    /// Refuses everything until there is a connection again. `false`: nobody can send any more.
    async fn wait_for_server(&mut self, mut error: StoreError) -> bool {
        let mut pause = PAUSE_MIN;
        self.link = None;
        self.health.set(Condition::Down(error.clone()));
        loop {
            let address = Arc::clone(&self.address);
            let connect = async move {
                sleep(pause).await;
                Link::open(&address).await
            };
            tokio::pin!(connect);
            let opened = loop {
                tokio::select! {
                    opened = &mut connect => break opened,
                    step = self.steps.recv() => match step {
                        Some(step) => refuse([step], &error),
                        None => return false,
                    },
                }
            };
            match opened {
                Ok(link) => {
                    self.link = Some(link);
                    self.health.set(Condition::Well);
                    return true;
                }
                Err(Failure::Lost(reason) | Failure::Refused(reason)) => {
                    error = StoreError::Unreachable(reason);
                }
                Err(other) => error = other.of_write(),
            }
            self.health.set(Condition::Down(error.clone()));
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

impl Link {
    async fn open(address: &Address) -> Result<Self, Failure> {
        let session = Session::open(address).await?;
        let prepare = async {
            let loading = Loading::prepare(&session.client, address.schema.lock_key("journal")).await?;
            let saving = Saving::prepare(&session.client, address.schema.lock_key("revocations")).await?;
            Ok::<_, Failure>((loading, saving))
        };
        let prepared = timeout(TRY_LIMIT, prepare).await;
        let (loading, saving) =
            prepared.map_err(|_| Failure::Lost("the server does not answer".to_owned()))??;
        Ok(Self { session, loading, saving })
    }

    /// One transaction with the whole group; each operation stands or falls by itself.
    async fn write(&self, group: &[Step]) -> Result<Outcomes, Failure> {
        let mut loaded = match self.loading.run(&self.session, group).await {
            Ok(loaded) => loaded,
            Err(failure) => return self.undo(failure).await,
        };
        let outcomes: Vec<_> = group.iter().map(|step| loaded.book.apply(&step.operation, step.at)).collect();
        if outcomes.contains(&Err(BookError::NotLoaded)) {
            // The account of a token that is being revoked was booked while the locks were waited for.
            return self.undo(Failure::Conflict("another gateway came first".to_owned())).await;
        }
        let changes = loaded.book.take_changes();
        self.saving.run(&self.session, &changes, &loaded).await?;
        Ok(outcomes.into_iter().map(|outcome| outcome.map_err(StoreError::Book)).collect())
    }

    /// Ends the transaction, where there is still somebody to end it.
    async fn undo<T>(&self, failure: Failure) -> Result<T, Failure> {
        if !matches!(failure, Failure::Lost(_)) {
            self.session.client.batch_execute("ROLLBACK").await?;
        }
        Err(failure)
    }
}

impl Health {
    /// Why it does not get through at the moment, if it does not.
    pub(crate) fn trouble(&self) -> Option<StoreError> {
        match self.condition() {
            Condition::Well => None,
            Condition::Troubled(error) | Condition::Down(error) => Some(error),
        }
    }

    /// Why it refuses everything, if it does.
    pub(crate) fn outage(&self) -> Option<StoreError> {
        match self.condition() {
            Condition::Down(error) => Some(error),
            _ => None,
        }
    }

    fn condition(&self) -> Condition {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, condition: Condition) {
        // One assignment, which cannot be left half done.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = condition;
    }
}

fn refuse(steps: impl IntoIterator<Item = Step>, error: &StoreError) {
    for step in steps {
        let _ = step.done.send(Err(error.clone())); // who no longer waits need not know
    }
}

/// Until the connection is gone; for ever where there is none.
async fn ended(link: &mut Option<Link>) {
    match link {
        Some(link) => link.session.ended().await,
        None => std::future::pending().await,
    }
}
