//! Connections for everything but the operations on balances: each question has one to itself while it lasts.

use crate::{address::Address, failure::Failure, session::Session};
use l402_lightning::BoxFuture;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};

/// Questions that are asked at the same time, each over a connection of its own; the others wait.
const ROOM: usize = 2;
/// A question, with the wait for a connection and all its tries.
const LIMIT: Duration = Duration::from_secs(5);
/// Tries of one question.
const TRIES: u32 = 5;

pub(crate) struct Pool {
    address: Arc<Address>,
    idle: Mutex<Vec<Session>>,
    room: Semaphore,
}

impl Pool {
    pub(crate) fn new(address: Arc<Address>) -> Self {
        Self { address, idle: Mutex::default(), room: Semaphore::new(ROOM) }
    }

    /// Asks, and asks again where the connection turns out to be dead or others came first. `question` has to be one that
    /// can be repeated.
    pub(crate) async fn ask<T>(
        &self,
        question: impl for<'a> Fn(&'a Session) -> BoxFuture<'a, Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let slow = |_| Failure::Lost("the server does not answer".to_owned());
        timeout(LIMIT, self.ask_on(question)).await.map_err(slow)?
    }

    async fn ask_on<T>(
        &self,
        question: impl for<'a> Fn(&'a Session) -> BoxFuture<'a, Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let closed = |_| Failure::Lost("the store is closed".to_owned());
        let _room = self.room.acquire().await.map_err(closed)?;
        let mut tries = 1;
        loop {
            let kept = self.idle().pop().filter(|session| !session.is_closed());
            let session = match kept {
                Some(session) => session,
                None => Session::open(&self.address).await?,
            };
            let answer = question(&session).await;
            if answer.is_ok() {
                self.idle().push(session);
            }
            match answer {
                Err(Failure::Lost(_) | Failure::Conflict(_)) if tries < TRIES => {
                    sleep(Duration::from_millis(2 << tries)).await;
                    tries += 1;
                }
                answer => return answer,
            }
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Session>> {
        // One push or pop under the lock, which cannot be left half done.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
